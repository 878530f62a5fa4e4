// All instances of a model and of those that extend it, by their ids, in pieces of a fixed size: what is never touched of it is
// never written, and an id that is gone leaves a hole, and a piece that is all holes nothing.

// As in shim/tree.c. A power of two, and ids have at most 32 bits: so that finding a place is two steps on whole numbers.
const PIECE = 256, BITS = 8, MASK = 255;
export const ID_MAX = 2 ** 32 - 1;

export class Extent {
  constructor() {
    this.pieces = [];
    this.counts = [];
    this.size = 0;
    this.next = 1;
  }

  // The instance with an id; undefined if there is none. What is no id may find anybody.
  at(id) {
    const piece = this.pieces[id >>> BITS];
    return piece === undefined || piece === null ? undefined : piece[id & MASK] ?? undefined;
  }

  put(id, instance) {
    const at = id >>> BITS;
    while (this.pieces.length <= at) {
      this.pieces.push(null);
      this.counts.push(0);
    }
    const piece = this.pieces[at] ??= new Array(PIECE).fill(null);
    piece[id & MASK] = instance;
    this.counts[at]++;
    this.size++;
  }

  remove(id) {
    const at = id >>> BITS;
    this.pieces[at][id & MASK] = null;
    this.size--;
    if (--this.counts[at] === 0) this.pieces[at] = null;
  }

  // The instances from an id on, in the order of ids, one for each call of the function that it returns; null at the end.
  walk(from = 0) {
    let at = from >>> BITS, piece = this.pieces[at] ?? null, slot = from & MASK;
    return () => {
      for (;;) {
        while (piece !== null && slot < PIECE) {
          const instance = piece[slot++];
          if (instance !== null) return instance;
        }
        do {
          if (++at >= this.pieces.length) return piece = null;
          piece = this.pieces[at];
        } while (piece === null);
        slot = 0;
      }
    };
  }
}
