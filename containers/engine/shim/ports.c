/* Port references.
 *
 * A reference is an object of a class that JS cannot make, so it cannot be forged. It is one of three: the parent's, a bound
 * port's (by its name, and it must still have the id it had), or one in the hands of a turn, which is gone when that turn ends.
 */
#include "ports.h"

static JSClassID port_class;

static void port_finalizer(JSRuntime *runtime, JSValueConst value)
{
    Port *port = JS_GetOpaque(value, port_class);
    if (port)
        JS_FreeValueRT(runtime, port->name);
    js_free_rt(runtime, port);
}

Port *port_or_null(JSValueConst value)
{
    return JS_GetOpaque(value, port_class);
}

static const JSClassDef port_definition = {"Port", .finalizer = port_finalizer};

bool is_port(JSValueConst value)
{
    return port_or_null(value) != NULL;
}

JSValue throw_refusal(JSContext *context, int32_t code)
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

JSValue port_new(JSContext *context, enum port_kind kind, int32_t handle, uint64_t turn, JSValue name)
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

JSValue port_in_hands(JSContext *context, int32_t handle)
{
    return handle < 0 ? throw_refusal(context, handle) : port_new(context, IN_HANDS, handle, engine.turn_number, JS_UNDEFINED);
}

JSValue port_of_message(JSContext *context, int32_t handle)
{
    return port_in_hands(context, handle);
}

JSValue port_of_name(JSContext *context, Text name)
{
    if (name.length == 0)
        return port_new(context, PARENT, -1, 0, JS_UNDEFINED);
    JSValue text = JS_NewStringLen(context, name.bytes, name.length);
    return JS_IsException(text) ? text : port_new(context, BOUND, -1, 0, text);
}

bool port_name_of(JSContext *context, JSValueConst value, Text *name)
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

Port *port_of(JSContext *context, JSValueConst value)
{
    Port *port = JS_GetOpaque(value, port_class);
    if (!port)
        JS_ThrowTypeError(context, "not a port");
    return port;
}

/* A bound port's id is noted when it is first seen and compared ever after, since its name may be given to another. */
bool port_keeps_id(Port *port)
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
        if (!port_name_of(context, port->name, &name))
            return false;
        port->handle = host_port_get(name.bytes, name.length);
        JS_FreeCString(context, name.bytes);
    }
    if (port->handle < 0)
        return false;
    port->turn = engine.turn_number;
    return port_keeps_id(port);
}

/* The handle of a port in this turn, or -1 and an exception is thrown. */
int32_t port_handle(JSContext *context, JSValueConst value)
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

static JSValue port_get_id(JSContext *context, JSValueConst this)
{
    Port *port = port_of(context, this);
    if (!port || (!port->id_bytes && (port_handle(context, this) < 0 || !port_keeps_id(port))))
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

static const JSCFunctionListEntry port_properties[] = {
    JS_CGETSET_DEF("id", port_get_id, NULL),
    JS_CGETSET_DEF("name", port_get_name, NULL),
    JS_PROP_STRING_DEF("[Symbol.toStringTag]", "Port", JS_PROP_CONFIGURABLE),
};

JSValue port_prototype(JSContext *context)
{
    return JS_GetClassProto(context, port_class);
}

int ports_init(JSContext *context)
{
    JSValue prototype = JS_NewObject(context);
    JS_NewClassID(engine.runtime, &port_class);
    if (JS_NewClass(engine.runtime, port_class, &port_definition))
        return -1;
    JS_SetPropertyFunctionList(context, prototype, port_properties, sizeof(port_properties) / sizeof(port_properties[0]));
    JS_SetClassProto(context, port_class, prototype);
    return 0;
}
