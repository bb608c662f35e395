/** Time that moves when told (node's own mock timers lose timers that are cleared after they have fired). */

const real = {setTimeout: globalThis.setTimeout, clearTimeout: globalThis.clearTimeout, now: Date.now};
const turn = () => new Promise(resolve => setImmediate(resolve));

export class Clock {
  #now = 1_790_000_000_000;
  #timers = new Set();

  constructor() {
    Date.now = () => this.#now;
    globalThis.setTimeout = (callback, ms = 0) => {
      const timer = {callback, due: this.#now + ms};
      this.#timers.add(timer);
      return timer;
    };
    globalThis.clearTimeout = timer => { this.#timers.delete(timer); };
  }

  restore() {
    Date.now = real.now;
    globalThis.setTimeout = real.setTimeout;
    globalThis.clearTimeout = real.clearTimeout;
  }

  /** Everything happens that is due within so many milliseconds. */
  async pass(ms) {
    const end = this.#now + ms;
    while (true) {
      for (let turns = 0; turns < 30; turns++) await turn();
      const [next] = [...this.#timers].sort((one, other) => one.due - other.due);
      if (!next || next.due > end) break;
      this.#now = Math.max(this.#now, next.due);
      this.#timers.delete(next);
      next.callback();
    }
    this.#now = end;
  }
}
