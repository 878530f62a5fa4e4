/* JS objects to dag-cbor: maps, lists, bytes, CIDs. Part of engine.c, after write.c, whose invariants hold here. */

enum { KEYS_ON_STACK = 16 };

static bool write_any(Writer *writer, JSValueConst value);

typedef struct Key {
    const uint8_t *bytes;
    size_t length;
    const char *owned;  /* to be freed with JS_FreeCString */
    JSAtom atom;
    JSValueConst value;
    char digits[12];
} Key;

static bool key_of(Writer *writer, JSAtom atom, JSValueConst value, Key *key)
{
    key->atom = atom;
    key->value = value;
    key->owned = NULL;
    if (__JS_AtomIsTaggedInt(atom)) {
        key->length = snprintf(key->digits, sizeof(key->digits), "%u", __JS_AtomToUInt32(atom));
        key->bytes = NULL; /* keys move when they are sorted */
        return true;
    }
    JSString *string = writer->context->rt->atom_array[atom];
    key->bytes = ascii_of(string);
    key->length = string->len;
    if (key->bytes)
        return true;
    key->owned = JS_AtomToCStringLen(writer->context, &key->length, atom);
    key->bytes = (const uint8_t *)key->owned;
    return key->owned && (!has_lone_surrogate(key->bytes, key->length) || refuse(writer, "a map whose key has half a surrogate pair"));
}

static const void *key_bytes(const Key *key)
{
    return key->bytes ? (const void *)key->bytes : key->digits;
}

static int compare_keys(const void *left, const void *right)
{
    const Key *a = left, *b = right;
    if (a->length != b->length)
        return a->length < b->length ? -1 : 1;
    return memcmp(key_bytes(a), key_bytes(b), a->length);
}

static void sort_keys(Key *keys, uint32_t count)
{
    if (count > 64) {
        rqsort(keys, count, sizeof(Key), (int (*)(const void *, const void *, void *))compare_keys, NULL);
        return;
    }
    for (uint32_t i = 1; i < count; i++) {
        if (compare_keys(&keys[i - 1], &keys[i]) <= 0)
            continue;
        Key key = keys[i];
        uint32_t at = i;
        for (; at > 0 && compare_keys(&keys[at - 1], &key) > 0; at--)
            keys[at] = keys[at - 1];
        keys[at] = key;
    }
}

/* The value of a property, without running code. */
static bool plain_property(Writer *writer, JSObject *object, JSShapeProperty *property, JSProperty *slot, JSValueConst *value)
{
    switch (property->flags & JS_PROP_TMASK) {
    case JS_PROP_NORMAL:
        *value = slot->u.value;
        return true;
    case JS_PROP_VARREF:
        *value = *slot->u.var_ref->pvalue;
        return true;
    default:
        (void)object;
        return refuse(writer, "an accessor");
    }
}

static bool collect_keys(Writer *writer, JSObject *object, Key *keys, uint32_t *count)
{
    JSShape *shape = object->shape;
    JSShapeProperty *property = get_shape_prop(shape);
    Step *step = &writer->steps[writer->depth - 1];
    for (int i = 0; i < shape->prop_count; i++, property++) {
        JSValueConst value;
        if (property->atom == JS_ATOM_NULL || !(property->flags & JS_PROP_ENUMERABLE) ||
            JS_AtomGetKind(writer->context, property->atom) == JS_ATOM_KIND_PRIVATE)
            continue;
        step->key = property->atom;
        if (JS_AtomGetKind(writer->context, property->atom) == JS_ATOM_KIND_SYMBOL)
            return refuse(writer, "keyed by a symbol");
        if (!plain_property(writer, object, property, &object->prop[i], &value))
            return false;
        if (JS_IsUndefined(value))
            continue;
        Key *key = &keys[(*count)++];
        if (!key_of(writer, property->atom, value, key))
            return false;
    }
    return true;
}

static bool write_keys(Writer *writer, Key *keys, uint32_t count)
{
    Step *step = &writer->steps[writer->depth - 1];
    sort_keys(keys, count);
    if (!write_head(writer, 5, count))
        return false;
    for (uint32_t i = 0; i < count; i++) {
        step->key = keys[i].atom;
        if (!write_blob(writer, 3, key_bytes(&keys[i]), keys[i].length) || !write_any(writer, keys[i].value))
            return false;
    }
    return true;
}

static bool write_map(Writer *writer, JSObject *object)
{
    Key on_stack[KEYS_ON_STACK], *keys = on_stack;
    uint32_t count = 0, size = object->shape->prop_count;
    if (size > KEYS_ON_STACK && !(keys = js_malloc(writer->context, size * sizeof(Key))))
        return false;
    bool done = collect_keys(writer, object, keys, &count) && write_keys(writer, keys, count);
    for (uint32_t i = 0; i < count; i++)
        if (keys[i].owned)
            JS_FreeCString(writer->context, keys[i].owned);
    if (keys != on_stack)
        js_free(writer->context, keys);
    return done;
}

static bool write_item(Writer *writer, JSValueConst value, uint32_t index)
{
    writer->steps[writer->depth - 1].index = index;
    return JS_IsUndefined(value) ? refuse(writer, "undefined in a list") : write_any(writer, value);
}

