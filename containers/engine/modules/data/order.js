// The one order of keys: nothing first, then booleans, numbers, texts. Dates and bytes have keys that are numbers and texts.

const RANKS = { boolean: 1, number: 2, bigint: 2, string: 3 };

export function compare(a, b) {
  if (a === b) return 0;
  if (a === null) return -1;
  if (b === null) return 1;
  const left = RANKS[typeof a], right = RANKS[typeof b];
  if (left !== right) return left - right;
  return a < b ? -1 : a > b ? 1 : 0;
}

// Whether a key can be ordered at all.
export function isOrdered(key) {
  const type = typeof key;
  return type === "number" ? key === key : type === "string" || key === null || RANKS[type] !== undefined;
}

// The least text that is greater than all that begin with this one; undefined if there is none.
export function after(prefix) {
  for (let end = prefix.length; end > 0; end--) {
    const unit = prefix.charCodeAt(end - 1);
    if (unit < 0xffff) return prefix.slice(0, end - 1) + String.fromCharCode(unit + 1);
  }
  return undefined;
}
