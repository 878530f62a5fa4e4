/* What a C program needs to be a container of Everturn. docs/guest-abi.md explains each call; this file only names them.
 *
 * A program defines everturn_message, and if it likes everturn_create and everturn_exception. Its memory and its
 * variables outlive everything: there is nothing to save and nothing to load. */
#ifndef EVERTURN_H
#define EVERTURN_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define EVERTURN_ENTRY(name) __attribute__((export_name(#name)))
#define EVERTURN_CALL(name) __attribute__((import_module("everturn"), import_name(#name)))

/* Entries: what the hypervisor calls, each with the length of its input. */

/* The first turn; the input is what the creator sent. */
EVERTURN_ENTRY(everturn_create) void everturn_create(uint32_t len);
/* A message; the input is its data. */
EVERTURN_ENTRY(everturn_message) void everturn_message(uint32_t len);
/* Something this container sent has failed; the input is a map with kind and text. */
EVERTURN_ENTRY(everturn_exception) void everturn_exception(uint32_t len);

/* What a bound port led to is gone; everturn_message_from names the port. */
EVERTURN_ENTRY(everturn_close) void everturn_close(uint32_t len);

/* A timer is due; the input is what it was set with. */
EVERTURN_ENTRY(everturn_timer) void everturn_timer(uint32_t len);

/* Calls. Data are one dag-cbor value; a negative answer is a refusal's code. */

typedef int32_t everturn_port; /* good for one turn */

enum everturn_level { EVERTURN_DEBUG = 0, EVERTURN_INFO = 1, EVERTURN_WARNING = 2, EVERTURN_ERROR = 3 };

enum everturn_refusal {
  EVERTURN_INVALID_PORT = -1,
  EVERTURN_NOT_BOUND = -2,
  EVERTURN_NAME_IN_USE = -3,
  EVERTURN_PORT_BOUND = -4,
  EVERTURN_INVALID_NAME = -5,
  EVERTURN_INVALID_DATA = -6,
  EVERTURN_MESSAGE_TOO_LARGE = -7,
  EVERTURN_TOO_MANY_PORTS = -8,
  EVERTURN_TOO_DEEP = -9,
  EVERTURN_TOO_MANY_EFFECTS = -10,
  EVERTURN_UNKNOWN_TYPE = -11,
  EVERTURN_NO_PARENT = -12,
  EVERTURN_THROUGH_ITSELF = -13,
  EVERTURN_UNKNOWN_CALL = -14,
  EVERTURN_CLOSED = -15,
  EVERTURN_NOT_OVER_CHANNEL = -16,
  EVERTURN_QUEUE_FULL = -17,
  EVERTURN_OUTBOX_FULL = -18,
  EVERTURN_TOO_MANY_TIMERS = -19,
  EVERTURN_IN_QUERY = -20,
  EVERTURN_NO_ENTROPY = -21,
  EVERTURN_TOO_MUCH_ENTROPY = -22,
};

/* Bounds of a child that its creator may lower. */
enum everturn_limit {
  EVERTURN_TURN_FUEL = 1,
  EVERTURN_CONTAINER_FUEL = 2,
  EVERTURN_HEAP_BYTES_MAX = 3,
  EVERTURN_MESSAGE_BYTES_MAX = 4,
  EVERTURN_PORTS_MAX = 5,
  EVERTURN_EFFECTS_MAX = 6,
  EVERTURN_OUTBOX_BYTES_MAX = 7,
  EVERTURN_QUEUE_PLACES_MAX = 8,
  EVERTURN_DEPTH_MAX = 9,
  EVERTURN_TIMERS_MAX = 10,
};

EVERTURN_CALL(input) int32_t everturn_input(void *into, uint32_t offset, uint32_t room);
EVERTURN_CALL(message_from) int32_t everturn_message_from(char *into, uint32_t room);
EVERTURN_CALL(message_ports) int32_t everturn_message_ports(void);
EVERTURN_CALL(message_reply) everturn_port everturn_message_reply(void);
EVERTURN_CALL(answer) int32_t everturn_answer(const void *data, uint32_t len);
EVERTURN_CALL(throw) __attribute__((noreturn)) void everturn_throw(const char *text, uint32_t len);
EVERTURN_CALL(log) void everturn_log(int32_t level, const char *text, uint32_t len);

