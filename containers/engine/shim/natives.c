/* What the prelude cannot do in JS: lines for the console, UTF-8, looking into promises and proxies, CIDs as data. */
#include "shim.h"

typedef struct Cid {
    uint32_t length;
    uint8_t bytes[ID_BYTES_MAX];
} Cid;

static JSClassID cid_class;

static void cid_finalizer(JSRuntime *runtime, JSValueConst value)
{
    js_free_rt(runtime, JS_GetOpaque(value, cid_class));
}

static const JSClassDef cid_definition = {"CID", .finalizer = cid_finalizer};

JSValue cid_from_bytes(JSContext *context, const uint8_t *bytes, size_t length)
{
    if (length > ID_BYTES_MAX || length < 4)
        return JS_ThrowRangeError(context, "a CID has 4 to %d bytes", ID_BYTES_MAX);
    Cid *cid = js_malloc(context, sizeof(Cid));
    JSValue value = cid ? JS_NewObjectClass(context, cid_class) : JS_EXCEPTION;
    if (JS_IsException(value)) {
        js_free(context, cid);
        return value;
    }
    cid->length = (uint32_t)length;
    memcpy(cid->bytes, bytes, length);
    JS_SetOpaque(value, cid);
    return value;
}

bool cid_bytes(JSValueConst value, const uint8_t **bytes, size_t *length)
{
    Cid *cid = JS_GetOpaque(value, cid_class);
    if (!cid)
        return false;
    *bytes = cid->bytes;
    *length = cid->length;
    return true;
}

/* log(level, text) */
static JSValue native_log(JSContext *context, JSValueConst this, int count, JSValueConst *arguments)
{
    (void)this, (void)count;
    int32_t level;
    size_t length;
    if (JS_ToInt32(context, &level, arguments[0]))
        return JS_EXCEPTION;
    const char *text = JS_ToCStringLen(context, &length, arguments[1]);
    if (!text)
        return JS_EXCEPTION;
    if (engine.in_turn)
        host_log(level, text, (uint32_t)length);
    JS_FreeCString(context, text);
    return JS_UNDEFINED;
}

/* utf8Encode(text): lone surrogates become U+FFFD, which has as many bytes as the three that QuickJS gives for one. */
static JSValue native_utf8_encode(JSContext *context, JSValueConst this, int count, JSValueConst *arguments)
{
    (void)this, (void)count;
    size_t length;
    const char *text = JS_ToCStringLen(context, &length, arguments[0]);
    if (!text)
        return JS_EXCEPTION;
    JSValue bytes = JS_NewUint8ArrayCopy(context, (const uint8_t *)text, length);
    JS_FreeCString(context, text);
    uint8_t *at = JS_IsException(bytes) ? NULL : JS_GetUint8Array(context, &length, bytes);
    for (size_t i = 0; at && i + 2 < length; i++)
        if (at[i] == 0xed && at[i + 1] >= 0xa0)
            memcpy(at + i, "\xef\xbf\xbd", 3);
    return bytes;
}

/* How long the valid sequence at `at` is; 0 if there is none, and then `*bad` is how many bytes one U+FFFD stands for. */
static int utf8_sequence(const uint8_t *at, const uint8_t *end, int *bad)
{
    uint8_t first = at[0], low = 0x80, high = 0xbf;
    int length = first < 0x80 ? 1 : first >= 0xc2 && first < 0xe0 ? 2 : (first & 0xf0) == 0xe0 ? 3 : first >= 0xf0 && first < 0xf5 ? 4 : 0;
    *bad = 1;
    if (first == 0xe0)
        low = 0xa0;
    else if (first == 0xed)
        high = 0x9f;
    else if (first == 0xf0)
        low = 0x90;
    else if (first == 0xf4)
        high = 0x8f;
    for (int i = 1; i < length; i++, low = 0x80, high = 0xbf) {
        if (at + i >= end || at[i] < low || at[i] > high)
            return 0;
        *bad = i + 1;
    }
    return length;
}

static bool valid_utf8(const uint8_t *at, const uint8_t *end)
{
    int bad;
    while (at < end) {
        int length = utf8_sequence(at, end, &bad);
        if (!length)
            return false;
        at += length;
    }
    return true;
}

static JSValue replace_invalid(JSContext *context, const uint8_t *at, const uint8_t *end)
{
    char *text = js_malloc(context, 3 * (end - at) + 1), *to = text;
    if (!text)
        return JS_EXCEPTION;
    while (at < end) {
        int bad, length = utf8_sequence(at, end, &bad);
        memcpy(to, length ? (const char *)at : "\xef\xbf\xbd", length ? length : 3);
        to += length ? length : 3;
        at += length ? length : bad;
    }
    JSValue value = JS_NewStringLen(context, text, to - text);
    js_free(context, text);
    return value;
}

/* utf8Decode(Uint8Array, fatal) */
static JSValue native_utf8_decode(JSContext *context, JSValueConst this, int count, JSValueConst *arguments)
{
    (void)this, (void)count;
    size_t length;
    const uint8_t *bytes = JS_GetUint8Array(context, &length, arguments[0]);
    if (!bytes)
        return JS_HasException(context) ? JS_EXCEPTION : JS_NewString(context, "");
    if (valid_utf8(bytes, bytes + length))
        return JS_NewStringLen(context, (const char *)bytes, length);
    if (JS_ToBool(context, arguments[1]))
        return JS_ThrowTypeError(context, "The encoded data is not valid UTF-8");
    return replace_invalid(context, bytes, bytes + length);
}

