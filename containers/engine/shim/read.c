/* dag-cbor to JS values. Part of engine.c, after write.c.
 *
 * The bytes come from the host, which has checked that they are valid dag-cbor; what is checked here again keeps the engine
 * inside its buffer whatever comes. Integers beyond 2^53 become BigInts, maps plain objects (a key `__proto__` an own property).
 */

static bool read_head(Reader *reader, uint8_t *major, uint8_t *info, uint64_t *argument)
{
    if (reader->at >= reader->end)
        return false;
    uint8_t head = *reader->at++;
    *major = head >> 5;
    *info = head & 31;
    *argument = *info;
    if (*info < 24)
        return true;
    if (*info > 27 || reader->end - reader->at < 1 << (*info - 24))
        return false;
    *argument = 0;
    for (int bytes = 1 << (*info - 24); bytes > 0; bytes--)
        *argument = *argument << 8 | *reader->at++;
    return true;
}

static bool read_of(Reader *reader, uint8_t wanted, uint64_t *argument)
{
    uint8_t major, info;
    return read_head(reader, &major, &info, argument) && major == wanted;
}

static bool read_blob(Reader *reader, uint8_t wanted, Text *blob)
{
    uint64_t length;
    if (!read_of(reader, wanted, &length) || length > (uint64_t)(reader->end - reader->at))
        return false;
    *blob = (Text){(const char *)reader->at, (uint32_t)length};
    reader->at += length;
    return true;
}

bool read_map(Reader *reader, uint32_t *entries)
{
    uint64_t count;
    if (!read_of(reader, 5, &count) || count > (uint64_t)(reader->end - reader->at))
        return false;
    *entries = (uint32_t)count;
    return true;
}

bool read_list_of(Reader *reader, uint32_t items)
{
    uint64_t count;
    return read_of(reader, 4, &count) && count == items;
}

bool read_text(Reader *reader, Text *text)
{
    return read_blob(reader, 3, text);
}

bool read_bytes(Reader *reader, Text *bytes)
{
    return read_blob(reader, 2, bytes);
}

bool read_uint(Reader *reader, uint64_t *value)
{
    return read_of(reader, 0, value);
}

bool read_null(Reader *reader)
{
    if (reader->at >= reader->end || *reader->at != 0xf6)
        return false;
    reader->at++;
    return true;
}

bool read_bool(Reader *reader, bool *value)
{
    if (reader->at >= reader->end || (*reader->at | 1) != 0xf5)
        return false;
    *value = *reader->at++ == 0xf5;
    return true;
}

bool read_skip(Reader *reader)
{
    uint64_t pending = 1; /* items still to be skipped: no recursion, so any depth */
    while (pending--) {
        uint8_t major, info;
        uint64_t argument;
        if (!read_head(reader, &major, &info, &argument))
            return false;
        if (major == 2 || major == 3) {
            if (argument > (uint64_t)(reader->end - reader->at))
                return false;
            reader->at += argument;
        } else if (major == 4 || major == 5 || major == 6) {
            uint64_t more = major == 6 ? 1 : argument;
            if (more > (uint64_t)(reader->end - reader->at))
                return false;
            pending += major == 5 ? 2 * more : more;
        }
    }
    return true;
}

static JSValue malformed(JSContext *context)
{
    return throw_input(context, "malformed dag-cbor");
}

static JSValue new_integer(JSContext *context, bool negative, uint64_t argument)
{
    if (argument < (1ull << 53) - negative)
        return JS_NewInt64(context, negative ? -1 - (int64_t)argument : (int64_t)argument);
    if (!negative)
        return JS_NewBigUint64(context, argument);
    if (argument <= INT64_MAX)
        return JS_NewBigInt64(context, -1 - (int64_t)argument);
    JSBigInt *number = js_bigint_new_ui64(context, argument);
    JSBigInt *inverted = number ? js_bigint_not(context, number) : NULL;
    js_free(context, number);
    return inverted ? JS_CompactBigInt(context, inverted) : JS_EXCEPTION;
}

static JSValue new_cid(JSContext *context, Reader *reader)
{
    Text bytes;
    if (!read_bytes(reader, &bytes) || bytes.length < 2 || bytes.bytes[0])
        return malformed(context);
    return cid_from_bytes(context, (const uint8_t *)bytes.bytes + 1, bytes.length - 1);
}

