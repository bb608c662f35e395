// What the pages share: the pane of frames and latencies, and how changes are shown, spoken and copied.

const FRAMES_KEPT = 60;
const FRAME_CHARS = 4000;
const SHORT_CHARS = 200;
const LATENCIES_KEPT = 40;
const SPEAK_MS = 4000;

export const $ = id => document.getElementById(id);
export const calm = matchMedia("(prefers-reduced-motion: reduce)");

/** An element with a class and a text. */
export function part(tag, className = "", text = "") {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.textContent = text;
  return element;
}

/** The elements #frames, #latency and #spark: the events as they came, and how long the last changes took. */
export class StreamPane {
  #latencies = [];

  /** milliseconds: from the commit in the database to this page. */
  measure(milliseconds) {
    const latencies = this.#latencies;
    latencies.push(milliseconds);
    if (latencies.length > LATENCIES_KEPT) latencies.shift();
    const median = [...latencies].sort((a, b) => a - b)[latencies.length >> 1];
    $("latency").textContent = inWords(median);
    const top = Math.max(10, ...latencies);
    const step = 120 / LATENCIES_KEPT;
    const bars = latencies.map((value, place) => {
      const height = 1.5 + 26 * value / top;
      return `M${(place * step).toFixed(1)} 28v-${height.toFixed(1)}h${(step * .6).toFixed(1)}V28z`;
    });
    const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
    path.setAttribute("d", bars.join(""));
    $("spark").replaceChildren(path);
  }

  record(name, data, remark) {
    const {id, ...rest} = data;
    const what = part("span", "what");
    what.append(part("b", "", name), part("span", "", id ?? ""), part("span", "ms", remark));
    const summary = part("summary");
    summary.append(what, part("span", "json", inShort(rest).slice(0, SHORT_CHARS)));
    const details = part("details");
    details.append(summary, part("pre", "", JSON.stringify(rest, null, 1).slice(0, FRAME_CHARS)));
    const item = part("li", name);
    item.append(details);
    $("frames").prepend(item);
    while ($("frames").children.length > FRAMES_KEPT) $("frames").lastChild.remove();
  }
}

/** What matters of an event's data, for one line. */
function inShort(data) {
  if (!data.changes) return JSON.stringify(data);
  return data.changes.map(({type, find}) => `${type} ${JSON.stringify(find)}`).join(", ");
}

export function inWords(milliseconds) {
  return milliseconds < 1 ? "< 1 ms" : `${milliseconds} ms`;
}

/** Tells a screen reader what happened, summed up, no oftener than it can be heard. */
export class Announcer {
  #element;
  #counts = new Map();

  constructor(element) {
    this.#element = element;
  }

  say(name, changes) {
    if (!changes.length) return;
    if (!this.#counts.size) setTimeout(() => this.#speak(), SPEAK_MS);
    const counts = this.#counts.get(name) ?? {};
    for (const {type} of changes) counts[type] = (counts[type] ?? 0) + 1;
    this.#counts.set(name, counts);
  }

  #speak() {
    this.#element.textContent = [...this.#counts].map(([name, {insert = 0, update = 0, delete: left = 0}]) =>
      `${name}: ${insert} entered, ${update} changed, ${left} left.`).join(" ");
    this.#counts.clear();
  }
}

export function flash(element, name) {
  element.classList.remove("enter", "change");
  void element.offsetWidth; // begins the animation anew
  element.classList.add(name);
}

/** Buttons with `data-copy` copy the text of the element of that id. */
export function makeCopyButtons() {
  for (const button of document.querySelectorAll("[data-copy]")) button.onclick = () => {
    const code = $(button.dataset.copy);
    getSelection().selectAllChildren(code);
    navigator.clipboard?.writeText(code.textContent).then(() => { // only where the page is trusted: localhost, TLS
      button.textContent = "Copied";
      setTimeout(() => { button.textContent = "Copy"; }, 1500);
    }, () => {});
  };
}
