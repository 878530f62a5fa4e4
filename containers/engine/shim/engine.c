/* QuickJS and what needs its internals, as one translation unit. */
#include "quickjs.h"

/* Weak, so that memory.c's take their place: the linker prefers those. */
#pragma weak js_malloc_rt
#pragma weak js_calloc_rt
#pragma weak js_free_rt
#pragma weak js_realloc_rt
#pragma weak js_malloc_usable_size_rt

#include "quickjs.c"
#include "memory.h"
#include "shim.h"
#include "imports.c"
#include "inside.c"
#include "entries.c"
#include "tree.c"
#include "write.c"
#include "write_nested.c"
#include "read.c"
