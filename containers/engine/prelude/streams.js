// ReadableStream, and the bodies of responses that are given piece by piece. Whoever wants the next piece asks for it with a request,
// and the answer comes when the piece is there: so a stream is a thing of the heap, as everything else, and outlives what that outlives.
(function (natives) {
  "use strict";
  const { utf8Encode } = natives;
  const { bind, channel, delete: remove, get } = ports;
  const { Error, Promise, RangeError, TypeError, Uint8Array } = globalThis;
  const QUEUED_MAX = 8 << 20; // bytes that may wait in a stream from which nobody takes
  const PIECE_MAX = 256 << 10; // bytes that leave at once
  const OURS = {}; // no program has it

  const weightOf = (chunk) => chunk?.byteLength ?? chunk?.length ?? 1;
  const quietly = (promise) => (promise.catch(() => {}), promise);

  // What the class lets only us do.
  let enqueue, close, fail, room, cancel, read, isOver, isWaiting, hasQueued, take;

  class ReadableStreamDefaultController {
    #stream;
    constructor(stream, ours) {
      if (ours !== OURS) throw new TypeError("a controller comes with a stream");
      this.#stream = stream;
    }
    get desiredSize() {
      return room(this.#stream);
    }
    enqueue(chunk) {
      enqueue(this.#stream, chunk);
    }
    close() {
      close(this.#stream);
    }
    error(reason) {
      fail(this.#stream, reason);
    }
  }

  class ReadableStreamDefaultReader {
    #stream;
    #closed;
    constructor(stream) {
      if (!(stream instanceof ReadableStream)) throw new TypeError("a reader reads a ReadableStream");
      this.#closed = take(stream, this);
      this.#stream = stream;
    }
    #mine() {
      if (this.#stream === undefined) throw new TypeError("this reader has let its stream go");
      return this.#stream;
    }
    get closed() {
      return this.#closed;
    }
    async read() {
      return await read(this.#mine());
    }
    async cancel(reason) {
      return await cancel(this.#mine(), reason);
    }
    releaseLock() {
      if (this.#stream === undefined) return;
      if (isWaiting(this.#stream)) throw new TypeError("a read is under way");
      take(this.#stream, null);
      this.#stream = undefined;
    }
  }

  class ReadableStream {
    #source;
    #controller = new ReadableStreamDefaultController(this, OURS);
    #room;
    #queue = [];
    #queued = 0; // bytes
    #reads = [];
    #state = "readable";
    #error;
    #isStarted = false;
    #isClosing = false;
    #isPulling = false;
    #pullsAgain = false;
    #reader = null;
    #whenOver = null; // {promise, resolve, reject} of the reader's `closed`
    static {
      room = (stream) => stream.#state === "errored" ? null : stream.#state === "closed" ? 0 : stream.#room - stream.#queue.length;
      hasQueued = (stream) => stream.#queue.length > 0;
      isWaiting = (stream) => stream.#reads.length > 0;
      isOver = (stream) => stream.#state !== "readable";
      enqueue = (stream, chunk) => {
        if (stream.#state !== "readable" || stream.#isClosing) throw new TypeError("this stream is over: nothing can be enqueued");
        if (stream.#reads.length > 0) stream.#reads.shift().resolve({ value: chunk, done: false });
        else {
          stream.#queue.push(chunk);
          stream.#queued += weightOf(chunk);
        }
        if (stream.#queued > QUEUED_MAX) return overrun(stream);
        stream.#pull();
      };
      // Whoever does not heed `desiredSize`, before a reader that takes nothing, loses the stream and not the heap.
      const overrun = (stream) => {
        const reason = new RangeError(`${QUEUED_MAX} bytes wait in this stream, and nobody takes them`);
        const { cancel } = stream.#source;
        fail(stream, reason);
        if (typeof cancel === "function") quietly(Promise.try(() => cancel.call(stream.#source, reason)));
      };
      close = (stream) => {
        if (stream.#state !== "readable" || stream.#isClosing) throw new TypeError("this stream is over already");
        stream.#isClosing = true;
        if (stream.#queue.length === 0) stream.#end();
      };
      fail = (stream, reason) => {
        if (stream.#state !== "readable") return;
        stream.#state = "errored";
        stream.#error = reason;
        stream.#queue.length = stream.#queued = 0;
        for (const { reject } of stream.#reads.splice(0)) reject(reason);
        stream.#whenOver?.reject(reason);
      };
      cancel = async (stream, reason) => {
        if (stream.#state === "errored") throw stream.#error;
        if (stream.#state === "closed") return;
        stream.#queue.length = stream.#queued = 0;
        stream.#end();
        await stream.#source.cancel?.(reason);
      };
      read = (stream) => {
        if (stream.#queue.length > 0) {
          const value = stream.#queue.shift();
          stream.#queued -= weightOf(value);
          if (stream.#isClosing && stream.#queue.length === 0) stream.#end();
          else stream.#pull();
          return Promise.resolve({ value, done: false });
        }
        if (stream.#state === "errored") return quietly(Promise.reject(stream.#error));
        if (stream.#state === "closed") return Promise.resolve({ value: undefined, done: true });
        const { promise, resolve, reject } = Promise.withResolvers();
        stream.#reads.push({ resolve, reject });
        stream.#pull();
        return promise;
      };
      take = (stream, reader) => {
        if (reader !== null && stream.#reader !== null) throw new TypeError("this stream has a reader already");
        stream.#reader = reader;
        if (reader === null) return undefined;
        stream.#whenOver = Promise.withResolvers();
        quietly(stream.#whenOver.promise);
        if (stream.#state === "closed") stream.#whenOver.resolve();
        if (stream.#state === "errored") stream.#whenOver.reject(stream.#error);
        return stream.#whenOver.promise;
      };
    }
    constructor(source = {}, { highWaterMark = 1 } = {}) {
      if (source === null || typeof source !== "object") throw new TypeError("a stream is made from an object with start, pull or cancel");
      const room = Number(highWaterMark);
      if (!(room >= 0)) throw new RangeError("highWaterMark is no number from 0 on");
      this.#source = source;
      this.#room = room;
      const started = source.start?.(this.#controller);
      Promise.resolve(started).then(() => {
        this.#isStarted = true;
        this.#pull();
      }, (reason) => fail(this, reason));
    }
    // A stream of what an iterable gives, asked for one by one.
    static from(iterable) {
      const begin = iterable?.[Symbol.asyncIterator] ?? iterable?.[Symbol.iterator];
      if (typeof begin !== "function") throw new TypeError("a stream is made from something that can be iterated");
      const iterator = begin.call(iterable);
      return new ReadableStream({
        async pull(controller) {
          const { value, done } = await iterator.next();
          if (done) controller.close();
          else controller.enqueue(await value);
        },
        async cancel(reason) {
          await iterator.return?.(reason);
        },
      }, { highWaterMark: 0 });
    }
    #end() {
      this.#state = "closed";
      for (const { resolve } of this.#reads.splice(0)) resolve({ value: undefined, done: true });
      this.#whenOver?.resolve();
    }
    #pull() {
      const wanted = this.#reads.length > 0 || this.#queue.length < this.#room;
      if (!wanted || !this.#isStarted || this.#isClosing || this.#state !== "readable") return;
      if (typeof this.#source.pull !== "function") return;
      if (this.#isPulling) return void (this.#pullsAgain = true);
      this.#isPulling = true;
      Promise.try(() => this.#source.pull(this.#controller)).then(() => {
        this.#isPulling = false;
        if (!this.#pullsAgain) return;
        this.#pullsAgain = false;
        this.#pull();
      }, (reason) => fail(this, reason));
    }
    get locked() {
      return this.#reader !== null;
    }
    getReader(options) {
      if (options?.mode !== undefined) throw new TypeError("there are no readers of this mode");
      return new ReadableStreamDefaultReader(this);
    }
    async cancel(reason) {
      if (this.locked) throw new TypeError("this stream has a reader, which may cancel it");
      return await cancel(this, reason);
    }
    async *values({ preventCancel = false } = {}) {
      const reader = this.getReader();
      let isDone = false;
      try {
        for (;;) {
          const { value, done } = await reader.read();
          if (done) return void (isDone = true);
          yield value;
        }
      } catch (error) {
        isDone = true;
        throw error;
      } finally {
        if (!isDone && !preventCancel) await reader.cancel();
        reader.releaseLock();
      }
    }
    [Symbol.asyncIterator](options) {
      return this.values(options);
    }
    get [Symbol.toStringTag]() {
      return "ReadableStream";
    }
  }

  function bytesOfChunk(chunk) {
    if (typeof chunk === "string") return utf8Encode(chunk);
    if (chunk instanceof ArrayBuffer) return new Uint8Array(chunk);
    if (ArrayBuffer.isView(chunk)) return new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    throw new TypeError(`a body is made of bytes or text, not of ${natives.inspect(chunk)}`);
  }

  function joined(pieces) {
    if (pieces.length === 1) return pieces[0];
    const whole = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
    let at = 0;
    for (const piece of pieces) {
      whole.set(piece, at);
      at += piece.length;
    }
    return whole;
  }

  // What a body is asked of piece by piece: a stream, what can be iterated asynchronously, a generator. A list is text, as ever.
  natives.isGradual = (value) => typeof value === "object" && (value instanceof ReadableStream ||
    typeof value[Symbol.asyncIterator] === "function" || typeof value[Symbol.iterator] === "function" && typeof value.next === "function");
  natives.streamOf = (value) => value instanceof ReadableStream ? value : ReadableStream.from(value);
  natives.isStream = (value) => value instanceof ReadableStream;
  natives.streamOfBytes = (bytes) => ReadableStream.from([bytes].values());
  natives.wholeOf = async function (stream) {
    const pieces = [];
    for await (const chunk of stream) pieces.push(bytesOfChunk(chunk).slice());
    return pieces.length === 0 ? new Uint8Array(0) : joined(pieces);
  };

  // Streams that somebody outside reads, by number. While there are any, two ports say so to whoever looks from outside.
  const MARKS = ["stream:open", "stream:mark"];
  const given = new Map();
  let made = 0;

  natives.giveStream = function (stream) {
    const reader = stream.getReader();
    if (given.size === 0) channel().forEach((end, i) => bind(MARKS[i], end));
    given.set(++made, { stream, reader, rest: null });
    return made;
  };

  function forget(number) {
    if (given.delete(number) && given.size === 0) MARKS.forEach((name) => remove(name));
  }

  async function next(number) {
    const entry = given.get(number);
    if (entry === undefined) throw new Error("this stream is over");
    const pieces = [];
    let bytes = 0;
    try {
      do {
        const { value, done } = entry.rest === null ? await read(entry.stream) : { value: entry.rest, done: false };
        if (done) break;
        const piece = bytesOfChunk(value), fits = piece.subarray(0, PIECE_MAX - bytes);
        entry.rest = fits.length < piece.length ? piece.subarray(fits.length) : null;
        pieces.push(fits);
        bytes += fits.length;
      } while (bytes < PIECE_MAX && (entry.rest !== null || hasQueued(entry.stream)));
    } catch (error) {
      end(number, error);
      throw error;
    }
    const more = entry.rest !== null || !isOver(entry.stream) || hasQueued(entry.stream);
    if (!more) forget(number);
    return { body: pieces.length === 0 ? new Uint8Array(0) : joined(pieces).slice(), more };
  }

  function end(number, reason) {
    const entry = given.get(number);
    if (entry === undefined) return;
    forget(number);
    cancel(entry.stream, reason).catch((error) => {
      if (error !== reason) console.error("a stream that was cancelled:", error);
    });
  }

  // What whoever reads a stream wants of it.
  natives.stream = function ({ stream, wants, reason }) {
    if (wants === "next") return next(stream);
    end(stream, new Error(reason));
    return {};
  };

  // Nobody reads any more: here, and in the containers to which these paths of ports lead.
  natives.endStreams = function (paths) {
    for (const [name, ...rest] of paths) {
      if (name === undefined) for (const number of [...given.keys()]) end(number, new Error("the server was started anew"));
      else if (get(name) !== undefined) quietly(natives.forward(get(name), { url: "", method: "", headers: [], body: new Uint8Array(0), streams: [rest] }));
    }
    return {};
  };

  // The stream that another container has given, read over the port that leads there.
  natives.streamFrom = function (port, { url, stream }) {
    const ask = (more) => natives.forward(port, { url, method: "GET", headers: [], body: new Uint8Array(0), stream, ...more });
    return new ReadableStream({
      async pull(controller) {
        const { body, more } = await ask({ wants: "next" });
        if (body.length > 0) controller.enqueue(body);
        if (!more) controller.close();
      },
      async cancel(reason) {
        await ask({ wants: "cancel", reason: `${reason?.message ?? reason}` });
      },
    }, { highWaterMark: 0 });
  };

  for (const value of [ReadableStream, ReadableStreamDefaultReader, ReadableStreamDefaultController])
    Object.defineProperty(globalThis, value.name, { value, writable: true, configurable: true });
})
