/** The parts of livetail.js that need no server. */

import assert from "node:assert/strict";
import {test} from "node:test";
import {
  API, EventParser, Inbox, LivetailError, Result, and, backoff, cond, not, or, reuse,
} from "../../broadcaster/static/livetail.js";

const TEXT = [
  "retry: 2371\n\n",
  ": a comment\n",
  "event: initial\ndata: {\"id\":\"q1\",\ndata:\"docs\":[]}\n\n",
  "event: ready\r\nid: c1\r\ndata: {}\r\n\r\n",
  "id: c2\n\n", // no data, no event
  "data:  two spaces: one stays\rid: nul\0\r\r",
  "data\n\n",
  "event: cut\ndata: off",
].join("");
const EVENTS = [
  {name: "initial", data: "{\"id\":\"q1\",\n\"docs\":[]}", id: null},
  {name: "ready", data: "{}", id: "c1"},
  {name: "message", data: " two spaces: one stays", id: null},
  {name: "message", data: "", id: null},
];

test("events are parsed, however the text is cut", () => {
  for (let size = 1; size <= TEXT.length; size++) {
    const parser = new EventParser();
    const events = [];
    for (let start = 0; start < TEXT.length; start += size) events.push(...parser.feed(TEXT.slice(start, start + size)));
    assert.deepEqual(events, EVENTS, `in pieces of ${size}`);
    assert.equal(parser.retryMs, 2371);
  }
});

test("nothing of a transaction is released before the frame that carries the cursor", () => {
  const inbox = new Inbox("c0");
  const diff = {name: "diff", id: "q1", changes: []};
  assert.deepEqual(inbox.take(diff, null), []);
  assert.deepEqual(inbox.take({...diff, id: "q2"}, "c1"), [diff, {...diff, id: "q2"}]);
  assert.equal(inbox.cursor, "c1");
  inbox.take(diff, null);
  inbox.drop();
  assert.deepEqual(inbox.take({name: "progress"}, "c2"), [{name: "progress"}]);
});

test("an initial result is released whole, with the reason why it is one", () => {
  const inbox = new Inbox();
  assert.deepEqual(inbox.take({name: "reset", id: "q1", reason: "truncated"}, null), []);
  assert.deepEqual(inbox.take({name: "initial", id: "q1", docs: [{id: 1}]}, null), []);
  assert.deepEqual(inbox.take({name: "initial", id: "q1", docs: [{id: 2}]}, null), []);
  assert.deepEqual(inbox.take({name: "ready", id: "q1", key: ["id"]}, "c1"), [
    {name: "ready", id: "q1", key: ["id"], reset: "truncated", docs: [{id: 1}, {id: 2}]},
  ]);
  const [resumed] = inbox.take({name: "ready", id: "q1", resumed: true}, "c2");
  assert.equal(resumed.docs, null);
});

test("what is equal is the same object", () => {
  const old = {a: 1, b: {c: [1, {d: 2}]}, e: [3]};
  assert.equal(reuse(old, structuredClone(old)), old);
  const next = reuse(old, {a: 2, b: {c: [1, {d: 2}]}, e: [3, 4]});
  assert.deepEqual(next, {a: 2, b: {c: [1, {d: 2}]}, e: [3, 4]});
  assert.equal(next.b, old.b);
  assert.notEqual(next.e, old.e);
  assert.deepEqual(reuse({a: 1, b: 2}, {a: 1}), {a: 1});
  assert.deepEqual(reuse({a: undefined}, {b: undefined}), {b: undefined});
  assert.deepEqual(reuse([1], {0: 1}), {0: 1});
  assert.equal(reuse(null, 1), 1);
});

test("rows enter, change and leave; the others stay what they were", () => {
  const result = new Result(false);
  assert.deepEqual(result.load([{id: 1, t: "a"}, {id: 2, t: "b"}], ["id"]), [{type: "initial", find: null, doc: null}]);
  const [one, two] = result.docs;
  const before = result.docs;
  result.apply([
    {type: "insert", find: {id: 3}, doc: {id: 3, t: "c"}},
    {type: "update", find: {id: 2}, doc: {id: 2, t: "B"}},
  ]);
  assert.deepEqual(result.docs, [{id: 1, t: "a"}, {id: 2, t: "B"}, {id: 3, t: "c"}]);
  assert.equal(result.docs[0], one);
  assert.deepEqual(before, [one, two]);
  result.apply([{type: "delete", find: {id: 1}}]);
  assert.deepEqual(result.docs.map(doc => doc.id), [2, 3]);
});

test("a result that starts over is told as what differs", () => {
  const result = new Result(false);
  result.load([{id: 1, t: "a"}, {id: 2, t: "b"}], ["id"]);
  const {docs} = result;
  assert.deepEqual(result.load([{id: 2, t: "b"}, {id: 1, t: "a"}]), []);
  assert.equal(result.docs, docs);
  assert.deepEqual(result.load([{id: 3, t: "c"}, {id: 2, t: "x"}]), [
    {type: "delete", find: {id: 1}, doc: null},
    {type: "insert", find: {id: 3}, doc: {id: 3, t: "c"}},
    {type: "update", find: {id: 2}, doc: {id: 2, t: "x"}},
  ]);
});

test("without the initial result, starting over is told as such", () => {
  const result = new Result(false);
  assert.deepEqual(result.load(null), []);
  result.apply([{type: "insert", find: {id: 1}, doc: {id: 1}}]);
  assert.deepEqual(result.load(null), [{type: "reset", find: null, doc: null}]);
});

