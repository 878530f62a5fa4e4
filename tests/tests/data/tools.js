var data = await import("everturn:data");
var { step } = await import("everturn:data/schema");
var { model, models, any, boolean, number, integer, bigint, string, bytes, date, enumeration, list, map, custom, one, many, branch, branches, transact, idOf, modelOf } = data;

// Whether two values are shown the same.
function same(found, expected, what = "") {
  const text = (value) => JSON.stringify(value, (_, each) => typeof each === "bigint" ? `${each}n` : each === undefined ? "(undefined)" : each);
  if (text(found) !== text(expected)) throw new Error(`${what} expected ${text(expected)}, found ${text(found)}`);
}

// The error that something throws, of a kind, with a text in its message.
function fails(work, kind, text = "") {
  let thrown = null;
  try {
    work();
  } catch (error) {
    thrown = error;
  }
  if (thrown === null) throw new Error(`nothing was thrown where ${kind} was expected: ${text}`);
  if (thrown.name !== kind || !thrown.message.includes(text)) throw new Error(`expected ${kind} with "${text}", found ${thrown.name}: ${thrown.message}\n${thrown.stack}`);
  return thrown;
}
