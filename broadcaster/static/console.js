// The console: one live query at a time, written in a form and shown as a table; and what the server says of itself.

import {CODE, aggregatesOf} from "/console/console-code.js";
import {JsonError, parseJson} from "/console/console-json.js";
import {API} from "/livetail.js";
import {$, Announcer, StreamPane, calm, flash, inWords, makeCopyButtons, part} from "/console/page.js";

const STATUS_MS = 2000;
const ROWS_SHOWN = 200;
const COLUMNS_SHOWN = 12;
const CELL_CHARS = 300;
const MOVE_MS = 260;
const LEAVE_MS = 700;
const USUAL_LIMIT = "50";
const FOUND_BY = {
  equality: "A change finds it by a value", range: "A change finds it by a range", scan: "Asked about every change of its collection",
};
const FIELDS = ["db", "col", "where", "sort", "limit", "select", "aggregate", "groupBy"];
const NOT_AGGREGATED = ["sort", "limit", "select"];
const STATES = {
  idle: ["idle", "not running"], connecting: ["wait", "connecting"], live: ["live", "live"], waiting: ["lost", "reconnecting"],
  offline: ["off", "offline"],
};

let token = null;

/** What the server says of itself. */
async function ask(what) {
  const headers = token ? {Authorization: `Bearer ${token}`} : {};
  const response = await fetch(`/console/${what}`, {headers}).catch(cause => {
    throw new Error("The server does not answer. Does it still run?", {cause});
  });
  const body = await response.json();
  if (response.ok) return body;
  throw Object.assign(new Error(body.error.message), {needsToken: response.status === 401 || response.status === 403});
}

function complain(text) {
  $("note").textContent = text;
  $("note").hidden = !text;
}

/** How the stream stands, by a name of API's. */
function showState(name) {
  const [state, text] = STATES[name];
  $("state").dataset.state = state;
  $("state-text").textContent = text;
}

// -- the result -----------------------------------------------------------------------------------------------

/** Rows of the current result, as a table; they are told apart by `key`, the names of the primary key's fields. */
class ResultTable {
  key = null;
  #rows = new Map();
  #columns = [];
  #docs = null;

  clear() {
    this.#rows.clear();
    this.#columns = [];
    this.#docs = null;
    $("rows").replaceChildren();
    $("columns").replaceChildren();
    $("count").value = "–";
    $("empty").hidden = $("more").hidden = true;
  }