static JSValue new_simple(JSContext *context, uint8_t info, uint64_t argument)
{
    switch (info) {
    case 20:
        return JS_FALSE;
    case 21:
        return JS_TRUE;
    case 22:
        return JS_NULL;
    case 27:
        return JS_NewFloat64(context, uint64_as_float64(argument));
    default:
        return malformed(context);
    }
}

static JSAtom read_key(JSContext *context, Reader *reader, Text *key)
{
    if (!read_text(reader, key)) {
        malformed(context);
        return JS_ATOM_NULL;
    }
    for (uint32_t i = 0; i < key->length; i++)
        if (key->bytes[i] & 0x80) {
            JSValue string = JS_NewStringLen(context, key->bytes, key->length);
            return JS_IsException(string) ? JS_ATOM_NULL : JS_NewAtomStr(context, JS_VALUE_GET_STRING(string));
        }
    return JS_NewAtomLen(context, key->bytes, key->length);
}

static JSValue read_nested(JSContext *context, Reader *reader, int depth);

static JSValue new_list(JSContext *context, Reader *reader, uint64_t count, int depth)
{
    JSValue list = JS_NewArray(context);
    if (JS_IsException(list) || count == 0)
        return list;
    JSObject *object = JS_VALUE_GET_OBJ(list);
    if (count > (uint64_t)(reader->end - reader->at)) {
        JS_FreeValue(context, list);
        return malformed(context);
    }
    if (expand_fast_array(context, object, (uint32_t)count)) {
        JS_FreeValue(context, list);
        return JS_EXCEPTION;
    }
    for (uint32_t i = 0; i < count; i++) {
        JSValue item = read_nested(context, reader, depth + 1);
        if (JS_IsException(item)) {
            JS_FreeValue(context, list);
            return item;
        }
        object->u.array.u.values[i] = item;
        object->u.array.count = i + 1;
    }
    object->prop[0].u.value = js_int32((int32_t)count); /* `length` is an array's first property */
    return list;
}

/* Whether a key comes after another as dag-cbor orders them. Where each does, none is there twice. */
static bool is_behind(Text before, Text key)
{
    if (before.length != key.length)
        return before.length < key.length;
    return memcmp(before.bytes, key.bytes, key.length) < 0;
}

static int add_entry(JSContext *context, JSValueConst map, JSAtom key, JSValue value)
{
    JSProperty *slot = add_property(context, JS_VALUE_GET_OBJ(map), key, JS_PROP_C_W_E);
    if (!slot) {
        JS_FreeValue(context, value);
        return -1;
    }
    slot->u.value = value;
    return 0;
}

static JSValue new_map(JSContext *context, Reader *reader, uint64_t count, int depth)
{
    Text name, before = {"", 0};
    JSValue map = JS_NewObject(context);
    if (JS_IsException(map))
        return map;
    for (uint64_t i = 0; i < count; i++, before = name) {
        JSAtom key = read_key(context, reader, &name);
        JSValue value = key == JS_ATOM_NULL ? JS_EXCEPTION : read_nested(context, reader, depth + 1);
        bool is_new = i == 0 || (key != JS_ATOM_NULL && is_behind(before, name));
        int status = JS_IsException(value) ? -1
                     : is_new              ? add_entry(context, map, key, value)
                                           : JS_DefinePropertyValue(context, map, key, value, JS_PROP_C_W_E);
        JS_FreeAtom(context, key);
        if (status < 0) {
            JS_FreeValue(context, map);
            return JS_EXCEPTION;
        }
    }
    return map;
}

static JSValue read_nested(JSContext *context, Reader *reader, int depth)
{
    uint8_t major, info;
    uint64_t argument;
    if (depth > DATA_DEPTH_MAX)
        return throw_input(context, "data nested too deep");
    if (!read_head(reader, &major, &info, &argument))
        return malformed(context);
    switch (major) {
    case 0:
    case 1:
        return new_integer(context, major == 1, argument);
    case 2:
    case 3: {
        const char *bytes = (const char *)reader->at;
        if (argument > (uint64_t)(reader->end - reader->at))
            return malformed(context);
        reader->at += argument;
        return major == 3 ? JS_NewStringLen(context, bytes, argument)
                          : JS_NewUint8ArrayCopy(context, (const uint8_t *)bytes, argument);
    }
    case 4:
        return new_list(context, reader, argument, depth);
    case 5:
        return new_map(context, reader, argument, depth);
    case 6:
        return argument == 42 ? new_cid(context, reader) : malformed(context);
    default:
        return new_simple(context, info, argument);
    }
}

JSValue read_value(JSContext *context, Reader *reader)
{
    return read_nested(context, reader, 0);
}
