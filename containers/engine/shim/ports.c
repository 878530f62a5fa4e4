/* Port references, and the syscalls about ports as JS functions.
 *
 * A reference is an object of a class that JS cannot make, so it cannot be forged. It is one of three: the parent's, a bound
 * port's (by its name, and it must still have the id it had), or one in the hands of a turn, which is gone when that turn ends.
 */
#include "shim.h"

enum port_kind { IN_HANDS, BOUND, PARENT };
enum { HANDLES_MAX = 256, NOT_BOUND = -1 };

typedef struct Port {
    enum port_kind kind;
    int32_t handle;        /* valid in turn `turn` only */
    uint64_t turn;
    JSValue name;          /* of a bound port, else undefined */
    uint32_t id_bytes;     /* 0: not asked for yet */
    uint8_t id[ID_BYTES_MAX];
} Port;

static JSClassID port_class;

static void port_finalizer(JSRuntime *runtime, JSValueConst value)
{
    Port *port = JS_GetOpaque(value, port_class);
    if (port)
        JS_FreeValueRT(runtime, port->name);
    js_free_rt(runtime, port);
}

static const JSClassDef port_definition = {"Port", .finalizer = port_finalizer};

bool is_port(JSValueConst value)
{
    return JS_GetOpaque(value, port_class) != NULL;
}

static JSValue throw_refusal(JSContext *context, int32_t code)
{
    char text[256];
    int32_t length = host_refusal(code, text, sizeof(text));
    JSValue refusal = JS_NewError(context);
    if (length < 0 || length > (int32_t)sizeof(text))
        length = 0;
    JS_DefinePropertyValueStr(context, refusal, "name", JS_NewString(context, "Refusal"), JS_PROP_CONFIGURABLE | JS_PROP_WRITABLE);
    JS_DefinePropertyValueStr(context, refusal, "message", JS_NewStringLen(context, text, length),
                              JS_PROP_CONFIGURABLE | JS_PROP_WRITABLE);
    return JS_Throw(context, refusal);
}

static JSValue new_port(JSContext *context, enum port_kind kind, int32_t handle, uint64_t turn, JSValue name)
{
    Port *port = js_mallocz(context, sizeof(Port));
    JSValue value = port ? JS_NewObjectClass(context, port_class) : JS_EXCEPTION;
    if (JS_IsException(value)) {
        js_free(context, port);
        JS_FreeValue(context, name);
        return value;
    }
    port->kind = kind;
    port->handle = handle;
    port->turn = turn;
    port->name = name;
    JS_SetOpaque(value, port);
    return value;
}

static JSValue port_in_hands(JSContext *context, int32_t handle)
{
    return handle < 0 ? throw_refusal(context, handle) : new_port(context, IN_HANDS, handle, engine.turn_number, JS_UNDEFINED);
}

JSValue port_of_message(JSContext *context, int32_t handle)
{
    return port_in_hands(context, handle);
}

JSValue port_of_name(JSContext *context, Text name)
{
    if (name.length == 0)
        return new_port(context, PARENT, -1, 0, JS_UNDEFINED);
    JSValue text = JS_NewStringLen(context, name.bytes, name.length);
    return JS_IsException(text) ? text : new_port(context, BOUND, -1, 0, text);
}

static bool name_of(JSContext *context, JSValueConst value, Text *name)
{
    size_t length;
    if (!JS_IsString(value)) {
        JS_ThrowTypeError(context, "a port's name is text");
        return false;
    }
    name->bytes = JS_ToCStringLen(context, &length, value);
    name->length = (uint32_t)length;
    return name->bytes != NULL;
}

static JSValue throw_gone(JSContext *context)
{
    return JS_ThrowReferenceError(context, "this port was not bound, kept or sent on in its turn and is gone");
}

static Port *port_of(JSContext *context, JSValueConst value)
{
    Port *port = JS_GetOpaque(value, port_class);
    if (!port)
        JS_ThrowTypeError(context, "not a port");
    return port;
}

/* A bound port's id is noted when it is first seen and compared ever after, since its name may be given to another. */
static bool same_id(Port *port)
{
    uint8_t id[ID_BYTES_MAX];
    int32_t bytes = host_port_id(port->handle, id);
    if (bytes < 0 || bytes > ID_BYTES_MAX)
        return false;
    if (port->id_bytes)
        return port->id_bytes == (uint32_t)bytes && !memcmp(port->id, id, bytes);
    port->id_bytes = bytes;
    memcpy(port->id, id, bytes);
    return true;
}

