/* The interpreter's fast path. Part of quickjs.c as the build script reads it, just before JS_CallInternal.
 *
 * JS_CallInternal knows every opcode, and nearly all of its cases call something. Compiled to wasm and from there to machine code,
 * its registers are therefore all in memory. The opcodes below call nothing, so that a loop of them alone keeps its state in
 * registers: several times faster. JS_CallInternal comes here before each opcode of this set and goes on where this stopped.
 *
 * Invariants:
 * 1. An opcode is done completely or not at all: what it cannot do without a call, above all freeing an object, is left to
 *    JS_CallInternal, at the same opcode, with nothing changed.
 * 2. The result is that of JS_CallInternal, to the bit, but for its count of interrupt polls, which nothing here reads.
 */

/* In the order of their numbers; a set bit: the opcode may be done here. */
static const uint8_t hot_opcodes[256] = {
    [OP_push_i32] = 1,       [OP_push_const] = 1,     [OP_undefined] = 1,      [OP_null] = 1,
    [OP_push_false] = 1,     [OP_push_true] = 1,      [OP_drop] = 1,           [OP_nip] = 1,
    [OP_dup] = 1,            [OP_dup1] = 1,           [OP_dup2] = 1,           [OP_insert2] = 1,
    [OP_insert3] = 1,        [OP_perm3] = 1,          [OP_swap] = 1,           [OP_rot3l] = 1,
    [OP_get_field] = 1,      [OP_get_field2] = 1,     [OP_put_field] = 1,      [OP_get_array_el] = 1,
    [OP_get_array_el2] = 1,  [OP_put_array_el] = 1,   [OP_get_loc] = 1,        [OP_put_loc] = 1,
    [OP_set_loc] = 1,        [OP_get_arg] = 1,        [OP_put_arg] = 1,        [OP_set_arg] = 1,
    [OP_get_var_ref] = 1,    [OP_put_var_ref] = 1,    [OP_set_var_ref] = 1,    [OP_set_loc_uninitialized] = 1,
    [OP_get_loc_check] = 1,  [OP_put_loc_check] = 1,  [OP_get_var_ref_check] = 1, [OP_put_var_ref_check] = 1,
    [OP_if_false] = 1,       [OP_if_true] = 1,        [OP_goto] = 1,           [OP_neg] = 1,
    [OP_plus] = 1,           [OP_dec] = 1,            [OP_inc] = 1,            [OP_post_dec] = 1,
    [OP_post_inc] = 1,       [OP_dec_loc] = 1,        [OP_inc_loc] = 1,        [OP_add_loc] = 1,
    [OP_not] = 1,            [OP_lnot] = 1,           [OP_mul] = 1,            [OP_div] = 1,
    [OP_mod] = 1,            [OP_add] = 1,            [OP_sub] = 1,            [OP_shl] = 1,
    [OP_sar] = 1,            [OP_shr] = 1,            [OP_and] = 1,            [OP_xor] = 1,
    [OP_or] = 1,             [OP_lt] = 1,             [OP_lte] = 1,            [OP_gt] = 1,
    [OP_gte] = 1,            [OP_eq] = 1,             [OP_neq] = 1,            [OP_strict_eq] = 1,
    [OP_strict_neq] = 1,     [OP_is_undefined_or_null] = 1, [OP_is_undefined] = 1, [OP_is_null] = 1,
    [OP_push_minus1 ... OP_push_const8] = 1,          [OP_get_loc8 ... OP_set_var_ref3] = 1,
    [OP_get_length] = 1,     [OP_if_false8] = 1,      [OP_if_true8] = 1,       [OP_goto8] = 1,
    [OP_goto16] = 1,
};

/* Can one reference to the value be dropped without freeing it? */
static inline bool hot_can_drop(JSValueConst value)
{
    return !JS_VALUE_HAS_REF_COUNT(value) || JS_REF_COUNT(JS_VALUE_GET_PTR(value)) > 1;
}

