/* The names of the Ken library (Yoo, Killian, Kelly, Cho, Plite: "Composable Reliability for Asynchronous Systems", USENIX
 * ATC 2012) over everturn.h, so that a program written for Ken runs as a container. Link ken.c and everturn.c.
 *
 * What differs:
 * - The whole memory is persistent, static variables too; ken_set_app_data is kept, but nobody needs it.
 * - A kenid_t stands for a port of this container, by its name: other processes cannot be reached by an address.
 *   It stays good across turns and restarts.
 * - kenid_stdin sends what the host sends; kenid_stdout is a line for the console. kenid_parent is the creator.
 * - A message is a byte string. Of a text that comes in the bytes are given, of other data their dag-cbor.
 * - There are no alarms: ken_handler has to return -1. */
#ifndef EVERTURN_KEN_H
#define EVERTURN_KEN_H

#include <stddef.h>
#include <stdint.h>

typedef struct {
  uint32_t number;
} kenid_t;

typedef int64_t seqno_t;

extern const kenid_t kenid_NULL, kenid_stdin, kenid_stdout, kenid_alarm, kenid_parent;

/* The program defines it: called once with a NULL message from kenid_NULL, then for each message. */
int64_t ken_handler(void *msg, int32_t len, kenid_t sender);

/* Sends bytes. What is refused (no such port) ends the turn with an exception. Gives the number of the send. */
seqno_t ken_send(kenid_t to, const void *msg, int32_t len);

void *ken_malloc(size_t bytes);
void ken_free(void *room);
void ken_set_app_data(void *data);
void *ken_get_app_data(void);

/* 0 if both are the same, else which comes first, in an order that stays. */
int ken_id_cmp(kenid_t one, kenid_t other);
/* The port of this name; "NULL", "stdin", "stdout", "alarm" and "parent" are the special ones. */
kenid_t ken_id_from_string(const char *name);
/* Its name, cut to `room` bytes with the zero at its end. */
char *ken_id_to_string(kenid_t id, char *into, int32_t room);

#endif
