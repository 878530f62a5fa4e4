/* Allocation: QuickJS's five functions for it, which engine.c declares weak, so that these take their place when the engine is
 * linked. QuickJS's own have an arena of 4 KiB for each of 31 sizes: a small program wrote to a page for each of them, and a page is
 * what a container costs. Here chunks begin small and lie side by side, so that what a program makes is on few pages; and the blocks of
 * the image lie where placement.c wants them.
 *
 * The host limits the heap by refusing memory.grow; then malloc answers NULL and QuickJS throws `out of memory`. Making that error
 * needs memory too, so a reserve is held in every turn and let go when an allocation fails. Whether memory ran out depends on the heap
 * and the limit alone, so it is as deterministic as everything else.
 *
 * Invariants:
 * 1. A block's kind says where it came from: a chunk (the number of its size), the libc (LARGE), or the image (FIXED).
 * 2. A chunk with a free block is in the list of its size, and no other chunk is. One empty chunk of a size may stay: a turn that
 *    takes one block and frees it again makes no chunk.
 * 3. Fixed blocks are never used again: the pages of the image stay shared.
 */
#include <stdlib.h>
#include "memory.h"
#include "shim.h"

size_t malloc_usable_size(void *pointer); /* of the libc; its header is not among ours */

enum {
    RESERVE_BYTES = 32 * 1024,
    SMALL_BYTES = 512,          /* with its header, the largest that lies in a chunk */
    CHUNK_BYTES_MIN = 512,      /* the first chunk of a size; each further one is twice as large, up to the most */
    CHUNK_DOUBLINGS = 3,
    NO_BLOCK = 0xffff
};

typedef struct Chunk {
    struct Chunk *next, *previous; /* in the list of its size, while it has a free block */
    uint16_t free;                 /* its first free block, or NO_BLOCK */
    uint16_t made;                 /* blocks that were used ever; those behind them were never written */
    uint16_t used, capacity;       /* in blocks */
    uint8_t blocks[];
} Chunk;

/* With the header; at most an eighth is lost from 64 on. */
static const uint16_t size_bytes[KIND_SIZES] = {16,  24,  32,  40,  48,  56,  64,  72,  80,  88,  96,  104, 112, 120, 128, 144,
                                                160, 176, 192, 208, 224, 240, 256, 288, 320, 352, 384, 416, 448, 480, 512};

static Chunk *open_chunks[KIND_SIZES];
static uint8_t doublings[KIND_SIZES];
static size_t allocated_bytes;
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

size_t memory_allocated_bytes(void)
{
    return allocated_bytes;
}

void *memory_get(size_t bytes)
{
    return checked(malloc(bytes));
}

void memory_give_back(void *pointer)
{
    free(pointer);
}

/* Of a block with its header. */
static inline unsigned kind_of(size_t bytes)
{
    return bytes <= 16 ? 0 : bytes <= 128 ? (bytes + 7) / 8 - 2 : bytes <= 256 ? (bytes + 15) / 16 + 6 : (bytes + 31) / 32 + 14;
}

size_t memory_block_bytes(const Block *block)
{
    return block->kind < KIND_SIZES    ? size_bytes[block->kind]
           : block->kind == KIND_FIXED ? block->place * (size_t)FIXED_UNIT_BYTES
                                       : malloc_usable_size((void *)block);
}

static inline Block *block_at(Chunk *chunk, unsigned kind, unsigned place)
{
    return (Block *)(chunk->blocks + place * (size_t)size_bytes[kind]);
}

static inline void open_chunk(Chunk *chunk, unsigned kind)
{
    chunk->previous = NULL;
    chunk->next = open_chunks[kind];
    if (chunk->next)
        chunk->next->previous = chunk;
    open_chunks[kind] = chunk;
}

static inline void close_chunk(Chunk *chunk, unsigned kind)
{
    if (chunk->next)
        chunk->next->previous = chunk->previous;
    if (chunk->previous)
        chunk->previous->next = chunk->next;
    else
        open_chunks[kind] = chunk->next;
}

static __attribute__((noinline)) Chunk *new_chunk(unsigned kind)
{
    size_t bytes = (size_t)CHUNK_BYTES_MIN << doublings[kind];
    size_t capacity = (bytes - sizeof(Chunk)) / size_bytes[kind];
    if (capacity == 0)
        capacity = 1;
    Chunk *chunk = malloc(sizeof(Chunk) + capacity * size_bytes[kind]);
    if (!chunk)
        return NULL;
    if (doublings[kind] < CHUNK_DOUBLINGS)
        doublings[kind]++;
    *chunk = (Chunk){.free = NO_BLOCK, .capacity = (uint16_t)capacity};
    open_chunk(chunk, kind);
    return chunk;
}

static inline Block *small_block(unsigned kind)
{
    Chunk *chunk = open_chunks[kind];
    if (!chunk && !(chunk = new_chunk(kind)))
        return NULL;
    unsigned place = chunk->free;
    Block *block;
    if (place != NO_BLOCK) {
        block = block_at(chunk, kind, place);
        chunk->free = block->place;
    } else {
        place = chunk->made++;
        block = block_at(chunk, kind, place);
        block->kind = (uint8_t)kind;
    }
    block->place = (uint16_t)place;
    if (++chunk->used == chunk->capacity)
        close_chunk(chunk, kind);
    return block;
}

static inline void free_small(Block *block)
{
    unsigned kind = block->kind, place = block->place;
    Chunk *chunk = (Chunk *)((uint8_t *)block - place * (size_t)size_bytes[kind] - sizeof(Chunk));
    block->place = chunk->free;
    chunk->free = (uint16_t)place;
    if (chunk->used-- == chunk->capacity) {
        open_chunk(chunk, kind);
    } else if (chunk->used == 0 && (chunk->next || chunk->previous)) {
        close_chunk(chunk, kind);
        free(chunk);
    }
}