/* One reference to each of them; they may be the same object. */
static inline bool hot_can_drop_both(JSValueConst a, JSValueConst b)
{
    if (JS_VALUE_HAS_REF_COUNT(a) && JS_VALUE_HAS_REF_COUNT(b) && JS_VALUE_GET_PTR(a) == JS_VALUE_GET_PTR(b))
        return JS_REF_COUNT(JS_VALUE_GET_PTR(a)) > 2;
    return hot_can_drop(a) && hot_can_drop(b);
}

static inline void hot_drop(JSValueConst value)
{
    if (JS_VALUE_HAS_REF_COUNT(value))
        JS_REF_COUNT(JS_VALUE_GET_PTR(value))--;
}

/* A property's value, own or inherited; NULL: it is not plain data, or not there. */
static inline JSValue *hot_property(JSValueConst value, JSAtom atom)
{
    if (JS_VALUE_GET_TAG(value) != JS_TAG_OBJECT)
        return NULL;
    for (JSObject *object = JS_VALUE_GET_OBJ(value); object; object = object->shape->proto) {
        JSProperty *slot;
        JSShapeProperty *property = find_own_property(&slot, object, atom);
        if (property)
            return property->flags & JS_PROP_TMASK ? NULL : &slot->u.value;
        if (object->is_exotic)
            return NULL;
    }
    return NULL;
}

static inline JSValue *hot_own_writable(JSValueConst value, JSAtom atom)
{
    JSProperty *slot;
    if (JS_VALUE_GET_TAG(value) != JS_TAG_OBJECT)
        return NULL;
    JSShapeProperty *property = find_own_property(&slot, JS_VALUE_GET_OBJ(value), atom);
    if (!property || (property->flags & (JS_PROP_TMASK | JS_PROP_WRITABLE | JS_PROP_LENGTH)) != JS_PROP_WRITABLE)
        return NULL;
    return &slot->u.value;
}

static inline JSValue *hot_element(JSValueConst list, JSValueConst index)
{
    if (JS_VALUE_GET_TAG(list) != JS_TAG_OBJECT || JS_VALUE_GET_TAG(index) != JS_TAG_INT)
        return NULL;
    JSObject *object = JS_VALUE_GET_OBJ(list);
    uint32_t at = JS_VALUE_GET_INT(index);
    return object->class_id == JS_CLASS_ARRAY && at < object->u.array.count ? &object->u.array.u.values[at] : NULL;
}

#define STOP goto stop
#define NEXT goto next
#define PUSH(value) do { *sp++ = (value); NEXT; } while (0)
/* Stores `value`, which it takes, where an old value may have to be freed. `then` runs only if it need not. */
#define STORE(place, value, then) do { \
        JSValue *place_ = (place); \
        if (!hot_can_drop(*place_)) \
            STOP; \
        hot_drop(*place_); \
        *place_ = (value); \
        then; \
        NEXT; \
    } while (0)
#define GET(place) PUSH(js_dup(place))
#define PUT(place, bytes) STORE(&(place), sp[-1], (sp--, pc += (bytes)))
#define SET(place, bytes) STORE(&(place), js_dup(sp[-1]), pc += (bytes))
#define FOUR(name, place) \
    case OP_get_##name##0: GET(place(0)); \
    case OP_get_##name##1: GET(place(1)); \
    case OP_get_##name##2: GET(place(2)); \
    case OP_get_##name##3: GET(place(3)); \
    case OP_put_##name##0: PUT(place(0), 0); \
    case OP_put_##name##1: PUT(place(1), 0); \
    case OP_put_##name##2: PUT(place(2), 0); \
    case OP_put_##name##3: PUT(place(3), 0); \
    case OP_set_##name##0: SET(place(0), 0); \
    case OP_set_##name##1: SET(place(1), 0); \
    case OP_set_##name##2: SET(place(2), 0); \
    case OP_set_##name##3: SET(place(3), 0);
