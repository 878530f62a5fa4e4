/* A heap and a little dag-cbor for C containers; and the functions that compilers call of themselves. */
#include "everturn.h"

/* ---- The heap: rooms of 2^n bytes, given back to lists by n. Their head holds n. ---- */

enum { HEAD_BYTES = 16, SMALLEST = 5, CLASSES = 32, WASM_PAGE_BYTES = 65536 };

struct room {
  uint32_t class;
  struct room *next; /* while it is free */
};

extern unsigned char __heap_base; /* the linker's: where the program's own data end */
static struct room *free_rooms[CLASSES];
static uintptr_t fresh, end;

static int make_room(uintptr_t bytes) {
  if (fresh == 0) {
    fresh = ((uintptr_t)&__heap_base + 15) & ~(uintptr_t)15;
    end = (uintptr_t)__builtin_wasm_memory_size(0) * WASM_PAGE_BYTES;
  }
  if (end - fresh >= bytes) return 1;
  uintptr_t pages = (bytes - (end - fresh) + WASM_PAGE_BYTES - 1) / WASM_PAGE_BYTES;
  if (__builtin_wasm_memory_grow(0, pages) == (size_t)-1) return 0;
  end += pages * WASM_PAGE_BYTES;
  return 1;
}

void *everturn_allocate(size_t bytes) {
  uint32_t class = SMALLEST;
  if (bytes > (size_t)1 << 30) return NULL;
  while (((size_t)1 << class) < bytes + HEAD_BYTES) class ++;
  struct room *room = free_rooms[class];
  if (room) {
    free_rooms[class] = room->next;
  } else {
    if (!make_room((uintptr_t)1 << class)) return NULL;
    room = (struct room *)fresh;
    fresh += (uintptr_t)1 << class;
    room->class = class;
  }
  return (char *)room + HEAD_BYTES;
}

void everturn_free(void *given) {
  if (!given) return;
  struct room *room = (struct room *)((char *)given - HEAD_BYTES);
  room->next = free_rooms[room->class];
  free_rooms[room->class] = room;
}

/* ---- dag-cbor ---- */

uint8_t *everturn_whole_input(uint32_t len) {
  uint8_t *input = everturn_allocate(len);
  if (!input) everturn_throw("no room for the input", 21);
  everturn_input(input, 0, len);
  return input;
}

uint32_t everturn_head(uint8_t *into, uint8_t major, uint64_t number) {
  uint32_t bytes = number < 24 ? 0 : number <= 0xff ? 1 : number <= 0xffff ? 2 : number <= 0xffffffff ? 4 : 8;
  uint8_t sizes[] = {0, 24, 25, 0, 26, 0, 0, 0, 27};
  into[0] = (uint8_t)(major << 5) | (bytes ? sizes[bytes] : (uint8_t)number);
  for (uint32_t i = 0; i < bytes; i++) into[1 + i] = (uint8_t)(number >> (8 * (bytes - 1 - i)));
  return 1 + bytes;
}

uint32_t everturn_read_head(const uint8_t *data, uint32_t len, uint8_t *major, uint64_t *number) {
  if (len == 0 || (data[0] & 31) > 27) return 0;
  uint32_t small = data[0] & 31, bytes = small < 24 ? 0 : 1u << (small - 24);
  if (len < 1 + bytes) return 0;
  *major = data[0] >> 5;
  *number = small;
  if (bytes) *number = 0;
  for (uint32_t i = 0; i < bytes; i++) *number = *number << 8 | data[1 + i];
  return 1 + bytes;
}

void everturn_answer_number(int64_t number) {
  uint8_t data[9];
  uint32_t len = number < 0 ? everturn_head(data, 1, ~(uint64_t)number) : everturn_head(data, 0, (uint64_t)number);
  everturn_answer(data, len);
}

/* ---- What a compiler may put in place of a loop or an assignment ---- */

#define PLAIN __attribute__((no_builtin))

PLAIN void *memset(void *into, int byte, size_t bytes) {
  for (char *at = into; bytes--;) *at++ = (char)byte;
  return into;
}

PLAIN void *memcpy(void *restrict into, const void *restrict from, size_t bytes) {
  char *to = into;
  for (const char *at = from; bytes--;) *to++ = *at++;
  return into;
}

PLAIN void *memmove(void *into, const void *from, size_t bytes) {
  char *to = into;
  const char *at = from;
  if (to < at) {
    while (bytes--) *to++ = *at++;
  } else {
    while (bytes--) to[bytes] = at[bytes];
  }
  return into;
}

PLAIN int memcmp(const void *one, const void *other, size_t bytes) {
  const unsigned char *a = one, *b = other;
  for (; bytes--; a++, b++)
    if (*a != *b) return *a < *b ? -1 : 1;
  return 0;
}

PLAIN size_t strlen(const char *text) {
  size_t bytes = 0;
  while (text[bytes]) bytes++;
  return bytes;
}
