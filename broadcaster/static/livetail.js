/**
 * livetail.js: live queries in the browser, and in Node 20 and later. One file, no dependencies.
 *
 *     import {API, cond} from "/livetail.js";
 *     const api = new API("todo-app");
 *     const sub = api.DB("sql-postgres").liveQuery("todos").where(cond("done", "==", false))
 *       .subscribe((docs, type, find, changedDoc) => show(docs), error => console.error(error.message));
 *
 * From outside to inside: API → Registry (this tab's live queries) → Tabs (one stream for all tabs) → Stream
 * (connections that resume) → Inbox (whole transactions only) → EventParser (Server-Sent Events).
 */

const CONNECT_MS = 20_000;
const FIRST_BYTES_MS = 5_000;
const SILENCE_MS = 60_000;
const STABLE_MS = 5_000;
const FIRST_DELAY_MS = 1_000;
const LINGER_MS = 1_000;
const REOPEN_MS = 100;
const TAKEOVER_MS = 100;
const RENEW_BEFORE_MS = 30_000;
const LEADER_SILENT_MS = 45_000;
const PONG_MS = 5_000;
const RESETS_MS = 60_000;
const MOST_RESETS = 10;
const MOST_PENDING = 10_000;
const MOST_EVENT_CHARS = 64 * 1024 * 1024;
const MOST_TIMER_MS = 2 ** 31 - 1;
const MESSAGE_CHARS = 200;

/** What to do about an error, by its code; the server's own message says what is wrong. */
const REMEDIES = {
  unauthenticated: "Give api.setToken() a valid token, or a function that fetches one.",
  token_expired: "Call api.setToken() with a fresh token, or give it a function that fetches one: it is asked in time.",
  access_denied: "The collection's `rules.read` decide; look at `livetail check` and the token's claims.",
  unknown_project: "The first argument of `new API(project, url)` must be the configuration's `id`.",
  result_too_large: "Narrow where(), or use sort() and limit().",
  too_many_subscriptions: "Unsubscribe what is not shown, or raise `limits.subscriptionsPerConnection`.",
};

/** What went wrong with a live query or with the stream. `message` also tells what to do, `detail` only what is wrong.
 *  `code`: the server's, or one of this file's own: `unreachable`, `silent`, `buffered`, `token`, `reset_loop`,
 *  `protocol`, `http_<status>`. `path`: of the offence in the live query, as `$.where.age.$gt`. */
export class LivetailError extends Error {
  /** @param {{path?: string, retryable?: boolean, retryAfterMs?: number, cause?: unknown}} [about] */
  constructor(code, message, about = {}) {
    const {path, retryable = false, retryAfterMs = 0, cause} = about;
    super(`${message}${path ? ` (${path})` : ""}${REMEDIES[code] ? `. ${REMEDIES[code]}` : ""}`, {cause});
    this.name = "LivetailError";
    this.code = code;
    this.detail = message;
    this.path = path;
    this.retryable = retryable;
    this.retryAfterMs = retryAfterMs;
  }
}

// -- conditions -----------------------------------------------------------------------------------------------

const OPERATORS = {
  "==": "$eq", "!=": "$ne", ">": "$gt", ">=": "$gte", "<": "$lt", "<=": "$lte", in: "$in", notIn: "$nin",
  exists: "$exists", like: "$like", regex: "$regex", contains: "$contains",
};

/** One condition: `cond("age", ">", 21)`. Operators: `== != > >= < <= in notIn exists like regex contains`. */
export function cond(field, operator, value) {
  const name = Object.hasOwn(OPERATORS, operator) ? OPERATORS[operator] : null;
  if (name === null) {
    throw new TypeError(`cond: no operator ${JSON.stringify(operator)}; there is ${Object.keys(OPERATORS).join(" ")}`);
  }
  checkDefined(value, `cond(${JSON.stringify(field)}, "${operator}")`);
  return {[field]: name === "$eq" && !isObject(value) ? value : {[name]: value}};
}

/** All of these hold. */
export function and(...conditions) {
  const names = conditions.flatMap(Object.keys);
  return new Set(names).size === names.length ? Object.assign({}, ...conditions) : {$and: conditions};
}

/** At least one of these holds. */
export function or(...conditions) {
  return {$or: conditions};
}

/** None of these holds. */
export function not(...conditions) {
  return {$nor: conditions};
}

/** JSON drops what is undefined, and a condition that is dropped asks for every row. */
function checkDefined(value, where) {
  if (value === undefined) throw new TypeError(`${where}: the value is undefined; for rows without the field use null`);
  if (isObject(value) || Array.isArray(value)) {
    for (const [name, part] of Object.entries(value)) checkDefined(part, `${where}: ${name}`);
  }
}

function isObject(value) {
  return typeof value === "object" && value !== null && Object.getPrototypeOf(value) === Object.prototype;
}

/** JSON with sorted keys: equal values, equal texts. */
function canonical(value) {
  return JSON.stringify(value, (_, part) => isObject(part)
    ? Object.fromEntries(Object.keys(part).sort().map(name => [name, part[name]])) : part);
}

// -- Server-Sent Events (WHATWG HTML, "Server-sent events") -----------------------------------------------------

/** Feed it text as it comes; an event that the end of the stream cuts off is never seen.
 *  `retryMs`: the server's latest wish, or null. */
export class EventParser {
  retryMs = null;
  #rest = [];
  #name = "";
  #data = [];
  #size = 0;
  #id = null;

  /** The events that this text completes: `{name, data, id}`, `id` null where the event has none. */
  feed(text) {
    this.#rest.push(text);
    this.#size += text.length;
    if (this.#size > MOST_EVENT_CHARS) {
      throw new LivetailError("protocol", `an event of the stream has more than ${MOST_EVENT_CHARS} characters`);
    }
    if (!/[\r\n]/.test(text) && !this.#rest.at(-2)?.endsWith("\r")) return []; // so that a long line is joined once
    const lines = this.#rest.join("").split(/\r\n|\n|\r(?!$)/); // a CR at the end may be half a CRLF
    this.#rest = [lines.pop()];
    const events = [];
    for (const line of lines) {
      if (line) this.#field(line);
      else if (this.#data.length) events.push({name: this.#name || "message", data: this.#data.join("\n"), id: this.#id});
      if (line) continue;
      [this.#name, this.#data, this.#id] = ["", [], null];
      this.#size = this.#rest[0].length;
    }
    return events;
  }

  #field(line) {
    const colon = line.indexOf(":");
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + (line[colon + 1] === " " ? 2 : 1));
    if (name === "data") this.#data.push(value);
    else if (name === "event") this.#name = value;
    else if (name === "id" && !value.includes("\0")) this.#id = value;
    else if (name === "retry" && /^[0-9]+$/.test(value)) this.retryMs = Number(value);
  }
}

/** Takes the frames of one stream, across connections, and releases them when they are whole: nothing before the
 *  frame that carries the cursor, an initial result not before its `ready`. What a disconnect cut is repeated. */
export class Inbox {
  #loading = new Map();
  #group = [];

