/* Allocation. The host limits the heap by refusing memory.grow; then malloc answers NULL and QuickJS throws `out of memory`.
 *
 * Making that error needs memory too, so a reserve is held in every turn and let go when an allocation fails. Whether memory ran
 * out depends on the heap and the limit alone, so it is as deterministic as everything else.
 */
#include <stdlib.h>
#include "shim.h"

size_t malloc_usable_size(void *pointer); /* of the libc; its header is not among ours */

enum { RESERVE_BYTES = 32 * 1024 };
static void *reserve;
static bool ran_out;

static void *checked(void *pointer)
{
    if (!pointer) {
        ran_out = true;
        free(reserve);
        reserve = NULL;
    }
    return pointer;
}

void memory_hold_reserve(void)
{
    ran_out = false;
    if (!reserve)
        reserve = malloc(RESERVE_BYTES);
}

bool memory_ran_out(void)
{
    return ran_out;
}

void *memory_get(size_t bytes)
{
    return checked(malloc(bytes));
}

void memory_give_back(void *pointer)
{
    free(pointer);
}

static void *memory_calloc(void *opaque, size_t count, size_t bytes)
{
    (void)opaque;
    return checked(calloc(count, bytes));
}

static void *memory_malloc(void *opaque, size_t bytes)
{
    (void)opaque;
    return checked(malloc(bytes));
}

static void memory_free(void *opaque, void *pointer)
{
    (void)opaque;
    free(pointer);
}

static void *memory_realloc(void *opaque, void *pointer, size_t bytes)
{
    (void)opaque;
    return checked(realloc(pointer, bytes));
}

static size_t memory_usable_size(const void *pointer)
{
    return malloc_usable_size((void *)pointer);
}

const JSMallocFunctions memory_functions = {memory_calloc, memory_malloc, memory_free, memory_realloc, memory_usable_size};
