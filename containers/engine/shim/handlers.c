/* Which function of a program takes a message or an exception, and with what.
 *
 * Looked for anew each time: a method of the module's default export, else a global, so a program may change its mind.
 */
#include "shim.h"

static JSAtom atom_default, atom_message, atom_receive, atom_exception, atom_from;
static JSValue model_message; /* {data, from, ports, reply} */

int handlers_init(JSContext *context)
{
    static const char *const fields[] = {"data", "from", "ports", "reply"};
    atom_default = JS_NewAtom(context, "default");
    atom_message = JS_NewAtom(context, "message");
    atom_receive = JS_NewAtom(context, "receive");
    atom_exception = JS_NewAtom(context, "exception");
    atom_from = JS_NewAtom(context, "from");
    model_message = JS_NewObject(context);
    for (int i = 0; i < 4; i++)
        if (JS_DefinePropertyValueStr(context, model_message, fields[i], JS_NULL, JS_PROP_C_W_E) < 0)
            return -1;
    return 0;
}

/* The program's function of this name: a method of the module's default export, else a global. `*owner` is its `this`. */
static JSValue find_handler(JSContext *context, JSAtom name, JSValue *owner)
{
    JSValue handler = JS_UNDEFINED;
    *owner = JS_UNDEFINED;
    if (!JS_IsUndefined(engine.namespace)) {
        *owner = JS_GetProperty(context, engine.namespace, atom_default);
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
    Text from = {NULL, 0};
    uint64_t ports;
    bool reply;
    if (!read_list_of(input, 4) || !(read_null(input) || read_text(input, &from)) || !read_uint(input, &ports) ||
        !read_bool(input, &reply))
        return throw_input(context, "the message of this turn is malformed");
    if (ports > INT32_MAX || (reply && ports == 0))
        return throw_input(context, "a message with a reply port has a port");
    JSValue data = read_value(context, input);
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
    Field fields[] = {{"kind", FIELD_TEXT, &kind, false},
                      {"name", FIELD_TEXT, &name, false},
                      {"text", FIELD_TEXT, &text, false},
                      {"stack", FIELD_TEXT, &stack, false},
                      {"from", FIELD_OPTIONAL_TEXT, &from, false}};
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
