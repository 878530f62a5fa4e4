// crypto.getRandomValues, crypto.randomUUID: random bytes of the host's, recorded with the turn that draws them.
(function (natives) {
  "use strict";
  const { entropy, classOf } = natives;
  const Bytes = Uint8Array;
  const BYTES_MAX = 65536;
  const OF_INTEGERS = ["Int8Array", "Uint8Array", "Uint8ClampedArray", "Int16Array", "Uint16Array", "Int32Array", "Uint32Array", "BigInt64Array", "BigUint64Array"];
  const HEX = [];
  for (let byte = 0; byte < 256; byte++) HEX.push((byte + 256).toString(16).slice(1));

  function isCrypto(value, name) {
    if (value !== crypto) throw new TypeError(`crypto.${name} was called on something else`);
  }

  class Crypto {
    constructor() {
      throw new TypeError("Illegal constructor");
    }
    getRandomValues(array) {
      isCrypto(this, "getRandomValues");
      if (!ArrayBuffer.isView(array)) throw new TypeError(`crypto.getRandomValues fills a typed array, not ${natives.inspect(array)}`);
      const kind = classOf(array);
      if (!OF_INTEGERS.includes(kind)) throw new DOMException(`crypto.getRandomValues fills arrays of integers, not a ${kind}`, "TypeMismatchError");
      if (array.byteLength > BYTES_MAX)
        throw new DOMException(`crypto.getRandomValues fills at most ${BYTES_MAX} bytes at once, not ${array.byteLength}`, "QuotaExceededError");
      entropy(new Bytes(array.buffer, array.byteOffset, array.byteLength));
      return array;
    }
    // Version 4 of RFC 9562: 122 random bits.
    randomUUID() {
      isCrypto(this, "randomUUID");
      const bytes = new Bytes(16);
      entropy(bytes);
      bytes[6] = (bytes[6] & 0x0f) | 0x40;
      bytes[8] = (bytes[8] & 0x3f) | 0x80;
      let text = "";
      for (let i = 0; i < 16; i++) text += (i === 4 || i === 6 || i === 8 || i === 10 ? "-" : "") + HEX[bytes[i]];
      return text;
    }
  }
  Object.defineProperty(Crypto.prototype, Symbol.toStringTag, { value: "Crypto", configurable: true });

  const crypto = Object.create(Crypto.prototype);
  for (const [name, value] of Object.entries({ Crypto, crypto }))
    Object.defineProperty(globalThis, name, { value, writable: true, configurable: true });
})
