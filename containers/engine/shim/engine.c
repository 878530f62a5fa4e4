/* QuickJS and what needs its internals, as one translation unit. */
#include "quickjs-hooked.c" /* quickjs.c with hot.c in it, see the build script */
#include "shim.h"
#include "inside.c"
#include "write.c"
#include "write_nested.c"
#include "read.c"
