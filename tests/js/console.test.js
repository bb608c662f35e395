/** What the console does without a page. */

import assert from "node:assert/strict";
import {test} from "node:test";
import {CODE, aggregatesOf} from "../../broadcaster/static/console-code.js";
import {JsonError, parseJson} from "../../broadcaster/static/console-json.js";

const GOOD = [
  "{}", "[]", " {\"a\" : [1, -2.5e+3, true, false, null, \"x\\u00e9\\n\\\"\"]}\n", "{\"a\":{\"b\":{\"c\":[[{}]]}}}", "\"\"", "0",
  "{\"__proto__\": 1, \"a.b\": 2, \"\": 3}", "{\"a\":1,\"a\":2}",
];
const BAD = [
  "", "{", "[", "{a: 1}", "{\"a\"}", "{\"a\":}", "{\"a\":1,}", "[1,]", "[1 2]", "{\"a\":1}}", "'a'", "\"a", "\"\\x\"", "01", "+1",
  "{\"a\":1 \"b\":2}", "tru", "{\"a\": \"x}", "\"a\nb\"", "1.", "[,1]", "{,}",
];

test("it takes what JSON.parse takes, and nothing else", () => {
  for (const text of GOOD) assert.deepEqual(parseJson(text).value, JSON.parse(text), text);
  for (const text of BAD) {
    assert.throws(() => JSON.parse(text), SyntaxError, text);
    assert.throws(() => parseJson(text), JsonError, text);
  }
  for (const text of GOOD) { // every way of cutting one short or of one wrong letter
    for (let place = 0; place <= text.length; place++) {
      for (const other of [text.slice(0, place), `${text.slice(0, place)}#${text.slice(place + 1)}`]) {
        let expected;
        try {
          expected = JSON.parse(other);
        } catch {
          assert.throws(() => parseJson(other), JsonError, other);
          continue;
        }
        assert.deepEqual(parseJson(other).value, expected, other);
      }
    }
  }
});

test("it tells where each part stands", () => {
  const text = "{\"done\": false, \"$or\": [{\"age\": {\"$gt\": 21}}, {\"address.city\": null}]}";
  const {spans} = parseJson(text);
  const at = path => text.slice(...spans.get(path));
  assert.equal(at("$.done"), "\"done\"");
  assert.equal(at("$.$or[0]"), "{\"age\": {\"$gt\": 21}}");
  assert.equal(at("$.$or[0].age.$gt"), "\"$gt\"");
  assert.equal(at("$.$or[1].address.city"), "\"address.city\"");
  assert.equal(at("$"), text);
});

test("it tells where a text stops being JSON", () => {
  const wrong = text => {
    try {
      parseJson(text);
    } catch ({message, start, end}) {
      return [message, text.padEnd(end).slice(start, end)];
    }
    return null;
  };
  assert.deepEqual(wrong("{priority: 1}"), ["a name in \"\" must stand here", "priority"]);
  assert.deepEqual(wrong("{\"a\": yes}"), ["this is no value; texts stand in \"\"", "yes"]);
  assert.deepEqual(wrong("{\"a\": 1 \"b\": 2}"), [", or } must stand here", "\""]);
  assert.deepEqual(wrong("{\"a\": \"x}"), ["a text begins here and does not end", "\"x}"]);
  assert.deepEqual(wrong("{\"a\": 1"), ["} is missing", " "]);
  assert.deepEqual(wrong("{} {}"), ["nothing more may follow", "{}"]);
});

const QUERY = {
  db: "pg", col: "shop.orders", where: {name: "O'Hara", open: true, price: null},
  options: {sort: ["-price"], limit: 3, select: ["id", "name"]},
};
const PLACE = {url: "http://localhost:4122", project: "todo-app"};

test("a live query as code", () => {
  assert.equal(CODE.curl(QUERY, PLACE), [
    "curl -NG 'http://localhost:4122/v1/api/todo-app/realtime/pg/shop.orders' \\",
    "  --data-urlencode 'where={\"name\":\"O'\\''Hara\",\"open\":true,\"price\":null}' \\",
    "  --data-urlencode 'sort=-price' \\",
    "  --data-urlencode 'limit=3' \\",
    "  --data-urlencode 'select=id,name'",
  ].join("\n"));
  assert.match(CODE.javascript(QUERY, PLACE), /\.sort\("-price"\)\n {2}\.limit\(3\)\n {2}\.select\("id", "name"\);/);
  assert.match(CODE.python(QUERY, PLACE),
    /live_query\("pg", "shop\.orders", \{"name": "O'Hara", "open": True, "price": None\}, sort=\["-price"\], limit=3, select=/);
  const plain = {db: "pg", col: "todos", where: {}, options: {}};
  assert.equal(CODE.curl(plain, PLACE), "curl -N 'http://localhost:4122/v1/api/todo-app/realtime/pg/todos'");
  assert.match(CODE.javascript(plain, PLACE), /liveQuery\("todos"\);/);
});

test("aggregates as people write them", () => {
  assert.deepEqual(aggregatesOf("count"), {count: {count: true}});
  assert.deepEqual(aggregatesOf(" count as n ,sum price, avg a.b as mean, count done,"), {
    n: {count: true}, sum_price: {sum: "price"}, mean: {avg: "a.b"}, count_done: {count: "done"},
  });
  for (const text of ["total", "sum", "sum price as", "sum as n", "median price"]) {
    assert.throws(() => aggregatesOf(text), /is no aggregate/, text);
  }
  const totals = {...QUERY, options: {aggregate: {n: {count: true}}, groupBy: ["owner", "done"]}};
  assert.match(CODE.curl(totals, PLACE), /'aggregate=\{"n":\{"count":true\}\}' \\\n {2}--data-urlencode 'groupBy=owner,done'/);
  assert.match(CODE.javascript(totals, PLACE), /\.aggregate\(\{"n":\{"count":true\}\}\)\n {2}\.groupBy\("owner", "done"\)/);
  assert.match(CODE.python(totals, PLACE), /aggregate=\{"n": \{"count": True\}\}, group_by=\["owner", "done"\]/);
});
