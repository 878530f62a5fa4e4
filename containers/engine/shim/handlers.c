/* Which function of a program takes a message or an exception, and with what.
 *
 * Looked for anew each time: a method of the module's default export, else a global, so a program may change its mind.
 */
#include "shim.h"

static JSAtom atom_default, atom_message, atom_receive, atom_exception, atom_close, atom_from, atom_fetch, atom_handle_request, atom_routes, atom_websocket, atom_query;
static JSValue model_message; /* {data, from, ports, reply} */
static bool called;           /* the message of this turn has a port for the answer */
static JSValue reply_port;    /* that port */

int handlers_init(JSContext *context)
{
    static const char *const fields[] = {"data", "from", "ports", "reply"};
    atom_default = JS_NewAtom(context, "default");
    atom_message = JS_NewAtom(context, "message");
    atom_receive = JS_NewAtom(context, "receive");
    atom_exception = JS_NewAtom(context, "exception");
    atom_close = JS_NewAtom(context, "close");
    atom_from = JS_NewAtom(context, "from");
    atom_fetch = JS_NewAtom(context, "fetch");
    atom_handle_request = JS_NewAtom(context, "handleRequest");
    atom_routes = JS_NewAtom(context, "routes");
    atom_websocket = JS_NewAtom(context, "websocket");
    atom_query = JS_NewAtom(context, "query");
    model_message = JS_NewObject(context);
    for (int i = 0; i < 4; i++)
        if (JS_DefinePropertyValueStr(context, model_message, fields[i], JS_NULL, JS_PROP_C_W_E) < 0)
            return -1;
    return 0;
}

/* Our own `fetch`, which asks other hosts, is nobody's handler. */
static bool is_handler(JSContext *context, JSValueConst value)
{
    return JS_IsFunction(context, value) && !JS_IsStrictEqual(context, value, engine.reach);
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
        if (JS_IsException(handler) || is_handler(context, handler))
            return handler;
        JS_FreeValue(context, handler);
        JS_FreeValue(context, *owner);
        *owner = JS_UNDEFINED;
    }
    handler = inside_global(context, name);
    if (JS_IsException(handler) || is_handler(context, handler))
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

static JSValue new_message(JSContext *context, JSValue data, JSValue from, uint64_t ports)
{
    JSValue moved = ports_of_message(context, called ? ports - 1 : ports);
    if (JS_IsException(moved))
        return JS_EXCEPTION;
    JSValue reply = called ? JS_DupValue(context, reply_port) : JS_NULL;
    return inside_new_like(context, model_message, (JSValue[]){data, from, moved, reply}, 4);
}

bool program_is_called(void)
{
    return called;
}

bool program_owe(JSContext *context, JSValueConst promise)
{
    JSValueConst arguments[] = {promise, reply_port};
    JSValue owed = JS_Call(context, engine.owe, JS_UNDEFINED, 2, arguments);
    bool done = !JS_IsException(owed);
    JS_FreeValue(context, owed);
    return done;
}

void program_message_done(JSContext *context)
{
    if (!called)
        return;
    called = false;
    JS_FreeValue(context, reply_port);
}

static bool begins_with(Text text, const char *prefix)
{
    size_t length = strlen(prefix);
    return text.length > length && !memcmp(text.bytes, prefix, length);
}

static bool is_of_call(Text from)
{
    return begins_with(from, "call:") || begins_with(from, "reply:");
}

/* What came out of the port of a call settles its promise. `*settled` is false for any other port. */
static bool settle(JSContext *context, Text from, JSValue error, JSValue value, bool *settled)
{
    *settled = false;
    if (!is_of_call(from)) {
        JS_FreeValue(context, error);
        JS_FreeValue(context, value);
        return true;
    }
    JSValue arguments[] = {JS_NewStringLen(context, from.bytes, from.length), error, value};
    JSValue answer = call(context, JS_DupValue(context, engine.settle), JS_UNDEFINED, 3, arguments);
    *settled = JS_VALUE_GET_TAG(answer) == JS_TAG_BOOL && JS_VALUE_GET_BOOL(answer);
    return !JS_IsException(answer);
}

static JSValue from_port(JSContext *context, Text from)
{
    return from.bytes ? port_of_name(context, from) : JS_NULL;
}

static JSValue deliver(JSContext *context, JSValue data, JSValue from, uint64_t ports)
{
    JSValue owner, handler = find_handler(context, atom_message, &owner);
    if (JS_IsException(handler))
        return handler;
    if (!JS_IsUndefined(handler)) {
        JSValue message = new_message(context, data, from, ports);
        return JS_IsException(message) ? message : call(context, handler, owner, 1, &message);
    }
    handler = find_handler(context, atom_receive, &owner);
    if (JS_IsException(handler))
        return handler;
    if (!JS_IsUndefined(handler))
        return call(context, handler, owner, 2, (JSValue[]){from, data});
    return JS_ThrowTypeError(context, "this program handles no messages: export default { message(msg) {} }");
}

