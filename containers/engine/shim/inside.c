/* What needs QuickJS's internals. Part of engine.c, after quickjs.c. Nothing else of the shim knows how QuickJS works inside,
 * except read.c and write.c, whose speed is that of every message.
 */

/* Called before the program is evaluated, so before any Map of its own exists: the prelude keeps none. */
void inside_seed(JSContext *context, const uint8_t seed[32])
{
    uint64_t state;
    memcpy(&state, seed, sizeof(state));
    context->random_state = state ? state : 1;
    context->hash_seed = (uint32_t)xorshift64star(&context->random_state);
}

_Static_assert(sizeof(JSMallocBlockHeader) == sizeof(Block) && offsetof(JSMallocBlockHeader, block_size_idx) == offsetof(Block, kind) &&
                   offsetof(JSMallocBlockHeader, ref_count) == offsetof(Block, references) &&
                   offsetof(JSMallocBlockHeader, user_data) == offsetof(Block, data),
               "memory.h has QuickJS's head of a block");

JSModuleDef *inside_module(JSValueConst compiled)
{
    return JS_VALUE_GET_PTR(compiled);
}

/* Makes room for a declaration that the shell repeats: QuickJS would refuse a second `let`. */
static int forget_global(JSContext *context, JSAtom name, bool is_lexical)
{
    JSObject *object = JS_VALUE_GET_OBJ(context->global_var_obj);
    JSShapeProperty *property = find_own_property1(object, name);
    JSProperty *slot;
    if (property)
        return delete_property(context, object, name) < 0 ? -1 : 0;
    object = JS_VALUE_GET_OBJ(context->global_obj);
    property = find_own_property(&slot, object, name);
    if (!is_lexical || !property || (property->flags & JS_PROP_CONFIGURABLE) || !(property->flags & JS_PROP_WRITABLE))
        return 0;
    /* a `var` of an earlier line that is now declared by `let`: such properties are made unconfigurable */
    if (js_shape_prepare_update(context, object, &property))
        return -1;
    property->flags |= JS_PROP_CONFIGURABLE;
    return delete_property(context, object, name) < 0 ? -1 : 0;
}

static int forget_globals(JSContext *context, JSFunctionDef *function)
{
    for (int i = 0; i < function->global_var_count; i++) {
        JSGlobalVar *variable = &function->global_vars[i];
        if (forget_global(context, variable->var_name, variable->is_lexical))
            return -1;
    }
    return 0;
}

static bool thrown_message_is(JSContext *context, const char *message)
{
    JSValue error = JS_GetException(context);
    JSValue value = JS_GetProperty(context, error, JS_ATOM_message);
    const char *text = JS_ToCString(context, value);
    bool same = text && !strcmp(text, message);
    JS_FreeCString(context, text);
    JS_FreeValue(context, value);
    JS_Throw(context, error);
    return same;
}

/* After a syntax error: would more lines have helped? */
static enum source_end how_it_ended(JSContext *context, const JSParseState *parser)
{
    const uint8_t *token = parser->token.ptr;
    if (parser->token.val == TOK_EOF || thrown_message_is(context, "unexpected end of comment"))
        return SOURCE_WANTS_MORE;
    /* a template goes on over lines, a string in quotes does not */
    if (token && (*token == '`' || *token == '}') && thrown_message_is(context, "unexpected end of string"))
        return SOURCE_WANTS_MORE;
    return SOURCE_WRONG;
}

static JSFunctionDef *parse(JSContext *context, JSParseState *parser, const char *source, size_t bytes, const char *file,
                            bool is_async, enum source_end *end)
{
    JSFunctionDef *function;
    js_parse_init(context, parser, source, bytes, file, 1);
    skip_shebang(&parser->buf_ptr, parser->buf_end);
    function = js_new_function_def(context, NULL, true, false, file, 1, 1);
    if (!function)
        return NULL;
    parser->cur_func = function;
    function->eval_type = JS_EVAL_TYPE_GLOBAL;
    function->has_this_binding = true;
    function->arguments_allowed = true;
    function->func_name = JS_DupAtom(context, JS_ATOM__eval_);
    if (is_async) {
        function->in_function_body = true;
        function->func_kind = JS_FUNC_ASYNC;
    }
    parser->allow_html_comments = true;
    push_scope(parser);
    function->body_scope = function->scope_level;
    if (js_parse_program(parser)) {
        *end = how_it_ended(context, parser);
        free_token(parser, &parser->token);
        js_free_function_def(context, function);
        return NULL;
    }
    return function;
}

