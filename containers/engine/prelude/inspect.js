// How the shell and the console show a value. Looking at a value runs none of its code: no getter, no proxy's trap. One exception is
// there on purpose: a method under Symbol.for("everturn.show") is called with the depth, and gives a text.
(function (natives) {
  "use strict";
  const { classOf, promiseState, proxyTarget } = natives;
  const { getOwnPropertyDescriptor, getPrototypeOf } = Object;
  const { ownKeys, apply } = Reflect;
  const uncurry = (method) => (self, ...rest) => apply(method, self, rest);
  const sourceOf = uncurry(Function.prototype.toString);
  const symbolText = uncurry(Symbol.prototype.toString);
  const dateText = uncurry(Date.prototype.toISOString);
  const dateNumber = uncurry(Date.prototype.getTime);
  const regexpText = uncurry(RegExp.prototype.toString);
  const mapEntries = uncurry(Map.prototype.entries);
  const setValues = uncurry(Set.prototype.values);
  const deref = uncurry(WeakRef.prototype.deref);
  const getter = (object, name) => uncurry(getOwnPropertyDescriptor(object, name).get);
  const TypedArray = getPrototypeOf(Uint8Array.prototype);
  const typedName = getter(TypedArray, Symbol.toStringTag);
  const typedLength = getter(TypedArray, "length");
  const then = uncurry(Promise.prototype.then);
  const stackOf = getter(Error.prototype, "stack");
  const bufferLength = getter(ArrayBuffer.prototype, "byteLength");

  const DEPTH = 3, ITEMS = 100, WIDTH = 76, TEXT = 10000;
  const INFO = 1, ERROR = 3;
  const SHOWN = Symbol.for("everturn.show");
  const WEAK = ["WeakMap", "WeakSet", "FinalizationRegistry"];

  function quote(text) {
    const cut = text.length > TEXT ? `... ${text.length - TEXT} more characters` : "";
    const kept = cut ? text.slice(0, TEXT) : text;
    const mark = !kept.includes("'") ? "'" : !kept.includes('"') ? '"' : !kept.includes("`") ? "`" : "'";
    let quoted = "";
    for (const letter of kept) {
      const code = letter.codePointAt(0);
      if (letter === "\n") quoted += "\\n";
      else if (letter === "\t") quoted += "\\t";
      else if (letter === "\r") quoted += "\\r";
      else if (letter === "\\" || letter === mark) quoted += "\\" + letter;
      else if (code < 32 || code === 127) quoted += "\\x" + code.toString(16).padStart(2, "0");
      else if (code >= 0xd800 && code < 0xe000) quoted += "\\u" + code.toString(16);
      else quoted += letter;
    }
    return mark + quoted + mark + cut;
  }

  // A property's value if it is plain data, looked up along the prototypes.
  function peek(object, key) {
    for (let steps = 0; object !== null && object !== undefined && steps < 100; steps++) {
      if (classOf(object) === "Proxy") return undefined;
      const property = getOwnPropertyDescriptor(object, key);
      if (property) return property.value;
      object = getPrototypeOf(object);
    }
    return undefined;
  }

  function constructorName(object) {
    if (getPrototypeOf(object) === null) return null;
    const constructor = peek(object, "constructor");
    const name = typeof constructor === "function" && classOf(constructor) !== "Proxy" ? peek(constructor, "name") : undefined;
    return typeof name === "string" && name !== "" ? name : "Object";
  }

  function prefixOf(object, kind, size) {
    const name = constructorName(object);
    const tag = peek(object, Symbol.toStringTag);
    let prefix = name === null ? `[${kind}: null prototype]` : name;
    if (size !== undefined) prefix += `(${size})`;
    if (typeof tag === "string" && tag !== "" && tag !== name) prefix += ` [${tag}]`;
    return prefix;
  }

  function showKey(key) {
    if (typeof key === "symbol") return `[${symbolText(key)}]`;
    return /^[A-Za-z_$][\w$]*$/.test(key) ? key : quote(key);
  }

  function showProperty(view, object, key, depth) {
    const property = getOwnPropertyDescriptor(object, key);
    if (!property.get && !property.set) return show(view, property.value, depth + 1);
    return property.get && property.set ? "[Getter/Setter]" : property.get ? "[Getter]" : "[Setter]";
  }

  function isIndex(key) {
    return typeof key === "string" && /^(0|[1-9]\d{0,9})$/.test(key);
  }

  function propertiesOf(view, object, depth, wanted = () => true) {
    const lines = [];
    let more = 0;
    for (const key of ownKeys(object)) {
      if (!wanted(key) || !getOwnPropertyDescriptor(object, key)?.enumerable) continue;
      if (lines.length < ITEMS) lines.push(`${showKey(key)}: ${showProperty(view, object, key, depth)}`);
      else more++;
    }
    if (more > 0) lines.push(`... ${more} more`);
    return lines;
  }

  // One line if it fits, else an item a line.
  function wrap(prefix, open, lines, close) {
    const head = prefix === "" ? open : `${prefix} ${open}`;
    if (lines.length === 0) return head + close;
    const width = lines.reduce((sum, line) => sum + line.length + 2, head.length + 3);
    if (width <= WIDTH && !lines.some((line) => line.includes("\n"))) return `${head} ${lines.join(", ")} ${close}`;
    return `${head}\n${lines.map((line) => "  " + line.replaceAll("\n", "\n  ")).join(",\n")}\n${close}`;
  }

  function itemsOf(view, object, length, depth) {
    const lines = [];
    let holes = 0, index = 0;
    const flush = () => {
      if (holes > 0) lines.push(`<${holes} empty item${holes > 1 ? "s" : ""}>`);
      holes = 0;
    };
    for (; index < length && lines.length < ITEMS; index++) {
      if (!getOwnPropertyDescriptor(object, index)) {
        if (holes++ > 1e6) break;
        continue;
      }
      flush();
      lines.push(showProperty(view, object, index, depth));
    }
    flush();
    if (index < length) lines.push(`... ${length - index} more item${length - index > 1 ? "s" : ""}`);
    return lines;
  }

  function showArray(view, object, depth) {
    const length = peek(object, "length");
    const name = constructorName(object);
    const prefix = name === "Array" ? "" : prefixOf(object, "Array", length);
    const lines = itemsOf(view, object, length, depth);
    return wrap(prefix, "[", lines.concat(propertiesOf(view, object, depth, (key) => !isIndex(key))), "]");
  }

  function showTyped(view, object, depth) {
    const length = typedLength(object);
    const lines = itemsOf(view, object, length, depth);
    const rest = propertiesOf(view, object, depth, (key) => !isIndex(key));
    return wrap(prefixOf(object, typedName(object), length), "[", lines.concat(rest), "]");
  }

  function showEntries(view, object, depth, kind) {
    const lines = [];
    let size = 0;
    for (const entry of kind === "Map" ? mapEntries(object) : setValues(object)) {
      if (++size > ITEMS) continue;
      if (kind === "Map") lines.push(`${show(view, entry[0], depth + 1)} => ${show(view, entry[1], depth + 1)}`);
      else lines.push(show(view, entry, depth + 1));
    }
    if (size > ITEMS) lines.push(`... ${size - ITEMS} more item${size > ITEMS + 1 ? "s" : ""}`);
    return wrap(prefixOf(object, kind, size), "{", lines.concat(propertiesOf(view, object, depth)), "}");
  }

  function showPromise(view, object, depth) {
    const [state, value] = promiseState(object);
    const shown = state === "pending" ? "<pending>" : show(view, value, depth + 1);
    const lines = [state === "rejected" ? `<rejected> ${shown}` : shown];
    return wrap(prefixOf(object, "Promise"), "{", lines.concat(propertiesOf(view, object, depth)), "}");
  }

  function showBuffer(object) {
    const size = bufferLength(object);
    const bytes = Array.from(new Uint8Array(object, 0, Math.min(size, 50)), (byte) => byte.toString(16).padStart(2, "0"));
    const more = size > 50 ? ` ... ${size - 50} more bytes` : "";
    return `${prefixOf(object, "ArrayBuffer")} { <${bytes.join(" ")}${more}>, byteLength: ${size} }`;
  }

  function headOfError(object) {
    const name = peek(object, "name"), message = peek(object, "message");
    const title = typeof name === "string" && name !== "" ? name : "Error";
    return typeof message === "string" && message !== "" ? `${title}: ${message}` : title;
  }

  function showError(view, object, depth) {
    const stack = peek(object, "stack") ?? stackOf(object);
    const frames = typeof stack === "string" ? stack.trimEnd() : "";
    const head = headOfError(object);
    const text = frames === "" ? `[${head}]` : frames.startsWith(head) ? frames : `${head}\n${frames}`;
    const hidden = ["stack", "message", "name", "cause", "errors"];
    const lines = propertiesOf(view, object, depth, (key) => !hidden.includes(key));
    for (const key of ["cause", "errors"])
      if (getOwnPropertyDescriptor(object, key)) lines.push(`[${key}]: ${showProperty(view, object, key, depth)}`);
    return lines.length === 0 ? text : wrap(text, "{", lines, "}");
  }

  function showFunction(view, object, depth) {
    const name = peek(object, "name");
    const source = sourceOf(object);
    const title = typeof name === "string" && name !== "" ? name : "(anonymous)";
    const kind = source.startsWith("class") ? "class" : classOf(object).replace(/^(Bytecode|C|Bound)?Function.*$/, "Function");
    const text = kind === "class" ? `[class ${title}]` : `[${/Function$/.test(kind) ? kind : "Function"}: ${title}]`;
    const lines = propertiesOf(view, object, depth);
    return lines.length === 0 ? text : wrap(text, "{", lines, "}");
  }

  function showBoxed(view, object, kind, depth) {
    const value = apply({ Number, String, Boolean, Symbol, BigInt }[kind].prototype.valueOf, object, []);
    const lines = propertiesOf(view, object, depth, (key) => kind !== "String" || !isIndex(key));
    const text = `[${kind}: ${show(view, value, depth + 1)}]`;
    return lines.length === 0 ? text : wrap(text, "{", lines, "}");
  }

  function showPlain(view, object, kind, depth) {
    const name = constructorName(object);
    const prefix = kind === "Object" && name === "Object" && !peek(object, Symbol.toStringTag) ? "" : prefixOf(object, kind);
    return wrap(prefix, "{", propertiesOf(view, object, depth), "}");
  }

  // What an object says of itself; undefined if it says nothing, or cannot.
  function showOwn(object, depth) {
    const own = peek(object, SHOWN);
    if (typeof own !== "function") return undefined;
    try {
      const text = apply(own, object, [depth, (value) => show([], value, depth + 1)]);
      return typeof text === "string" ? text : undefined;
    } catch {
      return undefined;
    }
  }

  function showObject(view, object, depth) {
    const own = showOwn(object, depth);
    if (own !== undefined) return own;
    const kind = classOf(object);
    if (typeof object === "function") return showFunction(view, object, depth);
    switch (kind) {
      case "Array": return showArray(view, object, depth);
      case "Arguments": return `[Arguments] ${showArray(view, object, depth).replace(/^[^[]*/, "")}`;
      case "Map":
      case "Set": return showEntries(view, object, depth, kind);
      case "Promise": return showPromise(view, object, depth);
      case "Error": return showError(view, object, depth);
      case "Date": return Number.isNaN(dateNumber(object)) ? "Invalid Date" : dateText(object);
      case "RegExp": return regexpText(object);
      case "ArrayBuffer": return showBuffer(object);
      case "Number":
      case "String":
      case "Boolean":
      case "Symbol":
      case "BigInt": return showBoxed(view, object, kind, depth);
      case "CID": return `CID(${object})`;
      case "Port": return object.name === null ? "Port {}" : `Port { name: ${quote(object.name)} }`;
      case "WeakRef": return wrap("WeakRef", "{", [show(view, deref(object), depth + 1)], "}");
      case "Module": return wrap("[Module]", "{", propertiesOf(view, object, depth), "}");
    }
    if (WEAK.includes(kind)) return `${kind} { <items unknown> }`;
    if (ArrayBuffer.isView(object) && kind !== "DataView") return showTyped(view, object, depth);
    return showPlain(view, object, kind, depth);
  }

  function show(view, value, depth) {
    switch (typeof value) {
      case "string": return quote(value);
      case "bigint": return `${value}n`;
      case "symbol": return symbolText(value);
      case "number": return Object.is(value, -0) ? "-0" : `${value}`;
      case "undefined":
      case "boolean": return `${value}`;
    }
    if (value === null) return "null";
    if (classOf(value) === "Proxy") return `Proxy(${show(view, proxyTarget(value), depth + 1)})`;
    if (view.includes(value)) return "[Circular]";
    if (depth > DEPTH && typeof value !== "function")
      return classOf(value) === "Array" ? "[Array]" : `[${constructorName(value) ?? "Object: null prototype"}]`;
    view.push(value);
    const text = showObject(view, value, depth);
    view.pop();
    return text;
  }

  // A line that awaits what is not there yet: its value, or what it threw, is written when it comes.
  function whenItComes({ value }) {
    const { text } = natives.inspect(value, true);
    if (text !== null) natives.log(INFO, text);
  }
  const ifItThrows = (thrown) => natives.log(ERROR, `Uncaught ${show([], thrown, 0)}`);

  // With `line`, what the shell prints: {text, type}; functions as their source, undefined as nothing. With `pending`, the
  // value is the promise of a line that awaits, which has nothing to print yet.
  natives.inspect = function (value, line, pending) {
    if (pending) {
      then(value, whenItComes, ifItThrows);
      return { text: null, type: "pending" };
    }
    const isFunction = typeof value === "function" && classOf(value) !== "Proxy";
    const text = line && isFunction ? sourceOf(value) : show([], value, 0);
    return line ? { text: value === undefined ? null : text, type: typeof value } : text;
  };
})
