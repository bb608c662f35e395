// Shows two live queries of the demo's table. Nothing is computed here: what the server sends is applied, by key.

import {$, Announcer, StreamPane, calm, flash, inWords, makeCopyButtons} from "/console/page.js";

const QUERIES = {all: {}, urgent: {done: false, priority: {$gte: 3}}};
const PRIORITIES = ["low", "normal", "high", "urgent"];
const STREAM = "/v1/api/todo-app/realtime";
const EVENTS = ["initial", "ready", "diff", "reset", "progress", "error"];
const REFUSED_MS = 2000;
const ANIMATED_CHANGES = 40;
const SILENT = "The demo does not answer. Does it still run?";

const facts = await fetch("/demo/facts").then(response => response.json()).catch(error => {
  complain(SILENT);
  throw error;
});

/** The primary key of a row, or of a change's `find`. */
function idOf(row) {
  return row[facts.key];
}

/** Writes by the demo's small routes; what it changed comes back by the stream, as for everybody else. */
async function write(method, path, body) {
  let reason = SILENT;
  try {
    const headers = {"Content-Type": "application/json"};
    const response = await fetch(path, {method, headers, body: JSON.stringify(body)});
    if (response.ok) {
      complain("");
      return true;
    }
    reason = (await response.json()).error.message;
  } catch { /* the reason stands */ }
  complain(reason);
  return false;
}

function complain(text) {
  $("note").textContent = text;
  $("note").hidden = !text;
}

/** One EventSource for all live queries. Its cursor outlives it, so that the next one goes on exactly there. */
class Stream {
  #source = null;
  #cursor = "";
  #arrived = [];

  constructor(subscriptions, onEvent, onState) {
    Object.assign(this, {subscriptions, onEvent, onState});
  }

