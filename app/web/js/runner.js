/**
 * When to ask the service: a small preview while something moves, the full picture once it rests.
 *
 * One request at a time and the newest wins: a preview under way ends, since it is quick and shows movement; a full
 * picture is cancelled, on the service too, by the next change. What can't be had now is asked for again by itself.
 */

import { ImpastoProblem, Unreachable } from "./api.js";

const REST_MILLISECONDS = 250;
const OFFLINE_SECONDS = 4;
const MOST_RETRIES = 20;

export class Runner extends EventTarget {
  /** @param {(size: "preview"|"full") => Promise<{run: (signal: AbortSignal) => Promise<any>}|null>} prepare what to ask for now; null for nothing */
  constructor(prepare) {
    super();
    this.prepare = prepare;
    this.wanted = null;
    this.running = null;
    this.retries = 0;
    this.newest = 0;
  }

  /** Something changed. @param {boolean} moving whether more will follow at once */
  change(moving) {
    this.newest += 1;
    this.retries = 0;
    this.#rest(moving ? REST_MILLISECONDS : 0);
    this.#stopRetry();
    if (this.running?.size === "full") this.running.abort.abort();
    this.#tell("busy");
    this.#want("preview");
  }

  /** Ask again now. */
  again() {
    this.#stopRetry();
    this.#tell("busy");
    this.#want("full");
  }

  /** The full picture once nothing has moved for so long; null forgets it. */
  #rest(milliseconds) {
    clearTimeout(this.resting);
    this.resting = null;
    if (milliseconds === null) return;
    this.resting = setTimeout(() => {
      this.resting = null;
      this.#want("full");
    }, milliseconds);
  }

  #stopRetry() {
    clearTimeout(this.retry);
    clearInterval(this.countdown);
  }

  #want(size) {
    // A full picture wanted is not forgotten for a preview, which comes first and shows something soon.
    this.wanted = size === "full" && this.wanted === "preview" ? "both" : size;
    if (!this.running) this.#next();
  }

  async #next() {
    const size = this.wanted === "both" ? "preview" : this.wanted;
    this.wanted = this.wanted === "both" ? "full" : null;
    if (!size) {
      if (!this.resting) this.#tell("idle");
      return;
    }
    const running = (this.running = { size, abort: new AbortController() });
    const asked = this.newest;
    try {
      const task = await this.prepare(size);
      if (task) {
        const result = await task.run(running.abort.signal);
        this.retries = 0;
        if (size === "preview" || asked === this.newest) this.#tell("result", { size, result, asked });
      }
    } catch (error) {
      if (!running.abort.signal.aborted) this.#failed(error, asked);
    }
    this.running = null;
    this.#next();
  }

  #failed(error, asked) {
    if (asked !== this.newest) return;
    const offline = error instanceof Unreachable;
    const later = error instanceof ImpastoProblem && (error.status === 503 || error.status === 429);
    this.wanted = null;
    this.#rest(null);
    if (!(offline || later) || this.retries >= MOST_RETRIES) {
      this.#tell("trouble", { error });
      return;
    }
    this.retries += 1;
    let seconds = Math.ceil(error.retryAfter ?? OFFLINE_SECONDS);
    this.#tell("trouble", { error, seconds });
    this.countdown = setInterval(() => {
      seconds -= 1;
      if (seconds > 0) this.#tell("trouble", { error, seconds });
      else clearInterval(this.countdown);
    }, 1000);
    this.retry = setTimeout(() => this.again(), 1000 * seconds);
  }

  #tell(type, detail = undefined) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}
