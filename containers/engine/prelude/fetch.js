// Headers, Request, Response: what an HTTP driver and a program hand each other. A body is whole, but for that of a response, which may
// be a stream (streams.js).
(function (natives) {
  "use strict";
  const { utf8Encode, utf8Decode, giveStream, isGradual, isStream, streamFrom, streamOf, streamOfBytes, wholeOf } = natives;
  const NO_BODY = [101, 204, 205, 304], REDIRECTS = [301, 302, 303, 307, 308];

  function nameOf(name) {
    if (!/^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/.test(`${name}`)) throw new TypeError(`'${name}' is no name of a header`);
    return `${name}`.toLowerCase();
  }

  function valueOf(value) {
    let text = `${value}`;
    if (/^[!-~]+(?: [!-~]+)*$/.test(text)) return text;
    text = text.replace(/^[\t\n\r ]+|[\t\n\r ]+$/g, "");
    if (/[\0\n\r\u0100-\uffff]/.test(text)) throw new TypeError("a header's value has letters that no header carries");
    return text;
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
      for (const pair of pairs) {
        const [name, value, ...more] = pair;
        if (value === undefined || more.length > 0) throw new TypeError("a header is a pair of a name and a value");
        this.append(name, value);
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

  // The bytes of a body and the type that goes with them.
  function bodyOf(value) {
    if (value === undefined || value === null) return [null, null];
    if (value instanceof ArrayBuffer) return [new Uint8Array(value.slice(0)), null];
    if (ArrayBuffer.isView(value)) return [new Uint8Array(value.buffer, value.byteOffset, value.byteLength).slice(), null];
    if (value instanceof URLSearchParams) return [utf8Encode(`${value}`), "application/x-www-form-urlencoded;charset=UTF-8"];
    if (isGradual(value)) return [streamOf(value), null];
    return [utf8Encode(`${value}`), "text/plain;charset=UTF-8"];
  }

  const RECEIVED = {}; // no program has it
  let bytesOf, isStreaming, takeStream; // of a request or a response, which may have been read
  class Body {
    #bytes = null;
    #used = false;
    #headers; // those that were received are a list until somebody asks
    static {
      bytesOf = (body) => {
        if (isStream(body.#bytes)) throw new TypeError("a body that comes piece by piece cannot be had twice");
        return body.#used ? body.#take() : body.#bytes;
      };
      isStreaming = (body) => isStream(body.#bytes);
      takeStream = (body) => isStreaming(body) ? body.#take() : null;
    }
    constructor(value, headers, received) {
      if (received === RECEIVED) {
        this.#bytes = isStream(value) || value.length > 0 ? value : null;
        this.#headers = headers;
        return;
      }
      const [bytes, type] = bodyOf(value);
      this.#bytes = bytes;
      this.#headers = new Headers(headers);
      if (type !== null) addDefault(this.#headers, "content-type", type);
    }
    #take() {
      if (this.bodyUsed) throw new TypeError("this body was read already");
      this.#used = this.#bytes !== null;
      return this.#bytes ?? new Uint8Array(0);
    }
    get headers() {
      if (!(this.#headers instanceof Headers)) this.#headers = new Headers(this.#headers);
      return this.#headers;
    }
    get body() {
      if (this.#bytes !== null && !isStream(this.#bytes)) this.#bytes = streamOfBytes(this.#bytes);
      return this.#bytes;
    }
    get bodyUsed() {
      return this.#used || isStream(this.#bytes) && this.#bytes.locked;
    }
    async #whole() {
      const body = this.#take();
      return isStream(body) ? await wholeOf(body) : body;
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
    #url;
    #method;
    constructor(input, init = {}) {
      if (init === RECEIVED) {
        super(input.body, input.headers, RECEIVED);
        this.#url = input.url;
        this.#method = input.method;
        return;
      }
      const from = input instanceof Request ? input : undefined;
      const url = from ? from.url : new URL(input).href, method = `${init.method ?? from?.method ?? "GET"}`;
      const body = init.body ?? (from ? bytesOf(from) : null);
      if (!/^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/.test(method)) throw new TypeError(`'${method}' is no HTTP method`);
      const upper = method.toUpperCase();
      const known = ["DELETE", "GET", "HEAD", "OPTIONS", "POST", "PUT"].includes(upper);
      if (["GET", "HEAD"].includes(upper) && body !== null) throw new TypeError(`a ${upper} request has no body`);
      if (isGradual(body ?? undefined)) throw new TypeError("the body of a request is whole: text or bytes, no stream");
      super(body, init.headers ?? from?.headers);
      this.#url = url;
      this.#method = known ? upper : method;
    }
    get url() {
      return this.#url;
    }
    get method() {
      return this.#method;
    }
    clone() {
      return new Request(this);
    }
    get [Symbol.toStringTag]() {
      return "Request";
    }
  }

  class Response extends Body {
    #status;
    #statusText;
    #url = "";
    #redirected = false;
    constructor(body = null, init = {}) {
      if (init === RECEIVED) {
        super(body.body, body.headers, RECEIVED);
        this.#status = body.status;
        this.#statusText = body.statusText;
        this.#url = body.url ?? "";
        this.#redirected = body.redirected ?? false;
        return;
      }
      const { status = 200, statusText = "", headers } = init;
      const code = Number(status), reason = `${statusText}`;
      if (!Number.isInteger(code) || code < 200 || code > 599) throw new RangeError(`${status} is no status from 200 to 599`);
      if (reason !== "" && /[^\t\x20-\x7e\x80-\xff]/.test(reason)) throw new TypeError("a status text is a line of plain letters");
      if (body !== null && NO_BODY.includes(code)) throw new TypeError(`a response with status ${code} has no body`);
      super(body, headers);
      this.#status = code;
      this.#statusText = reason;
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
      return this.#status;
    }
    get statusText() {
      return this.#statusText;
    }
    get url() {
      return this.#url;
    }
    get redirected() {
      return this.#redirected;
    }
    get ok() {
      return this.#status >= 200 && this.#status < 300;
    }
    clone() {
      return new Response(bytesOf(this), { status: this.#status, statusText: this.#statusText, headers: this.headers });
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
  const dataOf = (body) => ({ headers: linesOf(body.headers), body: bytesOf(body) ?? new Uint8Array(0) });
  natives.dataOfRequest = (request) => ({ method: request.method, url: request.url, ...dataOf(request) });
  natives.dataOfResponse = (response) => {
    const { status, statusText } = response, stream = takeStream(response);
    if (stream === null) return { status, statusText, ...dataOf(response) };
    return { status, statusText, headers: linesOf(response.headers), body: new Uint8Array(0), stream: giveStream(stream) };
  };

  for (const [name, value] of Object.entries({ Headers, Request, Response }))
    Object.defineProperty(globalThis, name, { value, writable: true, configurable: true });
})
