/* ken.h over everturn.h. */
#include "ken.h"
#include "everturn.h"

enum { PARENT = 4, NAMED = 5, NAME_BYTES = 256 };

const kenid_t kenid_NULL = {0}, kenid_stdin = {1}, kenid_stdout = {2}, kenid_alarm = {3}, kenid_parent = {PARENT};

static const char *const special[NAMED] = {"NULL", "stdin", "stdout", "alarm", "parent"};

/* Names that were met, in the order of their numbers; never given back, since a kenid_t may be anywhere. */
struct name {
  struct name *next;
  uint32_t number, len;
  char text[];
};

static struct name *first_name, **last_name = &first_name;
static uint32_t names = NAMED;
static void *app_data;
static seqno_t sends;

void *memcpy(void *restrict into, const void *restrict from, size_t bytes);
int memcmp(const void *one, const void *other, size_t bytes);
size_t strlen(const char *text);

static __attribute__((noreturn)) void fail(const char *why) { everturn_throw(why, strlen(why)); }

static struct name *name_of(uint32_t number) {
  struct name *name = first_name;
  while (name && name->number != number) name = name->next;
  return name;
}

static kenid_t named(const char *text, uint32_t len) {
  for (struct name *name = first_name; name; name = name->next)
    if (name->len == len && !memcmp(name->text, text, len)) return (kenid_t){name->number};
  struct name *name = ken_malloc(sizeof *name + len);
  if (!name) fail("no room for the name of a port");
  *name = (struct name){NULL, names++, len};
  memcpy(name->text, text, len);
  *last_name = name;
  last_name = &name->next;
  return (kenid_t){name->number};
}

kenid_t ken_id_from_string(const char *text) {
  for (uint32_t number = 0; number < NAMED; number++) {
    size_t len = strlen(special[number]);
    if (strlen(text) == len && !memcmp(special[number], text, len)) return (kenid_t){number};
  }
  return named(text, strlen(text));
}

char *ken_id_to_string(kenid_t id, char *into, int32_t room) {
  struct name *name = id.number < NAMED ? NULL : name_of(id.number);
  const char *text = id.number < NAMED ? special[id.number] : name ? name->text : "";
  int32_t len = name ? (int32_t)name->len : (int32_t)strlen(text);
  if (room <= 0) return into;
  if (len > room - 1) len = room - 1;
  memcpy(into, text, len);
  into[len] = 0;
  return into;
}

int ken_id_cmp(kenid_t one, kenid_t other) { return (one.number > other.number) - (one.number < other.number); }

void *ken_malloc(size_t bytes) { return everturn_allocate(bytes); }
void ken_free(void *room) { everturn_free(room); }
void ken_set_app_data(void *data) { app_data = data; }
void *ken_get_app_data(void) { return app_data; }

static everturn_port port_of(kenid_t to) {
  if (to.number == PARENT) return everturn_port_parent();
  struct name *name = name_of(to.number);
  return name ? everturn_port_get(name->text, name->len) : EVERTURN_INVALID_PORT;
}

seqno_t ken_send(kenid_t to, const void *msg, int32_t len) {
  if (to.number == kenid_stdout.number) {
    const char *text = msg;
    /* A line ends by itself here. */
    everturn_log(EVERTURN_INFO, text, len > 0 && text[len - 1] == '\n' ? len - 1 : len);
    return ++sends;
  }
  uint8_t *data = everturn_allocate((size_t)len + 9);
  if (!data) fail("no room for a message");
  uint32_t head = everturn_head(data, 2, len);
  memcpy(data + head, msg, len);
  everturn_port port = port_of(to);
  int32_t refused = port < 0 ? port : everturn_send(port, data, head + len, NULL, 0, 0);
  everturn_free(data);
  if (refused < 0) {
    char why[NAME_BYTES];
    everturn_throw(why, everturn_refusal(refused, why, sizeof why));
  }
  return ++sends;
}

static void handle(void *msg, uint32_t len, kenid_t sender) {
  if (ken_handler(msg, len, sender) != -1) fail("ken_handler asked for an alarm: there are none, it has to return -1");
}

void everturn_create(uint32_t len) {
  (void)len;
  handle(NULL, 0, kenid_NULL);
}

void everturn_message(uint32_t len) {
  char from[NAME_BYTES];
  int32_t name = everturn_message_from(from, sizeof from);
  kenid_t sender = name < 0 ? kenid_stdin : name == 0 ? kenid_parent : named(from, name);
  uint8_t *data = everturn_whole_input(len), major;
  uint64_t bytes;
  uint32_t head = everturn_read_head(data, len, &major, &bytes);
  /* The bytes of a byte string or a text, else all. */
  if (!head || (major != 2 && major != 3)) head = 0;
  handle(data + head, len - head, sender);
  everturn_free(data);
}
