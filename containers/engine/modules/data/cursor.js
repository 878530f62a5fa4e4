// A cursor goes over a query's instances as they are asked for. What it will give is what there was when it began: before the first
// change after that, it takes the rest at once (store.js). So a loop over a query may change what it likes.
import { isLive } from "everturn:data/slots";
import { cursors, now } from "everturn:data/store";

// The same over a list of instances that are known from the beginning, which nobody has to hear of.
export class ListCursor {
  constructor(list) {
    this.list = list;
    this.at = 0;
    this.clock = now.clock;
  }

  take() {
    const { list } = this;
    while (this.at < list.length) {
      const instance = list[this.at++];
      if (now.clock === this.clock || isLive(instance)) return instance;
    }
    return null;
  }
  drain() {}
  close() { this.list = NOTHING; }

  next() {
    const { list, at } = this;
    if (at < list.length && now.clock === this.clock) {
      this.at = at + 1;
      return { value: list[at], done: false };
    }
    const value = this.take();
    return value === null ? { value: undefined, done: true } : { value, done: false };
  }
  return(value) {
    this.close();
    return { value, done: true };
  }
  [Symbol.iterator]() { return this; }
}

const NOTHING = [];

export class Cursor {
  constructor(next) {
    this.find = next;
    this.rest = null;
    this.at = 0;
    this.failure = null;
    this.hasBegun = false;
  }

  // The next instance; null at the end. Those deleted meanwhile are left out.
  take() {
    if (!this.hasBegun) {
      this.hasBegun = true;
      cursors.add(this);
    }
    if (this.rest === null) {
      const found = this.find();
      if (found === null) this.close();
      return found;
    }
    while (this.at < this.rest.length) {
      const instance = this.rest[this.at++];
      if (isLive(instance)) return instance;
    }
    if (this.failure) throw this.failure.error;
    return null;
  }

  drain() {
    const rest = [];
    cursors.delete(this);
    try {
      for (let found; (found = this.find()) !== null;) rest.push(found);
    } catch (error) {
      this.failure = { error };
    }
    this.rest = rest;
  }

  close() {
    cursors.delete(this);
    this.rest = [];
    this.at = 0;
  }

  next() {
    const value = this.take();
    return value === null ? { value: undefined, done: true } : { value, done: false };
  }
  return(value) {
    this.close();
    return { value, done: true };
  }
  [Symbol.iterator]() { return this; }
}
