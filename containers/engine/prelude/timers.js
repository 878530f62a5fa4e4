// setTimeout, setInterval: what is to be called lies in the heap, when lies with the container's timers; both outlive everything.
(function (natives) {
  "use strict";
  const { timer, cancel } = natives;
  const LONGEST_MS = 2 ** 31 - 1; // what a browser takes; longer ones would come at once there
  const waiting = { __proto__: null }; // by token: what to call and the host's number
  let made = 0;

  function set(kind, callback, delay, args) {
    if (typeof callback !== "function") throw new TypeError(`${kind} calls a function, not ${natives.inspect(callback)}`);
    const ms = Math.trunc(Number(delay));
    if (ms > LONGEST_MS) throw new RangeError(`${kind} waits for at most ${LONGEST_MS} milliseconds, some 24 days`);
    const delayMs = ms > 0 ? ms : 0; // NaN too
    const token = ++made, repeats = kind === "setInterval";
    const number = timer(repeats ? Math.max(delayMs, 1) : delayMs, repeats ? Math.max(delayMs, 1) : 0, token);
    waiting[token] = { callback, args, number, repeats };
    return token;
  }

  function clear(token) {
    const known = waiting[token];
    if (known === undefined) return;
    delete waiting[token];
    cancel(known.number);
  }

  natives.ring = function (token) {
    const known = waiting[token];
    if (known === undefined) return undefined;
    if (!known.repeats) delete waiting[token];
    return void known.callback.apply(undefined, known.args);
  };

  const globals = {
    setTimeout(callback, delay, ...args) { return set("setTimeout", callback, delay, args); },
    setInterval(callback, period, ...args) { return set("setInterval", callback, period, args); },
    clearTimeout(token) { clear(token); },
    clearInterval(token) { clear(token); },
  };
  for (const [name, value] of Object.entries(globals))
    Object.defineProperty(globalThis, name, { value, writable: true, configurable: true });
})
