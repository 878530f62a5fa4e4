// Headers, Request, Response: what an HTTP driver and a program hand each other. A body is whole, but for that of a response, which may
// be a stream (streams.js).
(function (natives) {
  "use strict";
  const { headerName, headerValue, utf8Encode, utf8Decode, giveStream, isGradual, isStream, streamFrom, streamOf, streamOfBytes, wholeOf } = natives;
  const NO_BODY = [101, 204, 205, 304], REDIRECTS = [301, 302, 303, 307, 308];

  function nameOf(name) {
    return headerName(`${name}`) ?? refuse(`'${name}' is no name of a header`);
  }

  function valueOf(value) {
    return headerValue(`${value}`) ?? refuse("a header's value has letters that no header carries");
  }

  function refuse(what) {
    throw new TypeError(what);
  }

  let linesOf, addDefault; // past what programs can redefine, and without asking whether a name is one
  class Headers {
    #lines = { __proto__: null }; // by name: the values in their order
    static {
      linesOf = (headers) => {
        const lines = headers.#lines, pairs = [];
        for (const name of Object.keys(lines).sort()) {
          if (name === "set-cookie") for (const value of lines[name]) pairs.push([name, value]);
          else pairs.push([name, lines[name].join(", ")]);
        }
        return pairs;
      };
      addDefault = (headers, name, value) => void (headers.#lines[name] ??= [value]);
    }
    constructor(init) {
      if (init === undefined) return;
      if (init === null || typeof init !== "object") throw new TypeError("headers are made from pairs or an object");
      const pairs = typeof init[Symbol.iterator] === "function" ? init : Object.entries(init);
      for (const given of pairs) {
        const pair = Array.isArray(given) ? given : [...given];
        if (pair.length !== 2 || pair[1] === undefined) throw new TypeError("a header is a pair of a name and a value");
        (this.#lines[nameOf(pair[0])] ??= []).push(valueOf(pair[1]));
      }
    }
    append(name, value) {
      (this.#lines[nameOf(name)] ??= []).push(valueOf(value));
    }
    delete(name) {
      delete this.#lines[nameOf(name)];
    }
    get(name) {
      return this.#lines[nameOf(name)]?.join(", ") ?? null;
    }
    getSetCookie() {
      return [...this.#lines["set-cookie"] ?? []];
    }
    has(name) {
      return nameOf(name) in this.#lines;
    }
    set(name, value) {
      this.#lines[nameOf(name)] = [valueOf(value)];
    }
    forEach(callback, self) {
      for (const [name, value] of this) callback.call(self, value, name, this);
    }
    *entries() {
      for (const name of Object.keys(this.#lines).sort()) {
        if (name === "set-cookie") for (const value of this.#lines[name] ?? []) yield [name, value];
        else if (name in this.#lines) yield [name, this.#lines[name].join(", ")];
      }
    }
    *keys() {
      for (const [name] of this) yield name;
    }
    *values() {
      for (const [, value] of this) yield value;
    }
    [Symbol.iterator]() {
      return this.entries();
    }
    get [Symbol.toStringTag]() {
      return "Headers";
    }
  }

  const TEXT = "text/plain;charset=UTF-8", FORM = "application/x-www-form-urlencoded;charset=UTF-8";

  // The bytes of a body, or its stream; null for none.
  function contentOf(value) {
    if (typeof value === "string") return utf8Encode(value);
    if (value === undefined || value === null) return null;
    if (value instanceof ArrayBuffer) return new Uint8Array(value.slice(0));
    if (ArrayBuffer.isView(value)) return new Uint8Array(value.buffer, value.byteOffset, value.byteLength).slice();
    if (!(value instanceof URLSearchParams) && isGradual(value)) return streamOf(value);
    return utf8Encode(`${value}`);
  }

  // The type that goes with it; null for none.
  function typeOf(value, content) {
    if (content === null || typeof value === "string") return content && TEXT;
    if (value instanceof URLSearchParams) return FORM;
    return value instanceof ArrayBuffer || ArrayBuffer.isView(value) || isStream(content) ? null : TEXT;
  }

  // The headers of a body: those that are given, and its type where they say none.
  function headersOf(given, value, content) {
    const type = typeOf(value, content);
    if (given === undefined) return type;
    const headers = new Headers(given);
    if (type !== null) addDefault(headers, "content-type", type);
    return headers;
  }

  const RECEIVED = {}; // no program has it
  const READ = {}; // in place of a content that was read
  const NOTHING = new Uint8Array(0);
  const received = (content) => content.length === 0 ? null : content; // a stream has no length
  let bytesOf, isStreaming, contentToGive, headersIn;
  class Body {
    #content; // bytes, a stream, null or READ
    #headers; // until somebody asks for them, what they are made of: the pairs that were received, or the type alone, or null
    static {
      bytesOf = (body) => {
        if (isStream(body.#content)) throw new TypeError("a body that comes piece by piece cannot be had twice");
        return body.#content === READ ? body.#take() : body.#content;
      };
      isStreaming = (body) => isStream(body.#content);
      // What leaves: bytes, which stay here as well, or the stream, which does not.
      contentToGive = (body) => body.#content instanceof Uint8Array ? body.#content : body.#take();
      headersIn = (body) => {
        if (body.#headers === null) return [];
        return typeof body.#headers === "string" ? [["content-type", body.#headers]] : linesOf(body.headers);
      };
    }
    constructor(content, headers) {
      this.#content = content;
      this.#headers = headers;
    }
    #take() {
      if (this.bodyUsed) throw new TypeError("this body was read already");
      const content = this.#content;
      if (content !== null) this.#content = READ;
      return content ?? NOTHING;
    }
    get headers() {
      const headers = this.#headers;
      if (headers instanceof Headers) return headers;
      return this.#headers = new Headers(typeof headers === "string" ? [["content-type", headers]] : headers ?? undefined);
    }
    get body() {
      if (this.#content === READ) return streamOfBytes(NOTHING);
      if (this.#content !== null && !isStream(this.#content)) this.#content = streamOfBytes(this.#content);
      return this.#content;
    }
    get bodyUsed() {
      return this.#content === READ || isStream(this.#content) && this.#content.locked;
    }
    async #whole() {
      const content = this.#take();
      return isStream(content) ? await wholeOf(content) : content;
    }
    async bytes() {
      return (await this.#whole()).slice();
    }
    async arrayBuffer() {
      return (await this.#whole()).slice().buffer;
    }
    async text() {
      return utf8Decode(await this.#whole(), false).replace(/^\ufeff/, "");
    }
    async json() {
      return JSON.parse(utf8Decode(await this.#whole(), false).replace(/^\ufeff/, ""));
    }
  }

  class Request extends Body {
    #line; // {url, method}
    constructor(input, init) {
      if (init === RECEIVED) {
        super(received(input.body), input.headers);
        this.#line = input;
        return;
      }
      const from = input instanceof Request ? input : undefined, { method: asked, body: given, headers } = init ?? {};
      const url = from ? from.url : new URL(input).href, method = `${asked ?? from?.method ?? "GET"}`;
      const body = given ?? (from ? bytesOf(from) : null), content = contentOf(body);
      if (headerName(method) === undefined) throw new TypeError(`'${method}' is no HTTP method`);
      const upper = method.toUpperCase();
      const known = ["DELETE", "GET", "HEAD", "OPTIONS", "POST", "PUT"].includes(upper);
      if (["GET", "HEAD"].includes(upper) && content !== null) throw new TypeError(`a ${upper} request has no body`);
      if (isStream(content)) throw new TypeError("the body of a request is whole: text or bytes, no stream");
      super(content, headersOf(headers ?? from?.headers, body, content));
      this.#line = { url, method: known ? upper : method };
    }
    get url() {
      return this.#line.url;
    }
    get method() {
      return this.#line.method;
    }
    clone() {
      return new Request(this);
    }
    get [Symbol.toStringTag]() {
      return "Request";
    }
  }

  const OK = { status: 200, statusText: "" };
  function headOf({ status = 200, statusText = "" }, content) {
    const code = Number(status), reason = `${statusText}`;
    if (!Number.isInteger(code) || code < 200 || code > 599) throw new RangeError(`${status} is no status from 200 to 599`);
    if (reason !== "" && /[^\t\x20-\x7e\x80-\xff]/.test(reason)) throw new TypeError("a status text is a line of plain letters");
    if (content !== null && NO_BODY.includes(code)) throw new TypeError(`a response with status ${code} has no body`);
    return { status: code, statusText: reason };
  }

  let headIn;
  class Response extends Body {
    #head; // {status, statusText}, and of one that was received perhaps {url, redirected}
    static {
      headIn = (response) => response.#head;
    }
    constructor(body, init) {
      if (init === RECEIVED) {
        super(received(body.body), body.headers);
        this.#head = body;
        return;
      }
      const content = contentOf(body);
      super(content, headersOf(init?.headers, body, content));
      this.#head = init === undefined ? OK : headOf(init, content);
    }
    static json(data, init = {}) {
      const text = JSON.stringify(data);
      if (text === undefined) throw new TypeError("this value has no form in JSON");
      const headers = new Headers(init.headers);
      addDefault(headers, "content-type", "application/json");
      return new Response(text, { ...init, headers });
    }
    static redirect(url, status = 302) {
      if (!REDIRECTS.includes(status)) throw new RangeError(`${status} is no status of a redirection`);
      return new Response(null, { status, headers: { location: new URL(url).href } });
    }
    get status() {
      return this.#head.status;
    }
    get statusText() {
      return this.#head.statusText;
    }
    get url() {
      return this.#head.url ?? "";
    }
    get redirected() {
      return this.#head.redirected ?? false;
    }
    get ok() {
      return this.status >= 200 && this.status < 300;
    }
    clone() {
      return new Response(bytesOf(this), { ...headIn(this), headers: this.headers });
    }
    get [Symbol.toStringTag]() {
      return "Response";
    }
  }

  natives.isStreaming = isStreaming;
  natives.requestOf = (data) => new Request(data, RECEIVED);
  // What another container or host has answered; a stream goes on to come over this port.
  natives.responseOf = (data, port, url) => new Response(
    data.stream === undefined ? data : { ...data, body: streamFrom(port, { url, stream: data.stream }) }, RECEIVED);
  natives.dataOfRequest = (request) => ({
    method: request.method, url: request.url, headers: headersIn(request), body: bytesOf(request) ?? NOTHING,
  });
  natives.dataOfResponse = (response) => {
    const { status, statusText } = headIn(response), headers = headersIn(response), content = contentToGive(response);
    if (content instanceof Uint8Array) return { body: content, status, headers, statusText };
    return { body: NOTHING, status, headers, statusText, stream: giveStream(content) };
  };

  for (const [name, value] of Object.entries({ Headers, Request, Response }))
    Object.defineProperty(globalThis, name, { value, writable: true, configurable: true });
})
