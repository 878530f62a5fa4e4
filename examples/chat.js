// A chat that forgets nobody's words: a web page, and a WebSocket for each who looks at it.
//
//   everturn serve examples/chat.js --data demo --http 127.0.0.1:8080
//
// Then open http://127.0.0.1:8080/ in two windows. Kill the server, start it again: the talk goes on where it was.

const KEPT = 100;
const said = []; // the last lines, oldest first
const people = new Map(); // by the socket's name

function say(line) {
  said.push(line);
  if (said.length > KEPT) said.shift();
  for (const { socket } of people.values()) send(socket, JSON.stringify(line));
}

export default {
  fetch(request) {
    const { pathname } = new URL(request.url);
    if (pathname === "/") return new Response(page, { headers: { "Content-Type": "text/html;charset=utf-8" } });
    if (pathname === "/said") return Response.json({ said, people: [...people.values()].map(({ name }) => name) });
    return new Response("there is nothing here\n", { status: 404 });
  },

  // Somebody comes. A response in place of nothing would turn them away.
  websocket(socket, request) {
    const name = (new URL(request.url).searchParams.get("name") ?? "").trim().slice(0, 40);
    if (name === "") return new Response("say who you are: ?name=...\n", { status: 400 });
    for (const line of said) send(socket, JSON.stringify(line));
    people.set(socket.name, { socket, name });
    say({ from: null, text: `${name} is here` });
  },

  message({ from, data }) {
    const who = people.get(from.name);
    if (typeof data !== "string") return who.socket.close();
    say({ from: who.name, text: data.slice(0, 2000) });
  },

  // Somebody went, or the server was started anew and everybody's connection is gone.
  close(socket) {
    const who = people.get(socket.name);
    if (who === undefined) return;
    people.delete(socket.name);
    say({ from: null, text: `${who.name} has gone` });
  },
};

const page = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Chat</title>
<style>
  body { font: 16px/1.4 sans-serif; max-width: 40em; margin: 1em auto; padding: 0 1em; }
  #lines { height: 70vh; overflow-y: auto; border: 1px solid #ccc; padding: 0.5em; }
  #lines i { color: #777; }
  form { display: flex; gap: 0.5em; margin-top: 0.5em; }
  #text { flex: 1; }
</style>
<div id="lines"></div>
<form><input id="text" autocomplete="off" maxlength="2000" placeholder="Say something"><button>Send</button></form>
<script>
  const lines = document.getElementById("lines"), text = document.getElementById("text");
  const name = sessionStorage.name || (sessionStorage.name = prompt("Who are you?") || "somebody");
  let socket;
  function connect() {
    socket = new WebSocket(location.origin.replace("http", "ws") + "/?name=" + encodeURIComponent(name));
    socket.onopen = () => lines.replaceChildren();
    socket.onmessage = ({ data }) => {
      const { from, text } = JSON.parse(data), line = document.createElement("div");
      const who = document.createElement(from === null ? "i" : "b");
      who.textContent = from === null ? text : from + ": ";
      line.append(who, from === null ? "" : text);
      lines.append(line);
      lines.scrollTop = lines.scrollHeight;
    };
    socket.onclose = () => setTimeout(connect, 1000);
  }
  document.querySelector("form").onsubmit = (event) => {
    event.preventDefault();
    if (text.value !== "" && socket.readyState === WebSocket.OPEN) socket.send(text.value);
    text.value = "";
  };
  connect();
</script>
`;
