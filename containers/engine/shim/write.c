/* JS values to dag-cbor: the bytes, what is no object, and the entry. Part of engine.c, after inside.c.
 *
 * Invariants:
 * 1. Writing runs no JS code: accessors, proxies and holes are refused. The one exception is a class that says what stands for its
 *    objects (Symbol.for("everturn.stand-in")), as those of everturn:data do; meanwhile nothing else can be written. So one output
 *    buffer is enough.
 * 2. The bytes are canonical: shortest heads, map keys by length, then by bytes; floats always in 64 bits, -0 as 0.
 * 3. What cannot be carried is a TypeError that names the path to it.
 */

enum { OUTPUT_BYTES = 16 * 1024, PATH_BYTES = 256 };
#define NOWHERE UINT32_MAX

typedef struct Step {
    JSObject *object;
    JSAtom key;       /* where the walk is in it: a key, or JS_ATOM_NULL and an index */
    uint32_t index;   /* NOWHERE: in what stands for the object */
} Step;

typedef struct Writer {
    JSContext *context;
    const char *root;
    uint8_t *bytes;
    size_t length, capacity;
    int depth;
    Step steps[DATA_DEPTH_MAX];
} Writer;

static uint8_t output[OUTPUT_BYTES];
static uint8_t *output_large;    /* when `output` does not suffice */
static JSAtom atom_stand_in;
static bool standing_in;         /* code runs that says what stands for an object */

static bool write_object(Writer *writer, JSValueConst value); /* write_nested.c */

static bool grow(Writer *writer, size_t bytes)
{
    size_t capacity = writer->capacity * 2 > writer->length + bytes ? writer->capacity * 2 : writer->length + bytes;
    uint8_t *larger = js_realloc(writer->context, output_large, capacity);
    if (!larger)
        return false;
    if (!output_large)
        memcpy(larger, writer->bytes, writer->length);
    output_large = writer->bytes = larger;
    writer->capacity = capacity;
    return true;
}

static inline uint8_t *room(Writer *writer, size_t bytes)
{
    if (unlikely(writer->length + bytes > writer->capacity) && !grow(writer, bytes))
        return NULL;
    uint8_t *at = writer->bytes + writer->length;
    writer->length += bytes;
    return at;
}

static bool write_head(Writer *writer, uint8_t major, uint64_t argument)
{
    int bytes = argument < 24 ? 0 : argument <= 0xff ? 1 : argument <= 0xffff ? 2 : argument <= 0xffffffff ? 4 : 8;
    uint8_t *at = room(writer, 1 + bytes);
    if (!at)
        return false;
    *at++ = major << 5 | (bytes == 0 ? (uint8_t)argument : bytes == 1 ? 24 : bytes == 2 ? 25 : bytes == 4 ? 26 : 27);
    for (int shift = 8 * bytes - 8; shift >= 0; shift -= 8)
        *at++ = (uint8_t)(argument >> shift);
    return true;
}

static bool write_blob(Writer *writer, uint8_t major, const void *bytes, size_t length)
{
    if (!write_head(writer, major, length))
        return false;
    uint8_t *at = room(writer, length);
    if (at && length)
        memcpy(at, bytes, length);
    return at != NULL;
}

static bool write_byte(Writer *writer, uint8_t byte)
{
    uint8_t *at = room(writer, 1);
    if (at)
        *at = byte;
    return at != NULL;
}

/* `data.a[3].b`, cut where it gets too long. */
static void path_of(Writer *writer, char path[PATH_BYTES])
{
    size_t used = snprintf(path, PATH_BYTES, "%s", writer->root);
    for (int i = 0; i < writer->depth && used < PATH_BYTES - 40; i++) {
        Step *step = &writer->steps[i];
        const char *key = step->key == JS_ATOM_NULL ? NULL : JS_AtomToCString(writer->context, step->key);
        if (key)
            used += snprintf(path + used, PATH_BYTES - used, ".%.200s", key);
        else if (step->index != NOWHERE)
            used += snprintf(path + used, PATH_BYTES - used, "[%u]", step->index);
        JS_FreeCString(writer->context, key);
    }
    if (used >= PATH_BYTES)
        memcpy(path + PATH_BYTES - 4, "...", 4);
}

static bool refuse(Writer *writer, const char *what)
{
    char path[PATH_BYTES];
    path_of(writer, path);
    JS_ThrowTypeError(writer->context, "%s is %s, which messages cannot carry", path, what);
    return false;
}

static bool write_integer(Writer *writer, int64_t value)
{
    return value < 0 ? write_head(writer, 1, ~(uint64_t)value) : write_head(writer, 0, (uint64_t)value);
}

static bool write_number(Writer *writer, double value)
{
    if (isnan(value))
        return refuse(writer, "NaN");
    if (isinf(value))
        return refuse(writer, value < 0 ? "-Infinity" : "Infinity");
    if (value == trunc(value) && fabs(value) <= 9007199254740991.0)
        return write_integer(writer, (int64_t)value);
    uint8_t *at = room(writer, 9);
    uint64_t bits = float64_as_uint64(value);
    if (!at)
        return false;
    *at++ = 0xfb;
    for (int shift = 56; shift >= 0; shift -= 8)
        *at++ = (uint8_t)(bits >> shift);
    return true;
}

