// Completion of names for the shell. As when a value is shown, none of its code runs.
(function (natives) {
  "use strict";
  const { classOf, lexicalNames, lexical } = natives;
  const KEYWORDS = ("async await break case catch class const continue debugger default delete do else export extends false " +
    "finally for function if import in instanceof let new null return static super switch this throw true try typeof var void " +
    "while with yield").split(" ");

  // Under this symbol an object says, in one text, which names of its own and of what inherits from it are nobody's business.
  const HIDDEN = Symbol.for("everturn.hidden");

  function namesIn(value) {
    const names = [], hidden = [];
    for (let object = Object(value); object !== null && names.length < 10000; object = Object.getPrototypeOf(object)) {
      if (classOf(object) === "Proxy") break;
      names.push(...Object.getOwnPropertyNames(object));
      const told = Object.getOwnPropertyDescriptor(object, HIDDEN)?.value;
      if (typeof told === "string") hidden.push(...told.split(" "));
    }
    return hidden.length === 0 ? names : names.filter((name) => !hidden.includes(name));
  }

  function step(value, name) {
    for (let object = Object(value); object !== null; object = Object.getPrototypeOf(object)) {
      if (classOf(object) === "Proxy") return undefined;
      const property = Object.getOwnPropertyDescriptor(object, name);
      if (property) return property.value;
    }
    return undefined;
  }

  function candidates(path) {
    if (path.length === 0) return [...lexicalNames(), ...namesIn(globalThis), ...KEYWORDS];
    const [first, ...rest] = path;
    let value = lexicalNames().includes(first) ? lexical(first) : step(globalThis, first);
    for (const name of rest) value = value === undefined || value === null ? undefined : step(value, name);
    return value === undefined || value === null ? [] : namesIn(value);
  }

  // `foo.ba` -> ["bar", "baz"]: the names that may stand in place of the text after the last point.
  natives.names = function (prefix) {
    const path = /(?:[\p{ID_Start}$_][\p{ID_Continue}$]*\.)*(?:[\p{ID_Start}$_][\p{ID_Continue}$]*)?$/u.exec(prefix)[0].split(".");
    const start = path.pop();
    const found = candidates(path).filter((name) => name.startsWith(start) && /^[\p{ID_Start}$_][\p{ID_Continue}$]*$/u.test(name));
    return found.sort().filter((name, index) => name !== found[index - 1]).slice(0, 1000);
  };
})