/* promiseState(value): [] for no promise, ["pending"], ["fulfilled", value], ["rejected", reason] */
static JSValue native_promise_state(JSContext *context, JSValueConst this, int count, JSValueConst *arguments)
{
    (void)this, (void)count;
    static const char *const names[] = {"pending", "fulfilled", "rejected"};
    JSPromiseStateEnum state = JS_PromiseState(context, arguments[0]);
    JSValue answer = JS_NewArray(context);
    if ((int)state < JS_PROMISE_PENDING || JS_IsException(answer))
        return answer;
    JS_DefinePropertyValueUint32(context, answer, 0, JS_NewString(context, names[state]), JS_PROP_C_W_E);
    if (state != JS_PROMISE_PENDING)
        JS_DefinePropertyValueUint32(context, answer, 1, JS_PromiseResult(context, arguments[0]), JS_PROP_C_W_E);
    return answer;
}

/* classOf(object): the name of its class in the engine, whatever its prototype says; "" for no object */
static JSValue native_class_of(JSContext *context, JSValueConst this, int count, JSValueConst *arguments)
{
    (void)this, (void)count;
    if (JS_VALUE_GET_TAG(arguments[0]) != JS_TAG_OBJECT)
        return JS_NewString(context, "");
    if (JS_IsProxy(arguments[0]))
        return JS_NewString(context, "Proxy");
    JSAtom name = JS_GetClassName(engine.runtime, JS_GetClassID(arguments[0]));
    JSValue text = JS_AtomToString(context, name);
    JS_FreeAtom(context, name);
    return text;
}

static JSValue native_proxy_target(JSContext *context, JSValueConst this, int count, JSValueConst *arguments)
{
    (void)this, (void)count;
    return JS_GetProxyTarget(context, arguments[0]);
}

static JSValue native_lexical_names(JSContext *context, JSValueConst this, int count, JSValueConst *arguments)
{
    (void)this, (void)count, (void)arguments;
    return inside_lexical_names(context);
}

/* lexical(name): the value of a global declared by `let`, `const` or `class` (or of any other global); undefined if none */
static JSValue native_lexical(JSContext *context, JSValueConst this, int count, JSValueConst *arguments)
{
    (void)this, (void)count;
    JSAtom name = JS_ValueToAtom(context, arguments[0]);
    JSValue value = name == JS_ATOM_NULL ? JS_EXCEPTION : inside_global(context, name);
    JS_FreeAtom(context, name);
    return value;
}

static JSValue native_cid(JSContext *context, JSValueConst this, int count, JSValueConst *arguments)
{
    (void)this, (void)count;
    size_t length;
    const uint8_t *bytes = JS_GetUint8Array(context, &length, arguments[0]);
    return bytes ? cid_from_bytes(context, bytes, length) : JS_EXCEPTION;
}

static JSValue native_cid_bytes(JSContext *context, JSValueConst this, int count, JSValueConst *arguments)
{
    (void)this, (void)count;
    const uint8_t *bytes;
    size_t length;
    if (!cid_bytes(arguments[0], &bytes, &length))
        return JS_ThrowTypeError(context, "not a CID");
    return JS_NewUint8ArrayCopy(context, bytes, length);
}

static JSValue native_cid_prototype(JSContext *context, JSValueConst this, int count, JSValueConst *arguments)
{
    (void)this, (void)count;
    JS_SetClassProto(context, cid_class, JS_DupValue(context, arguments[0]));
    return JS_UNDEFINED;
}

static JSValue native_date(JSContext *context, JSValueConst this, int count, JSValueConst *arguments)
{
    (void)this, (void)count, (void)arguments;
    return JS_NewFloat64(context, engine.in_turn ? host_date() : 0);
}

static const JSCFunctionListEntry natives[] = {
    JS_CFUNC_DEF("log", 2, native_log),
    JS_CFUNC_DEF("utf8Encode", 1, native_utf8_encode),
    JS_CFUNC_DEF("utf8Decode", 2, native_utf8_decode),
    JS_CFUNC_DEF("promiseState", 1, native_promise_state),
    JS_CFUNC_DEF("classOf", 1, native_class_of),
    JS_CFUNC_DEF("proxyTarget", 1, native_proxy_target),
    JS_CFUNC_DEF("lexicalNames", 0, native_lexical_names),
    JS_CFUNC_DEF("lexical", 1, native_lexical),
    JS_CFUNC_DEF("cid", 1, native_cid),
    JS_CFUNC_DEF("cidBytes", 1, native_cid_bytes),
    JS_CFUNC_DEF("cidPrototype", 1, native_cid_prototype),
    JS_CFUNC_DEF("date", 0, native_date),
};

int natives_init(JSContext *context, JSValueConst object)
{
    JS_NewClassID(engine.runtime, &cid_class);
    if (JS_NewClass(engine.runtime, cid_class, &cid_definition))
        return -1;
    return JS_SetPropertyFunctionList(context, object, natives, sizeof(natives) / sizeof(natives[0]));
}
