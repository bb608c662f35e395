/** livetail.js against a real broadcaster on a real database, which tests/acceptance/test_livetail_js.py starts.
 *  LIVETAIL_URL: of the broadcaster, over a line that can be cut; LIVETAIL_CONTROL: of what the tests may do. */

import assert from "node:assert/strict";
import {afterEach, test} from "node:test";
import {API, cond} from "../../broadcaster/static/livetail.js";

const URL = process.env.LIVETAIL_URL;
const PATIENCE_MS = 15_000;
let apis = [];
let number = 0;

afterEach(() => {
  for (const api of apis) api.close();
  apis = [];
});

function open(options = {}) {
  const api = new API("todo-app", URL, {maxDelayMs: 50, ...options});
  apis.push(api);
  return api;
}

async function control(what, body) {
  const response = await fetch(`${process.env.LIVETAIL_CONTROL}/control/${what}`, {method: "POST", body});
  const text = await response.text();
  assert.ok(response.ok, text);
  return text;
}

const sql = statement => control("sql", statement);
const tokenOf = (claims, seconds) => control("token", JSON.stringify({claims, seconds}));

/** A word of this test's own, so that tests see nothing of one another. */
function owner() {
  return `o${++number}`;
}

/** Subscribes and collects; `until(condition)` waits for it. */
function follow(query) {
  const seen = {changes: [], errors: [], docs: []};
  let check = () => {};
  const subscription = query.subscribe((docs, type, find, doc, change) => {
    seen.changes.push({type, find, doc, change});
    seen.docs = docs;
    check();
  }, error => {
    seen.errors.push(error);
    check();
  });
  seen.subscription = subscription;
  seen.until = condition => new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(
      `never true: ${condition}\n${JSON.stringify(seen.changes)}\n${seen.errors}`)), PATIENCE_MS);
    check = () => {
      if (!condition(seen)) return;
      clearTimeout(timer);
      resolve();
    };
    check();
  });
  seen.types = () => seen.changes.map(({type}) => type);
  return seen;
}

async function connections() {
  const metrics = await (await fetch(`${process.env.LIVETAIL_CONTROL}/metrics`)).text();
  return Number(/^broadcaster_connections (\S+)$/m.exec(metrics)[1]);
}

test("rows enter, change and leave", async () => {
  const me = owner();
  await sql(`INSERT INTO todos (owner, title) VALUES ('${me}', 'one'), ('${me}', 'two')`);
  const seen = follow(open().DB("sql-postgres").liveQuery("todos").where(cond("owner", "==", me), {done: false}));
  await seen.until(({docs}) => docs.length === 2);
  const before = seen.docs;
  await sql(`INSERT INTO todos (owner, title) VALUES ('${me}', 'three')`);
  await seen.until(({docs}) => docs.length === 3);
  assert.equal(seen.docs[0], before[0]);
  assert.equal(seen.subscription.getSnapshot(), seen.docs);
  await sql(`UPDATE todos SET title = 'ONE' WHERE title = 'one' AND owner = '${me}'`);
  await sql(`UPDATE todos SET done = true WHERE title = 'two' AND owner = '${me}'`);
  await seen.until(({docs}) => docs.length === 2);
  assert.deepEqual(seen.types(), ["initial", "insert", "update", "delete"]);
  const [initial, insert, update, gone] = seen.changes;
  assert.deepEqual([initial.find, initial.doc], [null, null]);
  assert.equal(insert.doc.title, "three");
  assert.deepEqual(insert.find, {id: insert.doc.id});
  assert.equal(update.change.doc.title, "ONE");
  assert.equal(typeof update.change.time, "number");
  assert.equal(gone.doc, null);
  assert.deepEqual(before.map(doc => doc.title), ["one", "two"]);
});

