/* The program of a container: how it is evaluated, and which of its functions takes what.
 *
 * A program is a script or a module. It is a module if it parses as one only, so that `export` or a top-level `await` makes one
 * and every old script stays a script.
 */
#include "shim.h"

static JSValue namespace_of_program = JS_UNDEFINED; /* of the module evaluated last */
static JSAtom atom_default, atom_message, atom_receive, atom_exception, atom_from, atom_value;
static JSValue model_message; /* {data, from, ports, reply} */
static bool wrong_input;
static bool line_awaits; /* within one EVAL turn */

JSValue throw_input(JSContext *context, const char *what)
{
    wrong_input = true;
    return JS_ThrowTypeError(context, "%s", what);
}

bool input_was_wrong(void)
{
    return wrong_input;
}

static JSModuleDef *refuse_import(JSContext *context, const char *name, void *opaque)
{
    (void)opaque;
    JS_ThrowReferenceError(context, "cannot import '%s': a container's program is one file", name);
    return NULL;
}

int program_init(JSContext *context)
{
    atom_default = JS_NewAtom(context, "default");
    atom_message = JS_NewAtom(context, "message");
    atom_receive = JS_NewAtom(context, "receive");
    atom_exception = JS_NewAtom(context, "exception");
    atom_from = JS_NewAtom(context, "from");
    atom_value = JS_NewAtom(context, "value");
    JS_SetModuleLoaderFunc(engine.runtime, NULL, refuse_import, NULL);
    static const char *const fields[] = {"data", "from", "ports", "reply"};
    model_message = JS_NewObject(context);
    for (int i = 0; i < 4; i++)
        if (JS_DefinePropertyValueStr(context, model_message, fields[i], JS_NULL, JS_PROP_C_W_E) < 0)
            return -1;
    return 0;
}

/* The fields of an input map by name. */
typedef struct Field {
    const char *name;
    enum { TEXT, BYTES, OPTIONAL_TEXT, UINT, BOOL, RAW } type;
    void *target; /* Text, uint64_t, bool or Reader */
    bool found;
} Field;

static bool read_field(Reader *input, Field *field)
{
    field->found = true;
    switch (field->type) {
    case TEXT:
        return read_text(input, field->target);
    case BYTES:
        return read_bytes(input, field->target);
    case OPTIONAL_TEXT:
        return read_null(input) || read_text(input, field->target);
    case UINT:
        return read_uint(input, field->target);
    case BOOL:
        return read_bool(input, field->target);
    default:
        ((Reader *)field->target)->at = input->at;
        if (!read_skip(input))
            return false;
        ((Reader *)field->target)->end = input->at;
        return true;
    }
}

static bool read_fields(JSContext *context, Reader *input, Field *fields, int count, int required)
{
    uint32_t entries;
    bool good = read_map(input, &entries);
    for (; good && entries > 0; entries--) {
        Text key;
        int i = 0;
        if (!(good = read_text(input, &key)))
            break;
        while (i < count && (strlen(fields[i].name) != key.length || memcmp(fields[i].name, key.bytes, key.length)))
            i++;
        good = i < count ? read_field(input, &fields[i]) : read_skip(input);
    }
    for (int i = 0; good && i < required; i++)
        good = fields[i].found;
    if (!good)
        throw_input(context, "the input of this turn is malformed");
    return good;
}

/* The text with a zero behind it, as the parser wants it. The input buffer has a byte more than the input, and what stands there
 * behind a text is the head of the next key, which has been read already. */
static const char *terminated(Text text)
{
    ((char *)text.bytes)[text.length] = 0;
    return text.bytes;
}

static bool text_mentions(JSContext *context, JSValueConst value, const char *what)
{
    const char *text = JS_ToCString(context, value);
    bool mentions = text && strstr(text, what);
    JS_FreeCString(context, text);
    return mentions;
}

static bool exception_mentions(JSContext *context, const char *what)
{
    JSValue thrown = JS_GetException(context);
    bool mentions = text_mentions(context, thrown, what);
    JS_Throw(context, thrown);
    return mentions;
}

static JSValue evaluate_module(JSContext *context, JSValue module)
{
    JSModuleDef *definition = inside_module(module);
    JSValue promise = JS_EvalFunction(context, module);
    if (JS_IsException(promise))
        return promise;
    JS_FreeValue(context, namespace_of_program);
    namespace_of_program = JS_GetModuleNamespace(context, definition);
    return promise;
}

static JSValue evaluate(JSContext *context, Text name, Text source, int flags)
{
    bool awaits;
    enum source_end end;
    const char *text = terminated(source);
    char file[256] = {0};
    memcpy(file, name.bytes, name.length < sizeof(file) ? name.length : sizeof(file) - 1);
    JSValue script = inside_compile(context, text, source.length, file, flags, &awaits, &end);
    if (!JS_IsException(script))
        return JS_EvalFunction(context, script);
    JSValue script_error = JS_GetException(context);
    JSValue module = JS_Eval(context, text, source.length, file, JS_EVAL_TYPE_MODULE | JS_EVAL_FLAG_COMPILE_ONLY);
    if (!JS_IsException(module)) {
        JS_FreeValue(context, script_error);
        return evaluate_module(context, module);
    }
    /* neither: the module's error tells more where the source is meant to be one, or is one whose imports fail */
    if (exception_mentions(context, "SyntaxError") && !text_mentions(context, script_error, "export")) {
        JS_FreeValue(context, JS_GetException(context));
        return JS_Throw(context, script_error);
    }
    JS_FreeValue(context, script_error);
    return JS_EXCEPTION;
}