test("the key becomes known with the first change", () => {
  const result = new Result(false);
  result.load([{id: 1, t: "a"}]);
  result.apply([{type: "update", find: {id: 1}, doc: {id: 1, t: "b"}}]);
  assert.deepEqual(result.docs, [{id: 1, t: "b"}]);
  const single = new Result(false); // an aggregate without groups
  single.load([{n: 1}], []);
  single.apply([{type: "update", find: {}, doc: {n: 2}}]);
  assert.deepEqual(single.docs, [{n: 2}]);
});

/** Makes an ordered result's changes one after the other, as a page does. */
function replay(docs, changes) {
  const list = [...docs];
  for (const {oldIndex, newIndex, doc} of changes) {
    if (oldIndex !== undefined) list.splice(oldIndex, 1);
    if (newIndex !== undefined) list.splice(newIndex, 0, doc);
  }
  return list;
}

test("ordered rows move by their places", () => {
  const result = new Result(true);
  result.load([{id: 1, p: 1}, {id: 2, p: 2}, {id: 3, p: 3}], ["id"]);
  const [, , three] = result.docs;
  const before = result.docs;
  const made = result.apply([
    {type: "delete", find: {id: 1}, oldIndex: 0},
    {type: "update", find: {id: 2}, doc: {id: 2, p: 9}, oldIndex: 0, newIndex: 1},
    {type: "insert", find: {id: 4}, doc: {id: 4, p: 0}, newIndex: 0},
  ]);
  assert.deepEqual(result.docs.map(doc => doc.id), [4, 3, 2]);
  assert.equal(result.docs[1], three);
  assert.deepEqual(replay(before, made), result.docs);
});

test("ordered results that start over are told with places (random)", () => {
  let seed = 7;
  const random = most => (seed = (seed * 1103515245 + 12345) % 2147483648) % most;
  const draw = () => {
    const ids = Array.from({length: 8}, (_, id) => id).filter(() => random(3));
    return ids.map(id => [random(100), {id, v: random(2)}]).sort(([a], [b]) => a - b).map(([, doc]) => doc);
  };
  for (let round = 0; round < 500; round++) {
    const result = new Result(true);
    const [from, to] = [draw(), draw()];
    result.load(from, ["id"]);
    const before = result.docs;
    const changes = result.load(structuredClone(to));
    assert.deepEqual(result.docs, to);
    assert.deepEqual(replay(before, changes), to);
    if (!changes.length) assert.equal(result.docs, before);
    for (const doc of result.docs) {
      const old = before.find(({id}) => id === doc.id);
      if (old && old.v === doc.v) assert.equal(doc, old);
    }
  }
});

test("the pause is what the server asks for, and full jitter over a span that doubles", () => {
  const most = (attempt, retryMs, after = 0) => backoff(attempt, retryMs, after, 30_000, () => 1);
  assert.equal(most(0, null), 1000);
  assert.equal(most(0, 2371), 2371);
  assert.equal(most(2, 1000), 4000);
  assert.equal(most(1000, 1000), 30_000);
  assert.equal(most(0, 1000, 5000), 6000);
  assert.equal(backoff(3, 1000, 0, 30_000, () => 0), 0);
});

test("conditions", () => {
  assert.deepEqual(cond("a", "==", 1), {a: 1});
  assert.deepEqual(cond("a", "==", {$b: 1}), {a: {$eq: {$b: 1}}});
  assert.deepEqual(cond("a", "notIn", [1]), {a: {$nin: [1]}});
  assert.deepEqual(and(cond("a", ">", 1), cond("b", "like", "x%")), {a: {$gt: 1}, b: {$like: "x%"}});
  assert.deepEqual(and(cond("a", ">", 1), cond("a", "<", 9)), {$and: [{a: {$gt: 1}}, {a: {$lt: 9}}]});
  assert.deepEqual(or({a: 1}, and({b: 2}, {c: 3})), {$or: [{a: 1}, {b: 2, c: 3}]});
  assert.deepEqual(not({a: 1}), {$nor: [{a: 1}]});
  assert.throws(() => cond("a", "=", 1), /there is == !=/);
  assert.throws(() => cond("a", "toString", 1), /no operator/);
  assert.throws(() => cond("a", "==", undefined), /undefined/);
  assert.throws(() => cond("a", "in", [1, undefined]), /undefined/);
});

test("a live query is built step by step, and equal ones have one key", () => {
  const api = new API("todo-app", "http://localhost:1");
  const todos = api.DB("pg").liveQuery("todos");
  const open = todos.where(cond("done", "==", false)).where({owner: "ann"}).sort("-priority").limit(3).select("title");
  assert.deepEqual(open.toJSON(), {
    db: "pg", col: "todos", where: {done: false, owner: "ann"},
    options: {sort: ["-priority"], limit: 3, select: ["title"]},
  });
  assert.deepEqual(todos.toJSON().where, {});
  assert.equal(todos.where({a: 1, b: {c: 2, d: 3}}).key, todos.where({b: {d: 3, c: 2}, a: 1}).key);
  assert.notEqual(todos.key, open.key);
  assert.notEqual(todos.key, new API("todo-app", "http://localhost:1").DB("pg").liveQuery("todos").key);
  assert.deepEqual(todos.aggregate({n: {count: true}}).groupBy("owner").toJSON().options,
    {aggregate: {n: {count: true}}, groupBy: ["owner"]});
  assert.throws(() => todos.where({a: {b: undefined}}), /where: a: b: the value is undefined/);
  assert.throws(() => new API("todo-app"), /new API\(project, url\)/);
});

test("an error says what is wrong, where, and what to do", () => {
  const error = new LivetailError("result_too_large", "more than 10000 rows", {path: "$.where"});
  assert.equal(error.message, "more than 10000 rows ($.where). Narrow where(), or use sort() and limit().");
  assert.equal(error.detail, "more than 10000 rows");
});
