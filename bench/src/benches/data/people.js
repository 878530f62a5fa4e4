// People with a unique name and an indexed score. A message says what to do; numbers only, so that it costs little to read.
import { model, string, integer } from "everturn:data";

const fields = { name: string().required().unique(), score: integer().index(), city: string() };
const Person = model("Person", fields);
const CITIES = ["Ghent", "Aalst", "Bruges", "Ostend", "Ypres", "Mechelen", "Leuven", "Namur"];
const ballast = [];
let failure = null;

const verbs = [
  // fill: `n` instances from this key on; scores are those below `of`, each once, in no order.
  ({ key, n, of }) => {
    for (let i = key; i < key + n; i++) Person.create({ name: `n${i}`, score: (i * 7919) % of, city: CITIES[i % 8] });
    return Person.size;
  },
  // find
  ({ key }) => Person.where("name", `n${key}`).first().score,
  // range: the ten scores from this one on
  ({ key }) => {
    let sum = 0;
    for (const person of Person.where("score", "between", key, key + 9)) sum += person.score;
    return sum;
  },
  // insert
  ({ key, score }) => {
    Person.create({ name: `i${key}`, score, city: CITIES[key % 8] });
    return key;
  },
  // update
  ({ key, score }) => {
    Person.where("name", `n${key}`).first().score = score;
    return score;
  },
  // index: one more, while everything else goes on
  () => {
    model("Person", { ...fields, city: string().index() });
    Person.ready.catch((error) => { failure = error; });
    return 0;
  },
  // left: how many instances that index has still to take in; -1 when it is ready
  () => {
    if (failure) throw failure;
    return Person.progress ? Person.progress.total - Person.progress.done : -1;
  },
  // idle
  () => 0,
  // grow: memory that stays, so that the turn of the cycle collector comes
  ({ n }) => ballast.push(new Uint8Array(n)),
];

export default { message({ data }) { return verbs[data.do](data); } };