static bool look_up(JSContext *context, Port *port)
{
    if (port->kind == IN_HANDS)
        return false;
    if (port->kind == PARENT) {
        port->handle = host_port_parent();
    } else {
        Text name;
        if (!name_of(context, port->name, &name))
            return false;
        port->handle = host_port_get(name.bytes, name.length);
        JS_FreeCString(context, name.bytes);
    }
    if (port->handle < 0)
        return false;
    port->turn = engine.turn_number;
    return same_id(port);
}

/* The handle of a port in this turn, or -1 and an exception is thrown. */
static int32_t handle_of(JSContext *context, JSValueConst value)
{
    Port *port = port_of(context, value);
    if (!port)
        return -1;
    if (port->turn == engine.turn_number || look_up(context, port))
        return port->handle;
    port->turn = 0;
    if (!JS_HasException(context))
        throw_gone(context);
    return -1;
}

static JSValue ports_create(JSContext *context, JSValueConst this, int count, JSValueConst *arguments)
{
    (void)this, (void)count;
    Encoded data;
    Text type;
    if (!JS_IsString(arguments[0]))
        return JS_ThrowTypeError(context, "ports.create: the type is a text such as \"js\"");
    if (!name_of(context, arguments[0], &type))
        return JS_EXCEPTION;
    JSValue port = JS_EXCEPTION;
    if (write_value(context, arguments[1], "init", &data)) {
        port = port_in_hands(context, host_port_create(type.bytes, type.length, data.bytes, data.length));
        write_done(context);
    }
    JS_FreeCString(context, type.bytes);
    return port;
}

static JSValue ports_bind(JSContext *context, JSValueConst this, int count, JSValueConst *arguments)
{
    (void)this, (void)count;
    Text name;
    int32_t handle = handle_of(context, arguments[1]);
    if (handle < 0 || !name_of(context, arguments[0], &name))
        return JS_EXCEPTION;
    int32_t code = host_port_bind(name.bytes, name.length, handle);
    JS_FreeCString(context, name.bytes);
    if (code < 0)
        return throw_refusal(context, code);
    Port *port = port_of(context, arguments[1]);
    JS_FreeValue(context, port->name);
    port->name = JS_DupValue(context, arguments[0]);
    port->kind = BOUND;
    same_id(port);
    return JS_DupValue(context, arguments[1]);
}

static JSValue ports_get(JSContext *context, JSValueConst this, int count, JSValueConst *arguments)
{
    (void)this, (void)count;
    Text name;
    if (!name_of(context, arguments[0], &name))
        return JS_EXCEPTION;
    int32_t handle = host_port_get(name.bytes, name.length);
    JS_FreeCString(context, name.bytes);
    if (handle == NOT_BOUND)
        return JS_UNDEFINED;
    if (handle < 0)
        return throw_refusal(context, handle);
    JSValue value = new_port(context, BOUND, handle, engine.turn_number, JS_DupValue(context, arguments[0]));
    if (!JS_IsException(value))
        same_id(JS_GetOpaque(value, port_class));
    return value;
}

/* By name, or by a reference to a bound port: then that reference is the unbound port. */
static JSValue ports_unbind(JSContext *context, JSValueConst this, int count, JSValueConst *arguments)
{
    (void)this, (void)count;
    Port *port = JS_GetOpaque(arguments[0], port_class);
    Text name;
    if (port && handle_of(context, arguments[0]) < 0)
        return JS_EXCEPTION;
    if (!name_of(context, port ? port->name : arguments[0], &name))
        return JS_EXCEPTION;
    int32_t handle = host_port_unbind(name.bytes, name.length);
    JS_FreeCString(context, name.bytes);
    if (!port || handle < 0)
        return port_in_hands(context, handle);
    JS_FreeValue(context, port->name);
    port->name = JS_UNDEFINED;
    port->kind = IN_HANDS;
    port->handle = handle;
    port->turn = engine.turn_number;
    return JS_DupValue(context, arguments[0]);
}