static JSValue compile(JSContext *context, const char *source, size_t bytes, const char *file, int flags, bool *awaits,
                       enum source_end *end)
{
    JSParseState parser;
    JSFunctionDef *function = NULL;
    *awaits = false;
    *end = SOURCE_COMPLETE;
    if ((flags & COMPILE_ASYNC_IF_AWAITS) && strstr(source, "await")) {
        function = parse(context, &parser, source, bytes, file, true, end);
        if (!function)
            return JS_EXCEPTION;
        *awaits = function->has_await;
        if (!*awaits) {
            js_free_function_def(context, function);
            function = NULL;
        }
    }
    if (!function)
        function = parse(context, &parser, source, bytes, file, false, end);
    if (!function)
        return JS_EXCEPTION;
    if ((flags & COMPILE_REDECLARES) && forget_globals(context, function)) {
        js_free_function_def(context, function);
        return JS_EXCEPTION;
    }
    return js_create_function(context, function);
}

/* Compiles a script; `source` is zero terminated. `*awaits`: it must be run as an async function, whose promise holds
 * {value}; such a line may begin with imports. On a syntax error `*end` says whether the source was merely cut short. */
JSValue inside_compile(JSContext *context, const char *source, size_t bytes, const char *file, int flags, bool *awaits,
                       enum source_end *end)
{
    DynBuf text;
    if (!(flags & COMPILE_ASYNC_IF_AWAITS))
        return compile(context, source, bytes, file, flags, awaits, end);
    *awaits = false;
    if (imports_rewrite(context, source, bytes, file, &text, end)) {
        dbuf_free(&text);
        return JS_EXCEPTION;
    }
    JSValue compiled = text.size == 0 ? compile(context, source, bytes, file, flags, awaits, end)
                                      : compile(context, (char *)text.buf, text.size - 1, file, flags, awaits, end);
    dbuf_free(&text);
    return compiled;
}

/* The names that `let`, `const` and `class` declared globally, as an array. */
JSValue inside_lexical_names(JSContext *context)
{
    JSValue names = JS_NewArray(context);
    JSPropertyEnum *table;
    uint32_t count;
    if (JS_IsException(names))
        return names;
    if (JS_GetOwnPropertyNames(context, &table, &count, context->global_var_obj, JS_GPN_STRING_MASK) < 0) {
        JS_FreeValue(context, names);
        return JS_EXCEPTION;
    }
    for (uint32_t i = 0; i < count; i++)
        JS_DefinePropertyValueUint32(context, names, i, JS_AtomToString(context, table[i].atom), JS_PROP_C_W_E);
    JS_FreePropertyEnum(context, table, count);
    return names;
}

/* A global of either kind, declared or a property; undefined if there is none. */
JSValue inside_global(JSContext *context, JSAtom name)
{
    return JS_GetGlobalVar(context, name, false);
}

/* An object with the properties of `model`, in their order, and these values, which it takes. Far cheaper than defining them one by
 * one: the shape is there already. */
JSValue inside_new_like(JSContext *context, JSValueConst model, JSValue *values, int count)
{
    JSShape *shape = JS_VALUE_GET_OBJ(model)->shape;
    JSValue made = JS_NewObjectFromShape(context, js_dup_shape(shape), JS_CLASS_OBJECT, NULL);
    for (int i = 0; i < count; i++) {
        if (JS_IsException(made))
            JS_FreeValue(context, values[i]);
        else
            JS_VALUE_GET_OBJ(made)->prop[i].u.value = values[i];
    }
    return made;
}
