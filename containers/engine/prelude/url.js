// URL and URLSearchParams, by the URL standard (url.spec.whatwg.org). A host in letters beyond ASCII is refused: it would need
// the tables of IDNA. Such names are given in their own ASCII form, `xn--...`.
(function (natives) {
  "use strict";
  const { plainUrl, utf8Encode, utf8Decode } = natives;
  const PORTS = { __proto__: null, "http:": 80, "https:": 443, "ws:": 80, "wss:": 443, "ftp:": 21, "file:": null };
  const isSpecial = (url) => url.protocol in PORTS;

  // What is percent-encoded where; beside it all controls and everything beyond ASCII. `clean` is text that has none of it.
  const FRAGMENT = { letters: ' "<>`', clean: /^[!#-;=?-_a-~]*$/ };
  const QUERY = { letters: ' "#<>', clean: /^[!$-;=?-~]*$/ };
  const SPECIAL_QUERY = { letters: QUERY.letters + "'", clean: /^[!$-&(-;=?-~]*$/ };
  const PATH = { letters: QUERY.letters + "?^`{}", clean: /^[!$-;=@-\]_a-z|~]*$/ };
  const USER = { letters: PATH.letters + "/:;=@[\\]|", clean: /^[!$-.0-9A-Z_a-z~]*$/ };
  const OPAQUE = { letters: "", clean: /^[ -~]*$/ };

  function encode(text, { letters: set, clean }) {
    if (clean.test(text)) return text;
    let encoded = "";
    for (const letter of text) {
      if (letter > " " && letter < "\x7f" && !set.includes(letter) || letter === " " && !set.includes(" ")) encoded += letter;
      else for (const byte of utf8Encode(letter)) encoded += `%${byte < 16 ? "0" : ""}${byte.toString(16).toUpperCase()}`;
    }
    return encoded;
  }

  function decode(text) {
    if (/^[\0-$&-\x7f]*$/.test(text)) return text; // no percent
    const bytes = utf8Encode(text);
    let length = 0;
    for (let i = 0; i < bytes.length; i++) {
      const digits = bytes[i] === 0x25 ? /^[0-9a-f]{2}$/i.exec(String.fromCharCode(bytes[i + 1], bytes[i + 2])) : null;
      bytes[length++] = digits ? parseInt(digits[0], 16) : bytes[i];
      if (digits) i += 2;
    }
    return utf8Decode(bytes.subarray(0, length), false);
  }

  function refuse(what) {
    throw new TypeError(`Invalid URL: ${what}`);
  }

  function numberOf(part) {
    if (part === "") return NaN;
    if (/^0x/i.test(part)) return part.length === 2 ? 0 : /^0x[0-9a-f]+$/i.test(part) ? parseInt(part, 16) : NaN;
    if (part[0] === "0" && part.length > 1) return /^[0-7]+$/.test(part) ? parseInt(part, 8) : NaN;
    return /^[0-9]+$/.test(part) ? Number(part) : NaN;
  }

  function parseIPv4(host) {
    if (/^(?:(?:[1-9]?[0-9]|1[0-9]{2}|2[0-4][0-9]|25[0-5])(?:\.(?!$)|$)){4}$/.test(host)) return host;
    const parts = host.split(".");
    if (parts.at(-1) === "" && parts.length > 1) parts.pop();
    if (!/^(?:[0-9]+|0x[0-9a-f]*)$/i.test(parts.at(-1))) return host;
    const numbers = parts.map(numberOf), last = numbers.pop();
    const isWrong = numbers.length > 3 || !(last < 256 ** (4 - numbers.length)) || numbers.some((number) => !(number < 256));
    if (isWrong) refuse(`'${host}' is no IPv4 address`);
    const value = numbers.reduce((sum, number, i) => sum + number * 256 ** (3 - i), last);
    return [24, 16, 8, 0].map((bits) => Math.floor(value / 2 ** bits) % 256).join(".");
  }

  function piecesOf(text) {
    if (text === "") return [];
    const pieces = text.split(":");
    if (pieces.at(-1).includes(".")) {
      const bytes = pieces.pop().split(".");
      if (bytes.length !== 4 || bytes.some((byte) => !/^(?:0|[1-9][0-9]{0,2})$/.test(byte) || byte > 255)) return [NaN];
      pieces.push((bytes[0] << 8 | bytes[1]).toString(16), (bytes[2] << 8 | bytes[3]).toString(16));
    }
    return pieces.map((piece) => /^[0-9a-f]{1,4}$/i.test(piece) ? parseInt(piece, 16) : NaN);
  }

  function parseIPv6(text) {
    const halves = text.split("::"), [front, back = []] = halves.map(piecesOf);
    const missing = 8 - front.length - back.length;
    const pieces = [...front, ...Array(halves.length > 1 ? Math.max(missing, 0) : 0).fill(0), ...back];
    if (halves.length > 2 || pieces.length !== 8 || (halves.length > 1 && missing < 1) || pieces.includes(NaN))
      refuse(`'[${text}]' is no IPv6 address`);
    let [start, length] = [-1, 1];
    for (let i = 0; i < 8; i++) {
      let end = i;
      while (pieces[end] === 0) end++;
      if (end - i > length) [start, length] = [i, end - i];
    }
    const hex = (from, to) => pieces.slice(from, to).map((piece) => piece.toString(16)).join(":");
    return start < 0 ? `[${hex(0, 8)}]` : `[${hex(0, start)}::${hex(start + length, 8)}]`;
  }

  function parseHost(text, special) {
    if (text[0] === "[") return text.at(-1) === "]" ? parseIPv6(text.slice(1, -1)) : refuse("an IPv6 address ends with ']'");
    if (!special) {
      if (/[\0\t\n\r #/:<>?@[\\\]^|]/.test(text)) refuse(`the host '${text}' has a letter that no host has`);
      return encode(text, OPAQUE);
    }
    const host = decode(text).toLowerCase();
    if (/[^\0-\x7f]/.test(host)) refuse(`the host '${host}' is not ASCII: give it in its form with xn--`);
    if (host === "" || /[\0-\x20#%/:<>?@[\\\]^|\x7f]/.test(host)) refuse(`'${text}' is no host`);
    return parseIPv4(host);
  }

  const isDrive = (segment) => /^[a-z][:|]$/i.test(segment);
  const startsWithDrive = (text) => /^[a-z][:|](?:[/\\]|$)/i.test(text);

  function shorten(url) {
    if (url.protocol === "file:" && url.path.length === 1 && /^[a-z]:$/i.test(url.path[0])) return;
    url.path.pop();
  }

  // The segments of `text`, which come after what is in the path already.
  function addPath(url, text) {
    const segments = text.split(isSpecial(url) && text.includes("\\") ? /[/\\]/ : "/");
    segments.forEach((segment, i) => {
      const isLast = i === segments.length - 1, dots = segment.includes("%") ? segment.replace(/%2e/gi, ".") : segment;
      if (dots === "..") shorten(url);
      if (dots === "." || dots === "..") {
        if (isLast) url.path.push("");
      } else {
        const isRootDrive = url.protocol === "file:" && url.path.length === 0 && isDrive(segment);
        url.path.push(isRootDrive ? segment[0] + ":" : encode(segment, PATH));
      }
    });
  }

  function startPath(url, text) {
    if (!isSpecial(url) && text === "") return;
    addPath(url, /^[/]/.test(text) || isSpecial(url) && text[0] === "\\" ? text.slice(1) : text);
  }

  function parsePort(url, text) {
    if (!/^[0-9]*$/.test(text) || Number(text) > 65535) refuse(`'${text}' is no port`);
    url.port = text === "" || Number(text) === PORTS[url.protocol] ? "" : `${Number(text)}`;
  }

  function parseHostAndPort(url, text) {
    const [, host, port] = /^((?:\[[^\]]*\]?|[^:[])*)(?::(.*))?$/s.exec(text) ?? refuse(`'${text}' is no host`);
    if (host === "" && (isSpecial(url) || port !== undefined)) refuse("there is no host");
    url.host = parseHost(host, isSpecial(url));
    parsePort(url, port ?? "");
  }

  function changeHost(url, text) {
    const isNeeded = isSpecial(url) && url.protocol !== "file:" || url.port !== "" || url.username !== "" || url.password !== "";
    if (text === "" && isNeeded) refuse("there is no host");
    url.host = text === "" ? "" : parseHost(text, isSpecial(url));
    if (url.protocol === "file:" && url.host === "localhost") url.host = "";
  }

  function parseAuthority(url, text) {
    const end = text.search(isSpecial(url) ? /[/\\]|$/ : /[/]|$/);
    const authority = text.slice(0, end), at = authority.lastIndexOf("@");
    if (at >= 0) {
      const [, user, password] = /^([^:]*):?(.*)$/s.exec(authority.slice(0, at));
      url.username = encode(user, USER);
      url.password = encode(password, USER);
      if (at === authority.length - 1) refuse("there is no host behind the user");
    }
    parseHostAndPort(url, authority.slice(at + 1));
    startPath(url, text.slice(end));
  }

  function parseFile(url, text, base) {
    const from = base?.protocol === "file:" ? base : null;
    url.host = "";
    if (/^[/\\]{2}/.test(text)) {
      const end = text.slice(2).search(/[/\\]|$/) + 2, host = text.slice(2, end);
      if (isDrive(host)) return addPath(url, text.slice(2));
      url.host = host === "" ? "" : parseHost(host, true);
      if (url.host === "localhost") url.host = "";
      return startPath(url, text.slice(end));
    }
    if (from) url.host = from.host;
    if (/^[/\\]/.test(text)) {
      if (from && !startsWithDrive(text.slice(1)) && /^[a-z]:$/i.test(from.path[0] ?? "")) url.path.push(from.path[0]);
      return addPath(url, text.slice(1));
    }
    if (!from) return addPath(url, text);
    if (text === "") return follow(url, from);
    if (!startsWithDrive(text)) {
      url.path = [...from.path];
      shorten(url);
    }
    addPath(url, text);
  }

  // An empty reference: the base's path, and its query if there is none.
  function follow(url, base) {
    url.path = [...base.path];
    url.query ??= base.query;
  }

  function parseRelative(url, text, base) {
    const slashes = isSpecial(url) ? /^[/\\]{2}/ : /^[/]{2}/;
    if (slashes.test(text)) return parseAuthority(url, text.replace(isSpecial(url) ? /^[/\\]+/ : /^[/]{2}/, ""));
    const { username, password, host, port } = base;
    Object.assign(url, { username, password, host, port });
    if (text === "") return follow(url, base);
    if (text[0] === "/" || isSpecial(url) && text[0] === "\\") return addPath(url, text.slice(1));
    url.path = [...base.path];
    shorten(url);
    addPath(url, text);
  }

  // {protocol, username, password, host or null, port, path: list or text, query or null, fragment or null}
  function parse(input, base) {
    const isClean = !/[\0-\x20]/.test(input);
    const clean = isClean ? input : input.replace(/^[\0-\x20]+|[\0-\x20]+$/g, "").replace(/[\t\n\r]/g, "");
    const [, scheme, body, query, fragment] = /^(?:([a-z][a-z0-9+.\-]*):)?([^?#]*)(?:\?([^#]*))?(?:#(.*))?$/is.exec(clean);
    const url = { protocol: "", username: "", password: "", host: null, port: "", path: [], query: null, fragment: null };
    if (scheme === undefined && !base) refuse(`'${input}' has no scheme, and there is no base`);
    url.protocol = scheme === undefined ? base.protocol : scheme.toLowerCase() + ":";
    if (query !== undefined) url.query = encode(query, isSpecial(url) ? SPECIAL_QUERY : QUERY);
    if (fragment !== undefined) url.fragment = encode(fragment, FRAGMENT);
    const isRelative = scheme === undefined || isSpecial(url) && base?.protocol === url.protocol && !body.startsWith("//");
    if (scheme === undefined && typeof base.path === "string") {
      if (body !== "" || query !== undefined || fragment === undefined) refuse("its base cannot have relative references");
      Object.assign(url, { ...base, fragment: url.fragment });
    } else if (url.protocol === "file:") parseFile(url, body, base);
    else if (isRelative) parseRelative(url, body, base);
    else if (isSpecial(url)) parseAuthority(url, body.replace(/^[/\\]+/, ""));
    else if (body.startsWith("//")) parseAuthority(url, body.slice(2));
    else if (body[0] === "/") addPath(url, body.slice(1));
    else url.path = encode(body, OPAQUE);
    return url;
  }

  const hostOf = (url) => url.host === null ? "" : url.port === "" ? url.host : `${url.host}:${url.port}`;
  const pathOf = (url) => typeof url.path === "string" ? url.path : url.path.map((segment) => "/" + segment).join("");

  function textOf(url) {
    const user = url.username === "" && url.password === "" ? "" : url.username + (url.password === "" ? "" : ":" + url.password) + "@";
    const front = url.host !== null ? `//${user}${hostOf(url)}` : typeof url.path !== "string" && url.path.length > 1 && url.path[0] === "" ? "/." : "";
    const query = url.query === null ? "" : "?" + url.query;
    return url.protocol + front + pathOf(url) + query + (url.fragment === null ? "" : "#" + url.fragment);
  }

  const formDecode = (text) => decode(text.replaceAll("+", " "));
  const formEncode = (text) => Array.from(utf8Encode(text), (byte) => {
    const letter = String.fromCharCode(byte);
    return /[A-Za-z0-9*\-._]/.test(letter) ? letter : letter === " " ? "+" : `%${byte < 16 ? "0" : ""}${byte.toString(16).toUpperCase()}`;
  }).join("");

  function pairsOfText(text) {
    return text.split("&").filter((part) => part !== "").map((part) => {
      const [, name, value] = /^([^=]*)=?(.*)$/s.exec(part);
      return [formDecode(name), formDecode(value)];
    });
  }

  function pairsOf(init) {
    if (init === undefined || init === null) return [];
    if (typeof init !== "object" && typeof init !== "function") return pairsOfText(`${init}`.replace(/^\?/, ""));
    if (typeof init[Symbol.iterator] !== "function") return Object.entries(init).map(([name, value]) => [`${name}`, `${value}`]);
    return Array.from(init, (pair) => {
      const both = Array.from(pair, (item) => `${item}`);
      return both.length === 2 ? both : refuse("search parameters are pairs of a name and a value");
    });
  }

  let belong, read; // how a URL reaches into its parameters
  class URLSearchParams {
    #pairs;
    #url = null; // the record of the URL that they are of: not the object, or each URL would be garbage that only a collector finds
    static {
      belong = (params, url) => void (params.#url = url);
      read = (params, query) => void (params.#pairs = pairsOfText(query));
    }
    #changed() {
      if (this.#url !== null) this.#url.query = this.toString() || null;
    }
    constructor(init) {
      this.#pairs = pairsOf(init);
    }
    get size() {
      return this.#pairs.length;
    }
    append(name, value) {
      this.#pairs.push([`${name}`, `${value}`]);
      this.#changed();
    }
    delete(name, value) {
      this.#pairs = this.#pairs.filter((pair) => pair[0] !== `${name}` || (value !== undefined && pair[1] !== `${value}`));
      this.#changed();
    }
    get(name) {
      return this.#pairs.find((pair) => pair[0] === `${name}`)?.[1] ?? null;
    }
    getAll(name) {
      return this.#pairs.filter((pair) => pair[0] === `${name}`).map((pair) => pair[1]);
    }
    has(name, value) {
      return this.#pairs.some((pair) => pair[0] === `${name}` && (value === undefined || pair[1] === `${value}`));
    }
    set(name, value) {
      const first = this.#pairs.findIndex((pair) => pair[0] === `${name}`);
      if (first < 0) return this.append(name, value);
      this.#pairs[first][1] = `${value}`;
      this.#pairs = this.#pairs.filter((pair, i) => i <= first || pair[0] !== `${name}`);
      this.#changed();
    }
    sort() {
      this.#pairs.sort(([a], [b]) => a < b ? -1 : a > b ? 1 : 0);
      this.#changed();
    }
    forEach(callback, self) {
      for (const [name, value] of this) callback.call(self, value, name, this);
    }
    *entries() {
      for (let i = 0; i < this.#pairs.length; i++) yield [...this.#pairs[i]];
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
    toString() {
      return this.#pairs.map(([name, value]) => `${formEncode(name)}=${formEncode(value)}`).join("&");
    }
    get [Symbol.toStringTag]() {
      return "URLSearchParams";
    }
  }

  class URL {
    #of; // of most addresses their text and where its parts lie (plainUrl); of others, and before anything changes, a record, one for life
    constructor(url, base) {
      const text = `${url}`;
      this.#of = base === undefined ? plainUrl(text) ?? parse(text) : parse(text, parse(`${base}`));
    }
    // From one place of a plain address to another; undefined for a record.
    #part(from, to) {
      return this.#of[0]?.slice(this.#of[from], this.#of[to]);
    }
    // The record.
    get #url() {
      if (this.#of[0] !== undefined) this.#of = parse(this.#of[0]);
      return this.#of;
    }
    static canParse(url, base) {
      return URL.parse(url, base) !== null;
    }
    static parse(url, base) {
      try {
        return new URL(url, base);
      } catch {
        return null;
      }
    }
    // A part that cannot be what it is set to stays as it is.
    #change(change) {
      const changed = { ...this.#url, path: typeof this.#url.path === "string" ? this.#url.path : [...this.#url.path] };
      try {
        change(changed);
        Object.assign(this.#url, changed);
      } catch (error) {
        if (!(error instanceof TypeError)) throw error;
      }
    }
    get #hasNoUser() {
      return this.#url.host === null || this.#url.host === "" || this.#url.protocol === "file:";
    }
    get href() {
      return this.#of[0] ?? textOf(this.#of);
    }
    set href(value) {
      Object.assign(this.#url, parse(`${value}`));
      this.#readParams();
    }
    get origin() {
      if (this.#of[0] !== undefined) return this.#of[0].slice(0, this.#of[3]);
      return isSpecial(this.#of) && this.#of.protocol !== "file:" ? `${this.#of.protocol}//${hostOf(this.#of)}` : "null";
    }
    get protocol() {
      return this.#of[0]?.slice(0, this.#of[1] - 2) ?? this.#of.protocol;
    }
    set protocol(value) {
      const protocol = /^([a-z][a-z0-9+.\-]*)(?::|$)/i.exec(`${value}`)?.[1].toLowerCase() + ":";
      const old = this.#url;
      if (protocol === "undefined:" || protocol in PORTS !== isSpecial(old)) return;
      if (protocol === "file:" && (old.username !== "" || old.password !== "" || old.port !== "")) return;
      if (old.protocol === "file:" && old.host === "") return;
      this.#change((url) => {
        url.protocol = protocol;
        parsePort(url, url.port);
      });
    }
    get username() {
      return this.#of.username ?? "";
    }
    set username(value) {
      if (!this.#hasNoUser) this.#url.username = encode(`${value}`, USER);
    }
    get password() {
      return this.#of.password ?? "";
    }
    set password(value) {
      if (!this.#hasNoUser) this.#url.password = encode(`${value}`, USER);
    }
    get host() {
      return this.#part(1, 3) ?? hostOf(this.#of);
    }
    set host(value) {
      this.#setHost(`${value}`, (url, text) => {
        const isPlain = url.protocol === "file:" || !/^((?:\[[^\]]*\]?|[^:[])*):/.test(text);
        const [, host, port] = isPlain ? [text, text, ""] : /^((?:\[[^\]]*\]?|[^:[])*):([0-9]*)/.exec(text);
        changeHost(url, host);
        if (port !== "") parsePort(url, port);
      });
    }
    get hostname() {
      return this.#part(1, 2) ?? this.#of.host ?? "";
    }
    set hostname(value) {
      this.#setHost(`${value}`, (url, text) => {
        if (/^[^[]*:/.test(text)) refuse("a host without a port is wanted");
        changeHost(url, text);
      });
    }
    #setHost(text, set) {
      if (typeof this.#url.path === "string") return;
      const clean = text.replace(/[\t\n\r]/g, "");
      this.#change((url) => set(url, clean.slice(0, clean.search(isSpecial(url) ? /[/\\?#]|$/ : /[/?#]|$/))));
    }
    get port() {
      return this.#of[0]?.slice(this.#of[2] + 1, this.#of[3]) ?? this.#of.port;
    }
    set port(value) {
      if (this.#hasNoUser) return;
      const [digits] = /^[0-9]*/.exec(`${value}`.replace(/[\t\n\r]/g, ""));
      if (digits !== "" || `${value}` === "") this.#change((url) => parsePort(url, digits));
    }
    get pathname() {
      const of = this.#of;
      return of[0]?.slice(of[3], of[4]) ?? pathOf(of);
    }
    set pathname(value) {
      if (typeof this.#url.path === "string") return;
      this.#url.path = [];
      startPath(this.#url, `${value}`.replace(/[\t\n\r]/g, ""));
    }
    get search() {
      const search = this.#of[0]?.slice(this.#of[4]) ?? `?${this.#of.query ?? ""}`;
      return search === "?" ? "" : search;
    }
    set search(value) {
      const query = `${value}`.replace(/^\?/, "").replace(/[\t\n\r]/g, "");
      this.#url.query = `${value}` === "" ? null : encode(query, isSpecial(this.#url) ? SPECIAL_QUERY : QUERY);
      this.#readParams();
    }
    #readParams() {
      if (this.#of.params !== undefined) read(this.#of.params, this.#of.query ?? "");
    }
    get searchParams() {
      const url = this.#url; // its parameters are in it once they were asked for
      if (url.params === undefined) {
        url.params = new URLSearchParams(url.query ?? "");
        belong(url.params, url);
      }
      return url.params;
    }
    get hash() {
      return this.#of.fragment ? `#${this.#of.fragment}` : "";
    }
    set hash(value) {
      const fragment = `${value}`.replace(/^#/, "").replace(/[\t\n\r]/g, "");
      this.#url.fragment = `${value}` === "" ? null : encode(fragment, FRAGMENT);
    }
    toString() {
      return this.href;
    }
    toJSON() {
      return this.href;
    }
    get [Symbol.toStringTag]() {
      return "URL";
    }
  }

  for (const [name, value] of Object.entries({ URL, URLSearchParams }))
    Object.defineProperty(globalThis, name, { value, writable: true, configurable: true });
})