  constructor(cursor = null) {
    this.cursor = cursor;
  }

  /** What this frame, `{name, ...data}`, which carried `cursor` or null, makes complete. */
  take(frame, cursor) {
    const {name, id} = frame;
    if (name === "error" || (name === "progress" && cursor === null)) return [frame];
    if (name === "reset") this.#loading.set(id, {reset: frame, docs: null});
    else if (name === "initial") {
      const loading = this.#loading.get(id) ?? {reset: null, docs: null};
      (loading.docs ??= []).push(...frame.docs);
      this.#loading.set(id, loading);
    } else if (name === "ready") {
      const {reset = null, docs = null} = this.#loading.get(id) ?? {};
      this.#loading.delete(id);
      this.#group.push({...frame, reset: reset?.reason ?? null, docs});
    } else if (name === "diff" || name === "progress") this.#group.push(frame);
    if (cursor === null) return [];
    this.cursor = cursor;
    return this.#group.splice(0);
  }

  /** The connection is lost: forget what it left unfinished. */
  drop() {
    this.#loading.clear();
    this.#group.length = 0;
  }
}

// -- a result and what changes in it --------------------------------------------------------------------------

/** The new value, with the old one's parts where they are equal: what is `===` has not changed. */
export function reuse(old, value) {
  if (old === value || typeof old !== "object" || typeof value !== "object" || !old || !value) return value;
  if (Array.isArray(old) !== Array.isArray(value)) return value;
  const names = Object.keys(value);
  let same = names.length === Object.keys(old).length;
  const merged = Array.isArray(value) ? [] : {};
  for (const name of names) {
    const part = merged[name] = reuse(old[name], value[name]);
    same &&= part === old[name] && Object.hasOwn(old, name);
  }
  return same ? old : merged;
}

const NO_DOCS = Object.freeze([]);

/** A live query's rows. `docs` is never altered: where something changes it is another array. */
export class Result {
  docs = NO_DOCS;
  isReady = false;
  #fields = null;
  #isOrdered;
  #rows = new Map();

  constructor(isOrdered) {
    this.#isOrdered = isOrdered;
  }

