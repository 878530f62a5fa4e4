/* Going down a B+tree of everturn:data (modules/data/btree.js) from its root to a leaf, for what an index does with every change and
 * every range. Part of engine.c, after entries.c. The tree's shape is that of btree.js, which splits and joins nodes itself.
 *
 * 1. A leaf is a list of entries, a node above it the list [firsts, counts, children].
 * 2. What cannot be done within one leaf, or with keys that are not known here, changes nothing and says so; btree.js does it then.
 * 3. Nothing that is freed here can run code: keys are numbers, texts, booleans and BigInts.
 */

/* A tree of this depth has more entries than a heap has bytes. */
enum { DEPTH_MAX = 16 };
/* As in extent.js, and as many as planner.js asks for at once. */
enum { PIECE_INSTANCES = 256, FOUND_MAX = 32 };

struct tree_node {
    JSValue *firsts, *counts, *children;
    uint32_t size;
};

/* Leaves hold no objects. */
static bool is_inner(JSContext *context, JSValueConst value, struct tree_node *node)
{
    JSValue *parts;
    uint32_t count, size, first_count;
    return js_get_fast_array(context, unsafe_unconst(value), &parts, &count) && count == 3 &&
           js_get_fast_array(context, parts[0], &node->firsts, &first_count) &&
           js_get_fast_array(context, parts[1], &node->counts, &size) &&
           js_get_fast_array(context, parts[2], &node->children, &node->size) && size == node->size && size > 0;
}

/* The child below which an entry or a prefix lies; -1: it is not known here. */
static int32_t child_at(const struct tree_node *node, uint32_t width, const JSValue *prefix, uint32_t length, bool behind)
{
    int32_t last = search(node->firsts, node->size, width, prefix, length, behind);
    return last > 0 ? last - 1 : last;
}

/* rank(root, width, prefix, behind): how many entries of the tree lie before `prefix`; -1: it is not known here. */
static JSValue tree_rank(JSContext *context, JSValueConst this_value, int argument_count, JSValueConst *arguments)
{
    struct tree_node node;
    JSValueConst at = arguments[0];
    JSValue *prefix, *entries;
    uint32_t width, length, count, rank = 0;
    bool behind = is_true(arguments[3]);
    (void)this_value, (void)argument_count;
    if (!whole(arguments[1], &width) || width == 0 ||
        !js_get_fast_array(context, unsafe_unconst(arguments[2]), &prefix, &length) || length > width)
        return js_int32(-1);
    while (is_inner(context, at, &node)) {
        int32_t child = child_at(&node, width, prefix, length, behind);
        if (child < 0)
            return js_int32(-1);
        for (int32_t i = 0; i < child; i++)
            rank += JS_VALUE_GET_INT(node.counts[i]);
        at = node.children[child];
    }
    if (!js_get_fast_array(context, unsafe_unconst(at), &entries, &count))
        return js_int32(-1);
    int32_t found = search(entries, count / width, width, prefix, length, behind);
    return js_int32(found < 0 ? -1 : (int32_t)rank + found);
}

/* The leaf that has the entry of a rank, which becomes the place in that leaf. */
static bool leaf_of(JSContext *context, JSValueConst root, uint32_t *rank, JSValue **entries, uint32_t *count)
{
    struct tree_node node;
    while (is_inner(context, root, &node)) {
        uint32_t child = 0;
        while (child + 1 < node.size && *rank >= (uint32_t)JS_VALUE_GET_INT(node.counts[child]))
            *rank -= JS_VALUE_GET_INT(node.counts[child++]);
        root = node.children[child];
    }
    return js_get_fast_array(context, unsafe_unconst(root), entries, count);
}

/* The instance of an id in an extent's pieces (extent.js), or null. */
static JSValueConst in_pieces(JSContext *context, const JSValue *pieces, uint32_t piece_count, uint32_t id)
{
    JSValue *piece;
    uint32_t size;
    bool is_there = id / PIECE_INSTANCES < piece_count && js_get_fast_array(context, pieces[id / PIECE_INSTANCES], &piece, &size) &&
                    id % PIECE_INSTANCES < size;
    return is_there ? piece[id % PIECE_INSTANCES] : JS_NULL;
}