static bool write_bigint(Writer *writer, JSValueConst value)
{
    const JSBigInt *number = JS_VALUE_GET_PTR(value);
    uint32_t count = number->len;
    bool negative = (int32_t)number->tab[count - 1] < 0;
    uint64_t low = number->tab[0];
    low |= (uint64_t)(count > 1 ? number->tab[1] : negative ? UINT32_MAX : 0) << 32;
    if (count > 3 || (count == 3 && number->tab[2] != (negative ? UINT32_MAX : 0)))
        return refuse(writer, "a BigInt of more than 64 bits");
    return write_head(writer, negative ? 1 : 0, negative ? ~low : low);
}

/* UTF-8 of QuickJS's may hold surrogates: ED A0..BF xx. */
static bool has_lone_surrogate(const uint8_t *text, size_t length)
{
    for (size_t i = 0; i + 1 < length; i++)
        if (text[i] == 0xed && text[i + 1] >= 0xa0)
            return true;
    return false;
}

/* The bytes of an 8-bit string if it is plain ASCII, which is UTF-8 as it lies. */
static const uint8_t *ascii_of(JSString *string)
{
    const uint8_t *text;
    uint32_t i = 0;
    if (string->is_wide_char)
        return NULL;
    text = str8(string);
    for (; i + 8 <= string->len; i += 8) {
        uint64_t eight;
        memcpy(&eight, text + i, 8);
        if (eight & 0x8080808080808080)
            return NULL;
    }
    for (; i < string->len; i++)
        if (text[i] & 0x80)
            return NULL;
    return text;
}

static bool write_string(Writer *writer, JSValueConst value)
{
    if (JS_VALUE_GET_TAG(value) == JS_TAG_STRING) {
        const uint8_t *ascii = ascii_of(JS_VALUE_GET_STRING(value));
        if (ascii)
            return write_blob(writer, 3, ascii, JS_VALUE_GET_STRING(value)->len);
    }
    size_t length;
    const char *text = JS_ToCStringLen(writer->context, &length, value);
    if (!text)
        return false;
    bool done = has_lone_surrogate((const uint8_t *)text, length) ? refuse(writer, "text with half a surrogate pair")
                                                                  : write_blob(writer, 3, text, length);
    JS_FreeCString(writer->context, text);
    return done;
}

static bool write_any(Writer *writer, JSValueConst value)
{
    switch (JS_VALUE_GET_NORM_TAG(value)) {
    case JS_TAG_INT:
        return write_integer(writer, JS_VALUE_GET_INT(value));
    case JS_TAG_FLOAT64:
        return write_number(writer, JS_VALUE_GET_FLOAT64(value));
    case JS_TAG_STRING:
    case JS_TAG_STRING_ROPE:
        return write_string(writer, value);
    case JS_TAG_OBJECT:
        return write_object(writer, value);
    case JS_TAG_BOOL:
        return write_byte(writer, JS_VALUE_GET_BOOL(value) ? 0xf5 : 0xf4);
    case JS_TAG_NULL:
    case JS_TAG_UNDEFINED:
        return write_byte(writer, 0xf6);
    case JS_TAG_SHORT_BIG_INT:
        return write_integer(writer, JS_VALUE_GET_SHORT_BIG_INT(value));
    case JS_TAG_BIG_INT:
        return write_bigint(writer, value);
    case JS_TAG_SYMBOL:
        return refuse(writer, "a symbol");
    default:
        return refuse(writer, "of an unknown kind");
    }
}

bool write_value(JSContext *context, JSValueConst value, const char *root, Encoded *encoded)
{
    Writer writer;
    if (standing_in) {
        JS_ThrowTypeError(context, "nothing can be sent while it is asked what stands for an object in a message");
        return false;
    }
    writer.context = context;
    writer.root = root;
    writer.bytes = output;
    writer.length = 0;
    writer.capacity = OUTPUT_BYTES;
    writer.depth = 0;
    if (!write_any(&writer, value)) {
        write_done(context);
        return false;
    }
    *encoded = (Encoded){writer.bytes, (uint32_t)writer.length};
    return true;
}

int write_init(JSContext *context)
{
    JSValue symbol = JS_NewSymbol(context, "everturn.stand-in", true);
    atom_stand_in = JS_IsException(symbol) ? JS_ATOM_NULL : JS_ValueToAtom(context, symbol);
    JS_FreeValue(context, symbol);
    standing_in = false;
    return atom_stand_in == JS_ATOM_NULL ? -1 : 0;
}

/* The report of an exception. It is written when memory may be out: then the texts are left out. */
bool write_error(const char *kind, Text name, Text text, Text stack, Encoded *encoded)
{
    Writer writer = {.context = engine.context, .bytes = output, .capacity = OUTPUT_BYTES};
    bool done = write_head(&writer, 5, 4) && write_blob(&writer, 3, "kind", 4) && write_blob(&writer, 3, kind, strlen(kind)) &&
                write_blob(&writer, 3, "name", 4) && write_blob(&writer, 3, name.bytes, name.length) &&
                write_blob(&writer, 3, "text", 4) && write_blob(&writer, 3, text.bytes, text.length) &&
                write_blob(&writer, 3, "stack", 5) && write_blob(&writer, 3, stack.bytes, stack.length);
    *encoded = (Encoded){writer.bytes, (uint32_t)writer.length};
    return done;
}

void write_done(JSContext *context)
{
    js_free(context, output_large);
    output_large = NULL;
}