  /** The names of the primary key's fields; null while unknown. */
  get fields() { return this.#fields; }

  /** A whole result; `docs` null: of `skipInitial`, there is none. Returns the changes that lead to it, each with its
   *  places if the live query is ordered. */
  load(docs, fields) {
    this.#learn(fields);
    const isFirst = !this.isReady;
    this.isReady = true;
    if (docs === null) return isFirst ? [] : [{type: "reset", find: null, doc: null}];
    if (isFirst) {
      this.docs = docs;
      this.#index();
      return [{type: "initial", find: null, doc: null}];
    }
    return this.#isOrdered ? this.#reorder(docs) : this.#replace(docs);
  }

  /** The changes of one transaction; returns them with the docs that are kept. */
  apply(changes) {
    if (!this.isReady || !changes.length) return [];
    this.#learn(Object.keys(changes[0].find));
    if (this.#isOrdered) return this.#move(changes);
    const made = changes.map(({type, find, doc = null}) => {
      const key = this.#key(find);
      if (doc === null) {
        this.#rows.delete(key);
        return {type, find, doc};
      }
      const kept = reuse(this.#rows.get(key), doc);
      this.#rows.set(key, kept);
      return {type, find, doc: kept};
    });
    this.docs = [...this.#rows.values()];
    return made;
  }

  #move(changes) {
    const docs = [...this.docs];
    const made = changes.map(change => {
      const {oldIndex = null, newIndex = null} = change;
      const old = oldIndex === null ? undefined : docs.splice(oldIndex, 1)[0];
      const doc = newIndex === null ? null : reuse(old, change.doc);
      if (newIndex !== null) docs.splice(newIndex, 0, doc);
      return {...change, doc};
    });
    this.docs = docs;
    return made;
  }

  #replace(docs) {
    const kept = new Set(docs.map(doc => this.#key(doc)));
    const changes = [];
    for (const [key, doc] of this.#rows) {
      if (kept.has(key)) continue;
      this.#rows.delete(key);
      changes.push({type: "delete", find: this.#find(doc), doc: null});
    }
    for (const given of docs) {
      const key = this.#key(given);
      const old = this.#rows.get(key);
      const doc = reuse(old, given);
      if (doc === old) continue;
      this.#rows.set(key, doc);
      changes.push({type: old === undefined ? "insert" : "update", find: this.#find(doc), doc});
    }
    if (changes.length) this.docs = [...this.#rows.values()];
    return changes;
  }

  #reorder(wanted) {
    const docs = [...this.docs];
    const keys = docs.map(doc => this.#key(doc));
    const kept = new Set(wanted.map(doc => this.#key(doc)));
    const changes = [];
    for (let place = docs.length - 1; place >= 0; place--) {
      if (kept.has(keys[place])) continue;
      keys.splice(place, 1);
      changes.push({type: "delete", find: this.#find(docs.splice(place, 1)[0]), doc: null, oldIndex: place});
    }
    wanted.forEach((given, newIndex) => {
      const key = this.#key(given);
      const oldIndex = keys[newIndex] === key ? newIndex : keys.indexOf(key, newIndex + 1);
      if (oldIndex < 0) {
        keys.splice(newIndex, 0, key);
        docs.splice(newIndex, 0, given);
        changes.push({type: "insert", find: this.#find(given), doc: given, newIndex});
        return;
      }
      const doc = reuse(docs[oldIndex], given);
      if (oldIndex === newIndex && doc === docs[oldIndex]) return;
      keys.splice(newIndex, 0, keys.splice(oldIndex, 1)[0]);
      docs.splice(oldIndex, 1);
      docs.splice(newIndex, 0, doc);
      changes.push({type: "update", find: this.#find(doc), doc, oldIndex, newIndex});
    });
    if (changes.length) this.docs = docs;
    return changes;
  }

  #learn(fields) {
    if (!fields || this.#fields) return;
    this.#fields = fields;
    this.#index();
  }

  #index() {
    if (!this.#isOrdered) this.#rows = new Map(this.docs.map(doc => [this.#key(doc), doc]));
  }

  /** Until its fields are known, a row is its own key. */
  #key(row) { return this.#fields ? JSON.stringify(this.#fields.map(name => row[name])) : canonical(row); }

  #find(doc) { return this.#fields ? Object.fromEntries(this.#fields.map(name => [name, doc[name]])) : doc; }
}

// -- the stream -----------------------------------------------------------------------------------------------

/** What the server asks for, plus full jitter over a span that doubles with every attempt in vain; milliseconds. */
export function backoff(attempt, retryMs, retryAfterMs, maxMs, random = Math.random) {
  const span = Math.min(maxMs, (retryMs ?? FIRST_DELAY_MS) * 2 ** Math.min(attempt, 16));
  return retryAfterMs + random() * span;
}

/** A token's claims, unchecked; null where it is no JWT. */
function claimsOf(token) {
  try {
    const text = atob(token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/"));
    const claims = JSON.parse(new TextDecoder().decode(Uint8Array.from(text, char => char.charCodeAt(0))));
    return isObject(claims) ? claims : null;
  } catch {
    return null;
  }
}

const REOPEN = Symbol("reopen");

/** The frames of a set of live queries, over as many connections as it takes. Resumes from its cursor. */
class Stream {
  #options;
  #on;
  #queries = new Map();
  #served = new Set();
  #known;
  #inbox;
  #attempt = 0;
  #retryMs = null;
  #controller = null;
  #pause = null;
  #isWaiting = false;
  #isClosed = false;
  #opened = -Infinity;
  #heard = 0;
  #resets = [];
  #timer = null;

  /** options: url, fetch, credentials, coalesce, maxDelayMs, token() → Promise of a token or null, renews(token) →
   *  whether there may be a fresher one.
   *  on: frames(frames, cursor), state(name, error), failed(id, error), raw(frame, cursor, at).
   *  cursor: where to begin; known: the ids of those whose results we have. */
  constructor(options, on, cursor, known) {
    this.#options = options;
    this.#on = on;
    this.#known = known;
    this.#inbox = new Inbox(cursor);
    this.#run();
  }

  get cursor() { return this.#inbox.cursor; }

  /** From now on these, by id, each as a request has it. Changes that come together make one new connection. */
  set(queries) {
    this.#queries = queries;
    if (this.#timer !== null) return;
    const reopen = () => {
      this.#timer = null;
      const isServed = this.#served.size === this.#queries.size && [...this.#queries.keys()].every(id => this.#served.has(id));
      if (!isServed && !this.#isWaiting) this.reopen();
    };
    const ms = this.#opened + REOPEN_MS - Date.now();
    if (ms > 0) this.#timer = setTimeout(reopen, ms);
    else {
      this.#timer = 0;
      queueMicrotask(reopen);
    }
  }

  /** Go on with another connection, at once. */
  reopen() {
    this.#controller?.abort(REOPEN);
    this.#pause?.();
  }

  /** The network is back, or somebody looks again: no waiting, and no trust in a connection that has been silent. */
  wake() {
    if (this.#pause) {
      this.#attempt = 0;
      this.#pause();
    } else if (Date.now() - this.#heard > SILENCE_MS) this.reopen();
  }

  close() {
    this.#isClosed = true;
    clearTimeout(this.#timer);
    this.reopen();
  }

  async #run() {
    while (!this.#isClosed) {
      if (!this.#queries.size) {
        this.#on.state("idle", null);
        await this.#rest(Infinity);
      } else if (globalThis.navigator?.onLine === false) {
        this.#on.state("offline", null);
        await this.#rest(Infinity);
      } else await this.#once();
    }
  }

  /** One connection, and the pause that its end asks for. */
  async #once() {
    const controller = this.#controller = new AbortController();
    const watch = new Watch(controller);
    let error = null;
    try {
      error = await this.#connect(controller.signal, watch);
    } catch (reason) {
      const cause = controller.signal.aborted ? controller.signal.reason : reason;
      if (cause !== REOPEN) error = cause instanceof LivetailError ? cause : this.#unreachable(cause);
    } finally {
      watch.stop();
      controller.abort(REOPEN);
      this.#controller = null;
      this.#inbox.drop();
      this.#served.clear();
    }
    if (this.#isClosed || error === null) return;
    if (!error.retryable) {
      this.#queries = new Map();
      this.#on.failed(null, error);
      return;
    }
    if (Date.now() - this.#opened > STABLE_MS && this.#heard > this.#opened) this.#attempt = 0;
    const delay = backoff(this.#attempt++, this.#retryMs, error.retryAfterMs, this.#options.maxDelayMs);
    this.#on.state("waiting", error);
    this.#isWaiting = true;
    await this.#rest(delay);
    this.#isWaiting = false;
  }

  /** Returns the error that ended it, null where it is to be opened anew at once. */
  async #connect(signal, watch) {
    const queries = this.#queries;
    this.#served = new Set(queries.keys());
    this.#on.state("connecting", null);
    watch.over(CONNECT_MS, () => new LivetailError(
      "silent", `${this.#options.url} did not answer within ${CONNECT_MS / 1000} s`, {retryable: true}));
    const token = await unlessAborted(this.#options.token(), signal);
    this.#opened = Date.now();
    const response = await this.#options.fetch(this.#options.url, this.#request(queries, token, signal));
    if (response.status !== 200 || !response.headers.get("Content-Type")?.startsWith("text/event-stream")) {
      return this.#refused(await refusalOf(response), queries, token);
    }
    const renewal = this.#renewal(token);
    try {
      return await this.#read(response, token, watch);
    } finally {
      clearTimeout(renewal);
    }
  }

  #request(queries, token, signal) {
    const body = {subscriptions: [...queries].map(([id, query]) => ({id, ...query}))};
    if (this.#options.coalesce) body.coalesce = true;
    this.#known = new Set([...this.#known].filter(id => queries.has(id)));
    if (this.#known.size && this.#inbox.cursor !== null) body.cursor = this.#inbox.cursor;
    const headers = {"Content-Type": "application/json", Accept: "text/event-stream"};
    if (token) headers.Authorization = `Bearer ${token}`;
    return {
      method: "POST", headers, body: JSON.stringify(body), signal, cache: "no-store",
      credentials: this.#options.credentials,
    };
  }

  async #read(response, token, watch) {
    const parser = new EventParser();
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    const waiting = new Set(this.#served);
    watch.over(FIRST_BYTES_MS, () => {
      this.#on.state("connecting", this.#buffered());
      watch.over(SILENCE_MS, () => this.#buffered());
      return null;
    });
    while (true) {
      const {done, value} = await reader.read();
      if (done) return new LivetailError("unreachable", "the server has closed the stream", {retryable: true});
      this.#heard = Date.now();
      watch.over(SILENCE_MS, () => new LivetailError(
        "silent", `nothing came for ${SILENCE_MS / 1000} s, not even a heartbeat`, {retryable: true}));
      for (const event of parser.feed(value)) {
        const error = this.#take(event, waiting, token);
        if (error) return error;
      }
      this.#retryMs = parser.retryMs ?? this.#retryMs;
    }
  }

  #take(event, waiting, token) {
    const frame = {name: event.name, ...parse(event.data)};
    this.#on.raw(frame, event.id, this.#heard);
    if (frame.name === "reset" && this.#isLoop(frame)) {
      return new LivetailError("reset_loop", `the live queries start over again and again (${frame.reason}): `
        + "the server's log says why. Waiting before the next attempt", {retryable: true});
    }
    const frames = this.#inbox.take(frame, event.id);
    for (const one of frames) {
      if (one.name !== "error") continue;
      const error = new LivetailError(one.code, one.message, {path: one.path, retryable: one.retryable ?? false});
      if (one.id === undefined) return this.#refused(error, this.#queries, token);
      if (one.retryable) this.#on.state("connecting", error);
      else this.#fail(one.id, error);
    }
    if (frames.length) this.#on.frames(frames.filter(one => one.name !== "error"), this.#inbox.cursor);
    for (const one of frames) {
      if (one.name !== "ready") continue;
      waiting.delete(one.id);
      this.#known.add(one.id);
    }
    if (frames.some(one => one.name === "ready") && !waiting.size) this.#on.state("live", null);
    return null;
  }

  /** A table may well be truncated often; nothing else should make results start over often. */
  #isLoop({reason}) {
    if (reason === "truncated" || reason === "not_in_cursor") return false;
    const now = Date.now();
    this.#resets = [...this.#resets.filter(at => now - at < RESETS_MS), now];
    if (this.#resets.length <= MOST_RESETS * this.#queries.size) return false;
    this.#resets = [];
    this.#attempt = Math.max(this.#attempt, 4);
    this.#opened = now; // not stable, however long it lived
    return true;
  }

  /** One live query that is refused ends alone; the others go on. */
  #refused(error, queries, token) {
    const [, place, path] = /^\$\.subscriptions\[(\d+)\](.*)$/.exec(error.path ?? "") ?? [];
    if (place !== undefined && !error.retryable) {
      this.#fail([...queries.keys()][place], new LivetailError(error.code, error.detail, {path: path ? `$${path}` : undefined}));
      return null;
    }
    if (error.code === "token_expired" && this.#options.renews(token)) {
      return new LivetailError("token_expired", "the token has expired", {retryable: true, cause: error});
    }
    return error;
  }

  #fail(id, error) {
    this.#queries = new Map([...this.#queries].filter(([other]) => other !== id));
    this.#served.delete(id);
    this.#on.failed(id, error);
  }

  /** Reopens with a fresh token before this one ends. A clock that is wrong does no harm: the server tells, too. */
  #renewal(token) {
    const {exp, iat} = (token && this.#options.renews(token) && claimsOf(token)) || {};
    if (typeof exp !== "number") return null;
    const life = typeof iat === "number" ? (exp - iat) * 1000 : Infinity;
    const left = exp * 1000 - Date.now() - Math.min(RENEW_BEFORE_MS, life / 10);
    return left > 0 && left < MOST_TIMER_MS ? setTimeout(() => this.reopen(), left) : null;
  }

  #buffered() {
    return new LivetailError("buffered", `a proxy between here and ${this.#options.url} holds the stream back: the `
      + `headers came, but nothing of the body within ${FIRST_BYTES_MS / 1000} s. Switch off buffering and compression `
      + "for this path (nginx: `proxy_buffering off;`, Caddy: `flush_interval -1`, Apache: `flushpackets=on`)",
    {retryable: true});
  }

  #unreachable(cause) {
    const origin = globalThis.location?.origin;
    const isForeign = origin && new URL(this.#options.url).origin !== origin;
    return new LivetailError("unreachable", `${this.#options.url} cannot be reached: is the server running`
      + `${isForeign ? `, and does its \`cors.origins\` name ${origin}` : ""}?`, {retryable: true, cause});
  }

  /** Waits so long, or until something happens. */
  #rest(ms) {
    return new Promise(resolve => {
      const timer = ms < MOST_TIMER_MS ? setTimeout(resolve, ms) : null;
      this.#pause = () => {
        clearTimeout(timer);
        resolve();
      };
    }).finally(() => { this.#pause = null; });
  }
}

/** Aborts with the error that `fault` gives (null: not) unless something else is watched over within `ms`. */
class Watch {
  #controller;
  #timer = null;

  constructor(controller) {
    this.#controller = controller;
  }

  over(ms, fault) {
    this.stop();
    this.#timer = setTimeout(() => {
      const error = fault();
      if (error) this.#controller.abort(error);
    }, ms);
  }

  stop() { clearTimeout(this.#timer); }
}

/** The promise, or the signal's reason, whichever comes first. */
function unlessAborted(promise, signal) {
  return new Promise((resolve, reject) => {
    if (signal.aborted) reject(signal.reason);
    signal.addEventListener("abort", () => reject(signal.reason), {once: true});
    promise.then(resolve, reject);
  });
}

function parse(text) {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new LivetailError("protocol", "an event of the stream is not JSON: does a proxy alter it?",
      {retryable: true, cause});
  }
}

async function refusalOf(response) {
  const seconds = Number(response.headers.get("Retry-After") ?? 0);
  const retryAfterMs = Number.isFinite(seconds) ? seconds * 1000 : 0;
  const text = await response.text();
  const retryable = response.status === 429 || response.status >= 500;
  try {
    const {code, message, path} = JSON.parse(text).error;
    return new LivetailError(code, message, {path, retryable, retryAfterMs});
  } catch {
    return new LivetailError(`http_${response.status}`, `not Livetail's answer: ${text.slice(0, MESSAGE_CHARS)}`,
      {retryable, retryAfterMs});
  }
}

// -- one stream for all tabs ----------------------------------------------------------------------------------

const canShare = () => Boolean(globalThis.navigator?.locks && globalThis.BroadcastChannel && globalThis.document);

/** The tabs of an origin that may read the same. The one that holds the Web Lock `name` leads; a lock of its own tells
 *  the others for how long a tab lives. on: lead(), lost(), message(data), all called until `leave`. */
class Tabs {
  id = crypto.randomUUID().slice(0, 8);
  #name;
  #on;
  #channel;
  #leaving = new AbortController();
  #standing = null;
  #abdicate = null;
  #isResting = false;
  #timer = null;

  constructor(name, on) {
    this.#name = name;
    this.#on = on;
    this.#channel = new BroadcastChannel(name);
    this.#channel.onmessage = ({data}) => {
      if (data.to !== undefined && data.to !== this.id) return;
      if (data.type === "ping" && this.isLeader) this.post({type: "pong"});
      if (!this.isLeader) this.#expect(LEADER_SILENT_MS);
      on.message(data);
    };
    navigator.locks.request(`${name} ${this.id}`, {signal: this.#leaving.signal}, () => {
      this.post({type: "who"});
      this.#stand();
      return new Promise(resolve => this.#leaving.signal.addEventListener("abort", resolve));
    }).catch(ignoreAbort);
    this.#expect(LEADER_SILENT_MS);
  }

  get isLeader() { return this.#abdicate !== null; }

  post(message) {
    if (!this.#leaving.signal.aborted) this.#channel.postMessage({...message, from: this.id});
  }

  /** Calls back once that tab has gone. */
  onGone(tab, callback) {
    navigator.locks.request(`${this.#name} ${tab}`, {signal: this.#leaving.signal}, callback).catch(ignoreAbort);
  }

  /** Lead no more, until `stand`. */
  rest() {
    this.#isResting = true;
    this.#abdicate?.();
  }

  /** Wait for one's turn to lead, if one did not. */
  stand() {
    if (!this.#isResting) return;
    this.#isResting = false;
    this.#stand();
  }

  leave() {
    clearTimeout(this.#timer);
    this.#leaving.abort();
    this.#standing?.abort();
    this.#abdicate?.();
    this.#channel.close();
  }

  #stand(steal = false) {
    this.#standing?.abort(); // one's turn comes once
    const {signal} = this.#standing = new AbortController();
    let isHeld = false;
    navigator.locks.request(this.#name, steal ? {steal} : {signal}, () => new Promise(resolve => {
      isHeld = true;
      this.#abdicate = resolve;
      clearTimeout(this.#timer);
      this.#on.lead();
    })).catch(ignoreAbort).then(() => {
      if (!isHeld || this.#leaving.signal.aborted) return;
      this.#abdicate = null; // given up, or taken by a tab that did not hear us
      this.#on.lost();
      if (!this.#isResting) this.#stand();
    });
  }

  /** A leader that says nothing and does not answer is frozen: a tab that is looked at takes its place. */
  #expect(ms) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      if (document.hidden) return this.#expect(LEADER_SILENT_MS);
      if (ms === PONG_MS) return this.#stand(true);
      this.post({type: "ping"});
      return this.#expect(PONG_MS);
    }, ms);
  }
}

function ignoreAbort(error) {
  if (error.name !== "AbortError") throw error;
}

/** What tabs with this token share: they may read the same if its claims are the same, whenever it was made. */
function nameOf({url, coalesce}, token) {
  const {exp, iat, nbf, jti, ...claims} = (token && claimsOf(token)) ?? {};
  const rights = token ? (Object.keys(claims).length ? canonical(claims) : token) : "";
  return `livetail ${url}${coalesce ? " coalescing" : ""} ${digest(rights)}`;
}

/** 106 bits of a text, to name a thing by (two rounds of cyrb53's mixing); not for secrets. */
function digest(text) {
  return [1, 2].map(seed => {
    let [a, b] = [0xdeadbeef ^ seed, 0x41c6ce57 ^ seed];
    for (let place = 0; place < text.length; place++) {
      const code = text.charCodeAt(place);
      a = Math.imul(a ^ code, 2654435761);
      b = Math.imul(b ^ code, 1597334677);
    }
    a = Math.imul(a ^ (a >>> 16), 2246822507) ^ Math.imul(b ^ (b >>> 13), 3266489909);
    b = Math.imul(b ^ (b >>> 16), 2246822507) ^ Math.imul(a ^ (a >>> 13), 3266489909);
    return (4294967296 * (2097151 & b) + (a >>> 0)).toString(36);
  }).join("");
}

// -- this tab's live queries ----------------------------------------------------------------------------------

/** A new token may mend these. */
const MENDED_BY_TOKEN = new Set(["unauthenticated", "token_expired", "access_denied"]);
const LOADING = Object.freeze({docs: NO_DOCS, status: "loading", error: null});

/** One live query, however many listen to it here, and in other tabs (`guests`). wire: its id on the stream. */
class Entry {
  listeners = new Set();
  guests = new Set();
  /** @type {{docs: readonly object[], status: string, error: LivetailError | null}} */
  view = LOADING;
  isSynced = false;
  isSuspended = false;
  timer = null;

  constructor(key, query, wire) {
    this.key = key;
    this.query = query;
    this.wire = wire;
    this.result = new Result(Boolean(query.options.sort || query.options.limit));
  }

  get isIdle() { return !this.listeners.size && !this.guests.size; }

  /** A frame of the stream that is about this live query. */
  take(frame) {
    let changes = [];
    if (frame.name === "diff") {
      const {time, tx} = frame;
      changes = this.result.apply(frame.changes).map(change => ({...change, time, tx}));
    } else if (!frame.resumed || frame.docs !== null) changes = this.result.load(frame.docs, frame.key);
    this.tell(changes, "live", null);
  }

  /** Tells those who listen here; `view` keeps its identity where nothing changed. */
  tell(changes, status, error) {
    const {docs} = this.result;
    const before = this.view;
    if (before.docs !== docs || before.status !== status || before.error !== error) this.view = {docs, status, error};
    if (!changes.length && this.view === before) return;
    for (const listener of [...this.listeners]) listener.take(changes, this);
  }

  fail(error) {
    this.view = {docs: this.result.docs, status: "failed", error};
    for (const listener of [...this.listeners]) listener.fail(error, this);
  }
}

/** What a callback throws is its own affair: it is reported, and the live queries go on. */
function attempt(callback, ...values) {
  try {
    callback(...values);
  } catch (error) {
    if (globalThis.reportError) reportError(error);
    else queueMicrotask(() => { throw error; });
  }
}

/** The live queries of one API object. They come by a stream of its own (role `alone`, or `leader` of the tabs) or
 *  through the leader (`follower`). */
class Registry {
  state = {name: "idle", error: null, role: "alone"};
  stateListeners = new Set();
  frameListeners = new Set();
  #options;
  #share;
  #id = globalThis.crypto.getRandomValues(new Uint32Array(1))[0].toString(36);
  #count = 0;
  #entries = new Map();
  #byWire = new Map();
  #token = null;
  #refusal = null;
  #isBegun = false;
  #life = 0;
  #name = null;
  #stream = null;
  #tabs = null;
  #leader = null;
  #cursor = null;
  #guests = new Set();
  #warned = new Set();
  #closing = new AbortController();

  /** @param {{url: string, share: boolean, coalesce: boolean, [option: string]: any}} options */
  constructor({share, ...options}) {
    this.#share = share && canShare();
    this.#options = {
      ...options, token: () => this.#checkedToken(), renews: used => typeof this.#token === "function" || this.#token !== used,
    };
    const hear = (name, callback) => globalThis.addEventListener?.(name, callback, {signal: this.#closing.signal});
    hear("online", () => this.#stream?.wake());
    hear("offline", () => this.#stream?.reopen());
    hear("pagehide", ({persisted}) => { if (persisted && this.#isBegun) this.#end(); });
    hear("pageshow", ({persisted}) => { if (persisted && this.#entries.size) this.#begin(); });
    hear("visibilitychange", () => { if (!document.hidden) this.#stream?.wake(); });
  }

  view(key) { return this.#entries.get(key)?.view ?? LOADING; }

  setToken(token) {
    this.#token = token;
    if (this.#isBegun) this.#begin();
  }

  subscribe(key, query, listener) {
    const isNew = !this.#entries.has(key);
    const entry = this.#entry(key, query);
    clearTimeout(entry.timer);
    entry.listeners.add(listener);
    queueMicrotask(() => {
      if (!entry.listeners.has(listener)) return;
      if (entry.isSuspended) listener.fail(entry.view.error, entry);
      else if (entry.result.isReady) listener.take([], entry);
    });
    if (!this.#isBegun) this.#begin();
    else if (isNew) queueMicrotask(() => this.#renew());
    return entry;
  }

  /** Lets go of it a moment later: who comes back until then finds it as it was. */
  unsubscribe(entry, listener) {
    entry.listeners.delete(listener);
    this.#release(entry);
  }

  close() {
    this.#closing.abort();
    this.#end();
    for (const entry of this.#entries.values()) clearTimeout(entry.timer);
    this.#entries.clear();
    this.#byWire.clear();
    this.#setState("idle", null);
  }

  #entry(key, query) {
    let entry = this.#entries.get(key);
    if (!entry) {
      entry = new Entry(key, query, `${this.#id}-${++this.#count}`);
      this.#entries.set(key, entry);
      this.#byWire.set(entry.wire, entry);
    }
    return entry;
  }

  #release(entry) {
    clearTimeout(entry.timer);
    if (entry.isIdle) entry.timer = setTimeout(() => this.#drop(entry), LINGER_MS);
  }

  #drop(entry) {
    if (this.#forget(entry)) this.#sync();
  }

  #forget(entry) {
    clearTimeout(entry.timer);
    this.#byWire.delete(entry.wire);
    return this.#entries.get(entry.key) === entry && this.#entries.delete(entry.key);
  }

  /** A new live query takes a new request, which leaves out at once what nobody listens to. */
  #renew() {
    for (const entry of this.#entries.values()) if (entry.isIdle) this.#forget(entry);
    this.#sync();
  }

  async #fetchToken() {
    const token = this.#token;
    if (typeof token !== "function") return token;
    try {
      return await token();
    } catch (cause) {
      throw new LivetailError("token", `the function given to setToken() failed: ${cause?.message ?? cause}`,
        {retryable: true, cause});
    }
  }

  /** For the stream: a token that lets read something else begins another life. */
  async #checkedToken() {
    const token = await this.#fetchToken();
    if (nameOf(this.#options, token) === this.#name) return token;
    this.#begin();
    return new Promise(() => {}); // this stream ends there
  }

  /** Takes part as whoever the token says, in the stead of whom it said before. */
  async #begin() {
    this.#isBegun = true;
    const life = ++this.#life;
    const token = await this.#fetchToken().catch(() => undefined);
    if (life !== this.#life) return;
    const name = token === undefined ? "unknown" : nameOf(this.#options, token);
    this.#refusal = null;
    for (const entry of this.#entries.values()) entry.isSuspended = false;
    if (name === this.#name) {
      this.#tabs?.stand();
      this.#sync();
      this.#stream?.wake();
      return;
    }
    const isSomebodyElse = this.#name !== null;
    this.#end();
    this.#isBegun = true;
    this.#name = name;
    if (isSomebodyElse) this.#cursor = null;
    if (!this.#share || token === undefined) this.#lead();
    else {
      this.#role("follower");
      this.#tabs = new Tabs(name, {
        lead: () => this.#lead(), lost: () => this.#lost(), message: message => this.#message(message),
      });
    }
  }

  #end() {
    this.#isBegun = false;
    this.#life++;
    this.#closeStream();
    this.#tabs?.leave();
    this.#tabs = this.#leader = this.#name = null;
  }

  #closeStream() {
    this.#cursor = this.#stream?.cursor ?? this.#cursor;
    this.#stream?.close();
    this.#stream = null;
    for (const entry of this.#entries.values()) {
      entry.isSynced = false;
      entry.guests.clear();
      this.#release(entry);
    }
    this.#guests.clear();
  }

  /** Asks for what is wanted here and now: the server, or the tab that leads. */
  #sync() {
    const wanted = [...this.#entries.values()].filter(entry => !entry.isSuspended);
    if (this.#stream) {
      this.#stream.set(new Map(wanted.map(entry => [entry.wire, entry.query])));
    } else if (this.#leader) {
      this.#tabs.post({type: "want", to: this.#leader, queries: wanted.map(entry => [entry.key, entry.query])});
    }
  }

  #role(role) {
    this.state = {...this.state, role};
  }

  #setState(name, error) {
    this.state = {...this.state, name, error};
    if (error && ["buffered", "reset_loop"].includes(error.code) && !this.#warned.has(error.code)) {
      this.#warned.add(error.code);
      console.warn(`livetail: ${error.message}`);
    }
    if (error || name === "offline") {
      for (const entry of this.#entries.values()) {
        const {status} = entry.view;
        if (status !== "failed") entry.tell([], status === "live" ? "stale" : status, error);
      }
    }
    for (const listener of [...this.stateListeners]) attempt(listener, this.state);
  }

  /** The state, as it goes to other tabs. */
  #told() {
    const {name, error} = this.state;
    return {name, error: error && plain(error)};
  }

  #failed(entry, error) {
    entry.isSuspended = MENDED_BY_TOKEN.has(error.code);
    if (!entry.isSuspended) this.#forget(entry);
    entry.fail(error);
  }

  // -- leading: a stream of one's own ---------------------------------------------------------------------------

  #lead() {
    if (this.#refusal) {
      this.#refused(null, this.#refusal);
      return;
    }
    const isTakeover = this.#leader !== null;
    this.#leader = this.#tabs?.id ?? null;
    this.#role(this.#tabs ? "leader" : "alone");
    const stream = this.#stream = new Stream(this.#options, {
      frames: (frames, cursor) => this.#frames(frames, cursor),
      state: (name, error) => {
        this.#setState(name, error);
        this.#tabs?.post({type: "state", ...this.#told()});
      },
      failed: (wire, error) => this.#refused(wire, error),
      raw: (frame, cursor, at) => {
        for (const listener of [...this.frameListeners]) attempt(listener, frame, cursor, at);
      },
    }, this.#cursor, new Set([...this.#entries.values()].filter(({result}) => result.isReady).map(({wire}) => wire)));
    this.#tabs?.post({type: "lead", ...this.#told()});
    if (isTakeover) setTimeout(() => { if (this.#stream === stream) this.#sync(); }, TAKEOVER_MS); // the others come too
    else this.#sync();
  }

  #frames(frames, cursor) {
    const forwards = [];
    for (const frame of frames) {
      const entry = this.#byWire.get(frame.id);
      if (!entry) continue;
      entry.take(frame);
      if (entry.guests.size) forwards.push({...frame, id: entry.key, wire: entry.wire});
    }
    if (forwards.length || frames.some(({name}) => name === "progress")) {
      this.#tabs?.post({type: "frames", frames: forwards, cursor});
    }
  }

  #refused(wire, error) {
    const entries = wire === null ? [...this.#entries.values()] : [this.#byWire.get(wire)].filter(Boolean);
    for (const entry of entries) {
      for (const guest of entry.guests) this.#tabs.post({type: "failed", to: guest, key: entry.key, error: plain(error)});
      this.#failed(entry, error);
    }
    if (wire !== null) return;
    if (MENDED_BY_TOKEN.has(error.code)) {
      this.#refusal = error;
      this.#tabs?.rest(); // another tab's token may be better
    }
    this.#setState("idle", error);
  }

  #want({from, queries}) {
    const keys = new Set(queries.map(([key]) => key));
    for (const entry of this.#entries.values()) if (!keys.has(entry.key)) this.#dismiss(entry, from);
    for (const [key, query] of queries) {
      const entry = this.#entry(key, query);
      clearTimeout(entry.timer);
      if (entry.guests.has(from)) continue;
      entry.guests.add(from);
      if (entry.isSuspended) this.#tabs.post({type: "failed", to: from, key, error: plain(entry.view.error)});
      else if (entry.result.isReady) {
        const {result: {docs, fields}, wire, view: {status}} = entry;
        const given = query.options.skipInitial ? null : docs;
        this.#tabs.post({type: "load", to: from, key, wire, docs: given, fields, status, cursor: this.#stream.cursor});
      }
    }
    if (!this.#guests.has(from)) this.#tabs.onGone(from, () => {
      this.#guests.delete(from);
      for (const entry of this.#entries.values()) this.#dismiss(entry, from);
    });
    this.#guests.add(from);
    this.#sync();
  }

  #dismiss(entry, guest) {
    if (entry.guests.delete(guest)) this.#release(entry);
  }

  // -- following: what the leader has to say --------------------------------------------------------------------

  #lost() {
    this.#closeStream();
    this.#leader = null;
    this.#role("follower");
    this.#tabs.post({type: "who"});
  }

  #message(message) {
    const {type, from} = message;
    if (this.#stream) {
      if (type === "who") this.#tabs.post({type: "lead", to: from, ...this.#told()});
      else if (type === "want") this.#want(message);
    } else if (type === "lead") {
      this.#leader = from;
      this.#tabs.stand();
      for (const entry of this.#entries.values()) entry.isSynced = entry.isSuspended = false;
      this.#setState(message.name, message.error && revived(message.error));
      this.#sync();
    } else if (from === this.#leader) this.#follow(message);
  }

  #follow(message) {
    const entry = this.#entries.get(message.key);
    if (message.type === "state") this.#setState(message.name, message.error && revived(message.error));
    else if (message.type === "failed" && entry) this.#failed(entry, revived(message.error));
    else if (message.type === "load" && entry) this.#load(entry, message);
    else if (message.type === "frames") {
      for (const frame of message.frames) {
        const about = this.#entries.get(frame.id);
        const isWhole = frame.name === "ready" && (frame.docs !== null || !frame.resumed);
        if (!about || !(isWhole || about.isSynced)) continue;
        if (isWhole) this.#adopt(about, frame.wire);
        about.take(frame);
      }
      this.#cursor = message.cursor;
    }
  }

  #load(entry, {wire, docs, fields, status, cursor}) {
    this.#adopt(entry, wire);
    const isMissed = docs !== null || cursor !== this.#cursor || !entry.result.isReady;
    entry.tell(isMissed ? entry.result.load(docs, fields) : [], status, null);
    this.#cursor = cursor;
  }

  /** On the stream it has this id: should we lead one day, the cursor speaks of it. */
  #adopt(entry, wire) {
    this.#byWire.delete(entry.wire);
    entry.wire = wire;
    entry.isSynced = true;
    this.#byWire.set(wire, entry);
  }
}

function plain({code, detail, path, retryable}) {
  return {code, detail, path, retryable};
}

function revived({code, detail, path, retryable}) {
  return new LivetailError(code, detail, {path, retryable});
}

// -- what people call -----------------------------------------------------------------------------------------

/** A project at a server. options: `credentials` as of fetch (`include` for a cookie across origins); `share: false`
 *  for a stream of this page's own; `coalesce: true`: while this end reads too slowly, changes come merged by row;
 *  `maxDelayMs` between two attempts to connect; `fetch`. */
export class API {
  #registry;
  static #count = 0;
  #serial = ++API.#count;

  constructor(project, url = globalThis.location?.origin, options = {}) {
    if (!project || !url) throw new TypeError("new API(project, url): the configuration's `id`, and the server's address");
    const {
      credentials = "same-origin", share = true, coalesce = false, maxDelayMs = 30_000, fetch = globalThis.fetch,
    } = options;
    this.#registry = new Registry({
      url: `${new URL(url, globalThis.location?.href).href.replace(/\/$/, "")}/v1/api/${encodeURIComponent(project)}/realtime`,
      credentials, share, coalesce, maxDelayMs, fetch: (...request) => fetch(...request),
    });
  }

  /** `{name, error, role}`: name `idle`, `connecting`, `live`, `waiting` (for the next attempt), `offline`. */
  get state() { return this.#registry.state; }

  /** A token, null, or a function that fetches one: it is asked before every connection, and before the token ends. */
  setToken(token) {
    this.#registry.setToken(token);
  }

  /** A database, by its alias in the configuration. */
  DB(alias) {
    return {
      liveQuery: collection => new LiveQuery(
        this.#registry, this.#serial, {db: alias, col: collection, where: {}, options: {}}),
    };
  }

  /** Calls back whenever `state` changes; returns what ends that. */
  onState(listener) {
    return added(this.#registry.stateListeners, listener);
  }

  /** Calls back with every event of this page's own stream: (frame, cursor or null, when it came); for tools. */
  onFrame(listener) {
    return added(this.#registry.frameListeners, listener);
  }

  /** Ends everything at once; nobody is called back any more. */
  close() {
    this.#registry.close();
  }
}

function added(set, item) {
  set.add(item);
  return () => { set.delete(item); };
}

/** A live query. Its methods give another one, and leave it as it is. */
class LiveQuery {
  #registry;
  #serial;
  #query;

  constructor(registry, serial, query) {
    this.#registry = registry;
    this.#serial = serial;
    this.#query = query;
  }

  /** Equal for equal live queries of one API object. */
  get key() { return `${this.#serial} ${canonical(this.#query)}`; }

  /** As a request has it: `{db, col, where, options}`. */
  toJSON() { return structuredClone(this.#query); }

  /** Rows for which all of these hold, each from `cond`, `and`, `or`, `not`, or in the server's own language. */
  where(...conditions) {
    const where = and(...(Object.keys(this.#query.where).length ? [this.#query.where] : []), ...conditions);
    checkDefined(where, "where");
    return this.#with({where});
  }

  /** Sorted by up to four fields, `-title` for descending: `docs` is in order, changes have `oldIndex`, `newIndex`. */
  sort(...fields) { return this.options({sort: fields}); }

  /** So many of the first rows; without `sort` by primary key. */
  limit(count) { return this.options({limit: count}); }

  /** These fields and the primary key only. */
  select(...fields) { return this.options({select: fields}); }

  /** Not the rows but what they come to, as `{n: {count: true}, total: {sum: "price"}}`. */
  aggregate(aggregates) { return this.options({aggregate: aggregates}); }

  /** Of `aggregate`: one row for each value of these fields. */
  groupBy(...fields) { return this.options({groupBy: fields}); }

  /** `skipInitial: true` for changes only; and whatever else the server knows. */
  options(options) {
    checkDefined(options, "options");
    return this.#with({options: {...this.#query.options, ...options}});
  }

  /** Calls `onSnapshot(docs, type, find, changedDoc, change)` with `initial` once, then for every change; `docs` is the
   *  whole result after the change's transaction. `onError` is told when the server refuses the live query. */
  subscribe(onSnapshot, onError) {
    return new Subscription(this.#registry, canonical(this.#query), this.#query, onSnapshot, onError);
  }

  /** `{subscribe, getSnapshot}` of `{docs, status, error}`: a store of Svelte's, and for React's useSyncExternalStore. */
  store() {
    const registry = this.#registry;
    const query = this.#query;
    const key = canonical(query);
    let failed = null;
    return {
      getSnapshot: () => failed ?? registry.view(key),
      subscribe: run => {
        failed = null;
        const listener = {
          take: (_, entry) => attempt(run, entry.view),
          fail: (_, entry) => attempt(run, failed = entry.view),
        };
        const entry = registry.subscribe(key, query, listener);
        run(entry.view);
        return () => registry.unsubscribe(entry, listener);
      },
    };
  }

  /** The changes, one after the other; throws LivetailError when the server refuses the live query. A reader that is
   *  10,000 changes behind gets one `reset` with the result as it is. */
  [Symbol.asyncIterator]() {
    return new Changes((onSnapshot, onError) => this.subscribe(onSnapshot, onError));
  }

  #with(part) {
    return new LiveQuery(this.#registry, this.#serial, {...this.#query, ...part});
  }
}

class Subscription {
  #registry;
  #entry;
  #onSnapshot;
  #onError;
  #listener;
  #isTold;

  constructor(registry, key, query, onSnapshot, onError) {
    this.#registry = registry;
    this.#onSnapshot = onSnapshot;
    this.#onError = onError;
    this.#isTold = Boolean(query.options.skipInitial);
    this.#listener = {take: changes => this.#take(changes), fail: error => this.#fail(error)};
    this.#entry = registry.subscribe(key, query, this.#listener);
  }

  /** The current result, as far as it was received. */
  getSnapshot() { return this.#entry.result.docs; }

  /** Nothing is called back any more. */
  unsubscribe() {
    this.#registry.unsubscribe(this.#entry, this.#listener);
  }

  #take(changes) {
    const {result, listeners} = this.#entry;
    if (!result.isReady) return;
    const news = this.#isTold ? changes : [{type: "initial", find: null, doc: null}];
    this.#isTold = true;
    const {docs} = result;
    for (const change of news) {
      if (!listeners.has(this.#listener)) return;
      attempt(this.#onSnapshot, docs, change.type, change.find, change.doc, {...change, docs});
    }
  }

  #fail(error) {
    if (this.#onError) attempt(this.#onError, error);
    else attempt(() => { throw error; });
  }
}

/** An async iterator of changes. */
class Changes {
  #pending = [];
  #error = null;
  #isEnded = false;
  #wake = null;
  #subscription;

  constructor(subscribe) {
    this.#subscription = subscribe((docs, type, find, doc, change) => {
      if (this.#pending.length >= MOST_PENDING) this.#pending = [{type: "reset", find: null, doc: null, docs}];
      else this.#pending.push(change);
      this.#wake?.();
    }, error => {
      this.#error = error;
      this.#wake?.();
    });
  }

  async next() {
    while (!this.#pending.length && !this.#isEnded) {
      if (this.#error) {
        this.#end();
        throw this.#error;
      }
      await new Promise(resolve => { this.#wake = resolve; });
    }
    return this.#isEnded ? {done: true, value: undefined} : {done: false, value: this.#pending.shift()};
  }

  async return(value) {
    this.#end();
    return {done: true, value};
  }

  [Symbol.asyncIterator]() { return this; }

  #end() {
    this.#isEnded = true;
    this.#subscription.unsubscribe();
    this.#wake?.();
  }
}
