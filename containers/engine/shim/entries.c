/* What everturn:data's ordered indexes do all the time with the lists of their nodes, as its module "everturn:data/entries": searching
 * one, and moving what lies behind a place. Part of engine.c, after inside.c. An interpreter takes ten times as long.
 *
 * 1. Keys are compared as `compare` in modules/data/order.js says. What that alone knows to compare is left to it.
 * 2. A list is one of QuickJS's fast arrays, which those of the indexes are; any other is refused.
 * 3. What goes down a whole tree is in tree.c, behind this file, and so is the module's table.
 */

enum key_kind { KEY_NOTHING, KEY_BOOLEAN, KEY_NUMBER, KEY_TEXT, KEY_OTHER };

static enum key_kind key_kind(JSValueConst key)
{
    switch (JS_VALUE_GET_NORM_TAG(key)) {
    case JS_TAG_NULL:
        return KEY_NOTHING;
    case JS_TAG_BOOL:
        return KEY_BOOLEAN;
    case JS_TAG_INT:
    case JS_TAG_FLOAT64:
        return KEY_NUMBER;
    case JS_TAG_STRING:
        return KEY_TEXT;
    default:
        return KEY_OTHER;
    }
}

static double key_number(JSValueConst key)
{
    return JS_VALUE_GET_TAG(key) == JS_TAG_INT ? JS_VALUE_GET_INT(key) : JS_VALUE_GET_FLOAT64(key);
}

/* False: neither kind of key is known here. */
static bool compare_key(JSValueConst left, JSValueConst right, int *order)
{
    enum key_kind kind = key_kind(left), other = key_kind(right);
    *order = (int)kind - (int)other;
    if (kind == KEY_OTHER || other == KEY_OTHER)
        return false;
    if (kind != other)
        return true;
    if (kind == KEY_NUMBER) {
        double a = key_number(left), b = key_number(right);
        *order = a < b ? -1 : a > b;
    } else if (kind == KEY_BOOLEAN) {
        *order = JS_VALUE_GET_BOOL(left) - JS_VALUE_GET_BOOL(right);
    } else if (kind == KEY_TEXT && JS_VALUE_GET_PTR(left) != JS_VALUE_GET_PTR(right)) {
        *order = js_string_compare(JS_VALUE_GET_STRING(left), JS_VALUE_GET_STRING(right));
    }
    return true;
}

/* A whole number, as an interpreter has it: also in a float. */
static bool whole(JSValueConst value, uint32_t *number)
{
    double given = key_kind(value) == KEY_NUMBER ? key_number(value) : -1;
    if (!(given >= 0 && given <= INT32_MAX && given == (uint32_t)given))
        return false;
    *number = (uint32_t)given;
    return true;
}

/* How many entries lie before `prefix`, or with `behind` not after it; -1: it is not known here. */
static int32_t search(const JSValue *entries, uint32_t entry_count, uint32_t width, const JSValue *prefix, uint32_t length, bool behind)
{
    uint32_t low = 0, high = entry_count;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        int order = 0;
        for (uint32_t i = 0; i < length && order == 0; i++)
            if (!compare_key(entries[middle * width + i], prefix[i], &order))
                return -1;
        if (order < 0 || (behind && order == 0))
            low = middle + 1;
        else
            high = middle;
    }
    return (int32_t)low;
}

static bool is_true(JSValueConst value)
{
    return JS_VALUE_GET_TAG(value) == JS_TAG_BOOL && JS_VALUE_GET_BOOL(value);
}

/* find(entries, width, prefix, behind): as `search`. */
static JSValue entries_find(JSContext *context, JSValueConst this_value, int count, JSValueConst *arguments)
{
    JSValue *entries, *prefix;
    uint32_t size, length, width;
    (void)this_value, (void)count;
    if (!js_get_fast_array(context, unsafe_unconst(arguments[0]), &entries, &size) ||
        !js_get_fast_array(context, unsafe_unconst(arguments[2]), &prefix, &length) ||
        !whole(arguments[1], &width) || width == 0 || length > width)
        return js_int32(-1);
    return js_int32(search(entries, size / width, width, prefix, length, is_true(arguments[3])));
}

static JSObject *list_of(JSValueConst value)
{
    if (JS_VALUE_GET_TAG(value) != JS_TAG_OBJECT)
        return NULL;
    JSObject *list = JS_VALUE_GET_OBJ(value);
    uint32_t length;
    bool is_plain = list->class_id == JS_CLASS_ARRAY && list->fast_array && list->extensible &&
                    (get_shape_prop(list->shape)->flags & JS_PROP_WRITABLE) &&
                    whole(list->prop[0].u.value, &length) && length == list->u.array.count;
    return is_plain ? list : NULL;
}

static void set_count(JSObject *list, uint32_t count)
{
    list->u.array.count = count;
    list->prop[0].u.value = js_int32(count);
}

static bool place_in(JSObject *list, JSValueConst given, uint32_t *at)
{
    return list && whole(given, at) && *at <= list->u.array.count;
}

/* insert(list, at, items): puts items between those before `at` and the others. */
static JSValue entries_insert(JSContext *context, JSValueConst this_value, int count, JSValueConst *arguments)
{
    JSObject *list = list_of(arguments[0]);
    JSValue *items;
    uint32_t at, added;
    (void)this_value, (void)count;
    if (!place_in(list, arguments[1], &at) || !js_get_fast_array(context, unsafe_unconst(arguments[2]), &items, &added) ||
        JS_VALUE_GET_OBJ(arguments[2]) == list)
        return JS_ThrowTypeError(context, "insert(list, at, items): these are no lists");
    uint32_t size = list->u.array.count;
    if (size + added > list->u.array.u1.size && expand_fast_array(context, list, size + added))
        return JS_EXCEPTION;
    JSValue *values = list->u.array.u.values;
    memmove(values + at + added, values + at, (size - at) * sizeof(JSValue));
    for (uint32_t i = 0; i < added; i++)
        values[at + i] = js_dup(items[i]);
    set_count(list, size + added);
    return JS_UNDEFINED;
}

/* cut(list, at, n): takes out n items. */
static JSValue entries_cut(JSContext *context, JSValueConst this_value, int count, JSValueConst *arguments)
{
    JSObject *list = list_of(arguments[0]);
    uint32_t at, removed;
    (void)this_value, (void)count;
    if (!place_in(list, arguments[1], &at) || !whole(arguments[2], &removed) || removed > list->u.array.count - at)
        return JS_ThrowTypeError(context, "cut(list, at, n): there are not so many");
    uint32_t size = list->u.array.count;
    JSValue *values = list->u.array.u.values;
    for (uint32_t i = 0; i < removed; i++) /* keys and ids, and nodes: none of them runs code when it goes */
        JS_FreeValue(context, values[at + i]);
    memmove(values + at, values + at + removed, (size - at - removed) * sizeof(JSValue));
    set_count(list, size - removed);
    return JS_UNDEFINED;
}
