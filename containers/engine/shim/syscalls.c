/* The syscalls as JS functions: `ports`, `send`, `self`. */
#include "ports.h"

enum { HANDLES_MAX = 256, NOT_BOUND = -2 };

/* The bounds of a child that may be lowered, by number from 1 on. */
static const char *const LIMITS[] = {"turnFuel",   "containerFuel",  "heapBytesMax",   "messageBytesMax", "portsMax",
                                     "effectsMax", "outboxBytesMax", "queuePlacesMax", "depthMax",       "timersMax"};
enum { LIMITS_COUNT = sizeof(LIMITS) / sizeof(*LIMITS) };
#define UNLIMITED UINT64_MAX

static bool read_limit(JSContext *context, const char *name, JSValueConst value, uint64_t *limits)
{
    int64_t most;
    uint32_t limit = 0;
    while (limit < LIMITS_COUNT && strcmp(name, LIMITS[limit]))
        limit++;
    if (limit == LIMITS_COUNT) {
        JS_ThrowTypeError(context, "ports.create: there is no limit \"%s\"", name);
        return false;
    }
    if (!JS_IsNumber(value) && !JS_IsBigInt(value)) {
        JS_ThrowTypeError(context, "ports.create: %s is not a number", name);
        return false;
    }
    if (JS_ToInt64Ext(context, &most, value))
        return false;
    if (most < 0) {
        JS_ThrowTypeError(context, "ports.create: %s is less than nothing", name);
        return false;
    }
    limits[limit] = most;
    return true;
}

/* The bounds of a child, an object of numbers by name. A name that is none is a mistake, not a bound left out. */
static bool read_limits(JSContext *context, JSValueConst object, uint64_t *limits)
{
    JSPropertyEnum *names;
    uint32_t count;
    for (uint32_t limit = 0; limit < LIMITS_COUNT; limit++)
        limits[limit] = UNLIMITED;
    if (JS_IsUndefined(object))
        return true;
    if (!JS_IsObject(object)) {
        JS_ThrowTypeError(context, "ports.create: limits are an object such as {turnFuel: 1000000}");
        return false;
    }
    if (JS_GetOwnPropertyNames(context, &names, &count, object, JS_GPN_STRING_MASK | JS_GPN_ENUM_ONLY))
        return false;
    bool read = true;
    for (uint32_t index = 0; index < count && read; index++) {
        const char *name = JS_AtomToCString(context, names[index].atom);
        JSValue value = name ? JS_GetProperty(context, object, names[index].atom) : JS_EXCEPTION;
        read = !JS_IsException(value) && read_limit(context, name, value, limits);
        JS_FreeValue(context, value);
        JS_FreeCString(context, name);
    }
    JS_FreePropertyEnum(context, names, count);
    return read;
}

/* A new child in the hands of this turn, with its bounds lowered, or a refusal. */
static JSValue create_child(JSContext *context, Text type, Encoded data, const uint64_t *limits)
{
    int32_t handle = host_port_create(type.bytes, type.length, data.bytes, data.length);
    for (uint32_t limit = 0; handle >= 0 && limit < LIMITS_COUNT; limit++)
        if (limits[limit] != UNLIMITED)
            host_port_lower(handle, limit + 1, limits[limit]);
    return port_in_hands(context, handle);
}

static JSValue ports_create(JSContext *context, JSValueConst this, int count, JSValueConst *arguments)
{
    (void)this, (void)count;
    Encoded data;
    Text type;
    uint64_t limits[LIMITS_COUNT];
    if (!JS_IsString(arguments[0]))
        return JS_ThrowTypeError(context, "ports.create: the type is a text such as \"js\"");
    if (!read_limits(context, arguments[2], limits) || !port_name_of(context, arguments[0], &type))
        return JS_EXCEPTION;
    JSValue port = JS_EXCEPTION;
    if (write_value(context, arguments[1], "init", &data)) {
        port = create_child(context, type, data, limits);
        write_done(context);
    }
    JS_FreeCString(context, type.bytes);
    return port;
}

static JSValue ports_bind(JSContext *context, JSValueConst this, int count, JSValueConst *arguments)
{
    (void)this, (void)count;
    Text name;
    int32_t handle = port_handle(context, arguments[1]);
    if (handle < 0 || !port_name_of(context, arguments[0], &name))
        return JS_EXCEPTION;
    int32_t code = host_port_bind(name.bytes, name.length, handle);
    JS_FreeCString(context, name.bytes);
    if (code < 0)
        return throw_refusal(context, code);
    Port *port = port_of(context, arguments[1]);
    JS_FreeValue(context, port->name);
    port->name = JS_DupValue(context, arguments[0]);
    port->kind = BOUND;
    port_keeps_id(port);
    return JS_DupValue(context, arguments[1]);
}

