/* Counts: a message is a number, which is added; the answer is the sum so far. */
#include "../everturn.h"

static int64_t sum;

void everturn_message(uint32_t len) {
  uint8_t *data = everturn_whole_input(len), major;
  uint64_t number;
  if (!everturn_read_head(data, len, &major, &number) || major > 1) everturn_throw("not a whole number", 18);
  everturn_free(data);
  sum += major == 0 ? (int64_t)number : ~(int64_t)number;
  everturn_answer_number(sum);
}
