/* `import` at the beginning of a line of the shell. Part of engine.c, before inside.c.
 *
 * A line is a script, which has no imports; so each becomes a declaration whose names live on as those of any line do:
 *     import d, { a, b as c } from "m"   is   const { default: d, a, b: c } = (...)(await import("m"))
 * The line is read by QuickJS's own lexer, so comments and strings are what they are. Names are what the module's were at that time.
 */

static enum source_end how_it_ended(JSContext *context, const JSParseState *parser); /* inside.c */

typedef struct Slice {
    const uint8_t *at;
    size_t length;
} Slice;

/* Fails with a SyntaxError if one of the names is no export. */
static const char IMPORTED[] =
    "((module, names) => { for (const name of names) if (!(name in module)) throw new SyntaxError(`there is no export "
    "'${name}' there: there are ${Object.keys(module).join(\", \")}`); return module; })(";

static void put(DynBuf *text, const char *string)
{
    dbuf_put(text, string, strlen(string));
}

/* The token that the parser is at, as it stands in the source, and on to the next. */
static int take_token(JSParseState *parser, Slice *slice)
{
    *slice = (Slice){parser->token.ptr, parser->buf_ptr - parser->token.ptr};
    return next_token(parser);
}

static int take_name(JSParseState *parser, Slice *slice)
{
    if (parser->token.val != TOK_IDENT)
        return js_parse_error(parser, "a name is expected after import");
    return take_token(parser, slice);
}

static void put_name(DynBuf *names, DynBuf *pattern, Slice exported, Slice local)
{
    bool is_text = *exported.at == '"' || *exported.at == '\'';
    put(names, is_text ? "" : "\"");
    dbuf_put(names, exported.at, exported.length);
    put(names, is_text ? "," : "\",");
    dbuf_put(pattern, exported.at, exported.length);
    put(pattern, ": ");
    dbuf_put(pattern, local.at, local.length);
    put(pattern, ", ");
}

static int parse_names(JSParseState *parser, DynBuf *names, DynBuf *pattern)
{
    while (parser->token.val != '}') {
        Slice exported, local;
        if (!token_is_ident(parser->token.val) && parser->token.val != TOK_STRING)
            return js_parse_error(parser, "names are expected between the braces after import");
        if (take_token(parser, &exported))
            return -1;
        local = exported;
        if (token_is_pseudo_keyword(parser, JS_ATOM_as) && (next_token(parser) || take_name(parser, &local)))
            return -1;
        put_name(names, pattern, exported, local);
        if (parser->token.val != ',')
            break;
        if (next_token(parser))
            return -1;
    }
    return js_parse_expect(parser, '}');
}

/* From behind `import` to the end of its statement. */
static int parse_import(JSParseState *parser, DynBuf *text, DynBuf *names, DynBuf *pattern)
{
    static const Slice AS_DEFAULT = {(const uint8_t *)"default", 7};
    Slice whole = {NULL, 0}, module;
    bool is_bare = parser->token.val == TOK_STRING;
    if (parser->token.val == TOK_IDENT) {
        Slice local;
        if (take_name(parser, &local))
            return -1;
        put_name(names, pattern, AS_DEFAULT, local);
        if (parser->token.val == ',' && next_token(parser))
            return -1;
    }
    if (parser->token.val == '*') {
        if (next_token(parser))
            return -1;
        if (!token_is_pseudo_keyword(parser, JS_ATOM_as))
            return js_parse_error(parser, "'as' and a name are expected after import *");
        if (next_token(parser) || take_name(parser, &whole))
            return -1;
    } else if (parser->token.val == '{' && (next_token(parser) || parse_names(parser, names, pattern))) {
        return -1;
    }
    if (!is_bare) {
        if (!token_is_pseudo_keyword(parser, JS_ATOM_from))
            return js_parse_error(parser, "'from' and the name of a module are expected after import");
        if (next_token(parser))
            return -1;
    }
    if (parser->token.val != TOK_STRING)
        return js_parse_error(parser, "the name of a module is expected, in quotes");
    if (take_token(parser, &module) || js_parse_expect_semi(parser))
        return -1;
    if (!is_bare) {
        put(text, "const {");
        dbuf_put(text, pattern->buf, pattern->size);
        put(text, "} = ");
        put(text, IMPORTED);
    }
    put(text, "await import(");
    dbuf_put(text, module.at, module.length);
    put(text, ")");
    if (!is_bare) {
        put(text, ", [");
        dbuf_put(text, names->buf, names->size);
        put(text, "])");
    }
    if (whole.at) {
        put(text, ", ");
        dbuf_put(text, whole.at, whole.length);
        put(text, " = await import(");
        dbuf_put(text, module.at, module.length);
        put(text, ")");
    }
    put(text, "; ");
    return 0;
}

/* `*begun`: there was an import, so what is wrong is wrong with that. */
static int parse_imports(JSParseState *parser, DynBuf *text, bool *begun)
{
    JSContext *context = parser->ctx;
    if (next_token(parser))
        return -1;
    while (parser->token.val == TOK_IMPORT) {
        const uint8_t *begin = parser->token.ptr;
        DynBuf names, pattern;
        if (next_token(parser))
            return -1;
        if (parser->token.val == '(' || parser->token.val == '.') {
            parser->token.ptr = begin; /* an expression, and what follows with it */
            break;
        }
        *begun = true;
        js_dbuf_init(context, &names);
        js_dbuf_init(context, &pattern);
        int failed = parse_import(parser, text, &names, &pattern);
        dbuf_free(&names);
        dbuf_free(&pattern);
        if (failed)
            return -1;
    }
    return 0;
}

/* The source with the imports at its beginning as declarations; `text` is empty if there are none, and is the caller's to free. -1: a
 * syntax error was thrown, and `*end` says whether the source was merely cut short. */
static int imports_rewrite(JSContext *context, const char *source, size_t bytes, const char *file, DynBuf *text, enum source_end *end)
{
    JSParseState parser;
    bool begun = false;
    js_dbuf_init(context, text);
    if (!strstr(source, "import"))
        return 0;
    js_parse_init(context, &parser, source, bytes, file, 1);
    int failed = parse_imports(&parser, text, &begun);
    *end = failed ? how_it_ended(context, &parser) : SOURCE_COMPLETE;
    if (failed && !begun) { /* it is for the whole parser to say what is wrong */
        JS_FreeValue(context, JS_GetException(context));
        failed = 0;
    }
    if (!failed && text->size > 0) {
        dbuf_put(text, parser.token.ptr, parser.buf_end - parser.token.ptr);
        if (dbuf_putc(text, 0)) {
            JS_ThrowOutOfMemory(context);
            failed = -1;
        }
    }
    free_token(&parser, &parser.token);
    return failed;
}
