/** Live queries in the browser, and in Node 20 and later. What each part does stands in livetail.js. */

export type Row = Record<string, unknown>;
export type Operator =
  | "==" | "!=" | ">" | ">=" | "<" | "<=" | "in" | "notIn" | "exists" | "like" | "regex" | "contains";
/** Conditions in the server's language, as `{done: false, priority: {$gte: 3}}`. */
export type Where = Record<string, unknown>;

export function cond(field: string, operator: Operator, value: unknown): Where;
export function and(...conditions: Where[]): Where;
export function or(...conditions: Where[]): Where;
export function not(...conditions: Where[]): Where;

export type ChangeType = "initial" | "insert" | "update" | "delete" | "reset";

/** What happened to a result. `docs` is all of it, after the change's transaction. */
export interface Change<T = Row> {
  readonly type: ChangeType;
  /** The row's primary key; null for `initial` and `reset`. */
  readonly find: Partial<T> | null;
  /** The row as it is now; null where there is none. */
  readonly doc: T | null;
  readonly docs: readonly T[];
  /** Of a live query with `sort` or `limit`: where the row is taken out of the list, and put in; one after the other. */
  readonly oldIndex?: number;
  readonly newIndex?: number;
  /** When the transaction committed, Unix milliseconds; missing where it is not known. */
  readonly time?: number;
  /** The database's id of the transaction. */
  readonly tx?: string;
}

export type OnSnapshot<T = Row> = (
  docs: readonly T[], type: ChangeType, find: Partial<T> | null, changedDoc: T | null, change: Change<T>,
) => void;

export class LivetailError extends Error {
  constructor(code: string, message: string, options?: {
    path?: string; retryable?: boolean; retryAfterMs?: number; cause?: unknown;
  });
  readonly code: string;
  /** What is wrong; `message` also tells what to do. */
  readonly detail: string;
  /** Of the offence in the live query, as `$.where.age.$gt`. */
  readonly path?: string;
  readonly retryable: boolean;
  readonly retryAfterMs: number;
}

export interface Subscription<T = Row> {
  /** The current result; the same array while nothing changes. */
  getSnapshot(): readonly T[];
  unsubscribe(): void;
}

export interface View<T = Row> {
  readonly docs: readonly T[];
  /** `stale`: the connection is lost, `error` says why; it comes back by itself. `failed`: for good. */
  readonly status: "loading" | "live" | "stale" | "failed";
  readonly error: LivetailError | null;
}

/** A store of Svelte's, and what React's useSyncExternalStore takes. */
export interface Store<T = Row> {
  subscribe(run: (view: View<T>) => void): () => void;
  getSnapshot(): View<T>;
}

export type Aggregates = Record<string, {count: true | string} | {sum: string} | {avg: string} | {min: string} | {max: string}>;

export interface Options {
  skipInitial?: boolean;
  sort?: readonly string[];
  limit?: number;
  select?: readonly string[];
  aggregate?: Aggregates;
  groupBy?: readonly string[];
}

/** A live query. Its methods give another one, and leave it as it is. */
export interface LiveQuery<T = Row> extends AsyncIterable<Change<T>> {
  /** Equal for equal live queries of one API object. */
  readonly key: string;
  where(...conditions: Where[]): LiveQuery<T>;
  sort(...fields: string[]): LiveQuery<T>;
  limit(count: number): LiveQuery<T>;
  select(...fields: string[]): LiveQuery<T>;
  aggregate<A = Row>(aggregates: Aggregates): LiveQuery<A>;
  groupBy(...fields: string[]): LiveQuery<T>;
  options(options: Options): LiveQuery<T>;
  subscribe(onSnapshot: OnSnapshot<T>, onError?: (error: LivetailError) => void): Subscription<T>;
  store(): Store<T>;
  toJSON(): {db: string; col: string; where: Where; options: Options};
  [Symbol.asyncIterator](): AsyncIterator<Change<T>, undefined> & AsyncIterable<Change<T>>;
}

export interface Database {
  liveQuery<T = Row>(collection: string): LiveQuery<T>;
}

export interface State {
  readonly name: "idle" | "connecting" | "live" | "waiting" | "offline";
  /** Why it is not live, and what to do. */
  readonly error: LivetailError | null;
  /** `leader`: its stream serves all tabs that may read the same; `follower`: another tab's does. */
  readonly role: "alone" | "leader" | "follower";
}

/** An event of the stream: its name, and its data. */
export interface Frame {
  readonly name: string;
  readonly id?: string;
  readonly [field: string]: unknown;
}

export type Token = string | null | (() => string | null | Promise<string | null>);

export interface ApiOptions {
  /** As of fetch; `include` for a cookie across origins. */
  credentials?: RequestCredentials;
  /** false: a stream of this page's own, whatever other tabs do. */
  share?: boolean;
  /** true: while this end reads too slowly, changes come merged by row. */
  coalesce?: boolean;
  /** The most between two attempts to connect, beyond what the server asks for. */
  maxDelayMs?: number;
  fetch?: typeof fetch;
}

export class API {
  /** project: the configuration's `id`; url: the server's, in a browser the page's own if missing. */
  constructor(project: string, url?: string, options?: ApiOptions);
  readonly state: State;
  /** A function is asked before every connection, and before the token ends. */
  setToken(token: Token): void;
  DB(alias: string): Database;
  onState(listener: (state: State) => void): () => void;
  onFrame(listener: (frame: Frame, cursor: string | null, at: number) => void): () => void;
  close(): void;
}

/** The parts below are pure; they are exported for tests and tools. */
export class EventParser {
  retryMs: number | null;
  feed(text: string): {name: string; data: string; id: string | null}[];
}
export class Inbox {
  constructor(cursor?: string | null);
  cursor: string | null;
  take(frame: Frame, cursor: string | null): Frame[];
  drop(): void;
}
export class Result<T = Row> {
  constructor(isOrdered: boolean);
  docs: readonly T[];
  isReady: boolean;
  readonly fields: readonly string[] | null;
  load(docs: T[] | null, fields?: readonly string[] | null): Omit<Change<T>, "docs">[];
  apply(changes: readonly Omit<Change<T>, "docs">[]): Omit<Change<T>, "docs">[];
}
export function reuse<T>(old: unknown, value: T): T;
export function backoff(
  attempt: number, retryMs: number | null, retryAfterMs: number, maxMs: number, random?: () => number,
): number;
