// Two processes that hit a ball back and forth over a link; docs/links.md has the commands.
//
//   send("127.0.0.1:6002", { begin: 1000 })       in one of them: the first ball, a thousand hits
//   score()                                       how many balls came here
//
// Kill either at any instant and start it again: no ball is lost and none comes twice.
var hits = 0, last = null;

function receive(sender, message) {
  hits++;
  if (last !== null && message.ball <= last) throw new Error(`ball ${message.ball} came after ball ${last}`);
  last = message.ball ?? 0;
  const ball = last + 1, end = message.begin ?? message.end;
  if (ball <= end) send(sender, { ball, end });
  else print(`the last ball, number ${last}, has come`);
}

function score() {
  return `${hits} balls came here, the last was number ${last}`;
}