test("an empty result is told, once; a late listener gets it as it is then", async () => {
  const me = owner();
  const query = open().DB("sql-postgres").liveQuery("todos").where({owner: me});
  const first = follow(query);
  await first.until(({changes}) => changes.length === 1);
  assert.deepEqual(first.docs, []);
  await sql(`INSERT INTO todos (owner, title) VALUES ('${me}', 'one')`);
  await first.until(({docs}) => docs.length === 1);
  const late = follow(query);
  await late.until(({docs}) => docs.length === 1);
  assert.deepEqual(late.types(), ["initial"]);
  assert.equal(late.docs, first.docs);
  late.subscription.unsubscribe();
  await sql(`INSERT INTO todos (owner, title) VALUES ('${me}', 'two')`);
  await first.until(({docs}) => docs.length === 2);
  assert.equal(late.docs.length, 1);
});

test("all live queries share one stream, and a new one costs the others nothing", async () => {
  const me = owner();
  const todos = open().DB("sql-postgres").liveQuery("todos");
  while (await connections()) await new Promise(resolve => setTimeout(resolve, 5));
  const all = follow(todos.where({owner: me}));
  const done = follow(todos.where({owner: me, done: true}));
  await all.until(({changes}) => changes.length === 1);
  await done.until(({changes}) => changes.length === 1);
  assert.equal(await connections(), 1);
  const writing = (async () => {
    for (let n = 0; n < 20; n++) await sql(`INSERT INTO todos (owner, title) VALUES ('${me}', 't${n}')`);
  })();
  const open3 = follow(todos.where({owner: me, done: false}));
  const head = follow(todos.where({owner: me}).sort("-title").limit(2));
  await writing;
  await all.until(({docs}) => docs.length === 20);
  await open3.until(({docs}) => docs.length === 20);
  await head.until(({docs}) => docs[0]?.title === "t9" && docs[1]?.title === "t8");
  assert.deepEqual(all.types(), ["initial", ...Array(20).fill("insert")]);
  assert.equal(done.changes.length, 1);
});

test("sorted and limited: changes say where", async () => {
  const me = owner();
  await sql(`INSERT INTO todos (owner, title) VALUES ('${me}', 'b'), ('${me}', 'd')`);
  const seen = follow(open().DB("sql-postgres").liveQuery("todos").where({owner: me}).sort("title").limit(2).select("title"));
  await seen.until(({docs}) => docs.length === 2);
  const list = [...seen.docs];
  await sql(`INSERT INTO todos (owner, title) VALUES ('${me}', 'a')`);
  await seen.until(({docs}) => docs[0].title === "a");
  for (const {change: {oldIndex, newIndex, doc}} of seen.changes.slice(1)) {
    if (oldIndex !== undefined) list.splice(oldIndex, 1);
    if (newIndex !== undefined) list.splice(newIndex, 0, doc);
  }
  assert.deepEqual(list, seen.docs);
  assert.deepEqual(Object.keys(seen.docs[0]).sort(), ["id", "title"]);
});

test("aggregates: a row for each group, and one of all", async () => {
  const me = owner();
  const todos = open().DB("sql-postgres").liveQuery("todos").where(cond("title", "==", me));
  const groups = follow(todos.aggregate({n: {count: true}}).groupBy("owner"));
  const all = follow(todos.aggregate({n: {count: true}, last: {max: "owner"}}));
  await groups.until(({changes}) => changes.length === 1);
  await all.until(({docs}) => docs.length === 1);
  assert.deepEqual(all.docs, [{n: 0, last: null}]);
  await sql(`INSERT INTO todos (owner, title) VALUES ('ann', '${me}'), ('bob', '${me}'), ('bob', '${me}')`);
  await groups.until(({docs}) => docs.length === 2);
  await sql(`DELETE FROM todos WHERE title = '${me}' AND owner = 'ann'`);
  await groups.until(({docs}) => docs.length === 1);
  await all.until(({docs}) => docs[0].n === 2);
  assert.deepEqual(groups.docs, [{owner: "bob", n: 2}]);
  assert.deepEqual(all.docs, [{n: 2, last: "bob"}]);
  assert.deepEqual(groups.types(), ["initial", "insert", "insert", "delete"]);
});

