/* A turn's entry and end: the one place that calls programs, runs microtasks, judges unhandled rejections and reports exceptions. */
#include "shim.h"

enum kind { CREATE = 1, MESSAGE, EVAL, LOAD, COLLECT, POSTPONE, EXCEPTION, CLOSE, REQUEST, TIMER, QUERY };
enum status { DONE, FAILED, INPUT_WRONG, DONE_AND_DUE };
enum { COLLECT_SLACK_BYTES = 1024 * 1024 };

static Encoded error;
static JSValue *rejected; /* promises rejected in this turn that nothing handles yet */
static uint32_t rejected_count;

static void forget_rejection(JSContext *context, JSValueConst promise)
{
    for (uint32_t i = 0; i < rejected_count; i++) {
        if (JS_VALUE_GET_PTR(rejected[i]) != JS_VALUE_GET_PTR(promise))
            continue;
        JS_FreeValue(context, rejected[i]);
        memmove(&rejected[i], &rejected[i + 1], (--rejected_count - i) * sizeof(rejected[0]));
        return;
    }
}

static void track_rejection(JSContext *context, JSValueConst promise, JSValueConst reason, bool is_handled, void *opaque)
{
    (void)reason, (void)opaque;
    if (is_handled) {
        forget_rejection(context, promise);
        return;
    }
    JSValue *more = js_realloc(context, rejected, (rejected_count + 1) * sizeof(rejected[0]));
    if (!more) /* the exception that this threw has nowhere to go; the turn is failed by memory_ran_out */
        return;
    rejected = more;
    rejected[rejected_count++] = JS_DupValue(context, promise);
}

static void begin(void)
{
    JS_UpdateStackTop(engine.runtime);
    JS_SetHostPromiseRejectionTracker(engine.runtime, track_rejection, NULL);
    memory_hold_reserve();
    engine.turn_number++;
    engine.in_turn = true;
}

static void end(uint32_t input_bytes)
{
    program_message_done(engine.context);
    js_free(engine.context, rejected);
    rejected = NULL;
    input_done(input_bytes);
    engine.in_turn = false;
}

static const char *kind_of(const char *kind, Text name, Text text)
{
    bool is_null = name.length == 0;
    if (memory_ran_out() && (is_null || (text.length == 13 && !memcmp(text.bytes, "out of memory", 13))))
        return "out-of-memory";
    if (name.length == 10 && !memcmp(name.bytes, "RangeError", 10) && text.length == 32 &&
        !memcmp(text.bytes, "Maximum call stack size exceeded", 32))
        return "stack-overflow";
    return kind;
}

static Text text_of(JSContext *context, JSValue value)
{
    size_t length = 0;
    const char *bytes = JS_IsException(value) || JS_IsUndefined(value) ? NULL : JS_ToCStringLen(context, &length, value);
    JS_FreeValue(context, value);
    if (!bytes)
        JS_FreeValue(context, JS_GetException(context));
    return bytes ? (Text){bytes, (uint32_t)length} : (Text){"", 0};
}

static void free_text(JSContext *context, Text text)
{
    if (text.length)
        JS_FreeCString(context, text.bytes);
}

static int32_t report(JSContext *context, const char *kind, JSValue thrown)
{
    Text name = {"", 0}, text, stack = {"", 0};
    if (JS_IsError(thrown)) {
        name = text_of(context, JS_GetPropertyStr(context, thrown, "name"));
        text = text_of(context, JS_GetPropertyStr(context, thrown, "message"));
        stack = text_of(context, JS_GetPropertyStr(context, thrown, "stack"));
    } else {
        text = text_of(context, JS_Call(context, engine.inspect, JS_UNDEFINED, 1, (JSValueConst *)&thrown));
    }
    if (input_was_wrong())
        kind = "input";
    else
        kind = kind_of(kind, name, text);
    Text none = {"", 0};
    if (!write_error(kind, name, text, stack, &error))
        write_error(kind, none, none, none, &error);
    free_text(context, name);
    free_text(context, text);
    free_text(context, stack);
    JS_FreeValue(context, thrown);
    return input_was_wrong() ? INPUT_WRONG : FAILED;
}

static bool run_microtasks(void)
{
    JSContext *context;
    int status;
    while ((status = JS_ExecutePendingJob(engine.runtime, &context)) > 0)
        ;
    return status == 0;
}

static JSValue run(JSContext *context, int32_t kind, Reader *input)
{
    switch (kind) {
    case CREATE:
        return program_create(context, input);
    case MESSAGE:
        return program_message(context, input);
    case REQUEST:
        return program_request(context, input);
    case TIMER:
        return program_timer(context, input);
    case QUERY:
        return program_query(context, input);
    case EVAL:
        return program_eval(context, input);
    case LOAD:
        return program_load(context, input);
    case EXCEPTION:
        return program_exception(context, input);
    case CLOSE:
        return program_close(context, input);
    default:
        return throw_input(context, "no such kind of turn");
    }
}

static bool give_result(JSContext *context, JSValueConst value, const char *root)
{
    Encoded encoded;
    if (!write_value(context, value, root, &encoded))
        return false;
    if (engine.in_turn)
        host_result(encoded.bytes, encoded.length);
    write_done(context);
    return true;
}