static JSValue ports_delete(JSContext *context, JSValueConst this, int count, JSValueConst *arguments)
{
    (void)this, (void)count;
    Port *port = JS_GetOpaque(arguments[0], port_class);
    Text name;
    if (port && handle_of(context, arguments[0]) < 0)
        return JS_EXCEPTION;
    if (!name_of(context, port ? port->name : arguments[0], &name))
        return JS_EXCEPTION;
    int32_t code = host_port_delete(name.bytes, name.length);
    JS_FreeCString(context, name.bytes);
    return code < 0 ? throw_refusal(context, code) : JS_UNDEFINED;
}

static JSValue ports_names(JSContext *context, JSValueConst this, int count, JSValueConst *arguments)
{
    (void)this, (void)count, (void)arguments;
    int32_t bytes = host_port_names(NULL, 0);
    if (bytes < 0)
        return throw_refusal(context, bytes);
    uint8_t *data = js_malloc(context, bytes + 1);
    if (!data)
        return JS_EXCEPTION;
    host_port_names(data, bytes);
    Reader reader = {data, data + bytes};
    JSValue names = read_value(context, &reader);
    js_free(context, data);
    return names;
}

static JSValue ports_is_valid(JSContext *context, JSValueConst this, int count, JSValueConst *arguments)
{
    (void)this, (void)count;
    if (!is_port(arguments[0]))
        return JS_FALSE;
    if (handle_of(context, arguments[0]) >= 0)
        return JS_TRUE;
    JS_FreeValue(context, JS_GetException(context));
    return JS_FALSE;
}

static JSValue ports_channel(JSContext *context, JSValueConst this, int count, JSValueConst *arguments)
{
    (void)this, (void)count, (void)arguments;
    int32_t first = host_channel();
    JSValue ends[] = {port_in_hands(context, first), JS_UNDEFINED};
    if (JS_IsException(ends[0]))
        return JS_EXCEPTION;
    ends[1] = port_in_hands(context, first + 1);
    if (JS_IsException(ends[1])) {
        JS_FreeValue(context, ends[0]);
        return JS_EXCEPTION;
    }
    return JS_NewArrayFrom(context, 2, ends);
}

typedef struct Moved {
    int32_t handles[HANDLES_MAX];
    uint32_t count;
} Moved;

static bool read_moved(JSContext *context, JSValueConst list, Moved *moved)
{
    int64_t length;
    moved->count = 0;
    if (JS_IsUndefined(list))
        return true;
    if (!JS_IsArray(list) || JS_GetLength(context, list, &length) || length > HANDLES_MAX) {
        JS_ThrowTypeError(context, "send: `ports` is a list of at most %d ports", HANDLES_MAX);
        return false;
    }
    for (int64_t i = 0; i < length; i++) {
        JSValue port = JS_GetPropertyInt64(context, list, i);
        int32_t handle = JS_IsException(port) ? -1 : handle_of(context, port);
        JS_FreeValue(context, port);
        if (handle < 0)
            return false;
        moved->handles[moved->count++] = handle;
    }
    return true;
}

static bool read_options(JSContext *context, JSValueConst options, Moved *moved, int32_t *priority)
{
    moved->count = 0;
    *priority = 0;
    if (JS_IsUndefined(options) || JS_IsNull(options))
        return true;
    JSValue list = JS_GetPropertyStr(context, options, "ports");
    bool good = !JS_IsException(list) && read_moved(context, list, moved);
    JS_FreeValue(context, list);
    JSValue number = good ? JS_GetPropertyStr(context, options, "priority") : JS_UNDEFINED;
    if (!JS_IsUndefined(number))
        good = !JS_IsException(number) && JS_ToInt32(context, priority, number) == 0;
    JS_FreeValue(context, number);
    return good;
}

/* send(port, data, {ports, priority}) */
static JSValue send(JSContext *context, JSValueConst this, int count, JSValueConst *arguments)
{
    (void)this, (void)count;
    Encoded data;
    Moved moved;
    int32_t priority, handle = handle_of(context, arguments[0]);
    if (handle < 0 || !read_options(context, arguments[2], &moved, &priority) ||
        !write_value(context, arguments[1], "data", &data))
        return JS_EXCEPTION;
    int32_t code = host_send(handle, data.bytes, data.length, moved.handles, moved.count, priority);
    write_done(context);
    return code < 0 ? throw_refusal(context, code) : JS_UNDEFINED;
}

