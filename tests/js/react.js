/** `useLiveQuery` in React itself, with the package as npm has it. */

import assert from "node:assert/strict";
import {test} from "node:test";
import {API} from "livetail";
import {useLiveQuery} from "livetail/react";
import {StrictMode, createElement} from "react";
import {act, create} from "react-test-renderer";

globalThis.IS_REACT_ACT_ENVIRONMENT = true;
const encoder = new TextEncoder();

/** An API object, its requests, and the way to send frames on the last of them. */
function scripted() {
  const requests = [];
  const fetch = async (_, {body, signal}) => {
    let send;
    const stream = new ReadableStream({
      start(controller) {
        send = (name, data, cursor = "c") => controller.enqueue(encoder.encode(
          `event: ${name}\nid: ${cursor}\ndata: ${JSON.stringify(data)}\n\n`));
        signal.addEventListener("abort", () => controller.error(signal.reason));
      },
    });
    requests.push({subscriptions: JSON.parse(body).subscriptions, send});
    return new Response(stream, {headers: {"Content-Type": "text/event-stream"}});
  };
  return {api: new API("todo-app", "http://example.com", {fetch}), requests};
}

const settled = () => act(() => new Promise(resolve => setTimeout(resolve, 20)));

test("a component shows a live query, and renders anew only where something changed", async () => {
  const {api, requests} = scripted();
  const shown = [];
  const Todos = ({owner}) => {
    const query = owner && api.DB("pg").liveQuery("todos").where({owner});
    shown.push(useLiveQuery(query));
    return null;
  };
  const show = owner => createElement(StrictMode, null, createElement(Todos, {owner}));
  const settle = async owner => {
    await act(() => root.update(show(owner)));
    await settled();
  };
  let root;
  await act(() => { root = create(show(null)); });
  assert.equal(shown.at(-1).status, "loading");
  assert.equal(requests.length, 0);

  await settle("ann");
  assert.equal(requests.length, 1);
  const {subscriptions: [{id, where}], send} = requests[0];
  assert.deepEqual(where, {owner: "ann"});
  send("initial", {id, docs: [{id: 1}]}, "c0");
  send("ready", {id, count: 1, key: ["id"]});
  await settled();
  assert.deepEqual(shown.at(-1), {docs: [{id: 1}], status: "live", error: null});
  const {docs} = shown.at(-1);

  const times = shown.length;
  send("progress", {});
  await settled();
  assert.equal(shown.length, times);
  send("diff", {id, time: 1, tx: "1", changes: [{type: "insert", find: {id: 2}, doc: {id: 2}}]});
  await settled();
  assert.equal(shown.at(-1).docs.length, 2);
  assert.equal(shown.at(-1).docs[0], docs[0]);

  send("error", {id, code: "access_denied", message: "no more", retryable: false});
  await settled();
  assert.equal(shown.at(-1).status, "failed");
  assert.equal(shown.at(-1).error.code, "access_denied");
  await act(() => root.unmount());
  api.close();
});
