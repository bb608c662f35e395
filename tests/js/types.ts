/** What TypeScript has to say of the package; compiled, not run. */

import {
  API, EventParser, Inbox, LivetailError, Result, and, backoff, cond, not, or, reuse,
  type Change, type LiveQuery, type State, type Store, type Subscription, type View, type Where,
} from "livetail";
import {useLiveQuery} from "livetail/react";

interface Todo {
  id: number;
  title: string;
  done: boolean;
}

const api = new API("todo-app", "http://localhost:4122", {credentials: "include", share: false, maxDelayMs: 1});
api.setToken("token");
api.setToken(null);
api.setToken(async () => "token");
const where: Where = and(cond("done", "==", false), or(cond("a", "in", [1]), not({b: {$gt: 2}})));
const query: LiveQuery<Todo> = api.DB("pg").liveQuery<Todo>("todos").where(where, {c: null}).sort("-title").limit(3);
const sub: Subscription<Todo> = query.select("title").options({skipInitial: true}).subscribe(
  (docs, type, find, changedDoc, change) => {
    const titles: string[] = docs.map(doc => doc.title);
    const key: number | undefined = find?.id;
    const places: (number | undefined)[] = [change.oldIndex, change.newIndex, change.time];
    if (type === "insert" && changedDoc) titles.push(changedDoc.title);
    console.log(titles, key, places);
  },
  (error: LivetailError) => console.log(error.code, error.detail, error.path, error.retryable),
);
const docs: readonly Todo[] = sub.getSnapshot();
sub.unsubscribe();
const totals: LiveQuery<{owner: string; n: number}> = query
  .aggregate<{owner: string; n: number}>({n: {count: true}, total: {sum: "price"}}).groupBy("owner");
const store: Store<Todo> = query.store();
const end: () => void = store.subscribe((view: View<Todo>) => console.log(view.status, view.docs.length, view.error));
const shown: View<Todo> = useLiveQuery(query);
const nothing: View<Todo> = useLiveQuery<Todo>(null);
const stop: () => void = api.onState((state: State) => console.log(state.name, state.role, state.error?.message));
api.onFrame((frame, cursor, at) => console.log(frame.name, frame["changes"], cursor, at));

export async function follow(): Promise<void> {
  for await (const change of query) {
    const typed: Change<Todo> = change;
    console.log(typed.doc?.done, query.key, query.toJSON().options.sort);
  }
}

// @ts-expect-error: there is no such operator
cond("a", "=", 1);
// @ts-expect-error: the result is not to be altered
docs.push({id: 1, title: "", done: false});
// @ts-expect-error: rows have no such field
query.subscribe(([first]) => first.age);

api.close();
export const used = [totals, end, shown, nothing, stop, EventParser, Inbox, Result, backoff, reuse];
