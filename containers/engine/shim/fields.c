/* The input of a turn: a map whose fields are found by name, and what is said when it is malformed. */
#include "shim.h"

static bool wrong_input;

JSValue throw_input(JSContext *context, const char *what)
{
    wrong_input = true;
    return JS_ThrowTypeError(context, "%s", what);
}

bool input_was_wrong(void)
{
    return wrong_input;
}

static bool read_field(Reader *input, Field *field)
{
    field->found = true;
    switch (field->type) {
    case FIELD_TEXT:
        return read_text(input, field->target);
    case FIELD_BYTES:
        return read_bytes(input, field->target);
    case FIELD_UINT:
        return read_uint(input, field->target);
    case FIELD_RAW:
        *(Reader *)field->target = *input;
        return read_skip(input);
    default:
        return read_null(input) || read_text(input, field->target);
    }
}

bool read_fields(JSContext *context, Reader *input, Field *fields, int count, int required)
{
    uint32_t entries;
    bool good = read_map(input, &entries);
    for (; good && entries > 0; entries--) {
        Text key;
        int i = 0;
        if (!(good = read_text(input, &key)))
            break;
        while (i < count && (strlen(fields[i].name) != key.length || memcmp(fields[i].name, key.bytes, key.length)))
            i++;
        good = i < count ? read_field(input, &fields[i]) : read_skip(input);
    }
    for (int i = 0; good && i < required; i++)
        good = fields[i].found;
    if (!good)
        throw_input(context, "the input of this turn is malformed");
    return good;
}
