/* The engine's life: it is made once, in everturn_init, and its memory then is the image of all containers. Here are also the
 * input buffer and the clock that QuickJS asks.
 */
#include "shim.h"
#include "prelude.h" /* generated from ../prelude by the build script: PRELUDE_FILES, REHEARSAL */

enum { INPUT_BYTES = 64 * 1024, INPUT_LEFT_BYTES = 256, JS_STACK_BYTES = 512 * 1024 };

Engine engine;
static uint8_t input_small[INPUT_BYTES + 1];
static uint8_t *input_large;

/* Made by the linker. Once it is called by name, the linker does not wrap each export in calls of the libc's constructors and exit
 * functions, as it does for a program that starts anew with every call. */
void __wasm_call_ctors(void);

/* The one import of wasm-shim/shim.c, defined here so that it is none: microseconds since 1970. QuickJS also asks while it is
 * initialised, when there is no turn and so no date. */
double __rquickjs_host_now_us(void)
{
    return engine.in_turn ? host_date() * 1000 : 0;
}

EXPORT(everturn_input) uint8_t *everturn_input(void)
{
    return input_small;
}

EXPORT(everturn_input_large) uint8_t *everturn_input_large(uint32_t bytes)
{
    input_done(0);
    if (bytes < UINT32_MAX)
        input_large = memory_get(bytes + 1);
    return input_large;
}

uint8_t *input_bytes(void)
{
    return input_large ? input_large : input_small;
}

/* A program's text is not left behind, on pages that nothing else would change. */
void input_done(uint32_t bytes)
{
    if (!input_large && bytes > INPUT_LEFT_BYTES)
        memset(input_small + INPUT_LEFT_BYTES, 0, bytes + 1 - INPUT_LEFT_BYTES);
    memory_give_back(input_large);
    input_large = NULL;
}

static int add_intrinsics(JSContext *context)
{
    return JS_AddIntrinsicBaseObjects(context) || JS_AddIntrinsicDate(context) || JS_AddIntrinsicEval(context) ||
           JS_AddIntrinsicRegExp(context) || JS_AddIntrinsicJSON(context) || JS_AddIntrinsicProxy(context) ||
           JS_AddIntrinsicMapSet(context) || JS_AddIntrinsicTypedArrays(context) || JS_AddIntrinsicPromise(context) ||
           JS_AddIntrinsicWeakRef(context) || JS_AddIntrinsicDOMException(context) || JS_AddIntrinsicAToB(context);
}

/* Each file of the prelude is a function of the natives. */
static int run_prelude(JSContext *context, JSValueConst natives)
{
    for (size_t i = 0; i < sizeof(PRELUDE_FILES) / sizeof(PRELUDE_FILES[0]); i++) {
        const struct PreludeFile *file = &PRELUDE_FILES[i];
        JSValue function = JS_Eval(context, file->source, file->bytes, file->name, JS_EVAL_TYPE_GLOBAL);
        JSValue done = JS_IsException(function) ? JS_EXCEPTION : JS_Call(context, function, JS_UNDEFINED, 1, &natives);
        bool failed = JS_IsException(done);
        JS_FreeValue(context, function);
        JS_FreeValue(context, done);
        if (failed)
            return -1;
    }
    return 0;
}

static int make_globals(JSContext *context)
{
    JSValue natives = JS_NewObject(context);
    int failed = JS_IsException(natives) || natives_init(context, natives) || ports_init(context) || syscalls_init(context) ||
                 syscalls_natives(context, natives) || web_natives(context, natives) || handlers_natives(context, natives) ||
                 run_prelude(context, natives) || write_init(context) || program_init(context) || handlers_init(context);
    if (!failed) {
        static const struct { const char *name; JSValue *function; } wanted[] = {
            {"inspect", &engine.inspect}, {"names", &engine.names}, {"settle", &engine.settle},
            {"owe", &engine.owe},         {"serve", &engine.serve}, {"ring", &engine.ring},
            {"reach", &engine.reach},     {"ask", &engine.ask},
        };
        for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
            *wanted[i].function = JS_GetPropertyStr(context, natives, wanted[i].name);
            failed |= !JS_IsFunction(context, *wanted[i].function);
        }
    }
    JS_FreeValue(context, natives);
    return failed;
}

/* Asked now and then by QuickJS. Where a person has interrupted the turn the host does not come back. */
static int go_on(JSRuntime *runtime, void *opaque)
{
    (void)runtime;
    (void)opaque;
    host_poll();
    return 0;
}

static int make_engine(void)
{
    memory_hold_reserve();
    engine.runtime = JS_NewRuntime2(&memory_functions, NULL);
    if (!engine.runtime)
        return -1;
    JS_SetGCThreshold(engine.runtime, SIZE_MAX); /* the collector runs in turns of its own only */
    JS_SetMaxStackSize(engine.runtime, JS_STACK_BYTES);
    engine.context = JS_NewContextRaw(engine.runtime);
    if (!engine.context || add_intrinsics(engine.context) || make_globals(engine.context))
        return -1;
    JS_SetInterruptHandler(engine.runtime, go_on, NULL);
    JS_RunGC(engine.runtime);
    return 0;
}

/* What the turns of a typical program begin with. */
static Encoded *rehearsal;
static uint32_t rehearsal_turns;

static Encoded kept(Encoded encoded)
{
    uint8_t *bytes = memory_get(encoded.length);
    if (bytes)
        memcpy(bytes, encoded.bytes, encoded.length);
    return (Encoded){bytes, bytes ? encoded.length : 0};
}

/* A list of inputs: that of a creation, and those of messages. */
static int prepare_rehearsal(void)
{
    JSContext *context = engine.context;
    JSValue inputs = JS_Eval(context, REHEARSAL, sizeof(REHEARSAL) - 1, "everturn:rehearsal", JS_EVAL_TYPE_GLOBAL);
    int64_t count = 0;
    if (JS_IsException(inputs) || JS_GetLength(context, inputs, &count))
        return -1;
    rehearsal = memory_get(count * sizeof(rehearsal[0]));
    for (; rehearsal && rehearsal_turns < count; rehearsal_turns++) {
        JSValue input = JS_GetPropertyInt64(context, inputs, rehearsal_turns);
        Encoded encoded;
        if (!write_value(context, input, "rehearsal", &encoded))
            return -1;
        rehearsal[rehearsal_turns] = kept(encoded);
        write_done(context);
        JS_FreeValue(context, input);
    }
    JS_FreeValue(context, inputs);
    return rehearsal ? 0 : -1;
}

static int rehearse(void)
{
    for (uint32_t i = 0; i < rehearsal_turns; i++) {
        Encoded input = rehearsal[i];
        memcpy(input_small, input.bytes, input.length);
        if (turn_rehearse(i == 0, input.length))
            return -1;
    }
    return 0;
}

EXPORT(everturn_init) int32_t everturn_init(void)
{
    __wasm_call_ctors();
    return placement_make(make_engine, prepare_rehearsal, rehearse);
}
