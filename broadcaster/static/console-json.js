// JSON with places: where in a text each part of the value stands, and where a text stops being JSON. (pure)

const SPACE = /[ \t\n\r]*/y;
const STRING = /"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y;
const WORD = /true|false|null|-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y;

/** A text that is no JSON; from `start` to `end` it goes wrong. */
export class JsonError extends Error {
  constructor(message, start, end) {
    super(message);
    this.start = start;
    this.end = end;
  }
}

/** `{value, spans}`; spans: for each part by its path, as `$.$or[1].age.$gt`, the [start, end] of its key (of an array's
 *  item: of itself). Throws JsonError. */
export function parseJson(text) {
  const scanner = new Scanner(text);
  const value = scanner.value("$");
  scanner.space();
  if (scanner.at < text.length) scanner.fail("nothing more may follow", scanner.at, text.length);
  return {value, spans: scanner.spans};
}

class Scanner {
  at = 0;
  spans = new Map();

  constructor(text) {
    this.text = text;
  }

  fail(message, start = this.at, end = start + 1) {
    throw new JsonError(message, start, Math.max(end, start + 1));
  }

  space() { this.#take(SPACE); }

  value(path) {
    this.space();
    const start = this.at;
    const value = this.#bare(path);
    if (!this.spans.has(path)) this.spans.set(path, [start, this.at]);
    return value;
  }

  #bare(path) {
    const first = this.text[this.at];
    if (first === "{") return this.#object(path);
    if (first === "[") return this.#array(path);
    if (first === "\"") return this.#string("a text");
    const word = this.#take(WORD);
    if (word) return JSON.parse(word);
    return this.fail(first === undefined ? "here a value is missing" : "this is no value; texts stand in \"\"", this.at, this.#end());
  }

  #object(path) {
    const value = {};
    this.at++;
    for (let isFirst = true; ; isFirst = false) {
      this.space();
      if (this.text[this.at] === "}" && isFirst) break;
      const start = this.at;
      if (this.text[start] !== "\"") {
        this.fail(start < this.text.length ? "a name in \"\" must stand here" : "} is missing", start, this.#end());
      }
      const name = this.#string("a name");
      const inner = `${path}.${name}`;
      this.spans.set(inner, [start, this.at]);
      this.space();
      if (this.text[this.at] !== ":") this.fail(": is missing");
      this.at++;
      Object.defineProperty(value, name, {value: this.value(inner), enumerable: true, configurable: true, writable: true});
      this.space();
      if (this.text[this.at] === "}") break;
      if (this.text[this.at] !== ",") this.fail(this.at < this.text.length ? ", or } must stand here" : "} is missing");
      this.at++;
    }
    this.at++;
    return value;
  }

  #array(path) {
    const value = [];
    this.at++;
    for (;;) {
      this.space();
      if (this.text[this.at] === "]" && !value.length) break;
      value.push(this.value(`${path}[${value.length}]`));
      this.space();
      if (this.text[this.at] === "]") break;
      if (this.text[this.at] !== ",") this.fail(this.at < this.text.length ? ", or ] must stand here" : "] is missing");
      this.at++;
    }
    this.at++;
    return value;
  }

  #string(what) {
    const start = this.at;
    const text = this.#take(STRING);
    return text ? JSON.parse(text) : this.fail(`${what} begins here and does not end`, start, this.text.length);
  }

  #take(pattern) {
    pattern.lastIndex = this.at;
    const [found] = pattern.exec(this.text) ?? [""];
    this.at += found.length;
    return found;
  }

  /** Of the word that stands here. */
  #end() {
    return this.at + (/^[\w$.-]+/.exec(this.text.slice(this.at))?.[0].length ?? 1);
  }
}
