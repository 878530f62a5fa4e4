/* Where the blocks of the image lie.
 *
 * All containers share the pages of the image until they write to them. A small program writes to few of its blocks (it counts a
 * reference, links an object behind another, enters a name into a table), but these would lie on most of its pages. So the engine is
 * made twice. The first time its blocks are watched while a typical program is created and gets messages, a rehearsal. Then everything
 * is as it was before, and the engine is made again: the blocks that changed lie together, before the memory that programs get, and
 * those that rest lie together, too. What is freed while the engine is made leaves nothing behind.
 *
 * Invariants:
 * 1. Making the engine takes the same blocks in the same order both times, as nothing goes in but the engine itself. A block is
 *    known by its number in that order. Were that ever wrong, blocks would lie worse, and nothing else.
 * 2. After a rehearsal all memory but the stack is as it was before, byte for byte.
 */
#include <stdlib.h>
#include "memory.h"
#include "shim.h"

enum stage { PLACED, WATCHING, REHEARSING, PLACING };
enum fate { PASSES, RESTS, CHANGES, FATES };
enum {
    BLOCKS_MAX = 65535,            /* further ones are not placed */
    WATCHED_BYTES = 1024 * 1024,   /* of the heap; what lies behind is not placed */
    GRAIN_BYTES = 8,               /* blocks begin at multiples of it */
    WASM_PAGE_BYTES = 65536,
    LOOK_EVERY = 8                 /* allocations of the rehearsal: what changes and changes back is seen, too */
};

/* Made by the linker: static data lie between these two, and the libc's heap begins at the second. */
extern uint8_t __global_base[], __heap_base[];

typedef struct Seen {
    const Block *block;
    uint32_t number, bytes, digest;
} Seen;

uint8_t placement_stage;
static uint8_t *fates;             /* by number */
static uint32_t next_number;
static uint8_t *watched;           /* where the blocks of the first time begin */
static uint16_t *numbers;          /* from 1, by place in the watched memory; 0 where no block begins */
static Seen *seen;                 /* the blocks that there are when the engine is made */
static uint32_t seen_count, allocations;
static struct { uint8_t *at, *end; } slabs[FATES];

static uint16_t *number_at(const Block *block)
{
    size_t place = (size_t)((const uint8_t *)block - watched) / GRAIN_BYTES;
    return place < WATCHED_BYTES / GRAIN_BYTES ? &numbers[place] : NULL;
}

static Block *watch(Block *block)
{
    uint16_t *number = block && next_number < BLOCKS_MAX ? number_at(block) : NULL;
    if (number) {
        fates[next_number] = RESTS;
        *number = (uint16_t)++next_number;
    }
    return block;
}

void placement_freed(Block *block)
{
    uint16_t *number = placement_stage == WATCHING ? number_at(block) : NULL;
    if (number && *number) {
        fates[*number - 1] = PASSES;
        *number = 0;
    }
}

static uint32_t digest_of(const Seen *block)
{
    uint32_t digest = 2166136261u, word;
    for (uint32_t i = 0; i < block->bytes; i += sizeof(word)) {
        memcpy(&word, (const uint8_t *)block->block + i, sizeof(word));
        digest = (digest ^ word) * 16777619u;
    }
    return digest;
}

static bool see(void)
{
    seen = malloc(next_number * sizeof(seen[0]));
    if (!seen)
        return false;
    for (size_t place = 0; place < WATCHED_BYTES / GRAIN_BYTES; place++) {
        if (!numbers[place])
            continue;
        const Block *block = (const Block *)(watched + place * GRAIN_BYTES);
        Seen *next = &seen[seen_count++];
        *next = (Seen){block, numbers[place] - 1u, (uint32_t)memory_block_bytes(block), 0};
        next->digest = digest_of(next);
    }
    return true;
}

static void look(void)
{
    for (uint32_t i = 0; i < seen_count; i++)
        if (fates[seen[i].number] == RESTS && digest_of(&seen[i]) != seen[i].digest)
            fates[seen[i].number] = CHANGES;
}

/* The bytes of all blocks of each fate. */
static void sum_up(size_t bytes[FATES])
{
    memset(bytes, 0, FATES * sizeof(bytes[0]));
    for (uint32_t i = 0; i < seen_count; i++)
        bytes[fates[seen[i].number]] += seen[i].bytes;
}

