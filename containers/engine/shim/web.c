/* What URL and Headers look at letter by letter, for the prelude: an interpreter takes ten times as long. */
#include "shim.h"

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_small(char c)
{
    return c >= 'a' && c <= 'z';
}

static bool is_capital(char c)
{
    return c >= 'A' && c <= 'Z';
}

static bool is_of_host(char c)
{
    return is_small(c) || is_digit(c) || c == '.' || c == '-';
}

/* What url.js leaves as it is in a path, and in a query of http; a backslash is a slash there. */
static bool is_of_path(char c)
{
    return is_small(c) || (c >= '$' && c <= ';') || (c >= '@' && c <= '[') || c == '!' || c == '=' || c == ']' || c == '_' || c == '|' || c == '~';
}

static bool is_of_query(char c)
{
    return (c >= '?' && c <= '~') || (c >= '(' && c <= ';') || (c >= '$' && c <= '&') || c == '!' || c == '=';
}

static const char *past(const char *at, const char *end, bool (*is_one)(char))
{
    while (at < end && is_one(*at))
        at++;
    return at;
}

/* Four numbers below 256, none of them with a zero before it. */
static bool is_ipv4(const char *at, const char *end)
{
    for (int part = 0; part < 4; part++) {
        const char *begin = at;
        int number = 0;
        while (at < end && is_digit(*at) && at - begin < 3)
            number = number * 10 + *at++ - '0';
        if (at == begin || number > 255 || (*begin == '0' && at - begin > 1))
            return false;
        if (part < 3 && (at == end || *at++ != '.'))
            return false;
    }
    return at == end;
}

/* A host whose last part begins with a digit may be a number in one of many forms. */
static bool is_plain_host(const char *at, const char *end)
{
    const char *last = end > at && end[-1] == '.' ? end - 1 : end;
    while (last > at && last[-1] != '.')
        last--;
    return at < end && (last == end || !is_digit(*last) || is_ipv4(at, end));
}

/* A path without parts that mean its owner or the whole: ".", "..", and dots in percents. */
static bool is_plain_path(const char *at, const char *end)
{
    for (; at < end; at++) {
        if (*at == '%' && end - at > 2 && at[1] == '2' && (at[2] | 32) == 'e')
            return false;
        if (*at != '/' || at + 1 == end || at[1] != '.')
            continue;
        const char *behind = at + (at + 2 < end && at[2] == '.' ? 3 : 2);
        if (behind == end || *behind == '/')
            return false;
    }
    return true;
}

static bool read_port(const char **at, const char *end, uint32_t usual)
{
    const char *begin = *at;
    uint32_t port = 0;
    while (*at < end && is_digit(**at) && *at - begin < 5)
        port = port * 10 + (uint32_t)(*(*at)++ - '0');
    return *at > begin && *begin != '0' && port <= 65535 && port != usual;
}

/* Where the host of an address begins and ends, and its path; false if parsing would change anything in it, or it has a user, a fragment,
 * or another scheme than those of HTTP. */
static bool split_url(const char *text, const char *end, uint32_t places[4])
{
    const char *at = text + 4;
    if (end - text < 8 || memcmp(text, "http", 4))
        return false;
    bool secure = *at == 's';
    at += secure;
    if (memcmp(at, "://", 3))
        return false;
    const char *host = at + 3;
    at = past(host, end, is_of_host);
    if (!is_plain_host(host, at))
        return false;
    places[0] = (uint32_t)(host - text);
    places[1] = (uint32_t)(at - text);
    if (at < end && *at == ':' && (at++, !read_port(&at, end, secure ? 443 : 80)))
        return false;
    const char *path = at;
    at = past(path, end, is_of_path);
    if (at == path || *path != '/' || !is_plain_path(path, at))
        return false;
    places[2] = (uint32_t)(path - text);
    places[3] = (uint32_t)(at - text);
    return at == end || (*at == '?' && past(at + 1, end, is_of_query) == end);
}

/* plainUrl(text): [text, begin of the host, its end, begin of the path, its end] of most addresses; null if it has to be parsed */
static JSValue native_plain_url(JSContext *context, JSValueConst this, int count, JSValueConst *arguments)
{
    (void)this, (void)count;
    size_t length;
    uint32_t places[4];
    const char *text = JS_ToCStringLen(context, &length, arguments[0]);
    if (!text)
        return JS_EXCEPTION;
    bool is_plain = split_url(text, text + length, places);
    JS_FreeCString(context, text);
    if (!is_plain)
        return JS_NULL;
    JSValue list[5] = {JS_DupValue(context, arguments[0])};
    for (int i = 0; i < 4; i++)
        list[i + 1] = JS_NewUint32(context, places[i]);
    return JS_NewArrayFrom(context, 5, list);
}

static bool is_of_name(char c)
{
    return is_small(c) || is_capital(c) || is_digit(c) || (c && strchr("!#$%&'*+-.^_`|~", c));
}

/* headerName(text): in small letters; undefined if it is no name of a header */
static JSValue native_header_name(JSContext *context, JSValueConst this, int count, JSValueConst *arguments)
{
    (void)this, (void)count;
    size_t length;
    const char *text = JS_ToCStringLen(context, &length, arguments[0]);
    if (!text)
        return JS_EXCEPTION;
    JSValue name = JS_UNDEFINED;
    bool has_capital = false;
    for (size_t i = 0; i < length; i++)
        has_capital |= is_capital(text[i]);
    if (length && past(text, text + length, is_of_name) == text + length) {
        char *small = has_capital ? js_malloc(context, length) : NULL;
        for (size_t i = 0; small && i < length; i++)
            small[i] = is_capital(text[i]) ? text[i] + 32 : text[i];
        name = !has_capital ? JS_DupValue(context, arguments[0]) : small ? JS_NewStringLen(context, small, length) : JS_EXCEPTION;
        js_free(context, small);
    }
    JS_FreeCString(context, text);
    return name;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* headerValue(text): without blanks around it; undefined if it has letters that no header carries: those beyond U+00FF, in UTF-8 from
 * C4 on, zeros, and line breaks */
static JSValue native_header_value(JSContext *context, JSValueConst this, int count, JSValueConst *arguments)
{
    (void)this, (void)count;
    size_t length;
    const char *text = JS_ToCStringLen(context, &length, arguments[0]);
    if (!text)
        return JS_EXCEPTION;
    const char *at = past(text, text + length, is_blank), *end = text + length;
    while (end > at && is_blank(end[-1]))
        end--;
    bool fits = true;
    for (const char *letter = at; letter < end; letter++)
        fits &= *letter && *letter != '\n' && *letter != '\r' && (uint8_t)*letter < 0xc4;
    JSValue value = !fits                          ? JS_UNDEFINED
                    : (size_t)(end - at) == length ? JS_DupValue(context, arguments[0])
                                                   : JS_NewStringLen(context, at, end - at);
    JS_FreeCString(context, text);
    return value;
}

static const JSCFunctionListEntry WEB[] = {
    JS_CFUNC_DEF("plainUrl", 1, native_plain_url),
    JS_CFUNC_DEF("headerName", 1, native_header_name),
    JS_CFUNC_DEF("headerValue", 1, native_header_value),
};

int web_natives(JSContext *context, JSValueConst natives)
{
    return JS_SetPropertyFunctionList(context, natives, WEB, sizeof(WEB) / sizeof(WEB[0]));
}
