/** How a stream behaves over a network that a test writes down: every request is answered as `answers` say. */

import assert from "node:assert/strict";
import {mock, test} from "node:test";
import {API} from "../../broadcaster/static/livetail.js";
import {Clock} from "./clock.js";

const SSE = {"Content-Type": "text/event-stream"};
const READY = "event: initial\ndata: {\"id\":\"ID\",\"docs\":[]}\n\nevent: ready\nid: c1\ndata: {\"id\":\"ID\",\"count\":0,\"key\":[\"id\"]}\n\n";

/** An API object whose requests are answered by one function after the other, the last one for ever. */
function scripted(answers, run, options = {}) {
  return async () => {
    const clock = new Clock();
    const requests = [];
    const states = [];
    const fetch = async (url, request) => {
      const body = JSON.parse(request.body);
      requests.push({url, body, headers: request.headers, at: Date.now()});
      return answers[Math.min(requests.length, answers.length) - 1](body.subscriptions[0].id, request.signal);
    };
    const api = new API("todo-app", "http://example.com/base/", {fetch, ...options});
    api.onState(state => states.push(state));
    try {
      await run({api, requests, states, todos: api.DB("pg").liveQuery("todos"), pass: ms => clock.pass(ms)});
    } finally {
      api.close();
      clock.restore();
      mock.restoreAll();
    }
  };
}

/** A body that gives these texts and then stays open, until it is aborted. */
function stream(signal, ...texts) {
  const body = new ReadableStream({
    start(controller) {
      for (const text of texts) controller.enqueue(new TextEncoder().encode(text));
      signal.addEventListener("abort", () => controller.error(signal.reason));
    },
  });
  return new Response(body, {headers: SSE});
}

const live = (id, signal) => stream(signal, "retry: 1000\n\n", READY.replaceAll("ID", id));
const cut = (id, signal) => new Response("retry: 1000\n\n", {headers: SSE});
const refusal = (status, error, headers = {}) => () => new Response(JSON.stringify({error}), {status, headers});

test("one request, at the project's address", scripted([live], async ({requests, states, todos, pass}) => {
  todos.subscribe(() => {});
  todos.where({done: true}).subscribe(() => {});
  await pass(0);
  assert.equal(requests.length, 1);
  assert.equal(requests[0].url, "http://example.com/base/v1/api/todo-app/realtime");
  assert.equal(requests[0].body.subscriptions.length, 2);
  assert.equal(requests[0].body.cursor, undefined);
  assert.equal(states.at(-1).name, "connecting"); // the second one is not ready
}));

test("asked for, changes may come merged", scripted([live], async ({requests, todos, pass}) => {
  todos.subscribe(() => {});
  await pass(0);
  assert.equal(requests[0].body.coalesce, true);
}, {coalesce: true}));

test("a proxy that holds the body back is told from a server that is not there", scripted(
  [(id, signal) => stream(signal)],
  async ({api, todos, pass}) => {
    const warned = mock.method(console, "warn", () => {});
    const views = [];
    todos.store().subscribe(view => views.push(view));
    await pass(4_000);
    assert.equal(api.state.error, null);
    await pass(2_000);
    assert.equal(api.state.error.code, "buffered");
    assert.match(api.state.error.message, /nginx: `proxy_buffering off;`/);
    assert.equal(views.at(-1).error.code, "buffered");
    assert.equal(warned.mock.callCount(), 1);
    await pass(70_000);
    assert.equal(api.state.error.code, "buffered");
    assert.equal(warned.mock.callCount(), 1);
  },
));

test("Retry-After is obeyed, and a pause grows with every attempt in vain", scripted(
  [refusal(503, {code: "overloaded", message: "no room"}, {"Retry-After": "7"}), cut, cut, cut, live],
  async ({api, requests, todos, pass}) => {
    mock.method(Math, "random", () => 1);
    todos.subscribe(() => {});
    await pass(6_900);
    assert.equal(requests.length, 1);
    assert.equal(api.state.error.code, "overloaded");
    await pass(30_000);
    const pauses = requests.slice(1).map(({at}, place) => Math.round((at - requests[place].at) / 1000));
    assert.deepEqual(pauses, [8, 2, 4, 8]);
    assert.equal(api.state.name, "live");
    assert.equal(api.state.error, null);
  },
));

test("a stream that falls silent is given up, and goes on from its cursor", scripted(
  [live, live],
  async ({requests, todos, pass}) => {
    todos.subscribe(() => {});
    await pass(59_000);
    assert.equal(requests.length, 1);
    await pass(6_000);
    assert.equal(requests.length, 2);
    assert.equal(requests[1].body.cursor, "c1");
    assert.equal(requests[1].body.subscriptions[0].id, requests[0].body.subscriptions[0].id);
  },
));

test("results that start over again and again are not asked for without pause", scripted(
  [(id, signal) => stream(signal, ...Array(11).fill(`event: reset\ndata: {"id":"${id}","reason":"log_unreadable"}\n\n`))],
  async ({api, requests, todos, pass}) => {
    mock.method(Math, "random", () => 1);
    const warned = mock.method(console, "warn", () => {});
    todos.subscribe(() => {});
    await pass(100);
    assert.equal(api.state.name, "waiting");
    assert.equal(api.state.error.code, "reset_loop");
    assert.match(warned.mock.calls[0].arguments[0], /log_unreadable/);
    await pass(10_000);
    assert.equal(requests.length, 1);
    await pass(10_000);
    assert.equal(requests.length, 2);
  },
));