static Block *place(size_t bytes)
{
    enum fate fate = next_number < BLOCKS_MAX ? fates[next_number++] : PASSES;
    size_t rounded = memory_rounded_bytes(bytes);
    if (fate == PASSES || rounded > (size_t)(slabs[fate].end - slabs[fate].at) || rounded / FIXED_UNIT_BYTES > UINT16_MAX)
        return memory_new_block(bytes);
    Block *block = (Block *)slabs[fate].at;
    slabs[fate].at += rounded;
    block->place = (uint16_t)(rounded / FIXED_UNIT_BYTES);
    block->kind = KIND_FIXED;
    return block;
}

Block *placement_block(size_t bytes)
{
    switch (placement_stage) {
    case WATCHING:
        return watch(memory_new_block(bytes));
    case REHEARSING:
        if (++allocations % LOOK_EVERY == 0)
            look();
        return memory_new_block(bytes);
    default:
        return place(bytes);
    }
}

static bool first_time(uint8_t *room, int (*make)(void), int (*prepare)(void), int (*rehearse)(void), size_t bytes[FATES])
{
    fates = room;
    numbers = calloc(WATCHED_BYTES / GRAIN_BYTES, sizeof(numbers[0]));
    if (!numbers)
        return false;
    watched = (uint8_t *)(numbers + WATCHED_BYTES / GRAIN_BYTES);
    placement_stage = WATCHING;
    if (make())
        return false;
    placement_stage = PLACED; /* what is prepared is no part of the image */
    if (prepare() || !see())
        return false;
    placement_stage = REHEARSING;
    if (rehearse())
        return false;
    look();
    sum_up(bytes);
    return true;
}

static bool second_time(uint8_t *room, int (*make)(void), const size_t bytes[FATES])
{
    fates = room;
    for (int fate = RESTS; fate < FATES; fate++) {
        slabs[fate].at = malloc(bytes[fate]);
        if (!slabs[fate].at)
            return false;
        slabs[fate].end = slabs[fate].at + bytes[fate];
    }
    placement_stage = PLACING;
    bool made = make() == 0;
    placement_stage = PLACED;
    memory_tidy();
    return made;
}

/* The static data but for the texts of the modules, which nothing changes and for which the stack has no room: what lies before them
 * and what lies behind. */
static size_t statics_bytes(void)
{
    return (size_t)(__heap_base - __global_base) - modules_bytes;
}

static void set_aside(uint8_t *statics)
{
    size_t before = (size_t)(modules_text() - __global_base);
    memcpy(statics, __global_base, before);
    memcpy(statics + before, modules_text() + modules_bytes, statics_bytes() - before);
}

/* As all static data and the heap were when they were set aside. No value may be held in a register across this, whatever the compiler
 * knows of names: hence the two barriers. */
static void restore(const uint8_t *statics, size_t memory_pages)
{
    uint8_t *text = (uint8_t *)modules_text();
    size_t before = (size_t)(text - __global_base);
    __asm__ volatile("" ::: "memory");
    memcpy(__global_base, statics, before);
    memcpy(text + modules_bytes, statics + before, statics_bytes() - before);
    memset(__heap_base, 0, memory_pages * WASM_PAGE_BYTES - (size_t)__heap_base);
    __asm__ volatile("" ::: "memory");
}

/* Zeros in all memory behind the image's blocks, which the libc holds as one piece. */
static bool wipe_rest(const uint8_t *from)
{
    enum { OWN_BYTES = 1024 }; /* what the libc may need at both ends */
    size_t pages = __builtin_wasm_memory_size(0), bytes = pages * WASM_PAGE_BYTES - (size_t)from - OWN_BYTES;
    void *rest = malloc(bytes);
    if (!rest || __builtin_wasm_memory_size(0) != pages)
        return false;
    memset(rest, 0, bytes);
    free(rest);
    return true;
}

enum made placement_make(int (*make)(void), int (*prepare)(void), int (*rehearse)(void))
{
    uint8_t room[BLOCKS_MAX], statics[statics_bytes()];
    size_t bytes[FATES], memory_pages = __builtin_wasm_memory_size(0);
    set_aside(statics);
    bool made = first_time(room, make, prepare, rehearse, bytes);
    if (__builtin_wasm_memory_size(0) != memory_pages)
        return MADE_TOO_LARGE;
    if (!made)
        return MADE_NOTHING;
    restore(statics, memory_pages);
    return second_time(room, make, bytes) && wipe_rest(slabs[CHANGES].end) ? MADE : MADE_NOTHING;
}