  open() {
    const parameters = new URLSearchParams({subscriptions: JSON.stringify(this.subscriptions)});
    if (this.#cursor) parameters.set("cursor", this.#cursor);
    const source = this.#source = new EventSource(`${STREAM}?${parameters}`);
    this.onState("wait", "connecting");
    source.onopen = () => this.onState("open", "connected");
    for (const name of EVENTS) source.addEventListener(name, message => this.#receive(source, name, message));
  }

  close() {
    this.#source?.close();
    this.#source = null;
    this.#handle();
    this.onState("off", "disconnected");
  }

  #receive(source, name, message) {
    if (source !== this.#source) return;
    if (message.data === undefined) { // EventSource's own `error`
      const isRefused = source.readyState === EventSource.CLOSED;
      this.onState("lost", isRefused ? "no stream" : "reconnecting");
      if (isRefused) setTimeout(() => { if (source === this.#source) this.open(); }, REFUSED_MS);
      return;
    }
    if (message.lastEventId) this.#cursor = message.lastEventId;
    // Handled once all that is here has its time of arrival: drawing one event must not count for the next.
    if (!this.#arrived.length) setTimeout(() => this.#handle());
    this.#arrived.push([name, JSON.parse(message.data), Date.now()]);
  }

  #handle() {
    for (const [name, data, at] of this.#arrived.splice(0)) this.onEvent(name, data, at);
  }
}

/** One row on the page. An edit that has begun is never overwritten: its row even stays when it leaves the result. */
class Row {
  #base = null;

  constructor(doc, onGone) {
    this.onGone = onGone;
    this.id = idOf(doc);
    this.held = false;
    this.element = $("row").content.firstElementChild.cloneNode(true);
    for (const name of ["done", "title", "owner", "priority", "delete", "hint"]) {
      this[name] = this.element.querySelector(`.${name}`);
    }
    fillPriorities(this.priority);
    const path = `/demo/todos/${this.id}`;
    const patch = async values => { if (!await write("PATCH", path, values)) this.#show(); };
    this.done.onchange = () => patch({done: this.done.checked});
    this.priority.onchange = () => patch({priority: Number(this.priority.value)});
    this.priority.onblur = () => this.#show();
    this.delete.onclick = () => write("DELETE", path);
    this.title.onfocus = () => { this.#base = this.title.value; };
    this.title.onblur = () => this.#commit(patch);
    this.title.onkeydown = event => {
      if (event.key === "Escape") this.title.value = this.#base;
      if (event.key === "Enter" || event.key === "Escape") this.title.blur();
    };
    this.update(doc);
  }

  get isEdited() {
    return document.activeElement === this.title && this.title.value !== this.#base;
  }

  update(doc) {
    this.doc = doc;
    this.held = false;
    this.#show();
  }

  /** The row left the result while it is edited: it stays until the edit is over. */
  hold() {
    this.held = true;
    this.#show();
  }

  #show() {
    const {doc} = this;
    this.done.checked = doc.done;
    this.element.classList.toggle("is-done", doc.done);
    this.element.classList.toggle("held", this.held);
    this.element.dataset.priority = doc.priority;
    this.owner.textContent = doc.owner;
    if (document.activeElement !== this.priority) this.priority.value = doc.priority;
    if (!this.isEdited) {
      this.title.value = doc.title;
      this.#base = doc.title;
    }
    this.hint.textContent = this.held ? "Left this result while you edit. Enter saves, Escape lets go."
      : this.isEdited && doc.title !== this.#base ? `Meanwhile changed to: ${doc.title}` : "";
    this.hint.hidden = !this.hint.textContent;
    for (const name of ["done", "title", "priority", "delete"]) {
      this[name].setAttribute("aria-label", `${name}: ${doc.title}`);
    }
  }

  async #commit(patch) {
    const draft = this.title.value.trim();
    if (draft && draft !== this.#base) {
      this.#base = this.title.value;
      this.hint.hidden = true;
      await patch({title: draft});
    } else this.#show();
    if (this.held) this.onGone();
  }
}

/** One live query on the page, newest row first. */
class LiveList {
  #rows = new Map();
  #pending = null;

  constructor(id, where) {
    this.section = $(id);
    this.ol = this.section.querySelector("ol");
    this.isLive = false;
    this.section.querySelector(".where").textContent = `where ${JSON.stringify(where)}`;
  }

  get name() { return this.section.querySelector("h2 span").textContent; }

  /** A new stream: parts of a result that the last one left unfinished count no more. */
  opened() {
    this.isLive = false;
    this.#pending = null;
  }

  initial({docs}) { (this.#pending ??= []).push(...docs); }

  reset() {
    this.opened();
    this.section.setAttribute("aria-busy", "true");
  }

  /** The result is complete: what differs from the page enters, changes or leaves. */
  ready({resumed}) {
    if (!resumed) {
      const docs = new Map((this.#pending ?? []).map(doc => [idOf(doc), doc]));
      const gone = [...this.#rows.keys()].filter(id => !docs.has(id));
      const changes = gone.map(id => ({type: "delete", find: {[facts.key]: id}}));
      for (const [id, doc] of docs) {
        const known = this.#rows.get(id);
        if (JSON.stringify(known?.doc) !== JSON.stringify(doc) || known.held) {
          changes.push({type: known ? "update" : "insert", find: {[facts.key]: id}, doc});
        }
      }
      this.#apply(changes, this.#rows.size > 0);
      this.#pending = null;
    }
    this.isLive = true;
    this.section.setAttribute("aria-busy", "false");
  }

  diff({changes}) { this.#apply(changes, true); }

  #apply(changes, isAnimated) {
    const animate = isAnimated && changes.length <= ANIMATED_CHANGES;
    for (const {type, find, doc} of changes) {
      const id = idOf(find);
      if (type === "delete") this.#remove(id, animate);
      else if (this.#rows.has(id)) this.#update(id, doc, animate);
      else this.#insert(doc, animate);
    }
    if (isAnimated) announcer.say(this.name, changes);
    const count = [...this.#rows.values()].filter(row => !row.held).length;
    this.section.querySelector(".count").value = count;
    this.section.querySelector(".empty").hidden = count > 0;
  }

  #insert(doc, animate) {
    const row = new Row(doc, () => this.#leave(row, true));
    const older = [...this.#rows.values()].filter(other => other.id < row.id);
    const next = older.reduce((newest, other) => newest?.id > other.id ? newest : other, null);
    this.#rows.set(row.id, row);
    this.ol.insertBefore(row.element, next?.element ?? null);
    if (!animate) return;
    flash(row.element, "enter");
    if (!calm.matches) {
      const height = `${row.element.offsetHeight}px`;
      row.element.animate([{height: 0, opacity: 0}, {height, opacity: 1}], {duration: 240, easing: "ease-out"});
    }
  }

  #update(id, doc, animate) {
    const row = this.#rows.get(id);
    row.update(doc);
    if (animate) flash(row.element, "change");
  }

  #remove(id, animate) {
    const row = this.#rows.get(id);
    if (!row) return;
    if (row.isEdited) row.hold();
    else this.#leave(row, animate);
  }

  #leave(row, animate) {
    const {element} = row;
    if (this.#rows.get(row.id) === row) this.#rows.delete(row.id);
    // Not on to the next row's button: with rows on the move it would soon be a wrong one.
    if (element.contains(document.activeElement)) this.ol.focus({preventScroll: true});
    if (!animate) {
      element.remove();
      return;
    }
    element.inert = true;
    element.classList.remove("enter", "change", "held");
    element.classList.add("leave");
    const height = `${element.offsetHeight}px`;
    const end = calm.matches ? {height} : {height: 0, opacity: 0};
    element.animate([{height}, {height, opacity: .75, offset: .6}, end], {duration: 620, easing: "ease-in"})
      .finished.finally(() => element.remove());
  }
}

function fillPriorities(select) {
  select.append(...PRIORITIES.map((text, place) => new Option(text, place + 1)));
}

function showState(state, text) {
  if (state === "open") for (const list of Object.values(lists)) list.opened();
  $("state").dataset.state = state;
  $("state-text").textContent = text;
  $("link").textContent = state === "off" ? "Connect" : "Disconnect";
}

function receive(name, data, at) {
  const list = lists[data.id];
  let remark = "";
  if (name === "diff") {
    if (list.isLive) {
      const latency = Math.max(0, at - data.time);
      pane.measure(latency);
      remark = inWords(latency);
    } else remark = "replayed";
  }
  if (name === "ready" && data.resumed) remark = "from cursor";
  pane.record(name, data, remark);
  if (name === "error") complain(data.message);
  else list?.[name](data);
  if (name === "ready" && Object.values(lists).every(one => one.isLive)) {
    complain("");
    showState("live", "live");
  }
}

function showFacts() {
  const {noun, change, curl, inside, examples, product, version, writer} = facts;
  $("noun").textContent = `${product} ${noun}`;
  $("change").textContent = change;
  $("curl").textContent = curl;
  $("inside").textContent = inside;
  [$("example").textContent, $("other-example").textContent] = examples;
  $("writer").checked = writer;
  $("footer").textContent = `${product} ${version}; tailer, event log and broadcaster in one process; no other service.`;
}

showFacts();
const pane = new StreamPane();
const announcer = new Announcer($("spoken"));
const lists = Object.fromEntries(Object.entries(QUERIES).map(([id, where]) => [id, new LiveList(id, where)]));
const subscriptions = Object.entries(QUERIES).map(([id, where]) => ({id, db: facts.alias, col: "todos", where}));
const stream = new Stream(subscriptions, receive, showState);

fillPriorities($("new-priority"));
$("new-priority").value = 2;
$("add").onsubmit = async event => {
  event.preventDefault();
  const title = $("new-title").value;
  const priority = Number($("new-priority").value);
  if (await write("POST", "/demo/todos", {title, priority}) && $("new-title").value === title) $("new-title").value = "";
};
$("writer").onchange = async ({target}) => {
  if (!await write("POST", "/demo/writer", {on: target.checked})) target.checked = !target.checked;
};
$("link").onclick = () => $("state").dataset.state === "off" ? stream.open() : stream.close();
makeCopyButtons();
stream.open();
