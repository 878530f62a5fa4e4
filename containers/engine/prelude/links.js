// link.export(name, end), link.import(address, name): ends of channels that reach into other hypervisors. What is sent to an address
// goes through the same port, "link", which the host binds.
(function () {
  "use strict";
  const { get, channel } = ports;
  const send = globalThis.send;

  function way() {
    const port = get("link");
    if (port === undefined) throw new TypeError("there are no links here; --listen HOST:PORT of the program makes them, from its second turn on");
    return port;
  }

  const link = {
    // From now on `end` is what those reach who import this name.
    export(name, end) { send(way(), { export: `${name}` }, { ports: [end] }); },
    // A port that leads to what is exported there.
    import(address, name) {
      const port = way(), [here, there] = channel();
      send(port, { import: `${name}`, from: `${address}` }, { ports: [there] });
      return here;
    },
  };
  Object.defineProperty(globalThis, "link", { value: link, writable: true, configurable: true });
})