/* An array whose items QuickJS keeps as properties: it has holes, or was frozen. */
static bool write_slow_list(Writer *writer, JSObject *object)
{
    int64_t length;
    if (js_get_length64(writer->context, &length, JS_MKPTR(JS_TAG_OBJECT, object)) || !write_head(writer, 4, length))
        return false;
    for (int64_t i = 0; i < length; i++) {
        JSProperty *slot;
        JSValueConst value = JS_UNDEFINED;
        JSAtom atom = JS_NewAtomInt64(writer->context, i);
        JSShapeProperty *property = find_own_property(&slot, object, atom);
        JS_FreeAtom(writer->context, atom);
        writer->steps[writer->depth - 1].index = (uint32_t)i;
        if (property && !plain_property(writer, object, property, slot, &value))
            return false;
        if (!write_item(writer, value, (uint32_t)i))
            return false;
    }
    return true;
}

static bool write_list(Writer *writer, JSObject *object)
{
    if (!object->fast_array)
        return write_slow_list(writer, object);
    if (!write_head(writer, 4, object->u.array.count))
        return false;
    for (uint32_t i = 0; i < object->u.array.count; i++)
        if (!write_item(writer, object->u.array.u.values[i], i))
            return false;
    return true;
}

/* The method of an object's class that gives what is written in its place; undefined if there is none. Looked for without running code,
 * and not at all where there is no class. */
static JSValueConst stand_in_of(Writer *writer, JSObject *object)
{
    JSContext *context = writer->context;
    const JSObject *plain = JS_VALUE_GET_OBJ(context->class_proto[JS_CLASS_OBJECT]);
    JSObject *at = object->shape->proto;
    for (; at && at != plain && !at->is_exotic; at = at->shape->proto) {
        JSProperty *slot;
        JSShapeProperty *property = find_own_property(&slot, at, atom_stand_in);
        if (property)
            return (property->flags & JS_PROP_TMASK) == JS_PROP_NORMAL ? slot->u.value : JS_UNDEFINED;
    }
    return JS_UNDEFINED;
}

static bool write_stand_in(Writer *writer, JSObject *object, JSValueConst method)
{
    standing_in = true;
    JSValue value = JS_Call(writer->context, method, JS_MKPTR(JS_TAG_OBJECT, object), 0, NULL);
    standing_in = false;
    writer->steps[writer->depth - 1].index = NOWHERE;
    bool done = !JS_IsException(value) && write_any(writer, value);
    JS_FreeValue(writer->context, value);
    return done;
}

static bool write_nested(Writer *writer, JSObject *object)
{
    for (int i = 0; i < writer->depth; i++)
        if (writer->steps[i].object == object)
            return refuse(writer, "a cycle");
    if (writer->depth == DATA_DEPTH_MAX)
        return refuse(writer, "nested too deep");
    writer->steps[writer->depth++] = (Step){object, JS_ATOM_NULL, 0};
    JSValueConst method = object->class_id == JS_CLASS_ARRAY ? JS_UNDEFINED : stand_in_of(writer, object);
    bool done = object->class_id == JS_CLASS_ARRAY ? write_list(writer, object)
                : JS_IsUndefined(method)           ? write_map(writer, object)
                                                   : write_stand_in(writer, object, method);
    writer->depth--;
    return done;
}

static bool write_cid(Writer *writer, const uint8_t *bytes, size_t length)
{
    uint8_t *at;
    if (!write_head(writer, 6, 42) || !write_head(writer, 2, length + 1) || !(at = room(writer, length + 1)))
        return false;
    *at = 0; /* the multibase prefix that dag-cbor wants: raw binary */
    memcpy(at + 1, bytes, length);
    return true;
}

static bool refuse_object(Writer *writer, JSValueConst value, JSObject *object)
{
    char what[80], name[ATOM_GET_STR_BUF_SIZE];
    if (is_port(value))
        return refuse(writer, "a port (it goes into `ports`)");
    if (JS_IsFunction(writer->context, value))
        return refuse(writer, "a function");
    JS_AtomGetStr(writer->context, name, sizeof(name), writer->context->rt->class_array[object->class_id].class_name);
    snprintf(what, sizeof(what), "of class %.60s", name);
    return refuse(writer, what);
}

static bool write_object(Writer *writer, JSValueConst value)
{
    JSObject *object = JS_VALUE_GET_OBJ(value);
    const uint8_t *bytes;
    size_t length;
    switch (object->class_id) {
    case JS_CLASS_OBJECT:
    case JS_CLASS_ARRAY:
        return write_nested(writer, object);
    case JS_CLASS_UINT8_ARRAY:
        bytes = JS_GetUint8Array(writer->context, &length, value);
        break;
    case JS_CLASS_ARRAY_BUFFER:
        bytes = JS_GetArrayBuffer(writer->context, &length, value);
        break;
    default:
        return cid_bytes(value, &bytes, &length) ? write_cid(writer, bytes, length) : refuse_object(writer, value, object);
    }
    if (!bytes && JS_HasException(writer->context))
        return false;
    return write_blob(writer, 2, bytes, length);
}
