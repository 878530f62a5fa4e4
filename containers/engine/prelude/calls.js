// call(port, data): a message with a port for the answer, which becomes a promise. Both ends of the channel are bound under names
// of their own, so a call that was made, and an answer that is owed, survive as everything in the heap does.
(function (natives) {
  "use strict";
  const { post, demand, reject } = natives;
  const { bind, channel, delete: remove } = ports;
  const send = globalThis.send;
  const { Error, Promise } = globalThis;
  const then = Function.prototype.call.bind(Promise.prototype.then);
  const calls = { __proto__: null }, owing = { __proto__: null };
  let made = 0, owed = 0;

  async function call(port, data, options) {
    return ask(post, port, data, options);
  }

  function ask(post, port, data, { ports: moved = [], priority = 0 } = {}) {
    const [here, there] = channel();
    post(port, data, { ports: [...moved, there], priority });
    const name = `call:${++made}`;
    bind(name, here);
    return new Promise((resolve, fail) => void (calls[name] = { resolve, fail }));
  }

  // A request to another container: its answer is a promise of a response's data.
  natives.forward = async function (port, data) {
    return ask(demand, port, data);
  };

  // A promise that is settled in a turn of its own, after what is queued before it: for work that is too much for one turn.
  async function nextTurn() {
    const [here, there] = channel();
    const name = `call:${++made}`;
    bind(name, here);
    send(there, null);
    return new Promise((resolve, fail) => void (calls[name] = { resolve, fail }));
  }

  // What came out of the port of a call: its answer, its exception, or word that nobody will answer. False: it is none of ours.
  natives.settle = function (name, error, value) {
    if (name in owing) { // whoever asked is gone
      delete owing[name];
      remove(name);
      return true;
    }
    const waiting = calls[name];
    if (waiting === undefined) return false;
    delete calls[name];
    remove(name);
    if (error === undefined) waiting.resolve(value);
    else waiting.fail(error);
    return true;
  };

  // A handler answers with a promise that is not settled yet: the port for the answer is kept until it is.
  natives.owe = function (promise, reply) {
    const name = `reply:${++owed}`;
    bind(name, reply);
    owing[name] = true;
    const pay = (give) => (value) => {
      if (!(name in owing)) return;
      delete owing[name];
      try {
        give(value);
      } catch (failed) { // it cannot be sent; or nobody can be told any more
        try { fail(failed); } catch {}
      }
      remove(name);
    };
    const fail = (reason) => reject(reply, reason instanceof Error
      ? { kind: "rejection", text: `${reason.name}: ${reason.message}`, stack: `${reason.stack}` }
      : { kind: "rejection", text: natives.inspect(reason), stack: "" });
    then(promise, pay((answer) => send(reply, answer === undefined ? null : answer)), pay(fail));
  };
  for (const value of [call, nextTurn]) Object.defineProperty(globalThis, value.name, { value, writable: true, configurable: true });
})