/* What came over a link is [address, data], and the address stands for the sender. Anything else is the program's own affair. */
static bool is_of_link(JSContext *context, Text from, JSValueConst data)
{
    int64_t length;
    if (from.length != sizeof(LINK_PORT) - 1 || memcmp(from.bytes, LINK_PORT, from.length) || !JS_IsArray(data) ||
        JS_GetLength(context, data, &length) || length != 2)
        return false;
    JSValue address = JS_GetPropertyUint32(context, data, 0);
    bool is_text = JS_IsString(address);
    JS_FreeValue(context, address);
    return is_text;
}

static JSValue deliver_from(JSContext *context, JSValue data, Text from, uint64_t ports)
{
    if (!is_of_link(context, from, data)) {
        JSValue sender = from_port(context, from);
        return JS_IsException(sender) ? sender : deliver(context, data, sender, ports);
    }
    JSValue address = JS_GetPropertyUint32(context, data, 0), inner = JS_GetPropertyUint32(context, data, 1);
    JS_FreeValue(context, data);
    return deliver(context, inner, address, ports);
}

typedef struct Arrived {
    Text from;      /* bytes is NULL for no port */
    uint64_t ports;
    bool reply;     /* the last port is for the answer */
} Arrived;

/* What a message says of itself; its data, or JS_EXCEPTION. */
static JSValue read_arrived(JSContext *context, Reader *input, Arrived *arrived)
{
    arrived->from = (Text){NULL, 0};
    if (!read_list_of(input, 4) || !(read_null(input) || read_text(input, &arrived->from)) || !read_uint(input, &arrived->ports) ||
        !read_bool(input, &arrived->reply))
        return throw_input(context, "the message of this turn is malformed");
    if (arrived->ports > INT32_MAX || (arrived->reply && arrived->ports == 0))
        return throw_input(context, "a message with a reply port has a port");
    return read_value(context, input);
}

static bool hold_reply_port(JSContext *context, const Arrived *arrived)
{
    if (!arrived->reply)
        return true;
    reply_port = port_of_message(context, (int32_t)arrived->ports - 1);
    called = !JS_IsException(reply_port);
    return called;
}

JSValue program_message(JSContext *context, Reader *input)
{
    Arrived arrived;
    JSValue data = read_arrived(context, input, &arrived);
    if (JS_IsException(data))
        return data;
    Text from = arrived.from;
    bool settled = false;
    if (is_of_call(from) && !settle(context, from, JS_UNDEFINED, JS_DupValue(context, data), &settled))
        return JS_EXCEPTION;
    if (settled) {
        JS_FreeValue(context, data);
        return JS_UNDEFINED;
    }
    if (!hold_reply_port(context, &arrived))
        return JS_EXCEPTION;
    return deliver_from(context, data, from, arrived.ports);
}

static JSValue exported(JSContext *context, JSAtom name)
{
    return JS_IsUndefined(engine.namespace) ? JS_UNDEFINED : JS_GetProperty(context, engine.namespace, name);
}

/* The prelude's `serve` gets the request, the routes, the handler that there is, in one of two places with its `this`, and, where ports
 * came along, that for sockets with its `this`, and the ports: a socket is one. */
JSValue program_request(JSContext *context, Reader *input)
{
    Arrived arrived;
    JSValue arguments[9];
    arguments[0] = read_arrived(context, input, &arrived);
    if (JS_IsException(arguments[0]))
        return JS_EXCEPTION;
    if (!hold_reply_port(context, &arrived))
        return JS_EXCEPTION;
    arguments[1] = exported(context, atom_routes);
    arguments[2] = find_handler(context, atom_fetch, &arguments[3]);
    arguments[4] = arguments[5] = arguments[6] = arguments[7] = arguments[8] = JS_UNDEFINED;
    if (JS_IsUndefined(arguments[2]))
        arguments[4] = find_handler(context, atom_handle_request, &arguments[5]);
    uint64_t moved = arrived.ports - (arrived.reply ? 1 : 0);
    if (moved) {
        arguments[6] = find_handler(context, atom_websocket, &arguments[7]);
        arguments[8] = ports_of_message(context, moved);
    }
    if (JS_IsException(arguments[1]) || JS_IsException(arguments[2]) || JS_IsException(arguments[4]) || JS_IsException(arguments[6]) ||
        JS_IsException(arguments[8]))
        return JS_EXCEPTION;
    return call(context, JS_DupValue(context, engine.serve), JS_UNDEFINED, 9, arguments);
}

static bool has_routes(JSContext *context)
{
    JSValue routes = exported(context, atom_routes);
    bool there = !JS_IsUndefined(routes);
    JS_FreeValue(context, routes);
    return there;
}

/* routes(): what the program exports under this name; only whoever needs it looks for it. */
static JSValue native_routes(JSContext *context, JSValueConst this_value, int count, JSValueConst *arguments)
{
    (void)this_value, (void)count, (void)arguments;
    return exported(context, atom_routes);
}