test("a line that breaks loses nothing and repeats nothing", async () => {
  const me = owner();
  const api = open();
  const seen = follow(api.DB("sql-postgres").liveQuery("todos").where({owner: me}));
  await seen.until(({changes}) => changes.length === 1);
  const names = new Set();
  api.onState(({name}) => names.add(name));
  for (let n = 0; n < 30; n++) {
    if (n % 10 === 3) await control("cut");
    await sql(`INSERT INTO todos (owner, title) VALUES ('${me}', 't${n}')`);
  }
  await seen.until(({docs}) => docs.length === 30);
  assert.deepEqual(seen.types(), ["initial", ...Array(30).fill("insert")]);
  assert.deepEqual(seen.changes.slice(1).map(({doc}) => doc.title), Array.from({length: 30}, (_, n) => `t${n}`));
  assert.ok(names.has("waiting"));
  assert.equal(api.state.name, "live");
});

test("a live query that is refused ends alone, and says where it is wrong", async () => {
  const me = owner();
  const todos = open().DB("sql-postgres").liveQuery("todos");
  const good = follow(todos.where({owner: me}));
  const bad = follow(todos.where({owner: me, age: {$almost: 3}}));
  const denied = follow(open().DB("sql-postgres").liveQuery("nobodys"));
  await bad.until(({errors}) => errors.length === 1);
  await denied.until(({errors}) => errors.length === 1);
  await good.until(({changes}) => changes.length === 1);
  assert.equal(bad.errors[0].code, "unknown_operator");
  assert.equal(bad.errors[0].path, "$.where.age.$almost");
  assert.match(bad.errors[0].message, /\(\$\.where\.age\.\$almost\)/);
  assert.equal(denied.errors[0].code, "access_denied");
});

test("a token mends what was refused without one; a function is asked before the token ends", async () => {
  const me = owner();
  await sql(`INSERT INTO private (owner, title) VALUES ('${me}', 'mine'), ('else', 'not mine')`);
  const api = open();
  const seen = follow(api.DB("sql-postgres").liveQuery("private"));
  await seen.until(({errors}) => errors.length === 1);
  assert.equal(seen.errors[0].code, "unauthenticated");
  assert.match(seen.errors[0].message, /api\.setToken\(\)/);
  let asked = 0;
  api.setToken(async () => {
    asked++;
    return tokenOf({sub: me}, 2);
  });
  await seen.until(({docs}) => docs.length === 1);
  while (asked < 3) await new Promise(resolve => setTimeout(resolve, 20));
  await sql(`INSERT INTO private (owner, title) VALUES ('${me}', 'too')`);
  await seen.until(({docs}) => docs.length === 2);
  assert.deepEqual(seen.types(), ["initial", "insert"]);
  assert.equal(seen.errors.length, 1);

  api.setToken(await tokenOf({sub: "else"}, 60)); // somebody else: what he may not read leaves
  await seen.until(({docs}) => docs.length === 1 && docs[0].title === "not mine");
});

test("changes, one after the other", async () => {
  const me = owner();
  const todos = open().DB("sql-postgres").liveQuery("todos").where({owner: me});
  await sql(`INSERT INTO todos (owner, title) VALUES ('${me}', 'before')`);
  await follow(todos).until(({docs}) => docs.length === 1);
  const query = todos.options({skipInitial: true});
  const other = follow(query);
  const store = query.store();
  const views = [];
  const end = store.subscribe(view => views.push(view));
  while (views.at(-1).status !== "live") await new Promise(resolve => setTimeout(resolve, 5));
  setTimeout(() => sql(`INSERT INTO todos (owner, title) VALUES ('${me}', 'one'), ('${me}', 'two')`), 5);
  const titles = [];
  for await (const change of query) {
    titles.push([change.type, change.doc.title, change.docs.length]);
    if (titles.length === 2) break;
  }
  assert.deepEqual(titles, [["insert", "one", 2], ["insert", "two", 2]]);
  assert.deepEqual(other.types(), ["insert", "insert"]);
  assert.equal(store.getSnapshot(), views.at(-1));
  assert.equal(views.at(-1).docs.length, 2);
  end();
  await assert.rejects(async () => {
    for await (const _ of query.where({$nope: 1})) assert.fail();
  }, {code: "unknown_operator"});
});