/* What the shell prints: {text, type}. */
static bool answer_line(JSContext *context, JSValueConst value, bool is_pending)
{
    JSValueConst arguments[] = {value, JS_TRUE, JS_NewBool(context, is_pending)};
    JSValue answer = JS_Call(context, engine.inspect, JS_UNDEFINED, 3, arguments);
    bool done = !JS_IsException(answer) && give_result(context, answer, "answer");
    JS_FreeValue(context, answer);
    return done;
}

static bool answer_message(JSContext *context, JSValueConst value)
{
    JSPromiseStateEnum state = JS_PromiseState(context, value);
    if (state == JS_PROMISE_PENDING && program_is_called())
        return program_owe(context, value);
    if (state == JS_PROMISE_PENDING || state == JS_PROMISE_REJECTED)
        return true;
    JSValue settled = state == JS_PROMISE_FULFILLED ? JS_PromiseResult(context, value) : JS_DupValue(context, value);
    if (JS_IsUndefined(settled) && program_is_called())
        settled = JS_NULL;
    bool done = JS_IsUndefined(settled) || give_result(context, settled, "the answer");
    JS_FreeValue(context, settled);
    return done;
}

/* After the program returned `value`: microtasks, then the answer. False: something was thrown. */
static bool finish(JSContext *context, int32_t kind, JSValueConst value)
{
    if (!run_microtasks())
        return false;
    if (kind == EVAL)
        return program_line_value(context, value, answer_line) && run_microtasks();
    if (kind == CREATE || kind == LOAD)
        return program_evaluated(context, value);
    if (kind == QUERY && JS_PromiseState(context, value) == JS_PROMISE_PENDING) {
        JS_ThrowTypeError(context, "a query is answered in its own turn, and query() gave a promise that is not settled");
        return false;
    }
    return (kind != MESSAGE && kind != REQUEST && kind != QUERY) || answer_message(context, value);
}

static int32_t take_turn(JSContext *context, int32_t kind, Reader *input)
{
    JSValue value = run(context, kind, input);
    if (JS_IsException(value))
        return report(context, "throw", JS_GetException(context));
    bool done = finish(context, kind, value);
    JS_FreeValue(context, value);
    if (done && rejected_count == 0)
        done = run_microtasks(); /* freeing the value may have queued finalizers */
    if (!done)
        return report(context, "throw", JS_GetException(context));
    if (rejected_count > 0)
        return report(context, "rejection", JS_PromiseResult(context, rejected[0]));
    return DONE;
}

static int32_t collect(JSContext *context)
{
    JS_RunGC(engine.runtime);
    if (!run_microtasks()) /* the callbacks of finalization registries */
        return report(context, "throw", JS_GetException(context));
    if (rejected_count > 0)
        return report(context, "rejection", JS_PromiseResult(context, rejected[0]));
    engine.collect_at_bytes = 2 * memory_allocated_bytes() + COLLECT_SLACK_BYTES;
    return DONE;
}

static int32_t postpone(void)
{
    engine.collect_at_bytes = 2 * memory_allocated_bytes() + 2 * COLLECT_SLACK_BYTES;
    return DONE;
}

static bool collection_is_due(void)
{
    size_t limit = engine.collect_at_bytes ? engine.collect_at_bytes : 2 * COLLECT_SLACK_BYTES;
    return memory_allocated_bytes() > limit;
}

EXPORT(everturn_turn) int32_t everturn_turn(int32_t kind, uint32_t bytes)
{
    Reader input = {input_bytes(), input_bytes() + bytes};
    begin();
    int32_t status = kind == COLLECT    ? collect(engine.context)
                     : kind == POSTPONE ? postpone()
                                        : take_turn(engine.context, kind, &input);
    end(bytes);
    return status == DONE && collection_is_due() ? DONE_AND_DUE : status;
}

/* As a turn, but nobody outside hears of it. */
int turn_rehearse(bool is_creation, uint32_t bytes)
{
    Reader input = {input_bytes(), input_bytes() + bytes};
    begin();
    engine.in_turn = false;
    int32_t status = take_turn(engine.context, is_creation ? CREATE : MESSAGE, &input);
    end(bytes);
    return status == DONE ? 0 : -1;
}

EXPORT(everturn_error_pointer) const uint8_t *everturn_error_pointer(void)
{
    return error.bytes;
}

EXPORT(everturn_error_bytes) uint32_t everturn_error_bytes(void)
{
    return error.length;
}

EXPORT(everturn_complete) int32_t everturn_complete(uint32_t bytes)
{
    enum source_end source_end;
    bool awaits;
    uint8_t *source = input_bytes();
    source[bytes] = 0;
    begin();
    JSValue compiled = inside_compile(engine.context, (char *)source, bytes, "<line>", COMPILE_ASYNC_IF_AWAITS, &awaits,
                                      &source_end);
    if (JS_IsException(compiled))
        JS_FreeValue(engine.context, JS_GetException(engine.context));
    JS_FreeValue(engine.context, compiled);
    end(bytes);
    return source_end;
}

EXPORT(everturn_names) int32_t everturn_names(uint32_t bytes)
{
    JSContext *context = engine.context;
    begin();
    JSValue prefix = JS_NewStringLen(context, (char *)input_bytes(), bytes);
    JSValue names = JS_Call(context, engine.names, JS_UNDEFINED, 1, (JSValueConst *)&prefix);
    bool done = !JS_IsException(names) && give_result(context, names, "names");
    int32_t status = done ? DONE : report(context, "throw", JS_GetException(context));
    JS_FreeValue(context, prefix);
    JS_FreeValue(context, names);
    end(bytes);
    return status;
}