/* members(root, width, from, to, pieces): the instances that the entries of these ranks tell of; null: it is not known here. */
static JSValue tree_members(JSContext *context, JSValueConst this_value, int argument_count, JSValueConst *arguments)
{
    JSValueConst found[FOUND_MAX];
    JSValue *pieces, *entries;
    uint32_t width, from, to, piece_count, count, id, n = 0;
    (void)this_value, (void)argument_count;
    if (!whole(arguments[1], &width) || width == 0 || !whole(arguments[2], &from) || !whole(arguments[3], &to) || to < from ||
        to - from > FOUND_MAX || !js_get_fast_array(context, unsafe_unconst(arguments[4]), &pieces, &piece_count))
        return JS_NULL;
    while (from < to) {
        uint32_t at = from;
        if (!leaf_of(context, arguments[0], &at, &entries, &count) || at >= count / width)
            return JS_NULL;
        for (; at < count / width && from < to; at++, from++) {
            if (!whole(entries[at * width + width - 1], &id))
                return JS_NULL;
            found[n++] = in_pieces(context, pieces, piece_count, id);
        }
    }
    return js_create_array(context, (int)n, found);
}

/* The way down to a leaf: at each node which child, and its lists. */
struct way {
    struct tree_node nodes[DEPTH_MAX];
    int32_t children[DEPTH_MAX];
    uint32_t depth;
    JSValueConst leaf;
};

static bool go_down(JSContext *context, JSValueConst root, uint32_t width, const JSValue *entry, struct way *way)
{
    way->leaf = root;
    for (way->depth = 0; way->depth < DEPTH_MAX; way->depth++) {
        struct tree_node *node = &way->nodes[way->depth];
        if (!is_inner(context, way->leaf, node))
            return true;
        int32_t child = child_at(node, width, entry, width, true);
        if (child < 0)
            return false;
        way->children[way->depth] = child;
        way->leaf = node->children[child];
    }
    return false;
}

/* What is before this leaf's entries in the nodes above it. */
static void set_firsts(JSContext *context, const struct way *way, uint32_t width, const JSValue *entry)
{
    for (uint32_t level = way->depth; level-- > 0;) {
        JSValue *first = way->nodes[level].firsts + (uint32_t)way->children[level] * width;
        for (uint32_t i = 0; i < width; i++)
            set_value(context, &first[i], js_dup(entry[i]));
        if (way->children[level] > 0)
            return;
    }
}

static void count_below(const struct way *way, int32_t more)
{
    for (uint32_t level = 0; level < way->depth; level++) {
        JSValue *count = &way->nodes[level].counts[way->children[level]];
        *count = js_int32(JS_VALUE_GET_INT(*count) + more);
    }
}

/* put(root, width, entry, most): adds an entry to the leaf that it belongs to; false: that has as many as it may. */
static JSValue tree_put(JSContext *context, JSValueConst this_value, int argument_count, JSValueConst *arguments)
{
    struct way way;
    JSValue *entry;
    uint32_t width, length, most;
    (void)this_value, (void)argument_count;
    if (!whole(arguments[1], &width) || width == 0 || !whole(arguments[3], &most) ||
        !js_get_fast_array(context, unsafe_unconst(arguments[2]), &entry, &length) || length != width ||
        !go_down(context, arguments[0], width, entry, &way))
        return JS_FALSE;
    JSObject *leaf = list_of(way.leaf);
    if (!leaf || leaf->u.array.count / width >= most)
        return JS_FALSE;
    uint32_t size = leaf->u.array.count;
    int32_t place = search(leaf->u.array.u.values, size / width, width, entry, width, false);
    if (place < 0)
        return JS_FALSE;
    if (size + width > leaf->u.array.u1.size && expand_fast_array(context, leaf, size + width))
        return JS_EXCEPTION;
    JSValue *values = leaf->u.array.u.values + (uint32_t)place * width;
    memmove(values + width, values, (size - (uint32_t)place * width) * sizeof(JSValue));
    for (uint32_t i = 0; i < width; i++)
        values[i] = js_dup(entry[i]);
    set_count(leaf, size + width);
    count_below(&way, 1);
    if (place == 0)
        set_firsts(context, &way, width, entry);
    return JS_TRUE;
}

