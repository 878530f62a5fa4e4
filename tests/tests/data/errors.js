// Every error is of a class that can be told by instanceof, with fields for programs.
var Person = model("Person", { name: string().required(), email: string().unique() });
var p = Person.create({ name: "a", email: "e" });
var fieldsOf = ({ name, model, field, value, reason, message }) => [name, model, field, value, message === `${model}${field ? `.${field}` : ""} ${reason}`];
// ---
var wrong = fails(() => { p.name = 5; }, "ValidationError");
same([wrong instanceof data.ValidationError, wrong instanceof Error, ...fieldsOf(wrong)], [true, true, "ValidationError", "Person", "name", 5, true]);
var taken = fails(() => Person.create({ name: "b", email: "e" }), "UniqueError");
same([taken instanceof data.UniqueError, taken.holder === p, ...fieldsOf(taken)], [true, true, "UniqueError", "Person", "email", "e", true]);
var missing = fails(() => Person.where("mail", "e"), "NotFoundError");
same([missing instanceof data.NotFoundError, ...fieldsOf(missing)], [true, "NotFoundError", "Person", "mail", undefined, true]);
var schema = fails(() => model("Person", { name: string().required().min(3), email: string().unique() }), "SchemaError");
same([schema instanceof data.SchemaError, schema.model, schema.field, schema.violations.map(({ id, field, value }) => [id, field, value])], [true, "Person", "name", [[1, "name", "a"]]]);
// ---
// Where one is not caught, the turn never was.
var line = "in a turn that fails";
