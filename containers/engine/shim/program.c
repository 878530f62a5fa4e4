/* The program of a container, and the lines of its shell: how they are evaluated.
 *
 * A program is a script or a module. It is a module if it parses as one only, so that `export` or a top-level `await` makes one
 * and every old script stays a script.
 */
#include "shim.h"
#include "modules.h" /* generated from ../modules by the build script: MODULE_TEXT, MODULE_FILES, MODULE_NAMES */

const size_t modules_bytes = sizeof(MODULE_TEXT);

const uint8_t *modules_text(void)
{
    return (const uint8_t *)MODULE_TEXT;
}

static JSAtom atom_value;
static bool line_awaits; /* within one EVAL turn */

static JSModuleDef *compile_module(JSContext *context, const char *name, const char *source, size_t bytes)
{
    JSValue module = JS_Eval(context, source, bytes, name, JS_EVAL_TYPE_MODULE | JS_EVAL_FLAG_COMPILE_ONLY);
    if (JS_IsException(module))
        return NULL;
    JSModuleDef *definition = inside_module(module);
    JS_FreeValue(context, module);
    return definition;
}

/* What the engine itself has to offer. */
static JSModuleDef *import_own(JSContext *context, const char *name)
{
    if (!strcmp(name, "everturn:data/entries"))
        return entries_module(context, name);
    for (size_t i = 0; i < sizeof(MODULE_FILES) / sizeof(MODULE_FILES[0]); i++)
        if (!strcmp(MODULE_FILES[i].name, name))
            return compile_module(context, name, MODULE_TEXT + MODULE_FILES[i].at, MODULE_FILES[i].bytes);
    JS_ThrowReferenceError(context, "cannot import '%s': there are " MODULE_NAMES, name);
    return NULL;
}

/* The sources come with the creation. One that was imported is the engine's own then, and its text may go. */
static JSModuleDef *import(JSContext *context, const char *name, void *opaque)
{
    (void)opaque;
    size_t length;
    if (!strncmp(name, "everturn:", 9))
        return import_own(context, name);
    JSValue source = JS_IsObject(engine.modules) ? JS_GetPropertyStr(context, engine.modules, name) : JS_UNDEFINED;
    if (JS_IsException(source))
        return NULL;
    if (!JS_IsString(source)) {
        JS_FreeValue(context, source);
        JS_ThrowReferenceError(context, "cannot import '%s': this container was made without a module of that name", name);
        return NULL;
    }
    const char *text = JS_ToCStringLen(context, &length, source);
    JS_FreeValue(context, source);
    if (!text)
        return NULL;
    JSModuleDef *definition = compile_module(context, name, text, length);
    JS_FreeCString(context, text);
    if (!definition)
        return NULL;
    JSAtom atom = JS_NewAtom(context, name);
    int deleted = JS_DeleteProperty(context, engine.modules, atom, 0);
    JS_FreeAtom(context, atom);
    return deleted < 0 ? NULL : definition;
}

int program_init(JSContext *context)
{
    engine.namespace = engine.modules = JS_UNDEFINED;
    atom_value = JS_NewAtom(context, "value");
    JS_SetModuleLoaderFunc(engine.runtime, NULL, import, NULL);
    return 0;
}

/* The text with a zero behind it, as the parser wants it. The input buffer has a byte more than the input, and what stands there
 * behind a text is the head of the next key, which has been read already. */
static const char *terminated(Text text)
{
    ((char *)text.bytes)[text.length] = 0;
    return text.bytes;
}

static bool text_mentions(JSContext *context, JSValueConst value, const char *what)
{
    const char *text = JS_ToCString(context, value);
    bool mentions = text && strstr(text, what);
    JS_FreeCString(context, text);
    return mentions;
}

static bool exception_mentions(JSContext *context, const char *what)
{
    JSValue thrown = JS_GetException(context);
    bool mentions = text_mentions(context, thrown, what);
    JS_Throw(context, thrown);
    return mentions;
}

static JSValue evaluate_module(JSContext *context, JSValue module)
{
    JSModuleDef *definition = inside_module(module);
    JSValue promise = JS_EvalFunction(context, module);
    if (JS_IsException(promise))
        return promise;
    JS_FreeValue(context, engine.namespace);
    engine.namespace = JS_GetModuleNamespace(context, definition);
    return promise;
}