static const JSCFunctionListEntry natives[] = {JS_CFUNC_DEF("routes", 0, native_routes)};

int handlers_natives(JSContext *context, JSValueConst object)
{
    return JS_SetPropertyFunctionList(context, object, natives, sizeof(natives) / sizeof(natives[0]));
}

/* A question, if the program has a function for questions, or routes to whom may have one; else false. */
JSValue program_query(JSContext *context, Reader *input)
{
    Arrived arrived;
    JSValue arguments[3];
    arguments[1] = find_handler(context, atom_query, &arguments[2]);
    if (JS_IsException(arguments[1]))
        return JS_EXCEPTION;
    if (JS_IsUndefined(arguments[1]) && !has_routes(context))
        return JS_FALSE;
    arguments[0] = read_arrived(context, input, &arrived);
    if (JS_IsException(arguments[0]))
        return JS_EXCEPTION;
    return call(context, JS_DupValue(context, engine.ask), JS_UNDEFINED, 3, arguments);
}

/* A timer is due: the prelude knows by its token what it calls. */
JSValue program_timer(JSContext *context, Reader *input)
{
    JSValue token = read_value(context, input);
    return JS_IsException(token) ? token : call(context, JS_DupValue(context, engine.ring), JS_UNDEFINED, 1, &token);
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

static JSValue new_exception(JSContext *context, Text kind, Text name, Text text, Text stack)
{
    JSValue error = JS_NewError(context);
    if (JS_IsException(error) || set_text(context, error, "kind", kind) < 0 || set_text(context, error, "name", name) < 0 ||
        set_text(context, error, "message", text) < 0 || set_text(context, error, "stack", stack) < 0)
        return JS_EXCEPTION;
    return error;
}

JSValue program_exception(JSContext *context, Reader *input)
{
    Text from = {NULL, 0}, kind, name, text, stack;
    uint64_t ports = 0;
    Field fields[] = {{"kind", FIELD_TEXT, &kind, false},
                      {"name", FIELD_TEXT, &name, false},
                      {"text", FIELD_TEXT, &text, false},
                      {"stack", FIELD_TEXT, &stack, false},
                      {"from", FIELD_OPTIONAL_TEXT, &from, false},
                      {"ports", FIELD_UINT, &ports, false}};
    if (!read_fields(context, input, fields, 6, 4))
        return JS_EXCEPTION;
    JSValue error = new_exception(context, kind, name, text, stack);
    if (JS_IsException(error))
        return error;
    bool settled;
    if (!settle(context, from, JS_DupValue(context, error), JS_UNDEFINED, &settled))
        return JS_EXCEPTION;
    JSValue owner = JS_UNDEFINED, handler = settled ? JS_UNDEFINED : find_handler(context, atom_exception, &owner);
    if (JS_IsException(handler))
        return handler;
    if (JS_IsUndefined(handler)) {
        JS_FreeValue(context, error);
        return settled ? JS_UNDEFINED : log_exception(context, from, name, text);
    }
    JSValue sender = from_port(context, from), returned = ports_of_message(context, ports);
    if (JS_IsException(sender) || JS_IsException(returned) ||
        JS_DefinePropertyValueStr(context, error, "ports", returned, JS_PROP_CONFIGURABLE | JS_PROP_WRITABLE) < 0 ||
        JS_DefinePropertyValue(context, error, atom_from, sender, JS_PROP_CONFIGURABLE | JS_PROP_WRITABLE) < 0)
        return JS_EXCEPTION;
    return call(context, handler, owner, 1, &error);
}

/* A socket that is closed is of no more use; the program may have deleted it itself. */
static void let_socket_go(Text from)
{
    if (begins_with(from, "socket:"))
        (void)host_port_delete(from.bytes, from.length);
}

/* A port is closed: nothing more comes out of it. */
JSValue program_close(JSContext *context, Reader *input)
{
    static const char text[] = "the call was not answered: its port was dropped, or the container behind it is gone";
    Text from = {NULL, 0};
    Field fields[] = {{"from", FIELD_OPTIONAL_TEXT, &from, false}};
    if (!read_fields(context, input, fields, 1, 1))
        return JS_EXCEPTION;
    JSValue error = new_exception(context, (Text){"closed", 6}, (Text){"Error", 5}, (Text){text, sizeof(text) - 1}, (Text){"", 0});
    if (JS_IsException(error))
        return error;
    bool settled;
    if (!settle(context, from, error, JS_UNDEFINED, &settled))
        return JS_EXCEPTION;
    JSValue owner = JS_UNDEFINED, handler = settled ? JS_UNDEFINED : find_handler(context, atom_close, &owner);
    JSValue answer = handler;
    if (!JS_IsException(handler) && !JS_IsUndefined(handler)) {
        JSValue port = from_port(context, from);
        answer = JS_IsException(port) ? port : call(context, handler, owner, 1, &port);
    }
    if (!JS_IsException(answer))
        let_socket_go(from);
    return answer;
}
