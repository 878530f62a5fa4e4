// everturn:data: models, relations, queries and revisions of what a container keeps.
import { define, registry } from "everturn:data/define";
import { Model } from "everturn:data/model";
import { ID, MODEL, isInstance } from "everturn:data/slots";

export { any, bigint, boolean, bytes, custom, date, enumeration, integer, list, map, number, string } from "everturn:data/types";
import "everturn:data/show";
import "everturn:data/exchange";

export { many, one } from "everturn:data/relations";
export { branch, openBranches as branches, transact } from "everturn:data/revisions";
export { ConflictError, NotFoundError, ReferenceError, SchemaError, UniqueError, ValidationError } from "everturn:data/errors";

// model(name, fields, methods, {index: [[...]], unique: [[...]], dryRun})
export function model(name, fields, methods, options) {
  return define(name, fields, methods, options);
}

Object.defineProperty(Model.prototype, "extend", {
  value(name, fields, methods, options) { return define(name, fields, methods, options, this); }, configurable: true, writable: true,
});

// The models there are.
export function models() {
  return [...registry.models.values()];
}

// An instance's id within its model, and its model.
export function idOf(instance) {
  return isInstance(instance) ? instance[ID] : null;
}

export function modelOf(instance) {
  return isInstance(instance) ? instance[MODEL] : null;
}
