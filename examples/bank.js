// A bank: a container for each account, and transfers that wait for both of them.
//
//   everturn serve examples/bank.js --data bank
//   curl -X POST 'http://127.0.0.1:8080/open?name=ann&money=100'
//   curl -X POST 'http://127.0.0.1:8080/open?name=bob&money=0'
//   curl -X POST 'http://127.0.0.1:8080/transfer?from=ann&to=bob&money=30'
//   curl http://127.0.0.1:8080/account/bob
//   curl http://127.0.0.1:8080/total
//
// No line of it saves anything. A transfer is several turns in three containers; killed between any two of them, it goes on
// where it was when the server is started again. So no money is lost or made, whatever is killed.

// An account is a container of its own: nobody but the bank has a port to it.
const ACCOUNT = `
  let money = 0;
  export default {
    message({ data: [what, amount] }) {
      if (what === "put") return money += amount;
      if (what === "take") {
        if (amount > money) throw new Error("there are only " + money);
        return money -= amount;
      }
      return money;
    },
  };
`;

let transfers = 0; // that are done
let underWay = 0;  // money that was taken from an account and not put into the other yet

const accounts = () => ports.names().filter((name) => name.startsWith("account:"));
const money = (text) => {
  const amount = Number(text);
  if (!Number.isSafeInteger(amount) || amount < 0) throw new RangeError("money is a whole number from 0");
  return amount;
};
const account = (name) => {
  const port = ports.get("account:" + name);
  if (port === undefined) throw new RangeError("there is no account " + name);
  return port;
};

async function open(name, amount) {
  if (!/^[a-z]{1,32}$/.test(name)) throw new RangeError("a name has 1 to 32 letters from a to z");
  if (ports.get("account:" + name) !== undefined) throw new RangeError("there is an account " + name);
  ports.bind("account:" + name, ports.create("js", ACCOUNT));
  return call(account(name), ["put", amount]);
}

async function transfer(from, to, amount) {
  const [source, target] = [account(from), account(to)];
  await call(source, ["take", amount]); // throws where there is not enough
  underWay += amount;
  await call(target, ["put", amount]);
  underWay -= amount;
  return ++transfers;
}

async function total() {
  const all = await Promise.all(accounts().map((name) => call(ports.get(name), ["look", 0])));
  return { accounts: all.length, money: all.reduce((sum, each) => sum + each, 0), transfers, underWay };
}

async function answer(method, path, query) {
  if (method === "POST" && path === "/open") return { money: await open(query.get("name"), money(query.get("money"))) };
  if (method === "POST" && path === "/transfer") {
    return { transfers: await transfer(query.get("from"), query.get("to"), money(query.get("money"))) };
  }
  if (method === "GET" && path === "/total") return total();
  const named = /^\/account\/([a-z]+)$/.exec(path);
  if (method === "GET" && named) return { money: await call(account(named[1]), ["look", 0]) };
  return null;
}

export default {
  async fetch(request) {
    const { pathname, searchParams } = new URL(request.url);
    try {
      const said = await answer(request.method, pathname, searchParams);
      if (said === null) return new Response("there are /open, /transfer, /account/NAME and /total\n", { status: 404 });
      return new Response(JSON.stringify(said) + "\n", { headers: { "content-type": "application/json" } });
    } catch (error) {
      return new Response(error.message + "\n", { status: error instanceof RangeError ? 400 : 409 });
    }
  },
};
