// TextEncoder and TextDecoder: UTF-8 only.
(function (natives) {
  "use strict";
  const { utf8Encode, utf8Decode } = natives;
  const LABELS = ["utf-8", "utf8", "unicode-1-1-utf-8", "unicode11utf8", "unicode20utf8", "x-unicode20utf8"];

  class TextEncoder {
    get encoding() {
      return "utf-8";
    }
    encode(text = "") {
      return utf8Encode(`${text}`);
    }
    encodeInto(text, target) {
      let read = 0, written = 0;
      for (const letter of `${text}`) {
        const bytes = utf8Encode(letter);
        if (written + bytes.length > target.length) break;
        target.set(bytes, written);
        written += bytes.length;
        read += letter.length;
      }
      return { read, written };
    }
  }

  // How many bytes at the end may be the beginning of a letter.
  function unfinished(bytes) {
    for (let i = 1; i <= Math.min(3, bytes.length); i++) {
      const byte = bytes[bytes.length - i];
      if (byte >= 0xc0) return i < (byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : 2) ? i : 0;
      if (byte < 0x80) return 0;
    }
    return 0;
  }

  function viewOf(input) {
    if (input === undefined) return new Uint8Array(0);
    if (ArrayBuffer.isView(input)) return new Uint8Array(input.buffer, input.byteOffset, input.byteLength);
    return new Uint8Array(input);
  }

  class TextDecoder {
    #fatal;
    #ignoreBOM;
    #kept = new Uint8Array(0);
    #started = false;
    constructor(label = "utf-8", { fatal = false, ignoreBOM = false } = {}) {
      if (!LABELS.includes(`${label}`.trim().toLowerCase())) throw new RangeError(`the encoding '${label}' is not supported`);
      this.#fatal = Boolean(fatal);
      this.#ignoreBOM = Boolean(ignoreBOM);
    }
    get encoding() {
      return "utf-8";
    }
    get fatal() {
      return this.#fatal;
    }
    get ignoreBOM() {
      return this.#ignoreBOM;
    }
    decode(input, { stream = false } = {}) {
      let bytes = viewOf(input);
      if (this.#kept.length > 0) {
        const joined = new Uint8Array(this.#kept.length + bytes.length);
        joined.set(this.#kept);
        joined.set(bytes, this.#kept.length);
        bytes = joined;
      }
      const keep = stream ? unfinished(bytes) : 0;
      this.#kept = bytes.slice(bytes.length - keep);
      let text = utf8Decode(bytes.subarray(0, bytes.length - keep), this.#fatal);
      if (!this.#ignoreBOM && !this.#started && text[0] === "\ufeff") text = text.slice(1);
      this.#started = stream && (this.#started || text.length > 0);
      return text;
    }
  }

  for (const [name, value] of Object.entries({ TextEncoder, TextDecoder }))
    Object.defineProperty(globalThis, name, { value, writable: true, configurable: true });
})
