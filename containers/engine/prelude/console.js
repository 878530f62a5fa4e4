// print, console, hrtime.
(function (natives) {
  "use strict";
  const { log, inspect } = natives;
  const DEBUG = 0, INFO = 1, WARNING = 2, ERROR = 3;

  function plain(value) {
    return typeof value === "string" ? value : inspect(value);
  }

  function substitute(letter, value) {
    switch (letter) {
      case "s": return typeof value === "object" || typeof value === "function" ? inspect(value) : String(value);
      case "d": return typeof value === "object" || typeof value === "symbol" ? "NaN" : `${typeof value === "bigint" ? `${value}n` : Number(value)}`;
      case "i": return typeof value === "object" || typeof value === "symbol" ? "NaN" : `${parseInt(value, 10)}`;
      case "f": return typeof value === "symbol" ? "NaN" : `${parseFloat(value)}`;
      case "j": return JSON.stringify(value) ?? "undefined";
      case "c": return "";
      default: return inspect(value);
    }
  }

  // console.log("%s has %d", name, count): the letters of the console standard, the rest joined by blanks.
  function format(values) {
    let used = 0;
    const parts = [];
    if (typeof values[0] === "string" && values.length > 1) {
      used = 1;
      parts.push(values[0].replace(/%([sdifjoOc%])/g, (found, letter) => {
        if (letter === "%") return "%";
        return used < values.length ? substitute(letter, values[used++]) : found;
      }));
    }
    for (; used < values.length; used++) parts.push(plain(values[used]));
    return parts.join(" ");
  }

  let indent = "";
  const write = (level, text) => log(level, indent === "" ? text : indent + text.replaceAll("\n", "\n" + indent));
  const counts = { __proto__: null };
  const writer = (level) => (...values) => write(level, format(values));

  const console = {
    log: writer(INFO),
    info: writer(INFO),
    debug: writer(DEBUG),
    warn: writer(WARNING),
    error: writer(ERROR),
    trace: (...values) => write(DEBUG, `Trace: ${format(values)}\n${new Error().stack.trimEnd()}`),
    dir: (value) => write(INFO, inspect(value)),
    assert: (condition, ...values) => {
      if (!condition) write(ERROR, values.length > 0 ? `Assertion failed: ${format(values)}` : "Assertion failed");
    },
    count: (label = "default") => write(INFO, `${label}: ${(counts[label] = (counts[label] ?? 0) + 1)}`),
    countReset: (label = "default") => void delete counts[label],
    group: (...values) => {
      if (values.length > 0) write(INFO, format(values));
      indent += "  ";
    },
    groupEnd: () => void (indent = indent.slice(2)),
  };

  // v8-ken's names.
  function print(...values) {
    log(INFO, values.map(plain).join(" "));
  }
  function hrtime() {
    const now = natives.date();
    const seconds = Math.floor(now / 1000);
    return [seconds, Math.round((now - seconds * 1000) * 1e6)];
  }

  for (const [name, value] of Object.entries({ console, print, hrtime }))
    Object.defineProperty(globalThis, name, { value, writable: true, configurable: true });
})
