// CID: a link to content, as text and as bytes. Base32 for version 1, base58 for version 0, as everywhere in IPLD.
(function (natives) {
  "use strict";
  const BASE32 = "abcdefghijklmnopqrstuvwxyz234567";
  const BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";

  function toBase32(bytes) {
    let text = "", bits = 0, value = 0;
    for (const byte of bytes) {
      value = value << 8 | byte;
      for (bits += 8; bits >= 5; bits -= 5) text += BASE32[value >> bits - 5 & 31];
      value &= (1 << bits) - 1;
    }
    return bits > 0 ? text + BASE32[value << 5 - bits & 31] : text;
  }

  function fromBase32(text) {
    const bytes = [];
    let bits = 0, value = 0;
    for (const letter of text) {
      const digit = BASE32.indexOf(letter);
      if (digit < 0) throw new SyntaxError(`not a CID: '${letter}' is no letter of base32`);
      value = value << 5 | digit;
      if ((bits += 5) >= 8) bytes.push(value >> (bits -= 8) & 255);
      value &= (1 << bits) - 1;
    }
    if (value !== 0 || bits >= 5) throw new SyntaxError("not a CID: base32 with bits left over");
    return bytes;
  }

  // Both directions of base58 for byte strings without leading zeros, as those of a CID are.
  function convert(digits, from, to) {
    const result = [];
    for (let carry of digits) {
      for (let i = 0; i < result.length; i++) {
        carry += result[i] * from;
        result[i] = carry % to;
        carry = carry / to | 0;
      }
      for (; carry > 0; carry = carry / to | 0) result.push(carry % to);
    }
    return result.reverse();
  }

  function parse(text) {
    if (text.startsWith("Qm") && text.length === 46) {
      const digits = Array.from(text, (letter) => BASE58.indexOf(letter));
      if (digits.includes(-1)) throw new SyntaxError("not a CID: a letter that is not of base58");
      return convert(digits, 58, 256);
    }
    if (text[0] !== "b") throw new SyntaxError("not a CID: base32 (b...) or version 0 (Qm...) expected");
    return fromBase32(text.slice(1));
  }

  class CID {
    constructor(source) {
      const bytes = typeof source === "string" ? Uint8Array.from(parse(source)) : source;
      if (!(bytes instanceof Uint8Array)) throw new TypeError("a CID is made from its text or its bytes");
      return natives.cid(bytes);
    }
    get bytes() {
      return natives.cidBytes(this);
    }
    equals(other) {
      return natives.classOf(other) === "CID" && this.toString() === other.toString();
    }
    toString() {
      const bytes = natives.cidBytes(this);
      if (bytes[0] !== 0x12 || bytes[1] !== 0x20) return "b" + toBase32(bytes);
      return convert(bytes, 256, 58).map((digit) => BASE58[digit]).join("");
    }
    toJSON() {
      return { "/": this.toString() };
    }
  }
  natives.cidPrototype(CID.prototype);
  Object.defineProperty(globalThis, "CID", { value: CID, writable: true, configurable: true });
})
