// Which part of a program takes a request, and what becomes of its answer: routes to children, `fetch(request)`, or
// `handleRequest(request, response)` as v8-ken had it.
(function (natives) {
  "use strict";
  const { forward, requestOf, responseOf, dataOfRequest, dataOfResponse, endStreams, isStreaming, routes: exportedRoutes, stream, utf8Encode, utf8Decode } = natives;
  const { create, bind, get, delete: remove } = ports;
  const { Promise, Request, Response, URL } = globalThis;

  const plain = (status, statusText, text) => ({
    status, statusText, headers: [["content-type", "text/plain;charset=UTF-8"]], body: utf8Encode(text),
  });

  function answerOf(value) {
    if (value instanceof Response) return dataOfResponse(value);
    throw new TypeError(`a request is answered with a Response, not with ${natives.inspect(value)}`);
  }

  // Once it is settled: a promise is waited for, and so may the program's own kind of promise be.
  const whenDone = (value, answer) => typeof value?.then === "function" ? Promise.resolve(value).then(answer) : answer(value);

  // v8-ken's: the program fills in a response.
  function answerByHand(handle, owner, data) {
    const response = { statusCode: 200, status: "", headers: {}, body: "" };
    const headers = {};
    for (const [name, value] of data.headers) {
      const known = name.toLowerCase();
      headers[known] = known in headers ? `${headers[known]}, ${value}` : value;
    }
    const uri = data.url.replace(/^[a-z]+:\/\/[^/?#]*/i, "");
    const request = { method: data.method, uri, headers, body: utf8Decode(data.body, false) };
    return whenDone(handle.call(owner, request, response), () => {
      // `status` is the text behind the code; a number there is a code that was put in the wrong place.
      const isCode = typeof response.status === "number";
      const status = isCode && response.statusCode === 200 ? response.status : response.statusCode;
      const init = { status, statusText: isCode ? "" : response.status, headers: response.headers };
      return answerOf(new Response(response.body === "" ? null : response.body, init));
    });
  }

  // "/user/:id" and "/files/*": what of a path fits, written as it was; null if it does not.
  function fitting(pattern, path) {
    const wanted = pattern.split("/"), parts = path.split("/");
    const rest = wanted.at(-1) === "*";
    if (rest) wanted.pop();
    if (rest ? parts.length < wanted.length : parts.length !== wanted.length) return null;
    const fits = wanted.every((part, i) => part.startsWith(":") ? parts[i] !== "" : part === parts[i]);
    return fits ? parts.slice(0, wanted.length).join("/") || "/" : null;
  }

  // The first route that a path fits, and the name of the port to its container.
  function routed(routes, data) {
    if (routes === undefined) return undefined;
    const path = new URL(data.url).pathname;
    for (const [pattern, program] of Object.entries(routes)) {
      const fit = fitting(pattern, path);
      if (fit !== null) return { program, name: `route:${fit}`, onlyLooks: Boolean(program?.readOnly) };
    }
    return undefined;
  }

  // The container of a route, made when it is first asked for.
  function behind({ program, name }) {
    const known = get(name);
    if (known !== undefined) return known;
    const { type = "js", readOnly, ...init } = typeof program === "string" ? { program } : program;
    const child = create(type, init);
    bind(name, child);
    return child;
  }

  const looks = (data) => data.method === "GET" || data.method === "HEAD";

  // A route that only reads has no turns: what comes in one all the same is told so.
  function turnedAway(data) {
    if (looks(data)) return plain(503, "Service Unavailable", "this route is read by queries alone, and this request came in a turn\n");
    const answer = plain(405, "Method Not Allowed", "this route is read-only: GET and HEAD are answered here\n");
    answer.headers.push(["allow", "GET, HEAD"]);
    return answer;
  }

  // Somebody wants to open a socket, which is a port. It is open unless the program answers with a response.
  function welcome(data, socket, websocket, owner) {
    if (websocket === undefined) return plain(404, "Not Found", "this program opens no sockets: export default { websocket(socket, request) {} }\n");
    const name = `socket:${data.socket}`;
    bind(name, socket);
    return whenDone(websocket.call(owner, socket, requestOf(data)), (value) => {
      if (!(value instanceof Response)) return { status: 101, statusText: "", headers: [], body: new Uint8Array(0) };
      remove(name);
      return answerOf(value);
    });
  }

  natives.serve = function (data, routes, fetch, fetchOwner, handle, handleOwner, websocket, websocketOwner, moved) {
    if (typeof data.socket === "number" && moved?.length > 0) return welcome(data, moved[0], websocket, websocketOwner);
    if (data.streams !== undefined) return endStreams(data.streams);
    const route = routed(routes, data);
    if (route?.onlyLooks) return turnedAway(data);
    if (route !== undefined) return forward(behind(route), data);
    if (data.stream !== undefined) return stream(data);
    if (fetch !== undefined) return whenDone(fetch.call(fetchOwner, requestOf(data)), answerOf);
    if (handle !== undefined) return answerByHand(handle, handleOwner, data);
    return plain(404, "Not Found", "this program answers no requests\n");
  };

  // `fetch(url, init)`: a request to another host, by the driver that a host has bound under this name.
  const DRIVER = "http", REDIRECTS = ["follow", "error", "manual"];
  const NO_DRIVER = "this program may not reach other hosts; whoever starts it allows them with --allow-net HOST, from its second turn on";

  const reach = natives.reach = async function fetch(input, init) {
    const request = input instanceof Request && init === undefined ? input : new Request(input, init);
    const redirect = `${init?.redirect ?? "follow"}`;
    if (!REDIRECTS.includes(redirect)) throw new TypeError(`redirect is follow, error or manual, not '${redirect}'`);
    const port = get(DRIVER);
    if (port === undefined) throw new TypeError(`fetch: ${NO_DRIVER}`);
    const data = { ...dataOfRequest(request), redirect };
    try {
      return responseOf(await forward(port, data));
    } catch (cause) {
      throw new TypeError(`fetch: ${cause.message}`, { cause });
    }
  };
  Object.defineProperty(globalThis, "fetch", { value: reach, writable: true, configurable: true });

  // `port.close()`: the port, and what it leads to, goes.
  Object.defineProperty(natives.portPrototype, "close", {
    value: function close() {
      remove(this.name);
    },
    writable: true, configurable: true,
  });

  // Where a route leads a query: `[name, otherwise]`, the port of the container that is asked, and what is answered if that has no answer;
  // null: the request becomes one. A route that only reads answers always.
  function ledOn(data) {
    const route = routed(exportedRoutes(), data);
    if (route === undefined) return undefined;
    const nothing = route.onlyLooks ? plain(404, "Not Found", "there is nothing to read here\n") : null;
    if (get(route.name) !== undefined) return [route.name, nothing];
    return nothing ?? undefined;
  }

  // A query is answered as a request is; one that gives nothing is led on by the routes, or becomes a request.
  natives.ask = function (data, query, owner) {
    if (query === undefined) return ledOn(data);
    return whenDone(query.call(owner, requestOf(data)), (value) => {
      if (value instanceof Response && isStreaming(value)) throw new TypeError("a query is answered at once: a stream is for fetch(request)");
      return value === undefined ? ledOn(data) : answerOf(value);
    });
  };

  // `port.fetch(request)`: a request to another container.
  Object.defineProperty(natives.portPrototype, "fetch", {
    value: async function fetch(input, init) {
      const data = dataOfRequest(input instanceof Request && init === undefined ? input : new Request(input, init));
      return responseOf(await forward(this, data), this, data.url);
    },
    writable: true, configurable: true,
  });
})
