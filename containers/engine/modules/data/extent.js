// All instances of a model and of those that extend it, by their ids, in pieces of a fixed size: what is never touched of it is
// never written, and an id that is gone leaves a hole, and a piece that is all holes nothing.

const PIECE = 256;

export class Extent {
  constructor() {
    this.pieces = [];
    this.counts = [];
    this.size = 0;
    this.next = 1;
  }

  // The instance with an id; undefined if there is none.
  at(id) {
    return this.pieces[Math.floor(id / PIECE)]?.[id % PIECE] ?? undefined;
  }

  put(id, instance) {
    const at = Math.floor(id / PIECE);
    while (this.pieces.length <= at) {
      this.pieces.push(null);
      this.counts.push(0);
    }
    this.pieces[at] ??= new Array(PIECE).fill(null);
    this.pieces[at][id % PIECE] = instance;
    this.counts[at]++;
    this.size++;
  }

  remove(id) {
    const at = Math.floor(id / PIECE);
    this.pieces[at][id % PIECE] = null;
    this.size--;
    if (--this.counts[at] === 0) this.pieces[at] = null;
  }

  // The instances from an id on, in the order of ids, one for each call of the function that it returns; null at the end.
  walk(from = 0) {
    let at = Math.floor(from / PIECE), piece = this.pieces[at] ?? null, slot = from % PIECE;
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
