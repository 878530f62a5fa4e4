/* QuickJS and what needs its internals, as one translation unit. */
#include "quickjs.c"
#include "shim.h"
#include "inside.c"
#include "write.c"
#include "write_nested.c"
#include "read.c"