test("a table that is truncated often is no such loop", scripted(
  [(id, signal) => stream(signal, ...Array(50).fill(`event: reset\ndata: {"id":"${id}","reason":"truncated"}\n\n`))],
  async ({api, todos, pass}) => {
    todos.subscribe(() => {});
    await pass(100);
    assert.equal(api.state.error, null);
  },
));

test("a function that gives no token is asked again, and its error is told", scripted([live], async ({api, requests, todos, pass}) => {
  let asked = 0;
  api.setToken(() => {
    if (++asked < 4) throw new Error("the login server is down");
    return "a-token";
  });
  todos.subscribe(() => {});
  await pass(0);
  assert.equal(api.state.error.code, "token");
  assert.match(api.state.error.message, /setToken\(\) failed: the login server is down/);
  await pass(20_000);
  assert.equal(requests.at(-1).headers.Authorization, "Bearer a-token");
  assert.equal(api.state.name, "live");
}));

test("an answer that is not Livetail's is told as such, and not asked for again", scripted(
  [() => new Response("<h1>Not here</h1>", {status: 404})],
  async ({requests, todos, pass}) => {
    const errors = [];
    todos.subscribe(() => {}, error => errors.push(error));
    todos.where({done: true}).subscribe(() => {}, error => errors.push(error));
    await pass(60_000);
    assert.deepEqual(errors.map(({code}) => code), ["http_404", "http_404"]);
    assert.match(errors[0].message, /not Livetail's answer: <h1>Not here/);
    assert.equal(requests.length, 1);
  },
));

test("a token that has expired waits for another one", scripted(
  [refusal(401, {code: "token_expired", message: "the token has expired"}), live],
  async ({api, requests, todos, pass}) => {
    const [errors, seen] = [[], []];
    api.setToken("old");
    todos.subscribe((_, type) => seen.push(type), error => errors.push(error));
    await pass(60_000);
    assert.equal(requests.length, 1);
    assert.match(errors[0].message, /Call api\.setToken\(\) with a fresh token/);
    api.setToken("new");
    await pass(1_000);
    assert.equal(requests[1].headers.Authorization, "Bearer new");
    assert.deepEqual(seen, ["initial"]);
  },
));

test("who goes and comes back at once costs no request; who goes for good is not asked for", scripted(
  [live],
  async ({requests, todos, pass}) => {
    const sub = todos.subscribe(() => {});
    await pass(1_000);
    sub.unsubscribe();
    const seen = [];
    const again = todos.subscribe((docs, type) => seen.push(type));
    await pass(5_000);
    assert.equal(requests.length, 1);
    assert.deepEqual(seen, ["initial"]);
    const other = todos.where({done: true}).subscribe(() => {});
    await pass(500);
    assert.equal(requests.length, 2);
    again.unsubscribe();
    await pass(2_000);
    assert.equal(requests.length, 3);
    assert.deepEqual(requests[2].body.subscriptions.map(({where}) => where), [{done: true}]);
    other.unsubscribe();
    await pass(60_000);
    assert.equal(requests.length, 3);
  },
));

test("what a callback throws is reported, and the others are called", scripted([live], async ({todos, pass}) => {
  const [thrown, seen] = [[], []];
  globalThis.reportError = error => thrown.push(error.message);
  todos.subscribe(() => { throw new Error("mine"); });
  todos.subscribe((docs, type) => seen.push(type));
  await pass(100);
  delete globalThis.reportError;
  assert.deepEqual(thrown, ["mine"]);
  assert.deepEqual(seen, ["initial"]);
}));

const tokenOf = claims => ["e30", btoa(JSON.stringify(claims)), "s"].join(".");

test("a function that gives somebody else's token begins anew, without the cursor", scripted(
  [(id, signal) => new Response(READY.replaceAll("ID", id), {headers: SSE}), live],
  async ({api, requests, todos, pass}) => {
    const seen = [];
    let sub = "ann";
    api.setToken(() => tokenOf({sub, iat: Date.now()}));
    todos.subscribe((_, type) => seen.push(type));
    await pass(0);
    assert.deepEqual(seen, ["initial"]);
    await pass(10_000);
    assert.equal(requests[1].body.cursor, "c1"); // hers again, if another one
    sub = "bob";
    await pass(65_000); // it falls silent
    assert.equal(requests.at(-1).body.cursor, undefined);
    assert.equal(JSON.parse(atob(requests.at(-1).headers.Authorization.split(".")[1])).sub, "bob");
    assert.deepEqual(seen, ["initial"]);
  },
));

test("a token that is given while the next attempt is waited for is used at once", scripted(
  [refusal(503, {code: "overloaded", message: "no room"}, {"Retry-After": "30"}), live],
  async ({api, requests, todos, pass}) => {
    todos.subscribe(() => {});
    await pass(1_000);
    api.setToken("fresh");
    await pass(100);
    assert.equal(requests[1].headers.Authorization, "Bearer fresh");
  },
));