/* take(root, width, entry, least): removes an entry from its leaf; false: it is not there, or that would have too few. */
static JSValue tree_take(JSContext *context, JSValueConst this_value, int argument_count, JSValueConst *arguments)
{
    struct way way;
    JSValue *entry;
    uint32_t width, length, least;
    (void)this_value, (void)argument_count;
    if (!whole(arguments[1], &width) || width == 0 || !whole(arguments[3], &least) ||
        !js_get_fast_array(context, unsafe_unconst(arguments[2]), &entry, &length) || length != width ||
        !go_down(context, arguments[0], width, entry, &way))
        return JS_FALSE;
    JSObject *leaf = list_of(way.leaf);
    if (!leaf || leaf->u.array.count / width <= least)
        return JS_FALSE;
    uint32_t size = leaf->u.array.count;
    int32_t place = search(leaf->u.array.u.values, size / width, width, entry, width, false);
    int32_t behind = search(leaf->u.array.u.values, size / width, width, entry, width, true);
    if (place < 0 || behind != place + 1)
        return JS_FALSE;
    JSValue *values = leaf->u.array.u.values + (uint32_t)place * width;
    for (uint32_t i = 0; i < width; i++)
        JS_FreeValue(context, values[i]);
    memmove(values, values + width, (size - (uint32_t)(place + 1) * width) * sizeof(JSValue));
    set_count(leaf, size - width);
    count_below(&way, -1);
    if (place == 0)
        set_firsts(context, &way, width, leaf->u.array.u.values);
    return JS_TRUE;
}

/* copy(object): a new object with the same prototype, names and values, in the same shape; null: it is none that can be copied so. */
static JSValue object_copy(JSContext *context, JSValueConst this_value, int argument_count, JSValueConst *arguments)
{
    (void)this_value, (void)argument_count;
    if (JS_VALUE_GET_TAG(arguments[0]) != JS_TAG_OBJECT)
        return JS_NULL;
    JSObject *from = JS_VALUE_GET_OBJ(arguments[0]);
    JSShape *shape = from->shape;
    if (from->class_id != JS_CLASS_OBJECT || !shape->is_hashed)
        return JS_NULL;
    for (uint32_t i = 0; i < shape->prop_count; i++)
        if (get_shape_prop(shape)[i].flags & JS_PROP_TMASK)
            return JS_NULL;
    JSValue copy = JS_NewObjectFromShape(context, js_dup_shape(shape), JS_CLASS_OBJECT, NULL);
    if (JS_IsException(copy))
        return copy;
    JSProperty *to = JS_VALUE_GET_OBJ(copy)->prop;
    for (uint32_t i = 0; i < shape->prop_count; i++)
        to[i].u.value = js_dup(from->prop[i].u.value);
    return copy;
}

static const JSCFunctionListEntry ENTRIES[] = {
    JS_CFUNC_DEF("find", 4, entries_find),
    JS_CFUNC_DEF("insert", 3, entries_insert),
    JS_CFUNC_DEF("cut", 3, entries_cut),
    JS_CFUNC_DEF("rank", 4, tree_rank),
    JS_CFUNC_DEF("members", 5, tree_members),
    JS_CFUNC_DEF("put", 4, tree_put),
    JS_CFUNC_DEF("take", 4, tree_take),
    JS_CFUNC_DEF("copy", 1, object_copy),
};

static int entries_init(JSContext *context, JSModuleDef *module)
{
    return JS_SetModuleExportList(context, module, ENTRIES, sizeof(ENTRIES) / sizeof(ENTRIES[0]));
}

JSModuleDef *entries_module(JSContext *context, const char *name)
{
    JSModuleDef *module = JS_NewCModule(context, name, entries_init);
    if (module && JS_AddModuleExportList(context, module, ENTRIES, sizeof(ENTRIES) / sizeof(ENTRIES[0])))
        return NULL;
    return module;
}