#define LOCAL(i) locals[i]
#define ARGUMENT(i) arguments[i]
#define CAPTURED(i) (*captured[i]->pvalue)
#define BINARY(both_int, both_number) do { \
        JSValueConst a = sp[-2], b = sp[-1]; \
        double x, y; \
        if (likely(JS_VALUE_IS_BOTH_INT(a, b))) { \
            int64_t i = JS_VALUE_GET_INT(a), j = JS_VALUE_GET_INT(b); \
            (void)i, (void)j; \
            both_int; \
        } else { \
            if (!js_arith_to_float64(a, &x) || !js_arith_to_float64(b, &y)) \
                STOP; \
            sp[-2] = (both_number); \
        } \
        sp--; \
        NEXT; \
    } while (0)
#define ON_INTS(result) do { \
        if (unlikely(!JS_VALUE_IS_BOTH_INT(sp[-2], sp[-1]))) \
            STOP; \
        int32_t i = JS_VALUE_GET_INT(sp[-2]), j = JS_VALUE_GET_INT(sp[-1]); \
        sp[-2] = (result); \
        sp--; \
        NEXT; \
    } while (0)
#define COMPARE(operator) BINARY(sp[-2] = js_bool(i operator j), js_bool(x operator y))
#define JUMP_IF(wanted, bytes, offset) do { \
        if ((uint32_t)JS_VALUE_GET_TAG(sp[-1]) > JS_TAG_UNDEFINED) \
            STOP; \
        bool truth = JS_VALUE_GET_INT(sp[-1]) != 0; \
        sp--; \
        pc += truth == (wanted) ? (offset) : (bytes); \
        NEXT; \
    } while (0)
#define STEP(place, limit, change, then) do { \
        JSValueConst old = (place); \
        if (JS_VALUE_GET_TAG(old) != JS_TAG_INT || JS_VALUE_GET_INT(old) == (limit)) \
            STOP; \
        then = js_int32(JS_VALUE_GET_INT(old) + (change)); \
    } while (0)

static inline JSValue hot_sum(int64_t sum)
{
    return (int32_t)sum == sum ? js_int32((int32_t)sum) : js_float64((double)sum);
}

static inline JSValue hot_product(int64_t a, int64_t b)
{
    int64_t product = a * b;
    if ((int32_t)product != product)
        return js_float64((double)product);
    return product == 0 && (a | b) < 0 ? js_float64(-0.0) : js_int32((int32_t)product);
}

static inline bool hot_is_simple(JSValueConst value)
{
    uint32_t tag = JS_VALUE_GET_TAG(value);
    return tag <= JS_TAG_UNDEFINED || JS_TAG_IS_FLOAT64(tag);
}

/* Are two values the same by ===? -1: that takes more than a look at the bits. */
static inline int hot_same(JSValueConst a, JSValueConst b)
{
    double x, y;
    if (js_arith_to_float64(a, &x) && js_arith_to_float64(b, &y))
        return x == y;
    if (hot_is_simple(a) && hot_is_simple(b))
        return JS_VALUE_GET_TAG(a) == JS_VALUE_GET_TAG(b) && JS_VALUE_GET_INT(a) == JS_VALUE_GET_INT(b);
    if (hot_is_simple(a) || hot_is_simple(b))
        return 0;
    if (JS_VALUE_GET_TAG(a) == JS_TAG_OBJECT && JS_VALUE_GET_TAG(b) == JS_TAG_OBJECT)
        return JS_VALUE_GET_PTR(a) == JS_VALUE_GET_PTR(b);
    return -1;
}