test("a truncated table is told row by row", async () => {
  const seen = follow(open().DB("sql-postgres").liveQuery("notes"));
  await sql("INSERT INTO notes (title) VALUES ('one'), ('two')");
  await seen.until(({docs}) => docs.length === 2);
  await sql("TRUNCATE notes");
  await seen.until(({docs}) => docs.length === 0);
  assert.deepEqual(seen.types().slice(-2), ["delete", "delete"]);
});

test("a server that is not there is told, and waited for", async () => {
  const api = new API("todo-app", "http://127.0.0.1:1", {maxDelayMs: 10});
  apis.push(api);
  const state = new Promise(resolve => api.onState(now => now.name === "waiting" && resolve(now)));
  const seen = follow(api.DB("sql-postgres").liveQuery("todos"));
  const {error} = await state;
  assert.equal(error.code, "unreachable");
  assert.match(error.message, /is the server running/);
  assert.equal(seen.errors.length, 0);
});

/** Numbers that a seed repeats. */
function chance(seed) {
  let state = seed;
  return most => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor(state / 2 ** 32 * most);
  };
}

/** The list to which the changes lead, made one after the other as a page makes them. */
function replayed(changes) {
  let list = [];
  for (const {change: {type, find, doc, docs, oldIndex, newIndex}} of changes) {
    if (type === "initial") list = [...docs];
    else if (oldIndex === undefined && newIndex === undefined) {
      const place = list.findIndex(row => Object.entries(find).every(([name, value]) => row[name] === value));
      list.splice(place < 0 ? list.length : place, place < 0 ? 0 : 1, ...doc ? [doc] : []);
    } else {
      if (oldIndex !== undefined) list.splice(oldIndex, 1);
      if (newIndex !== undefined) list.splice(newIndex, 0, doc);
    }
  }
  return list;
}

/** Rows as texts, in order where the live query has one. */
function shown(query, docs) {
  const {sort, limit} = query.toJSON().options;
  const texts = docs.map(doc => JSON.stringify(doc));
  return JSON.stringify(sort || limit ? texts : texts.sort());
}

test("whatever happens, what is shown is what the database has, and what the changes lead to", async () => {
  const seed = Number(process.env.LIVETAIL_SEED ?? Date.now() % 1e6);
  const random = chance(seed);
  const me = owner();
  const todos = open().DB("sql-postgres").liveQuery("todos").where({owner: me});
  const queries = [
    todos, todos.where({done: false}), todos.where(cond("title", ">=", "m")), todos.sort("-title").limit(4),
    todos.where({done: true}).sort("title"), todos.limit(3), todos.aggregate({n: {count: true}}).groupBy("done"),
  ];
  const followed = new Map();
  const word = () => String.fromCharCode(97 + random(26), 97 + random(26));
  for (let step = 0; step < 120; step++) {
    const what = random(12);
    const some = `owner = '${me}' AND title < '${word()}'`;
    if (what < 4) await sql(`INSERT INTO todos (owner, title) VALUES ('${me}', '${word()}'), ('${me}', '${word()}')`);
    else if (what < 7) await sql(`UPDATE todos SET done = NOT done, title = '${word()}' || title WHERE ${some}`);
    else if (what === 7) await sql(`DELETE FROM todos WHERE ${some} AND done`);
    else if (what === 8) await control("cut");
    else {
      const query = queries[random(queries.length)];
      followed.get(query)?.subscription.unsubscribe();
      if (!followed.delete(query)) followed.set(query, follow(query));
    }
  }
  const fresh = open().DB("sql-postgres").liveQuery("todos");
  for (const query of queries) {
    const seen = followed.get(query) ?? follow(query);
    const now = follow(fresh.where(query.toJSON().where).options(query.toJSON().options));
    await now.until(({changes}) => changes.length > 0);
    await seen.until(({docs, changes}) => changes.length && shown(query, docs) === shown(query, now.docs))
      .catch(error => assert.fail(`LIVETAIL_SEED=${seed}: ${error.message}`));
    assert.equal(shown(query, replayed(seen.changes)), shown(query, now.docs), `LIVETAIL_SEED=${seed}`);
  }
});
