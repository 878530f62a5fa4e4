/* What the files of the shim share. The contract with the host is ../ABI.md.
 *
 * A turn's path: turn.c (entry, microtasks, rejections) -> program.c (evaluates) or handlers.c (calls)
 * -> read.c and write.c (dag-cbor <-> JS values) -> ports.c and natives.c (syscalls as JS functions).
 *
 * Invariants:
 * 1. No pointer into the stack outlives a turn.
 * 2. Nothing here reads a clock or entropy; the host's imports are the only inputs, and they are called in turns only.
 * 3. What a JS program can cause is an exception, never an abort.
 */
#ifndef EVERTURN_SHIM_H
#define EVERTURN_SHIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdint.h>
#include <string.h>
#include "quickjs.h"

#define EXPORT(name) __attribute__((export_name(#name)))
#define IMPORT(name) __attribute__((import_module("everturn"), import_name(#name)))

/* The name of the port to other hypervisors. */
#define LINK_PORT "link"

enum { DATA_DEPTH_MAX = 128, ID_BYTES_MAX = 64 };

/* The host's side, see ABI.md. */
IMPORT(log) void host_log(int32_t level, const void *text, uint32_t bytes);
IMPORT(result) void host_result(const void *data, uint32_t bytes);
IMPORT(date) double host_date(void);
IMPORT(entropy) int32_t host_entropy(void *into, uint32_t bytes);
IMPORT(poll) void host_poll(void);
IMPORT(ticks) int64_t host_ticks(void);
IMPORT(id) int32_t host_id(void *id);
IMPORT(port_create) int32_t host_port_create(const void *type, uint32_t type_bytes, const void *data, uint32_t data_bytes);
IMPORT(port_lower) int32_t host_port_lower(int32_t handle, uint32_t limit, uint64_t most);
IMPORT(port_bind) int32_t host_port_bind(const void *name, uint32_t name_bytes, int32_t handle);
IMPORT(port_unbind) int32_t host_port_unbind(const void *name, uint32_t name_bytes);
IMPORT(port_get) int32_t host_port_get(const void *name, uint32_t name_bytes);
IMPORT(port_delete) int32_t host_port_delete(const void *name, uint32_t name_bytes);
IMPORT(port_names) int32_t host_port_names(void *data, uint32_t capacity_bytes);
IMPORT(port_id) int32_t host_port_id(int32_t handle, void *id);
IMPORT(port_parent) int32_t host_port_parent(void);
IMPORT(port_drop) int32_t host_port_drop(int32_t handle);
IMPORT(channel) int32_t host_channel(void);
IMPORT(send) int32_t host_send(int32_t handle, const void *data, uint32_t data_bytes, const int32_t *handles,
                               uint32_t handles_count, int32_t priority);
IMPORT(call) int32_t host_call(int32_t handle, const void *data, uint32_t data_bytes, const int32_t *handles,
                               uint32_t handles_count, int32_t priority);
IMPORT(request) int32_t host_request(int32_t handle, const void *data, uint32_t data_bytes, const int32_t *handles,
                                     uint32_t handles_count, int32_t priority);
IMPORT(timer_set) int64_t host_timer_set(uint64_t delay_ms, uint64_t every_ms, const void *data, uint32_t data_bytes);
IMPORT(timer_cancel) int32_t host_timer_cancel(uint64_t timer);
IMPORT(reject) int32_t host_reject(int32_t handle, const void *data, uint32_t data_bytes);
IMPORT(refusal) int32_t host_refusal(int32_t code, void *text, uint32_t capacity_bytes);

/* life.c: the one engine of a module, and its buffers. */
typedef struct Engine {
    JSRuntime *runtime;
    JSContext *context;
    uint64_t turn_number;        /* a handle is valid in the turn that got it */
    bool in_turn;                /* imports may be called */
    JSValue inspect, names;      /* functions of the prelude that the host asks for */
    JSValue settle, owe;         /* functions of the prelude for calls and their answers */
    JSValue serve, ask;          /* the functions of the prelude that take requests and queries */
    JSValue ring;                /* the function of the prelude that a timer calls */
    JSValue reach;               /* our fetch, which asks other hosts */
    JSValue namespace;           /* of the module evaluated last, else undefined */
    JSValue modules;             /* the sources that may be imported and were not yet, by name; else undefined */
    size_t collect_at_bytes;     /* a collection is due above this many allocated bytes */
} Engine;
extern Engine engine;
uint8_t *input_bytes(void);      /* what the host wrote, and room for one byte more */
void input_done(uint32_t bytes); /* it had so many */

/* memory.c: allocation under the host's limit. */
extern const JSMallocFunctions memory_functions;
void memory_hold_reserve(void);  /* so that an error can still be made when memory is out */
size_t memory_allocated_bytes(void);  /* in blocks of QuickJS's */
bool memory_ran_out(void);       /* since the last memory_hold_reserve */
void *memory_get(size_t bytes);
void memory_give_back(void *pointer);