JSValue program_create(JSContext *context, Reader *input)
{
    Text name, seed, program;
    Field fields[] = {{"name", TEXT, &name, false}, {"seed", BYTES, &seed, false}, {"program", TEXT, &program, false}};
    if (!read_fields(context, input, fields, 3, 3))
        return JS_EXCEPTION;
    if (seed.length != 32)
        return throw_input(context, "a seed has 32 bytes");
    inside_seed(context, (const uint8_t *)seed.bytes);
    return evaluate(context, name, program, 0);
}

JSValue program_load(JSContext *context, Reader *input)
{
    Text file, source;
    Field fields[] = {{"file", TEXT, &file, false}, {"source", TEXT, &source, false}};
    if (!read_fields(context, input, fields, 2, 2))
        return JS_EXCEPTION;
    return evaluate(context, file, source, COMPILE_REDECLARES);
}

/* A module's promise tells how its evaluation went; a script's value tells nothing. */
bool program_evaluated(JSContext *context, JSValueConst value)
{
    if (JS_PromiseState(context, value) != JS_PROMISE_REJECTED)
        return true;
    JS_PromiseMarkAsHandled(context, value);
    JS_Throw(context, JS_PromiseResult(context, value));
    return false;
}

/* `{a: 1}` is an object at a prompt, as people expect, if it can be one. */
static JSValue compile_line(JSContext *context, const char *source, size_t bytes, const char *file)
{
    enum source_end end;
    const int flags = COMPILE_ASYNC_IF_AWAITS | COMPILE_REDECLARES;
    const char *first = source;
    while (*first == ' ' || *first == '\t' || *first == '\n' || *first == '\r')
        first++;
    if (*first == '{') {
        char *wrapped = js_malloc(context, bytes + 3);
        if (!wrapped)
            return JS_EXCEPTION;
        wrapped[0] = '(';
        memcpy(wrapped + 1, source, bytes);
        memcpy(wrapped + 1 + bytes, ")", 2);
        JSValue compiled = inside_compile(context, wrapped, bytes + 2, file, flags, &line_awaits, &end);
        js_free(context, wrapped);
        if (!JS_IsException(compiled))
            return compiled;
        JS_FreeValue(context, JS_GetException(context));
    }
    return inside_compile(context, source, bytes, file, flags, &line_awaits, &end);
}

JSValue program_eval(JSContext *context, Reader *input)
{
    Text file, source;
    Field fields[] = {{"file", TEXT, &file, false}, {"source", TEXT, &source, false}};
    if (!read_fields(context, input, fields, 2, 2))
        return JS_EXCEPTION;
    char name[256] = {0};
    memcpy(name, file.bytes, file.length < sizeof(name) ? file.length : sizeof(name) - 1);
    JSValue compiled = compile_line(context, terminated(source), source.length, name);
    return JS_IsException(compiled) ? compiled : JS_EvalFunction(context, compiled);
}

/* The value of a line: of one that awaits, what its promise holds. */
bool program_line_value(JSContext *context, JSValueConst value, bool (*answer)(JSContext *, JSValueConst, bool))
{
    if (!line_awaits)
        return answer(context, value, false);
    if (!program_evaluated(context, value))
        return false;
    if (JS_PromiseState(context, value) == JS_PROMISE_PENDING)
        return answer(context, JS_UNDEFINED, true);
    JSValue holder = JS_PromiseResult(context, value);
    JSValue inner = JS_GetProperty(context, holder, atom_value);
    JS_FreeValue(context, holder);
    bool done = !JS_IsException(inner) && answer(context, inner, false);
    JS_FreeValue(context, inner);
    return done;
}

/* The program's function of this name: a method of the module's default export, else a global. `*owner` is its `this`. */
static JSValue find_handler(JSContext *context, JSAtom name, JSValue *owner)
{
    JSValue handler = JS_UNDEFINED;
    *owner = JS_UNDEFINED;
    if (!JS_IsUndefined(namespace_of_program)) {
        *owner = JS_GetProperty(context, namespace_of_program, atom_default);
        if (JS_IsException(*owner))
            return JS_EXCEPTION;
        if (JS_IsObject(*owner))
            handler = JS_GetProperty(context, *owner, name);
        if (JS_IsException(handler) || JS_IsFunction(context, handler))
            return handler;
        JS_FreeValue(context, handler);
        JS_FreeValue(context, *owner);
        *owner = JS_UNDEFINED;
    }
    handler = inside_global(context, name);
    if (JS_IsException(handler) || JS_IsFunction(context, handler))
        return handler;
    JS_FreeValue(context, handler);
    return JS_UNDEFINED;
}