  show(docs) {
    const isFirst = this.#docs === null;
    if (docs === this.#docs) return;
    this.#docs = docs;
    const shown = docs.slice(0, ROWS_SHOWN);
    this.#learnColumns(shown);
    const places = isFirst ? null : this.#places();
    const kept = new Map(shown.map(doc => [this.#id(doc), doc]));
    for (const [id, row] of this.#rows) if (!kept.has(id)) this.#leave(id, row);
    let next = $("rows").firstElementChild;
    const after = row => {
      do row = row.nextElementSibling; while (row?.inert);
      return row;
    };
    if (next?.inert) next = after(next);
    for (const [id, doc] of kept) {
      const row = this.#rows.get(id) ?? this.#enter(id, isFirst);
      this.#fill(row, doc);
      if (row === next) next = after(row);
      else $("rows").insertBefore(row, next);
    }
    if (places) slide(places);
    $("count").value = docs.length;
    $("empty").hidden = docs.length > 0;
    $("more").hidden = docs.length <= ROWS_SHOWN;
    $("more").textContent = `The first ${ROWS_SHOWN} rows are shown.`;
  }

  #id(doc) { return JSON.stringify(this.key ? this.key.map(name => doc[name]) : doc); }

  #learnColumns(docs) {
    const known = new Set(this.#columns);
    const names = [...new Set([...this.key ?? [], ...docs.flatMap(Object.keys)])].filter(name => !known.has(name));
    if (!names.length) return;
    this.#columns = [...this.#columns, ...names].slice(0, COLUMNS_SHOWN);
    const head = part("tr");
    for (const name of this.#columns) {
      const cell = part("th", docs.some(doc => typeof doc[name] === "number") ? "number" : "", name);
      cell.scope = "col";
      head.append(cell);
    }
    $("columns").replaceChildren(head);
    for (const row of this.#rows.values()) row.doc = null; // to be filled anew
  }

  #enter(id, isFirst) {
    const row = part("tr", isFirst ? "" : "enter");
    this.#rows.set(id, row);
    return row;
  }

  #fill(row, doc) {
    const old = row.doc;
    if (old === doc) return;
    row.doc = doc;
    const cells = this.#columns.map(name => {
      const cell = cellOf(doc[name]);
      if (this.key?.includes(name)) cell.classList.add("key");
      if (old && old[name] !== doc[name]) cell.classList.add("changed");
      return cell;
    });
    row.replaceChildren(...cells);
    if (old) flash(row, "change");
  }

  #leave(id, row) {
    this.#rows.delete(id);
    row.inert = true;
    row.classList.remove("enter", "change");
    row.classList.add("leave");
    const end = calm.matches ? {} : {opacity: 0};
    row.animate([{opacity: 1}, {opacity: .8, offset: .6}, end], {duration: LEAVE_MS, easing: "ease-in"}).finished
      .finally(() => {
        const places = this.#places();
        row.remove();
        slide(places);
      });
  }

  /** Where each row stands now. */
  #places() {
    return calm.matches ? new Map() : new Map([...this.#rows.values()].map(row => [row, row.getBoundingClientRect().top]));
  }
}

/** Rows that stand elsewhere now go there, for everybody to see. */
function slide(places) {
  for (const [row, before] of places) {
    const way = row.isConnected ? before - row.getBoundingClientRect().top : 0;
    if (way) row.animate([{transform: `translateY(${way}px)`}, {transform: "none"}], {duration: MOVE_MS, easing: "ease-out"});
  }
}

function cellOf(value) {
  if (value === null || value === undefined) return part("td", "null", value === null ? "null" : "");
  if (typeof value === "object") return part("td", "json", JSON.stringify(value).slice(0, CELL_CHARS));
  const cell = part("td", typeof value === "number" ? "number" : "", String(value).slice(0, CELL_CHARS));
  cell.title = cell.textContent;
  return cell;
}

// -- the form -------------------------------------------------------------------------------------------------

/** What is wrong with the live query, in place: `field` of the form; start, end: of the text of `where`. */
function mark(message, field, start = 0, end = 0) {
  $("error").textContent = message;
  const element = field && $(field);
  if (!element) return;
  element.setAttribute("aria-invalid", "true");
  element.setAttribute("aria-describedby", "error");
  if (field !== "where") return;
  const text = element.value.padEnd(end);
  $("where-marks").replaceChildren(text.slice(0, start), part("mark", "", text.slice(start, end)), text.slice(end));
}

function unmark() {
  $("error").textContent = "";
  $("where-marks").textContent = "";
  for (const field of FIELDS) $(field).removeAttribute("aria-invalid");
}

/** The words of a field like `-priority, title`. */
function words(field) {
  return $(field).value.split(",").map(word => word.trim()).filter(Boolean);
}

/** The form as a live query, `{query, spans}`; null, and marked, where it is none. */
function read() {
  unmark();
  let where;
  try {
    where = parseJson($("where").value.trim() ? $("where").value : "{}");
  } catch (error) {
    if (!(error instanceof JsonError)) throw error;
    mark(`Where is not JSON: ${error.message}`, "where", error.start, error.end);
    return null;
  }
  let options = {};
  const limit = $("limit").value.trim();
  if (limit) options.limit = /^[0-9]+$/.test(limit) ? Number(limit) : limit;
  for (const field of ["sort", "select"]) if (words(field).length) options[field] = words(field);
  if ($("aggregate").value.trim()) {
    try {
      options = {aggregate: aggregatesOf($("aggregate").value)};
    } catch (error) {
      mark(error.message, "aggregate");
      return null;
    }
  }
  if (words("groupBy").length) options.groupBy = words("groupBy");
  return {query: {db: $("db").value, col: $("col").value, where: where.value, options}, spans: where.spans};
}

/** Shows the server's refusal where the offence stands. */
function refuse(error, spans) {
  const path = error.path ?? "";
  const field = /^\$\.(?:options\.)?(db|col|where|sort|limit|select|aggregate|groupBy)/.exec(path)?.[1];
  let inner = path.replace(/^\$\.where/, "$");
  while (field === "where" && !spans.has(inner)) inner = inner.replace(/(?:\.[^.[]*|\[[0-9]+\])$/, "") || "$";
  mark(error.message, field, ...(field === "where" ? spans.get(inner) : []));
}

// -- a live query at work -------------------------------------------------------------------------------------

class Work {
  #api;
  #project;
  #subscription = null;
  #isLive = false;
  #query = null;
  #table = new ResultTable();
  #pane = new StreamPane();
  #announcer = new Announcer($("spoken"));
  #code = "curl";

  constructor(project) {
    this.#project = project;
    this.#api = new API(project, location.origin, {share: false});
    this.#api.setToken(token);
    this.#api.onState(({name, error}) => this.#showState(name, error));
    this.#api.onFrame((frame, cursor, at) => this.#receive(frame, at));
  }

  run() {
    const read_ = read();
    if (!read_) return;
    const {query, spans} = read_;
    this.#query = query;
    remember();
    this.showCode(this.#code);
    this.#subscription?.unsubscribe();
    this.#table.clear();
    this.#table.key = null;
    $("result").setAttribute("aria-busy", "true");
    $("shown").textContent = inShort(query);
    const live = this.#api.DB(query.db).liveQuery(query.col).where(query.where).options(query.options);
    this.#subscription = live.subscribe(
      (docs, type, find, doc, change) => this.#show(docs, change),
      error => {
        $("result").setAttribute("aria-busy", "false");
        refuse(error, spans);
        $("shown").textContent = "refused: see above";
      });
  }

  showCode(kind) {
    this.#code = kind;
    for (const tab of document.querySelectorAll("[data-code]")) {
      const isShown = tab.dataset.code === kind;
      tab.setAttribute("aria-selected", String(isShown));
      tab.tabIndex = isShown ? 0 : -1;
      if (isShown) $("code-panel").setAttribute("aria-labelledby", tab.id);
    }
    const place = {url: location.origin, project: this.#project};
    $("code").textContent = this.#query ? CODE[kind](this.#query, place) : "";
  }

  #show(docs, change) {
    $("result").setAttribute("aria-busy", "false");
    this.#table.show(docs);
    if (change.find) this.#announcer.say("Result", [change]);
  }

  #receive({name, ...data}, at) {
    let remark = "";
    if (name === "ready") {
      this.#isLive = true;
      this.#table.key ??= data.key ?? null;
      remark = data.resumed ? "from cursor" : data.indexed ? "indexed" : "scan";
    } else if (name === "diff" && this.#isLive) {
      const latency = Math.max(0, at - data.time);
      this.#pane.measure(latency);
      remark = inWords(latency);
    } else if (name === "diff") remark = "replayed";
    const {id, ...rest} = data; // there is but one live query
    this.#pane.record(name, rest, remark);
  }

  #showState(name, error) {
    if (name === "connecting") this.#isLive = false;
    showState(name);
    complain(error && name !== "idle" ? error.message : "");
  }
}

/** A live query in one line. */
function inShort({col, where, options}) {
  const rest = Object.entries(options).map(([name, value]) =>
    `${name} ${name === "aggregate" ? JSON.stringify(value) : [value].flat().join(", ")}`);
  return [col, `where ${JSON.stringify(where)}`, ...rest].join("  ·  ");
}

// -- what the server says of itself ---------------------------------------------------------------------------

/** The databases and the live queries of all clients, every other second while somebody looks. */
class Status {
  #before = null;