/* placement.c: makes the engine, and makes it again where a rehearsal has shown what changes. */
enum made {
    MADE,
    MADE_NOTHING,  /* no memory, or one of these failed, which is not to answer 0 then */
    MADE_TOO_LARGE /* --initial-memory is too small: memory that grew would be lost */
};
enum made placement_make(int (*make)(void), int (*prepare)(void), int (*rehearse)(void));

/* turn.c: a turn without a host. */
int turn_rehearse(bool is_creation, uint32_t bytes);

/* inside.c: what needs QuickJS's internals. */
enum source_end { SOURCE_COMPLETE, SOURCE_WANTS_MORE, SOURCE_WRONG };
enum compile_flags { COMPILE_ASYNC_IF_AWAITS = 1, COMPILE_REDECLARES = 2 };
void inside_seed(JSContext *context, const uint8_t seed[32]);
JSValue inside_compile(JSContext *context, const char *source, size_t bytes, const char *file, int flags, bool *awaits,
                       enum source_end *end);
JSValue inside_new_like(JSContext *context, JSValueConst model, JSValue *values, int count);
JSValue inside_lexical_names(JSContext *context);
JSValue inside_global(JSContext *context, JSAtom name);      /* undefined if there is none */
JSModuleDef *inside_module(JSValueConst compiled);

/* entries.c: a module of functions for the lists of ordered indexes; NULL: thrown. */
JSModuleDef *entries_module(JSContext *context, const char *name);

/* read.c and write.c: dag-cbor. Writing runs no JS code but that which says what stands for an object. */
int write_init(JSContext *context);
typedef struct Reader {
    const uint8_t *at, *end;
} Reader;
typedef struct Text {
    const char *bytes;
    uint32_t length;
} Text;
typedef struct Encoded {
    const uint8_t *bytes;
    uint32_t length;
} Encoded;
bool read_map(Reader *reader, uint32_t *entries);
bool read_list_of(Reader *reader, uint32_t items);
bool read_text(Reader *reader, Text *text);
bool read_bytes(Reader *reader, Text *bytes);
bool read_null(Reader *reader);
bool read_bool(Reader *reader, bool *value);
bool read_uint(Reader *reader, uint64_t *value);
bool read_skip(Reader *reader);
JSValue read_value(JSContext *context, Reader *reader);   /* JS_EXCEPTION: malformed or out of memory */
bool write_value(JSContext *context, JSValueConst value, const char *root, Encoded *encoded); /* false: thrown */
bool write_error(const char *kind, Text name, Text text, Text stack, Encoded *encoded);
void write_done(JSContext *context);                      /* the encoded bytes are no longer needed */

/* ports.c and syscalls.c: port references, and what is done with them. */
int ports_init(JSContext *context);
int syscalls_init(JSContext *context);
int syscalls_natives(JSContext *context, JSValueConst natives);
JSValue port_of_message(JSContext *context, int32_t handle);
JSValue port_of_name(JSContext *context, Text name);      /* "" is the parent's */
bool is_port(JSValueConst value);

/* natives.c: the other functions of the prelude that are written in C. */
int natives_init(JSContext *context, JSValueConst natives);
int web_natives(JSContext *context, JSValueConst natives);
JSValue cid_from_bytes(JSContext *context, const uint8_t *bytes, size_t length);
bool cid_bytes(JSValueConst value, const uint8_t **bytes, size_t *length);

/* fields.c: the input of a turn. */
typedef struct Field {
    const char *name;
    enum { FIELD_TEXT, FIELD_BYTES, FIELD_OPTIONAL_TEXT, FIELD_UINT, FIELD_RAW } type;
    void *target;                /* Text, uint64_t or Reader */
    bool found;
} Field;
bool read_fields(JSContext *context, Reader *input, Field *fields, int count, int required); /* the first ones must be there */
JSValue throw_input(JSContext *context, const char *what);       /* the host's input is malformed */
bool input_was_wrong(void);

/* program.c and handlers.c: what each kind of turn evaluates or calls. JS_EXCEPTION: thrown. */
int program_init(JSContext *context);
/* The texts of the modules, one behind the other: static data that nothing changes. */
extern const size_t modules_bytes;
const uint8_t *modules_text(void);
int handlers_init(JSContext *context);
int handlers_natives(JSContext *context, JSValueConst natives);
JSValue program_create(JSContext *context, Reader *input);
JSValue program_load(JSContext *context, Reader *input);
JSValue program_eval(JSContext *context, Reader *input);
JSValue program_message(JSContext *context, Reader *input);
JSValue program_request(JSContext *context, Reader *input);
JSValue program_timer(JSContext *context, Reader *input);
JSValue program_query(JSContext *context, Reader *input);
JSValue program_exception(JSContext *context, Reader *input);
JSValue program_close(JSContext *context, Reader *input);
bool program_is_called(void);                             /* this turn's message wants an answer */
bool program_owe(JSContext *context, JSValueConst promise);  /* answers when the promise is settled; false: thrown */
void program_message_done(JSContext *context);
bool program_evaluated(JSContext *context, JSValueConst value);  /* after the microtasks; false: thrown */
bool program_line_value(JSContext *context, JSValueConst value, bool (*answer)(JSContext *context, JSValueConst value, bool is_pending));

#endif
