// What the host's tools ask a container for: its models as text, its instances as lines of JSON or CSV, and such lines taken in. They
// find it under Symbol.for("everturn.data") of the global object, where it is once the module was imported.
import { SchemaError } from "everturn:data/errors";
import { registry } from "everturn:data/define";
import { Import, modelNamed } from "everturn:data/intake";
import { csvHead, csvOf, jsonOf } from "everturn:data/rowtext";
import { schemaOf } from "everturn:data/show";
import { ID, MODEL, label } from "everturn:data/slots";

const SHOWN = Symbol.for("everturn.show");
const PAGE = 500;

// A text that the shell shows as it is.
const told = (text) => ({ [SHOWN]: () => text });

// One page of instances: on its first line where to go on, or null, then the rows.
function page(format, name, from) {
  const model = modelNamed(name), next = model.extent.walk(from), lines = [];
  const head = format === "csv" && from === 0 ? [csvHead(model)] : [];
  let last = null, instance = null;
  while (lines.length < PAGE && (instance = next()) !== null) {
    last = instance[ID];
    if (instance[MODEL] === model) lines.push(lineOf(format, model, instance));
  }
  return told([instance === null ? "null" : last + 1, ...head, ...lines].join("\n"));
}

function lineOf(format, model, instance) {
  try {
    return format === "csv" ? csvOf(model, instance) : jsonOf(instance);
  } catch (error) {
    throw new SchemaError(null, null, `${label(instance)} holds what JSON cannot carry: ${error.message}; change it, or export its model without this field`, [], instance);
  }
}

let current = null;

// What was begun and is still under way stays so.
function begin(format, name) {
  if (current?.isRunning && !current.isOver) throw new SchemaError(null, null, `an import is under way (${current.done} of ${current.total} rows): wait for its end`);
  current = new Import(format, name);
}

function taken() {
  return told(current.check() ? `${current.total}` : `${current.done} of ${current.total}`);
}

const tools = {
  models() {
    const lines = [...registry.models.values()].map((model) => schemaOf(model).split("\n")[0]);
    return told(lines.join("\n") || "no models");
  },
  schema(name) { return told(schemaOf(modelNamed(name))); },
  names() { return told([...registry.models.keys()].join("\n")); },
  page,
  begin,
  stage(text) { current.stage(text); },
  takeIn() {
    current.run();
    return taken();
  },
  taken,
};

Object.defineProperty(globalThis, Symbol.for("everturn.data"), { value: tools, configurable: true });
