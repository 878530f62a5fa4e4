// A counter over HTTP whose variable is all the storage there is:
//
//   everturn serve examples/counter.js --data demo
//   curl http://127.0.0.1:8080/counter
//
// Kill it at any instant and start it again: it counts on, and never says a number twice.
let counter = 0;

export default {
  fetch(request) {
    const { pathname } = new URL(request.url);
    if (pathname === "/counter") return new Response(`Counter: ${counter++}\n`);
    if (pathname === "/") return new Response(`The next one is ${counter}\n`);
    return new Response("there are / and /counter\n", { status: 404 });
  },
};
