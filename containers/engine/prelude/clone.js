// structuredClone: Maps, Sets, Dates, regular expressions, typed arrays, errors, boxed primitives and cycles.
(function (natives) {
  "use strict";
  const { classOf } = natives;
  const ERRORS = { EvalError, RangeError, ReferenceError, SyntaxError, TypeError, URIError };
  const BOXED = ["Number", "String", "Boolean", "BigInt"];

  function refuse(value, what) {
    throw new DOMException(`${what} could not be cloned`, "DataCloneError");
  }

  function cloneError(error, seen) {
    const copy = Object.create((ERRORS[error.name] ?? Error).prototype);
    const made = new (ERRORS[error.name] ?? Error)(error.message);
    Object.setPrototypeOf(made, Object.getPrototypeOf(copy));
    seen.set(error, made);
    Object.defineProperty(made, "stack", { value: error.stack, writable: true, configurable: true });
    if ("cause" in error)
      Object.defineProperty(made, "cause", { value: clone(error.cause, seen), writable: true, configurable: true });
    return made;
  }

  function cloneView(view, seen) {
    const buffer = clone(view.buffer, seen);
    const Kind = globalThis[classOf(view)];
    return new Kind(buffer, view.byteOffset, classOf(view) === "DataView" ? view.byteLength : view.length);
  }

  // The copy of an object without its contents, or complete if those cannot lead back to it.
  function shell(value, kind, seen) {
    if (BOXED.includes(kind)) return Object(value.valueOf());
    if (ArrayBuffer.isView(value)) return cloneView(value, seen);
    switch (kind) {
      case "Object": return {};
      case "Array": return new Array(value.length);
      case "Map": return new Map();
      case "Set": return new Set();
      case "Date": return new Date(value.getTime());
      case "RegExp": return new RegExp(value.source, value.flags);
      case "ArrayBuffer": return value.slice(0);
      case "CID": return new CID(value.bytes);
      case "Error": return cloneError(value, seen);
    }
    return refuse(value, kind === "Proxy" ? "a Proxy" : typeof value === "function" ? "a function" : `an object of class ${kind}`);
  }

  function fill(copy, value, kind, seen) {
    if (kind === "Map") {
      for (const [key, item] of Array.from(value)) copy.set(clone(key, seen), clone(item, seen));
    } else if (kind === "Set") {
      for (const item of Array.from(value)) copy.add(clone(item, seen));
    } else if (kind === "Object" || kind === "Array") {
      for (const key of Object.keys(value))
        Object.defineProperty(copy, key, { value: clone(value[key], seen), writable: true, enumerable: true, configurable: true });
    }
  }

  function clone(value, seen) {
    if (typeof value === "symbol") refuse(value, "a symbol");
    if (value === null || (typeof value !== "object" && typeof value !== "function")) return value;
    if (seen.has(value)) return seen.get(value);
    const kind = classOf(value);
    const copy = shell(value, kind, seen);
    seen.set(value, copy);
    fill(copy, value, kind, seen);
    return copy;
  }

  function structuredClone(value, options) {
    const seen = new Map();
    const moved = Array.from(options?.transfer ?? []);
    for (const buffer of moved)
      if (classOf(buffer) !== "ArrayBuffer") refuse(buffer, "what is no ArrayBuffer");
    const copies = moved.map((buffer) => [buffer, buffer.slice(0)]);
    for (const [buffer, copy] of copies) seen.set(buffer, copy);
    const copy = clone(value, seen);
    for (const buffer of moved) buffer.transfer();
    return copy;
  }
  delete globalThis.SharedArrayBuffer; // nothing is shared here
  Object.defineProperty(globalThis, "structuredClone", { value: structuredClone, writable: true, configurable: true });
})