static Block *large_block(size_t bytes)
{
    Block *block = malloc(bytes);
    if (block)
        block->kind = KIND_LARGE;
    return block;
}

Block *memory_new_block(size_t bytes)
{
    return bytes <= SMALL_BYTES ? small_block(kind_of(bytes)) : large_block(bytes);
}

static void free_block(Block *block)
{
    if (block->kind < KIND_SIZES)
        free_small(block);
    else if (block->kind == KIND_LARGE)
        free(block);
}

/* What a block of that many bytes comes to. */
size_t memory_rounded_bytes(size_t bytes)
{
    return bytes <= SMALL_BYTES ? size_bytes[kind_of(bytes)] : (bytes + FIXED_UNIT_BYTES - 1) / FIXED_UNIT_BYTES * FIXED_UNIT_BYTES;
}

/* The chunks that stayed empty. */
void memory_tidy(void)
{
    for (unsigned kind = 0; kind < KIND_SIZES; kind++) {
        doublings[kind] = 0;
        for (Chunk *chunk = open_chunks[kind], *next; chunk; chunk = next) {
            next = chunk->next;
            if (chunk->used == 0) {
                close_chunk(chunk, kind);
                free(chunk);
            }
        }
    }
}

static inline Block *get(size_t data_bytes)
{
    size_t bytes = data_bytes + sizeof(Block);
    Block *block = unlikely(placement_stage) ? placement_block(bytes) : memory_new_block(bytes);
    if (likely(block))
        allocated_bytes += memory_block_bytes(block);
    return block;
}

static inline Block *block_of(const void *pointer)
{
    return (Block *)((uint8_t *)(uintptr_t)pointer - offsetof(Block, data));
}

void *js_malloc_rt(JSRuntime *runtime, size_t bytes)
{
    (void)runtime;
    if (unlikely(bytes == 0 || bytes > BLOCK_BYTES_MAX))
        return bytes ? checked(NULL) : NULL;
    Block *block = get(bytes);
    return likely(block) ? block->data : checked(NULL);
}

void *js_calloc_rt(JSRuntime *runtime, size_t count, size_t bytes)
{
    (void)runtime;
    size_t all;
    if (unlikely(__builtin_mul_overflow(count, bytes, &all) || all > BLOCK_BYTES_MAX))
        return checked(NULL);
    Block *block = get(all);
    return likely(block) ? memset(block->data, 0, all) : checked(NULL);
}

void js_free_rt(JSRuntime *runtime, void *pointer)
{
    (void)runtime;
    if (!pointer)
        return;
    Block *block = block_of(pointer);
    allocated_bytes -= memory_block_bytes(block);
    if (unlikely(placement_stage))
        placement_freed(block);
    free_block(block);
}

/* In place where the libc can. */
static Block *resize_large(Block *block, size_t bytes)
{
    size_t old_bytes = memory_block_bytes(block);
    block = realloc(block, bytes);
    if (block)
        allocated_bytes += memory_block_bytes(block) - old_bytes;
    return block;
}

static Block *move(JSRuntime *runtime, Block *block, size_t bytes)
{
    size_t data_bytes = bytes - sizeof(Block), old_bytes = memory_block_bytes(block) - sizeof(Block);
    Block *moved = get(data_bytes);
    if (!moved)
        return NULL;
    moved->gc = block->gc;
    moved->references = block->references;
    memcpy(moved->data, block->data, data_bytes < old_bytes ? data_bytes : old_bytes);
    js_free_rt(runtime, block->data);
    return moved;
}

void *js_realloc_rt(JSRuntime *runtime, void *pointer, size_t data_bytes)
{
    if (!pointer)
        return js_malloc_rt(runtime, data_bytes);
    if (data_bytes == 0) {
        js_free_rt(runtime, pointer);
        return NULL;
    }
    if (unlikely(data_bytes > BLOCK_BYTES_MAX))
        return checked(NULL);
    Block *block = block_of(pointer);
    size_t bytes = data_bytes + sizeof(Block);
    if (block->kind != KIND_LARGE && bytes <= memory_block_bytes(block))
        return pointer;
    bool stays_large = block->kind == KIND_LARGE && bytes > SMALL_BYTES && !placement_stage;
    block = stays_large ? resize_large(block, bytes) : move(runtime, block, bytes);
    return block ? block->data : checked(NULL);
}

size_t js_malloc_usable_size_rt(JSRuntime *runtime, const void *pointer)
{
    (void)runtime;
    return pointer ? memory_block_bytes(block_of(pointer)) - sizeof(Block) : 0;
}

/* What QuickJS takes its runtime from, and nothing else. */
static void *runtime_calloc(void *opaque, size_t count, size_t bytes)
{
    (void)opaque;
    return js_calloc_rt(NULL, count, bytes);
}

static void *runtime_malloc(void *opaque, size_t bytes)
{
    (void)opaque;
    return js_malloc_rt(NULL, bytes);
}

static void runtime_free(void *opaque, void *pointer)
{
    (void)opaque;
    js_free_rt(NULL, pointer);
}

static void *runtime_realloc(void *opaque, void *pointer, size_t bytes)
{
    (void)opaque;
    return js_realloc_rt(NULL, pointer, bytes);
}

static size_t runtime_usable_size(const void *pointer)
{
    return js_malloc_usable_size_rt(NULL, pointer);
}

const JSMallocFunctions memory_functions = {runtime_calloc, runtime_malloc, runtime_free, runtime_realloc, runtime_usable_size};