static JSValue ports_get(JSContext *context, JSValueConst this, int count, JSValueConst *arguments)
{
    (void)this, (void)count;
    Text name;
    if (!port_name_of(context, arguments[0], &name))
        return JS_EXCEPTION;
    int32_t handle = host_port_get(name.bytes, name.length);
    JS_FreeCString(context, name.bytes);
    if (handle == NOT_BOUND)
        return JS_UNDEFINED;
    if (handle < 0)
        return throw_refusal(context, handle);
    JSValue value = port_new(context, BOUND, handle, engine.turn_number, JS_DupValue(context, arguments[0]));
    if (!JS_IsException(value))
        port_keeps_id(port_or_null(value));
    return value;
}

/* By name, or by a reference to a bound port: then that reference is the unbound port. */
static JSValue ports_unbind(JSContext *context, JSValueConst this, int count, JSValueConst *arguments)
{
    (void)this, (void)count;
    Port *port = port_or_null(arguments[0]);
    Text name;
    if (port && port_handle(context, arguments[0]) < 0)
        return JS_EXCEPTION;
    if (!port_name_of(context, port ? port->name : arguments[0], &name))
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
    Port *port = port_or_null(arguments[0]);
    Text name;
    int32_t code;
    if (port && port_handle(context, arguments[0]) < 0)
        return JS_EXCEPTION;
    if (port && port->kind == IN_HANDS) {
        code = host_port_drop(port->handle);
    } else {
        if (!port_name_of(context, port ? port->name : arguments[0], &name))
            return JS_EXCEPTION;
        code = host_port_delete(name.bytes, name.length);
        JS_FreeCString(context, name.bytes);
    }
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
    if (port_handle(context, arguments[0]) >= 0)
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
        int32_t handle = JS_IsException(port) ? -1 : port_handle(context, port);
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

typedef int32_t Post(int32_t handle, const void *data, uint32_t data_bytes, const int32_t *handles, uint32_t handles_count,
                     int32_t priority);

/* The port to the links, through which a message with an address goes. */
static int32_t link_handle(JSContext *context)
{
    int32_t handle = host_port_get(LINK_PORT, sizeof(LINK_PORT) - 1);
    if (handle < 0)
        JS_ThrowTypeError(context, "nothing can be sent to an address: there are no links here; --listen HOST:PORT of the program makes them, from its second turn on");
    return handle;
}

/* What is sent to an address is [address, data] for the links. */
static JSValue addressed(JSContext *context, JSValueConst address, JSValueConst data)
{
    JSValue pair[] = {JS_DupValue(context, address), JS_DupValue(context, data)};
    return JS_NewArrayFrom(context, 2, pair);
}

static JSValue post(JSContext *context, JSValueConst *arguments, Post *host_post)
{
    Encoded data;
    Moved moved;
    bool away = JS_IsString(arguments[0]);
    int32_t priority, handle = away ? link_handle(context) : port_handle(context, arguments[0]);
    if (handle < 0 || !read_options(context, arguments[2], &moved, &priority))
        return JS_EXCEPTION;
    JSValue value = away ? addressed(context, arguments[0], arguments[1]) : JS_DupValue(context, arguments[1]);
    bool written = !JS_IsException(value) && write_value(context, value, "data", &data);
    JS_FreeValue(context, value);
    if (!written)
        return JS_EXCEPTION;
    int32_t code = host_post(handle, data.bytes, data.length, moved.handles, moved.count, priority);
    write_done(context);
    return code < 0 ? throw_refusal(context, code) : JS_UNDEFINED;
}

/* send(port or address, data, {ports, priority}) */
static JSValue send(JSContext *context, JSValueConst this, int count, JSValueConst *arguments)
{
    (void)this, (void)count;
    return post(context, arguments, host_send);
}

/* post(port, data, {ports, priority}): the last of the ports is for the answer */
static JSValue native_post(JSContext *context, JSValueConst this, int count, JSValueConst *arguments)
{
    (void)this, (void)count;
    return post(context, arguments, host_call);
}

/* demand(port, data, {ports, priority}): as post, but it arrives as a request */
static JSValue native_demand(JSContext *context, JSValueConst this, int count, JSValueConst *arguments)
{
    (void)this, (void)count;
    return post(context, arguments, host_request);
}

/* reject(port, {kind, text, stack}): an exception instead of an answer */
static JSValue native_reject(JSContext *context, JSValueConst this, int count, JSValueConst *arguments)
{
    (void)this, (void)count;
    Encoded data;
    int32_t handle = port_handle(context, arguments[0]);
    if (handle < 0 || !write_value(context, arguments[1], "the exception", &data))
        return JS_EXCEPTION;
    int32_t code = host_reject(handle, data.bytes, data.length);
    write_done(context);
    return code < 0 ? throw_refusal(context, code) : JS_UNDEFINED;
}

/* timer(delay, every, token): its number. `every` is 0 for one that comes once. Milliseconds. */
static JSValue native_timer(JSContext *context, JSValueConst this, int count, JSValueConst *arguments)
{
    (void)this, (void)count;
    Encoded data;
    int64_t delay_ms, every_ms;
    if (JS_ToInt64(context, &delay_ms, arguments[0]) || JS_ToInt64(context, &every_ms, arguments[1]) ||
        !write_value(context, arguments[2], "the timer", &data))
        return JS_EXCEPTION;
    int64_t timer = host_timer_set((uint64_t)delay_ms, (uint64_t)every_ms, data.bytes, data.length);
    write_done(context);
    return timer < 0 ? throw_refusal(context, (int32_t)timer) : JS_NewInt64(context, timer);
}

/* cancel(timer) */
static JSValue native_cancel(JSContext *context, JSValueConst this, int count, JSValueConst *arguments)
{
    (void)this, (void)count;
    int64_t timer;
    if (JS_ToInt64(context, &timer, arguments[0]))
        return JS_EXCEPTION;
    int32_t code = host_timer_cancel((uint64_t)timer);
    return code < 0 ? throw_refusal(context, code) : JS_UNDEFINED;
}

/* entropy(Uint8Array): fills it with the host's random bytes */
static JSValue native_entropy(JSContext *context, JSValueConst this, int count, JSValueConst *arguments)
{
    (void)this, (void)count;
    size_t length;
    uint8_t *bytes = JS_GetUint8Array(context, &length, arguments[0]);
    if (!bytes)
        return JS_HasException(context) ? JS_EXCEPTION : JS_UNDEFINED;
    int32_t code = host_entropy(bytes, (uint32_t)length);
    return code < 0 ? throw_refusal(context, code) : JS_UNDEFINED;
}

int syscalls_natives(JSContext *context, JSValueConst natives)
{
    return JS_DefinePropertyValueStr(context, natives, "post", JS_NewCFunction(context, native_post, "post", 3), JS_PROP_C_W_E) < 0 ||
           JS_DefinePropertyValueStr(context, natives, "demand", JS_NewCFunction(context, native_demand, "demand", 3), JS_PROP_C_W_E) < 0 ||
           JS_DefinePropertyValueStr(context, natives, "timer", JS_NewCFunction(context, native_timer, "timer", 3), JS_PROP_C_W_E) < 0 ||
           JS_DefinePropertyValueStr(context, natives, "entropy", JS_NewCFunction(context, native_entropy, "entropy", 1), JS_PROP_C_W_E) < 0 ||
           JS_DefinePropertyValueStr(context, natives, "cancel", JS_NewCFunction(context, native_cancel, "cancel", 1), JS_PROP_C_W_E) < 0 ||
           JS_DefinePropertyValueStr(context, natives, "portPrototype", port_prototype(context), JS_PROP_C_W_E) < 0 ||
           JS_DefinePropertyValueStr(context, natives, "reject", JS_NewCFunction(context, native_reject, "reject", 2), JS_PROP_C_W_E) < 0;
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
    return handle < 0 ? JS_NULL : port_new(context, PARENT, handle, engine.turn_number, JS_UNDEFINED);
}

static const JSCFunctionListEntry ports_functions[] = {
    JS_CFUNC_DEF("create", 3, ports_create),   JS_CFUNC_DEF("bind", 2, ports_bind),
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

int syscalls_init(JSContext *context)
{
    JSValue global = JS_GetGlobalObject(context);
    int failed = add_global(context, global, "ports", ports_functions, sizeof(ports_functions) / sizeof(ports_functions[0])) < 0 ||
                 add_global(context, global, "self", self_properties, sizeof(self_properties) / sizeof(self_properties[0])) < 0 ||
                 JS_DefinePropertyValueStr(context, global, "send", JS_NewCFunction(context, send, "send", 3),
                                           JS_PROP_WRITABLE | JS_PROP_CONFIGURABLE) < 0;
    JS_FreeValue(context, global);
    return failed;
}