static JSValue port_get_id(JSContext *context, JSValueConst this)
{
    Port *port = port_of(context, this);
    if (!port || (!port->id_bytes && (handle_of(context, this) < 0 || !same_id(port))))
        return port && !JS_HasException(context) ? throw_gone(context) : JS_EXCEPTION;
    return port->id_bytes ? cid_from_bytes(context, port->id, port->id_bytes) : JS_NULL;
}

static JSValue port_get_name(JSContext *context, JSValueConst this)
{
    Port *port = port_of(context, this);
    if (!port)
        return JS_EXCEPTION;
    return port->kind == BOUND ? JS_DupValue(context, port->name) : JS_NULL;
}

static JSValue self_get_id(JSContext *context, JSValueConst this)
{
    (void)this;
    uint8_t id[ID_BYTES_MAX];
    int32_t bytes = host_id(id);
    return bytes > 0 && bytes <= ID_BYTES_MAX ? cid_from_bytes(context, id, bytes) : JS_NULL;
}

static JSValue self_get_ticks(JSContext *context, JSValueConst this)
{
    (void)this;
    int64_t ticks = host_ticks();
    return ticks >> 53 ? JS_NewBigUint64(context, (uint64_t)ticks) : JS_NewInt64(context, ticks);
}

static JSValue self_get_parent(JSContext *context, JSValueConst this)
{
    (void)this;
    int32_t handle = host_port_parent();
    return handle < 0 ? JS_NULL : new_port(context, PARENT, handle, engine.turn_number, JS_UNDEFINED);
}

static const JSCFunctionListEntry port_properties[] = {
    JS_CGETSET_DEF("id", port_get_id, NULL),
    JS_CGETSET_DEF("name", port_get_name, NULL),
    JS_PROP_STRING_DEF("[Symbol.toStringTag]", "Port", JS_PROP_CONFIGURABLE),
};

static const JSCFunctionListEntry ports_functions[] = {
    JS_CFUNC_DEF("create", 2, ports_create),   JS_CFUNC_DEF("bind", 2, ports_bind),
    JS_CFUNC_DEF("get", 1, ports_get),         JS_CFUNC_DEF("unbind", 1, ports_unbind),
    JS_CFUNC_DEF("delete", 1, ports_delete),   JS_CFUNC_DEF("names", 0, ports_names),
    JS_CFUNC_DEF("channel", 0, ports_channel), JS_CFUNC_DEF("isValid", 1, ports_is_valid),
    JS_PROP_STRING_DEF("[Symbol.toStringTag]", "ports", JS_PROP_CONFIGURABLE),
};

static const JSCFunctionListEntry self_properties[] = {
    JS_CGETSET_DEF("id", self_get_id, NULL),
    JS_CGETSET_DEF("ticks", self_get_ticks, NULL),
    JS_CGETSET_DEF("parent", self_get_parent, NULL),
    JS_PROP_STRING_DEF("[Symbol.toStringTag]", "self", JS_PROP_CONFIGURABLE),
};

static int add_global(JSContext *context, JSValueConst global, const char *name, const JSCFunctionListEntry *list, int count)
{
    JSValue object = JS_NewObject(context);
    JS_SetPropertyFunctionList(context, object, list, count);
    return JS_DefinePropertyValueStr(context, global, name, object, JS_PROP_WRITABLE | JS_PROP_CONFIGURABLE);
}

int ports_init(JSContext *context, JSValueConst natives)
{
    (void)natives;
    JSValue global = JS_GetGlobalObject(context), prototype = JS_NewObject(context);
    JS_NewClassID(engine.runtime, &port_class);
    if (JS_NewClass(engine.runtime, port_class, &port_definition))
        return -1;
    JS_SetPropertyFunctionList(context, prototype, port_properties, sizeof(port_properties) / sizeof(port_properties[0]));
    JS_SetClassProto(context, port_class, prototype);
    int failed = add_global(context, global, "ports", ports_functions, sizeof(ports_functions) / sizeof(ports_functions[0])) < 0 ||
                 add_global(context, global, "self", self_properties, sizeof(self_properties) / sizeof(self_properties[0])) < 0 ||
                 JS_DefinePropertyValueStr(context, global, "send", JS_NewCFunction(context, send, "send", 3),
                                           JS_PROP_WRITABLE | JS_PROP_CONFIGURABLE) < 0;
    JS_FreeValue(context, global);
    return failed;
}
