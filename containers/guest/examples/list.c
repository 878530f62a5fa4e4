/* Written as for the Ken library: every message becomes an element of a linked list on the heap, and each tells how many
 * there are and what the first and the newest were. Not a line of it is about keeping anything. */
#include "../ken.h"

struct element {
  struct element *next;
  int32_t len;
  char text[];
};

struct list {
  struct element *first, *last;
  int64_t count;
};

static char *put_text(char *at, const char *text, int32_t len) {
  while (len-- > 0) *at++ = *text++;
  return at;
}

static char *put_number(char *at, int64_t number) {
  if (number >= 10) at = put_number(at, number / 10);
  *at++ = (char)('0' + number % 10);
  return at;
}

int64_t ken_handler(void *msg, int32_t len, kenid_t sender) {
  struct list *list = ken_get_app_data();
  if (0 == ken_id_cmp(sender, kenid_NULL)) {
    list = ken_malloc(sizeof *list);
    *list = (struct list){NULL, NULL, 0};
    ken_set_app_data(list);
    return -1;
  }
  if (len > 100) len = 100;
  struct element *element = ken_malloc(sizeof *element + len);
  element->next = NULL;
  element->len = len;
  put_text(element->text, msg, len);
  if (list->last) list->last->next = element;
  else list->first = element;
  list->last = element;
  list->count++;

  int64_t walked = 0;
  for (struct element *at = list->first; at; at = at->next) walked++;
  char line[256], *at = put_number(line, list->count);
  at = put_text(at, walked == list->count ? " messages, from " : " messages, TORN: ", 16);
  at = put_text(at, list->first->text, list->first->len);
  at = put_text(at, " to ", 4);
  at = put_text(at, element->text, element->len);
  (void)ken_send(0 == ken_id_cmp(sender, kenid_stdin) ? kenid_stdout : sender, line, at - line);
  return -1;
}