/* Runs from `pc` and `sp` on; where it stopped comes back, sp in the upper half. */
static no_inline uint64_t hot_run(const uint8_t *pc, JSValue *sp, JSValue *locals, JSValue *arguments, JSVarRef **captured,
                                  JSValue *constants)
{
    const uint8_t *start;
    for (;;) {
        start = pc;
        switch (*pc++) {
        case OP_push_i32: pc += 4; PUSH(js_int32(get_u32(pc - 4)));
        case OP_push_const: pc += 4; GET(constants[get_u32(pc - 4)]);
        case OP_push_const8: pc++; GET(constants[pc[-1]]);
        case OP_push_minus1: PUSH(js_int32(-1));
        case OP_push_0: PUSH(js_int32(0));
        case OP_push_1: PUSH(js_int32(1));
        case OP_push_2: PUSH(js_int32(2));
        case OP_push_3: PUSH(js_int32(3));
        case OP_push_4: PUSH(js_int32(4));
        case OP_push_5: PUSH(js_int32(5));
        case OP_push_6: PUSH(js_int32(6));
        case OP_push_7: PUSH(js_int32(7));
        case OP_push_i8: pc += 1; PUSH(js_int32((int8_t)pc[-1]));
        case OP_push_i16: pc += 2; PUSH(js_int32((int16_t)get_u16(pc - 2)));
        case OP_undefined: PUSH(JS_UNDEFINED);
        case OP_null: PUSH(JS_NULL);
        case OP_push_false: PUSH(JS_FALSE);
        case OP_push_true: PUSH(JS_TRUE);

        case OP_drop:
            if (!hot_can_drop(sp[-1]))
                STOP;
            hot_drop(*--sp);
            NEXT;
        case OP_nip: STORE(&sp[-2], sp[-1], sp--);
        case OP_dup: GET(sp[-1]);
        case OP_dup1: sp[0] = sp[-1]; sp[-1] = js_dup(sp[-2]); sp++; NEXT;
        case OP_dup2: sp[0] = js_dup(sp[-2]); sp[1] = js_dup(sp[-1]); sp += 2; NEXT;
        case OP_insert2: sp[0] = sp[-1]; sp[-1] = sp[-2]; sp[-2] = js_dup(sp[0]); sp++; NEXT;
        case OP_insert3: sp[0] = sp[-1]; sp[-1] = sp[-2]; sp[-2] = sp[-3]; sp[-3] = js_dup(sp[0]); sp++; NEXT;
        case OP_perm3: { JSValue b = sp[-2]; sp[-2] = sp[-3]; sp[-3] = b; NEXT; }
        case OP_swap: { JSValue b = sp[-2]; sp[-2] = sp[-1]; sp[-1] = b; NEXT; }
        case OP_rot3l: { JSValue b = sp[-3]; sp[-3] = sp[-2]; sp[-2] = sp[-1]; sp[-1] = b; NEXT; }

        case OP_get_loc: pc += 2; GET(locals[get_u16(pc - 2)]);
        case OP_put_loc: PUT(locals[get_u16(pc)], 2);
        case OP_set_loc: SET(locals[get_u16(pc)], 2);
        case OP_get_loc8: pc++; GET(locals[pc[-1]]);
        case OP_put_loc8: PUT(locals[*pc], 1);
        case OP_set_loc8: SET(locals[*pc], 1);
        case OP_get_arg: pc += 2; GET(arguments[get_u16(pc - 2)]);
        case OP_put_arg: PUT(arguments[get_u16(pc)], 2);
        case OP_set_arg: SET(arguments[get_u16(pc)], 2);
        case OP_get_var_ref: pc += 2; GET(CAPTURED(get_u16(pc - 2)));
        case OP_put_var_ref: PUT(CAPTURED(get_u16(pc)), 2);
        case OP_set_var_ref: SET(CAPTURED(get_u16(pc)), 2);
        case OP_get_loc0_loc1: sp[0] = js_dup(locals[0]); sp[1] = js_dup(locals[1]); sp += 2; NEXT;
        FOUR(loc, LOCAL)
        FOUR(arg, ARGUMENT)
        FOUR(var_ref, CAPTURED)
        case OP_set_loc_uninitialized: STORE(&locals[get_u16(pc)], JS_UNINITIALIZED, pc += 2);
        case OP_get_loc_check:
            if (JS_IsUninitialized(locals[get_u16(pc)]))
                STOP;
            pc += 2;
            GET(locals[get_u16(pc - 2)]);
        case OP_put_loc_check:
            if (JS_IsUninitialized(locals[get_u16(pc)]))
                STOP;
            PUT(locals[get_u16(pc)], 2);
        case OP_get_var_ref_check:
            if (JS_IsUninitialized(CAPTURED(get_u16(pc))))
                STOP;
            pc += 2;
            GET(CAPTURED(get_u16(pc - 2)));
        case OP_put_var_ref_check:
            if (JS_IsUninitialized(CAPTURED(get_u16(pc))))
                STOP;
            PUT(CAPTURED(get_u16(pc)), 2);

        case OP_goto: pc += (int32_t)get_u32(pc); NEXT;
        case OP_goto16: pc += (int16_t)get_u16(pc); NEXT;
        case OP_goto8: pc += (int8_t)*pc; NEXT;
        case OP_if_true: JUMP_IF(true, 4, (int32_t)get_u32(pc));
        case OP_if_false: JUMP_IF(false, 4, (int32_t)get_u32(pc));
        case OP_if_true8: JUMP_IF(true, 1, (int8_t)*pc);
        case OP_if_false8: JUMP_IF(false, 1, (int8_t)*pc);

        case OP_add: BINARY(sp[-2] = hot_sum(i + j), js_float64(x + y));
        case OP_sub: BINARY(sp[-2] = hot_sum(i - j), js_float64(x - y));
        case OP_mul: BINARY(sp[-2] = hot_product(i, j), js_float64(x * y));
        case OP_div: BINARY(sp[-2] = js_number((double)i / (double)j), js_number(x / y));
        case OP_mod:
            if (!JS_VALUE_IS_BOTH_INT(sp[-2], sp[-1]) || JS_VALUE_GET_INT(sp[-2]) < 0 || JS_VALUE_GET_INT(sp[-1]) <= 0)
                STOP;
            ON_INTS(js_int32(i % j));
        case OP_shl: ON_INTS(js_int32((uint32_t)i << (j & 31)));
        case OP_sar: ON_INTS(js_int32(i >> (j & 31)));
        case OP_shr: ON_INTS(js_uint32((uint32_t)i >> (j & 31)));
        case OP_and: ON_INTS(js_int32(i & j));
        case OP_or: ON_INTS(js_int32(i | j));
        case OP_xor: ON_INTS(js_int32(i ^ j));
        case OP_lt: COMPARE(<);
        case OP_lte: COMPARE(<=);
        case OP_gt: COMPARE(>);
        case OP_gte: COMPARE(>=);
        case OP_eq: COMPARE(==);
        case OP_neq: COMPARE(!=);
        case OP_strict_eq:
        case OP_strict_neq: {
            int same = hot_same(sp[-2], sp[-1]);
            if (same < 0 || !hot_can_drop_both(sp[-2], sp[-1]))
                STOP;
            hot_drop(sp[-2]);
            hot_drop(sp[-1]);
            sp--;
            sp[-1] = js_bool(same == (start[0] == OP_strict_eq));
            NEXT;
        }
        case OP_inc: STEP(sp[-1], INT32_MAX, 1, sp[-1]); NEXT;
        case OP_dec: STEP(sp[-1], INT32_MIN, -1, sp[-1]); NEXT;
        case OP_post_inc: STEP(sp[-1], INT32_MAX, 1, sp[0]); sp++; NEXT;
        case OP_post_dec: STEP(sp[-1], INT32_MIN, -1, sp[0]); sp++; NEXT;
        case OP_inc_loc: STEP(locals[*pc], INT32_MAX, 1, locals[*pc]); pc++; NEXT;
        case OP_dec_loc: STEP(locals[*pc], INT32_MIN, -1, locals[*pc]); pc++; NEXT;
        case OP_add_loc: {
            JSValue *local = &locals[*pc];
            if (!JS_VALUE_IS_BOTH_INT(*local, sp[-1]))
                STOP;
            *local = hot_sum((int64_t)JS_VALUE_GET_INT(*local) + JS_VALUE_GET_INT(sp[-1]));
            sp--;
            pc++;
            NEXT;
        }
        case OP_plus:
            if (JS_VALUE_GET_TAG(sp[-1]) != JS_TAG_INT && !JS_TAG_IS_FLOAT64(JS_VALUE_GET_TAG(sp[-1])))
                STOP;
            NEXT;
        case OP_neg:
            if (JS_VALUE_GET_TAG(sp[-1]) != JS_TAG_INT || JS_VALUE_GET_INT(sp[-1]) == 0 || JS_VALUE_GET_INT(sp[-1]) == INT32_MIN)
                STOP;
            sp[-1] = js_int32(-JS_VALUE_GET_INT(sp[-1]));
            NEXT;
        case OP_not:
            if (JS_VALUE_GET_TAG(sp[-1]) != JS_TAG_INT)
                STOP;
            sp[-1] = js_int32(~JS_VALUE_GET_INT(sp[-1]));
            NEXT;
        case OP_lnot:
            if ((uint32_t)JS_VALUE_GET_TAG(sp[-1]) > JS_TAG_UNDEFINED)
                STOP;
            sp[-1] = js_bool(JS_VALUE_GET_INT(sp[-1]) == 0);
            NEXT;
        case OP_is_undefined_or_null:
        case OP_is_undefined:
        case OP_is_null: {
            uint32_t tag = JS_VALUE_GET_TAG(sp[-1]);
            bool truth = (tag == JS_TAG_UNDEFINED && start[0] != OP_is_null) || (tag == JS_TAG_NULL && start[0] != OP_is_undefined);
            STORE(&sp[-1], js_bool(truth), (void)0);
        }

        case OP_get_field:
        case OP_get_length: {
            bool is_length = start[0] == OP_get_length;
            JSValue *value = hot_property(sp[-1], is_length ? JS_ATOM_length : get_u32(pc));
            if (!value || !hot_can_drop(sp[-1]))
                STOP;
            JSValue got = js_dup(*value);
            hot_drop(sp[-1]);
            sp[-1] = got;
            pc += is_length ? 0 : 4;
            NEXT;
        }
        case OP_get_field2: {
            JSValue *value = hot_property(sp[-1], get_u32(pc));
            if (!value)
                STOP;
            pc += 4;
            GET(*value);
        }
        case OP_put_field: {
            JSValue *value = hot_own_writable(sp[-2], get_u32(pc));
            if (!value || !hot_can_drop_both(*value, sp[-2]))
                STOP;
            hot_drop(sp[-2]);
            STORE(value, sp[-1], (sp -= 2, pc += 4));
        }
        case OP_get_array_el: {
            JSValue *value = hot_element(sp[-2], sp[-1]);
            if (!value || !hot_can_drop(sp[-2]))
                STOP;
            JSValue got = js_dup(*value);
            hot_drop(sp[-2]);
            sp--;
            sp[-1] = got;
            NEXT;
        }
        case OP_get_array_el2: {
            JSValue *value = hot_element(sp[-2], sp[-1]);
            if (!value)
                STOP;
            sp[-1] = js_dup(*value);
            NEXT;
        }
        case OP_put_array_el: {
            JSValue *value = hot_element(sp[-3], sp[-2]);
            if (!value || !hot_can_drop_both(*value, sp[-3]))
                STOP;
            hot_drop(sp[-3]);
            STORE(value, sp[-1], sp -= 3);
        }
        default:
            STOP;
        }
    next:;
    }
stop:
    return (uint64_t)(uintptr_t)sp << 32 | (uintptr_t)start;
}

#undef STOP
#undef NEXT
#undef PUSH
#undef STORE
#undef GET
#undef PUT
#undef SET
#undef FOUR
#undef LOCAL
#undef ARGUMENT
#undef CAPTURED
#undef BINARY
#undef ON_INTS
#undef COMPARE
#undef JUMP_IF
#undef STEP
