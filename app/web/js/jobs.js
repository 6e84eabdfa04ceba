/** Large pictures, which take longer than anyone waits: jobs of the service, found again after a reload. */

import { ImpastoProblem } from "./api.js";
import { remember, remembered } from "./memory.js";
import { save } from "./save.js";
import { word } from "./words.js";

const WATCH_MILLISECONDS = 1500;
const MOST_REMEMBERED = 20;

export class Jobs {
  /** @param {HTMLElement} element a list, shown while there are jobs @param {import("./api.js").Impasto} impasto @param {import("./play.js").Player} player */
  constructor(element, impasto, player) {
    Object.assign(this, { element, impasto, player });
    /** Videos and addresses of previews, by the id of their job. @type {Map<string, Blob>} */
    this.originals = new Map();
    /** @type {Map<string, string>} */
    this.previews = new Map();
    /** @type {{id: string, name: string}[]} newest first */
    this.known = JSON.parse(remembered("jobs") || "[]");
    /** @type {Map<string, import("./api.js").Job>} as last told */
    this.told = new Map();
    if (this.known.length) this.#watch();
  }

  /** @param {import("./api.js").Wish} wish @param {string} name of the photo. Throws as the client does. */
  async begin(wish, name) {
    const job = await this.impasto.begin(wish);
    this.known = [{ id: job.id, name }, ...this.known].slice(0, MOST_REMEMBERED);
    this.told.set(job.id, job);
    if (wish.content.type.startsWith("video/")) this.originals.set(job.id, wish.content);
    this.#remember();
    this.#watch();
  }

  /** Ask how far they are until all have ended. */
  async #watch() {
    clearTimeout(this.next);
    let more = false;
    for (const { id } of this.known) {
      if (this.told.get(id)?.result || this.told.get(id)?.problem) continue;
      try {
        const job = await this.impasto.job(id);
        this.told.set(id, job);
        if (job.links.preview) this.#preview(id, await this.impasto.jobPreview(id));
        more ||= !job.result && !job.problem;
      } catch (error) {
        if (error instanceof ImpastoProblem && error.status === 404) this.#forget(id);
        else more = true;
      }
    }
    this.draw();
    clearTimeout(this.next);
    if (more) this.next = setTimeout(() => this.#watch(), WATCH_MILLISECONDS);
  }

  #preview(id, picture) {
    if (this.previews.has(id)) URL.revokeObjectURL(this.previews.get(id));
    this.previews.set(id, URL.createObjectURL(picture));
  }

  #remember() {
    remember("jobs", JSON.stringify(this.known));
    this.draw();
  }

  #forget(id) {
    this.known = this.known.filter((job) => job.id !== id);
    this.#remember();
  }

  draw() {
    const shown = this.known.filter(({ id }) => this.told.has(id));
    this.element.hidden = !shown.length;
    this.element.replaceChildren(...shown.map(({ id, name }) => this.#item(name, this.told.get(id))));
  }

  #item(name, job) {
    const item = document.createElement("li");
    if (this.previews.has(job.id)) {
      const picture = document.createElement("img");
      picture.src = this.previews.get(job.id);
      picture.alt = "";
      item.append(picture);
    }
    const label = document.createElement("span");
    label.textContent = `${name}, ${job.asked.size} px`;
    item.append(label);
    if (job.problem) item.append(job.problem.detail);
    else if (!job.result) {
      const bar = document.createElement("progress");
      bar.max = job.progress.total ?? 1;
      bar.value = job.progress.done;
      bar.setAttribute("aria-label", label.textContent);
      const left = document.createElement("span");
      left.className = "hint";
      left.textContent = job.note ?? (job.seconds_left === undefined ? word("jobWaits") : word("jobLeft", { s: Math.ceil(job.seconds_left) }));
      item.append(bar, left);
    }
    const button = (text, action) => {
      const made = document.createElement("button");
      made.type = "button";
      made.textContent = word(text);
      made.setAttribute("aria-label", `${word(text)}: ${label.textContent}`);
      made.addEventListener("click", action);
      item.append(made);
    };
    if (job.result?.media_type.startsWith("video/"))
      button("play", async () => this.player.show(await this.impasto.jobResult(job.id), this.originals.get(job.id)));
    if (job.result) button("download", async () => save(await this.impasto.jobResult(job.id), name));
    button(job.result || job.problem ? "remove" : "cancel", async () => {
      this.#forget(job.id);
      await this.impasto.endJob(job.id).catch(() => undefined);
    });
    return item;
  }
}