static JSValue call(JSContext *context, JSValue handler, JSValue owner, int count, JSValue *arguments)
{
    JSValue answer = JS_Call(context, handler, owner, count, (JSValueConst *)arguments);
    JS_FreeValue(context, handler);
    JS_FreeValue(context, owner);
    for (int i = 0; i < count; i++)
        JS_FreeValue(context, arguments[i]);
    return answer;
}

static JSValue ports_of_message(JSContext *context, uint64_t count)
{
    JSValue ports = JS_NewArray(context);
    for (uint64_t i = 0; !JS_IsException(ports) && i < count; i++) {
        JSValue port = port_of_message(context, (int32_t)i);
        if (JS_IsException(port) || JS_DefinePropertyValueUint32(context, ports, (uint32_t)i, port, JS_PROP_C_W_E) < 0) {
            JS_FreeValue(context, ports);
            return JS_EXCEPTION;
        }
    }
    return ports;
}

static JSValue new_message(JSContext *context, JSValue data, JSValue from, uint64_t ports, bool reply)
{
    JSValue moved = ports_of_message(context, reply ? ports - 1 : ports);
    JSValue answer_port = reply ? port_of_message(context, (int32_t)ports - 1) : JS_NULL;
    if (JS_IsException(moved) || JS_IsException(answer_port))
        return JS_EXCEPTION;
    return inside_new_like(context, model_message, (JSValue[]){data, from, moved, answer_port}, 4);
}

static JSValue from_port(JSContext *context, Text from)
{
    return from.bytes ? port_of_name(context, from) : JS_NULL;
}

static JSValue deliver(JSContext *context, JSValue data, JSValue from, uint64_t ports, bool reply)
{
    JSValue owner, handler = find_handler(context, atom_message, &owner);
    if (JS_IsException(handler))
        return handler;
    if (!JS_IsUndefined(handler)) {
        JSValue message = new_message(context, data, from, ports, reply);
        return JS_IsException(message) ? message : call(context, handler, owner, 1, &message);
    }
    handler = find_handler(context, atom_receive, &owner);
    if (JS_IsException(handler))
        return handler;
    if (!JS_IsUndefined(handler))
        return call(context, handler, owner, 2, (JSValue[]){from, data});
    return JS_ThrowTypeError(context, "this program handles no messages: export default { message(msg) {} }");
}

JSValue program_message(JSContext *context, Reader *input)
{
    Reader raw;
    Text from = {NULL, 0};
    uint64_t ports = 0;
    bool reply = false;
    Field fields[] = {{"data", RAW, &raw, false},
                      {"from", OPTIONAL_TEXT, &from, false},
                      {"ports", UINT, &ports, false},
                      {"reply", BOOL, &reply, false}};
    if (!read_fields(context, input, fields, 4, 2))
        return JS_EXCEPTION;
    if (ports > INT32_MAX || (reply && ports == 0))
        return throw_input(context, "a message with a reply port has a port");
    JSValue data = read_value(context, &raw);
    if (JS_IsException(data))
        return data;
    JSValue sender = from_port(context, from);
    return JS_IsException(sender) ? sender : deliver(context, data, sender, ports, reply);
}

static int set_text(JSContext *context, JSValueConst object, const char *name, Text text)
{
    return JS_DefinePropertyValueStr(context, object, name, JS_NewStringLen(context, text.bytes, text.length),
                                     JS_PROP_CONFIGURABLE | JS_PROP_WRITABLE);
}

static JSValue log_exception(JSContext *context, Text from, Text name, Text text)
{
    char line[512];
    int length = snprintf(line, sizeof(line), "exception in %.*s: %.*s: %.*s", from.length ? (int)from.length : 10,
                          from.length ? from.bytes : "the parent", (int)name.length, name.bytes, (int)text.length, text.bytes);
    (void)context;
    host_log(3, line, length < (int)sizeof(line) ? length : (int)sizeof(line) - 1);
    return JS_UNDEFINED;
}

JSValue program_exception(JSContext *context, Reader *input)
{
    Text from = {NULL, 0}, kind, name, text, stack;
    Field fields[] = {{"kind", TEXT, &kind, false},
                      {"name", TEXT, &name, false},
                      {"text", TEXT, &text, false},
                      {"stack", TEXT, &stack, false},
                      {"from", OPTIONAL_TEXT, &from, false}};
    if (!read_fields(context, input, fields, 5, 4))
        return JS_EXCEPTION;
    JSValue owner, handler = find_handler(context, atom_exception, &owner);
    if (JS_IsException(handler))
        return handler;
    if (JS_IsUndefined(handler))
        return log_exception(context, from, name, text);
    JSValue error = JS_NewError(context), sender = from_port(context, from);
    if (JS_IsException(sender) || JS_IsException(error) || set_text(context, error, "kind", kind) < 0 || set_text(context, error, "name", name) < 0 ||
        set_text(context, error, "message", text) < 0 || set_text(context, error, "stack", stack) < 0 ||
        JS_DefinePropertyValue(context, error, atom_from, sender, JS_PROP_CONFIGURABLE | JS_PROP_WRITABLE) < 0)
        return JS_EXCEPTION;
    return call(context, handler, owner, 1, &error);
}