static JSValue evaluate(JSContext *context, Text name, Text source, int flags)
{
    bool awaits;
    enum source_end end;
    const char *text = terminated(source);
    char file[256] = {0};
    memcpy(file, name.bytes, name.length < sizeof(file) ? name.length : sizeof(file) - 1);
    JSValue script = inside_compile(context, text, source.length, file, flags, &awaits, &end);
    if (!JS_IsException(script))
        return JS_EvalFunction(context, script);
    JSValue script_error = JS_GetException(context);
    JSValue module = JS_Eval(context, text, source.length, file, JS_EVAL_TYPE_MODULE | JS_EVAL_FLAG_COMPILE_ONLY);
    if (!JS_IsException(module)) {
        JS_FreeValue(context, script_error);
        return evaluate_module(context, module);
    }
    /* neither: the module's error tells more where the source is meant to be one, or is one whose imports fail */
    if (exception_mentions(context, "SyntaxError") && !text_mentions(context, script_error, "export")) {
        JS_FreeValue(context, JS_GetException(context));
        return JS_Throw(context, script_error);
    }
    JS_FreeValue(context, script_error);
    return JS_EXCEPTION;
}

JSValue program_create(JSContext *context, Reader *input)
{
    Text name, seed, program;
    Reader modules;
    Field fields[] = {{"name", FIELD_TEXT, &name, false},
                      {"seed", FIELD_BYTES, &seed, false},
                      {"program", FIELD_TEXT, &program, false},
                      {"modules", FIELD_RAW, &modules, false}};
    if (!read_fields(context, input, fields, 4, 3))
        return JS_EXCEPTION;
    if (seed.length != 32)
        return throw_input(context, "a seed has 32 bytes");
    inside_seed(context, (const uint8_t *)seed.bytes);
    if (fields[3].found && JS_IsException(engine.modules = read_value(context, &modules)))
        return JS_EXCEPTION;
    return evaluate(context, name, program, 0);
}

JSValue program_load(JSContext *context, Reader *input)
{
    Text file, source;
    Field fields[] = {{"file", FIELD_TEXT, &file, false}, {"source", FIELD_TEXT, &source, false}};
    if (!read_fields(context, input, fields, 2, 2))
        return JS_EXCEPTION;
    return evaluate(context, file, source, COMPILE_REDECLARES);
}

/* A module's promise tells how its evaluation went; a script's value tells nothing. */
bool program_evaluated(JSContext *context, JSValueConst value)
{
    if (JS_PromiseState(context, value) != JS_PROMISE_REJECTED)
        return true;
    JS_PromiseMarkAsHandled(context, value);
    JS_Throw(context, JS_PromiseResult(context, value));
    return false;
}

/* `{a: 1}` is an object at a prompt, as people expect, if it can be one. */
static JSValue compile_line(JSContext *context, const char *source, size_t bytes, const char *file)
{
    enum source_end end;
    const int flags = COMPILE_ASYNC_IF_AWAITS | COMPILE_REDECLARES;
    const char *first = source;
    while (*first == ' ' || *first == '\t' || *first == '\n' || *first == '\r')
        first++;
    if (*first == '{') {
        char *wrapped = js_malloc(context, bytes + 3);
        if (!wrapped)
            return JS_EXCEPTION;
        wrapped[0] = '(';
        memcpy(wrapped + 1, source, bytes);
        memcpy(wrapped + 1 + bytes, ")", 2);
        JSValue compiled = inside_compile(context, wrapped, bytes + 2, file, flags, &line_awaits, &end);
        js_free(context, wrapped);
        if (!JS_IsException(compiled))
            return compiled;
        JS_FreeValue(context, JS_GetException(context));
    }
    return inside_compile(context, source, bytes, file, flags, &line_awaits, &end);
}

JSValue program_eval(JSContext *context, Reader *input)
{
    Text file, source;
    Field fields[] = {{"file", FIELD_TEXT, &file, false}, {"source", FIELD_TEXT, &source, false}};
    if (!read_fields(context, input, fields, 2, 2))
        return JS_EXCEPTION;
    char name[256] = {0};
    memcpy(name, file.bytes, file.length < sizeof(name) ? file.length : sizeof(name) - 1);
    JSValue compiled = compile_line(context, terminated(source), source.length, name);
    return JS_IsException(compiled) ? compiled : JS_EvalFunction(context, compiled);
}

/* The value of a line: of one that awaits, what its promise holds. */
bool program_line_value(JSContext *context, JSValueConst value, bool (*answer)(JSContext *, JSValueConst, bool))
{
    if (!line_awaits)
        return answer(context, value, false);
    if (!program_evaluated(context, value))
        return false;
    if (JS_PromiseState(context, value) == JS_PROMISE_PENDING)
        return answer(context, value, true);
    JSValue holder = JS_PromiseResult(context, value);
    JSValue inner = JS_GetProperty(context, holder, atom_value);
    JS_FreeValue(context, holder);
    bool done = !JS_IsException(inner) && answer(context, inner, false);
    JS_FreeValue(context, inner);
    return done;
}