EVERTURN_CALL(send) int32_t everturn_send(everturn_port to, const void *data, uint32_t len, const everturn_port *ports,
                                          uint32_t count, int32_t priority);
EVERTURN_CALL(call) int32_t everturn_call(everturn_port to, const void *data, uint32_t len, const everturn_port *ports,
                                          uint32_t count, int32_t priority);
EVERTURN_CALL(reject) int32_t everturn_reject(everturn_port to, const void *data, uint32_t len);
EVERTURN_CALL(port_create) everturn_port everturn_port_create(const char *type, uint32_t type_len, const void *data,
                                                              uint32_t len);
EVERTURN_CALL(port_lower) int32_t everturn_port_lower(everturn_port child, uint32_t limit, uint64_t most);
EVERTURN_CALL(port_bind) int32_t everturn_port_bind(const char *name, uint32_t len, everturn_port port);
EVERTURN_CALL(port_unbind) everturn_port everturn_port_unbind(const char *name, uint32_t len);
EVERTURN_CALL(port_get) everturn_port everturn_port_get(const char *name, uint32_t len);
EVERTURN_CALL(port_delete) int32_t everturn_port_delete(const char *name, uint32_t len);
EVERTURN_CALL(port_drop) int32_t everturn_port_drop(everturn_port port);
EVERTURN_CALL(port_is_valid) int32_t everturn_port_is_valid(everturn_port port);
EVERTURN_CALL(port_names) int32_t everturn_port_names(void *into, uint32_t room);
EVERTURN_CALL(port_id) int32_t everturn_port_id(everturn_port port, uint8_t into[64]);
EVERTURN_CALL(port_parent) everturn_port everturn_port_parent(void);
EVERTURN_CALL(channel) everturn_port everturn_channel(void);

EVERTURN_CALL(id) int32_t everturn_id(uint8_t into[64]);
EVERTURN_CALL(date) double everturn_date(void);
/* Fills with random bytes of the host's, at most 65,536 in a call and 1 MiB in a turn. Answers how many. */
EVERTURN_CALL(entropy) int32_t everturn_entropy(void *into, uint32_t len);
EVERTURN_CALL(ticks) int64_t everturn_ticks(void);
/* Milliseconds after the turn's date, and again after each `every`, unless that is 0. Answers the timer's number. */
EVERTURN_CALL(timer_set) int64_t everturn_timer_set(uint64_t delay, uint64_t every, const void *data, uint32_t len);
EVERTURN_CALL(timer_cancel) int32_t everturn_timer_cancel(uint64_t timer);

EVERTURN_CALL(refusal) int32_t everturn_refusal(int32_t code, char *into, uint32_t room);

/* Help that everturn.c brings: a heap, and the forms of dag-cbor that small programs need. */

/* Room on the heap, aligned to 16 bytes and not cleared; NULL where the container's memory is used up. */
void *everturn_allocate(size_t bytes);
/* Gives it back. NULL is allowed. */
void everturn_free(void *room);

/* The whole input of this turn, on the heap: the caller frees it. Throws where there is no room. */
uint8_t *everturn_whole_input(uint32_t len);
/* What stands before a number, a byte string or a text, written to `into`: at most 9 bytes. Major type 0 is a number, 2
 * bytes, 3 text, 4 a list of so many values, 5 a map. Gives its length. */
uint32_t everturn_head(uint8_t *into, uint8_t major, uint64_t number);
/* Reads such a head: its length, or 0 if there is none. */
uint32_t everturn_read_head(const uint8_t *data, uint32_t len, uint8_t *major, uint64_t *number);
/* Answers with a number. */
void everturn_answer_number(int64_t number);

#ifdef __cplusplus
}
#endif
#endif
