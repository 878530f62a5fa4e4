// What the wasm engine and a native QuickJS both run. In the order of NAMES in native.rs.
const scripts = [
  function fib() {
    const fib = n => n < 2 ? n : fib(n - 1) + fib(n - 2);
    return fib(30);
  },
  function loop() {
    let sum = 0;
    for (let i = 0; i < 5000000; i++) sum = (sum + i * 7 ^ i) & 0xffffff;
    let x = 0.5;
    for (let i = 0; i < 1000000; i++) x = x * 1.0000001 + 0.25 / (i + 1);
    return sum + Math.floor(x);
  },
  function objects() {
    let head = null, sum = 0;
    for (let round = 0; round < 20; round++) {
      head = null;
      for (let i = 0; i < 20000; i++) head = { value: i, next: head, tag: "t", point: { x: i, y: -i } };
      for (let at = head; at; at = at.next) sum += at.value + at.point.y + 1;
    }
    return sum;
  },
  function strings() {
    let length = 0;
    for (let round = 0; round < 40; round++) {
      let text = "";
      for (let i = 0; i < 10000; i++) text += "item " + i + ";";
      const parts = text.split(";");
      length += parts.map(part => part.toUpperCase()).join(",").length + text.indexOf("item 9999");
    }
    return length;
  },
  function sort() {
    let seed = 12345, sum = 0;
    const next = () => seed = (seed * 1103515245 + 12345) % 2147483648;
    for (let round = 0; round < 5; round++) {
      const numbers = Array.from({ length: 20000 }, next);
      numbers.sort((a, b) => a - b);
      const words = numbers.slice(0, 5000).map(number => number.toString(36)).sort();
      sum += numbers[10000] + words[2500].length;
    }
    return sum;
  },
  function map() {
    let sum = 0;
    for (let round = 0; round < 10; round++) {
      const map = new Map();
      for (let i = 0; i < 20000; i++) map.set("key" + i % 5000, (map.get("key" + i % 5000) ?? 0) + i);
      for (const [key, value] of map) sum += key.length + value;
    }
    return sum;
  },
  function regexp() {
    const line = "2026-08-14T12:34:56Z host-17 service[4321]: GET /path/to/resource?id=42&name=abc HTTP/1.1 200 1234\n";
    const text = line.repeat(500);
    let sum = 0;
    for (let round = 0; round < 10; round++) {
      for (const match of text.matchAll(/(\d{4})-(\d\d)-(\d\d)T\S+ (\w+)-(\d+) (\w+)\[(\d+)\]: (GET|POST) (\S+) /g))
        sum += match[9].length + Number(match[7]);
      sum += text.replace(/[aeiou]+/g, "_").length;
    }
    return sum;
  },
  function closures() {
    const counters = Array.from({ length: 100 }, (_, i) => { let count = i; return { add: n => count += n, get: () => count }; });
    let sum = 0;
    for (let round = 0; round < 10000; round++) counters.forEach((counter, i) => counter.add(i));
    class Shape { constructor(n) { this.n = n; } area() { return this.n * this.n; } }
    class Box extends Shape { area() { return super.area() + 1; } }
    for (let i = 0; i < 200000; i++) sum += new Box(i & 15).area();
    return counters.reduce((all, counter) => all + counter.get(), sum);
  },
];