  show({version, project, databases, queries}) {
    $("project").textContent = project;
    $("footer").textContent = `Livetail ${version}`;
    const now = performance.now();
    const offsets = new Map(databases.map(({alias, offset}) => [alias, offset]));
    $("databases").replaceChildren(...databases.map(database => this.#database(database, now)));
    this.#before = {now, offsets};
    $("queries-count").value = queries.count;
    $("queries").replaceChildren(...queries.most.map(queryRow));
  }

  #database({alias, type, collections, offset, logRead, reachable, reason, tailer}, now) {
    const isWell = logRead && reachable && (tailer?.ready ?? true);
    const item = part("li");
    const dot = part("span", "dot");
    dot.dataset.ok = isWell;
    const name = part("span");
    name.append(part("b", "", alias), part("span", "kind", type));
    const seen = this.#before?.offsets.get(alias);
    const rate = seen === undefined ? 0 : Math.max(0, Math.round((offset - seen) / (now - this.#before.now) * 1000));
    const lag = tailer ? `${inWords(Math.round(tailer.lagSeconds * 1000))} behind` : logRead ? "log read to its end" : "reading its log";
    const what = `${collections.length} live collection${collections.length === 1 ? "" : "s"}, ${rate} events/s, log at ${offset}`;
    item.append(dot, name, part("span", "lag", lag), part("small", "", what));
    const wrong = reason ?? tailer?.reason;
    if (!isWell && wrong) item.append(part("small", "wrong", wrong));
    return item;
  }
}

function queryRow({db, col, where, sort, limit, aggregate, groupBy, subscribers, index}) {
  const row = part("tr");
  const what = part("td");
  const text = [
    JSON.stringify(where), sort?.length ? `sort ${sort.join(", ")}` : "", limit ? `limit ${limit}` : "",
    aggregate ? `aggregate ${JSON.stringify(aggregate)}` : "", groupBy?.length ? `group by ${groupBy.join(", ")}` : "",
  ];
  what.append(part("code", "", text.filter(Boolean).join(" ")));
  what.title = what.textContent;
  const found = part("td");
  found.append(part("span", `badge ${index}`, index));
  found.title = FOUND_BY[index];
  const collection = part("td", "", col);
  collection.title = `${db} ${col}`;
  row.append(collection, what, found, part("td", "number", String(subscribers)));
  return row;
}

async function showRequirements() {
  $("check").disabled = true;
  try {
    const found = await ask("check");
    $("requirements").replaceChildren(...Object.entries(found).map(([alias, requirements]) => {
      const list = part("div", "requirements scroll");
      list.append(part("h3", "", alias));
      for (const {name, ok, detail, fix} of requirements) {
        const line = part("p", ok ? "" : "unmet");
        line.append(part("span", "", `${name}: ${detail}`));
        list.append(line);
        if (!ok && fix) list.append(part("pre", "", fix));
      }
      return list;
    }));
  } catch (error) {
    complain(error.message);
  }
  $("check").disabled = false;
}

// -- the page -------------------------------------------------------------------------------------------------

/** The form stands in the address, to be kept and passed on. */
function remember() {
  const parameters = new URLSearchParams(FIELDS.map(field => [field, $(field).value]).filter(([, value]) => value));
  history.replaceState(null, "", `#${parameters}`);
}

function recall() {
  const given = new URLSearchParams(location.hash.slice(1));
  for (const field of FIELDS) if (given.has(field)) $(field).value = given.get(field);
  if (!given.size) $("limit").value = USUAL_LIMIT;
  if ($("aggregate").value) $("aggregates").open = true;
  return given.get("col");
}

function fillCollections(databases) {
  const chosen = databases.find(({alias}) => alias === $("db").value);
  $("col").replaceChildren(...(chosen?.collections ?? []).map(name => new Option(name)));
}

async function start() {
  let first;
  try {
    first = await ask("status");
  } catch (error) {
    $("token-form").hidden = !error.needsToken;
    complain(error.needsToken && !token ? "" : error.message);
    showState("idle");
    if (error.needsToken) $("token").focus();
    return;
  }
  complain("");
  $("token-form").hidden = true;
  for (const section of document.querySelectorAll("main, .about")) section.hidden = false;
  const {databases, project} = first;
  const status = new Status();
  status.show(first);
  $("db").replaceChildren(...databases.map(({alias}) => new Option(alias)));
  recall();
  fillCollections(databases);
  const collection = recall();
  if (!$("col").value && collection) $("col").selectedIndex = 0;

  const work = new Work(project);
  $("db").onchange = () => fillCollections(databases);
  $("query").onsubmit = event => {
    event.preventDefault();
    work.run();
  };
  $("query").onkeydown = event => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) $("query").requestSubmit();
  };
  $("aggregate").oninput = () => {
    for (const field of NOT_AGGREGATED) $(field).disabled = Boolean($("aggregate").value.trim());
  };
  $("aggregate").oninput();
  $("where").oninput = unmark;
  $("where").onscroll = () => { $("where-marks").scrollTop = $("where").scrollTop; };
  const tabs = [...document.querySelectorAll("[data-code]")];
  for (const [place, tab] of tabs.entries()) {
    tab.onclick = () => work.showCode(tab.dataset.code);
    tab.onkeydown = ({key}) => {
      const step = {ArrowRight: 1, ArrowLeft: -1}[key];
      if (!step) return;
      const next = tabs.at((place + step) % tabs.length);
      next.focus();
      next.click();
    };
  }
  $("check").onclick = showRequirements;
  makeCopyButtons();
  setInterval(async () => {
    if (document.hidden) return;
    await ask("status").then(now => status.show(now), () => {}); // the stream tells that the server is away
  }, STATUS_MS);
  work.run();
}

$("token-form").onsubmit = event => {
  event.preventDefault();
  token = $("token").value.trim();
  start();
};
start();
