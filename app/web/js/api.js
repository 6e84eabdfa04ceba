/**
 * A client of the service for browsers (and for Node 20 and newer). It has no dependencies; copy it or import it.
 *
 *     import { Impasto } from "./api.js";
 *     const impasto = new Impasto("http://127.0.0.1:8000/");
 *     const result = await impasto.stylize({ content: photo, styles: [{ picture: painting }], strength: 0.8 });
 *     image.src = URL.createObjectURL(result.picture);
 *     await impasto.stylize({ content: other, styles: [{ id: result.styleIds[0] }] });   // no second upload
 *
 * A service that is busy, or can't be reached, is asked again after the time it names, `retries` times.
 */

const LONGEST_PAUSE = 30;

/** @typedef {{id?: string, picture?: Blob, weight?: number, mask?: Blob}} Style  `id` is tried first; `picture` is sent where there is none, or the service has forgotten it. */
/** @typedef {{time: number, style?: number, weights?: number[], strength?: number}} Keyframe  Of a video: `time` in seconds; `style` is a place in the wish's `styles`, `weights` is one for each of them. */
/** @typedef {{content: Blob, styles: Style[], keyframes?: Keyframe[], strength?: number, size?: number, style_size?: number, preserve_color?: "none"|"luminance"|"match", format?: "jpeg"|"png"|"webp", quality?: number}} Wish  Fields as in the API's documentation; of a job `content` may also be a video, or a zip archive of photos. */
/** @typedef {{picture: Blob, styleIds: (string|undefined)[], timing: Record<string, number>}} Result  `styleIds`: one for each style asked for; `timing`: milliseconds by stage. */
/** @typedef {{id: string, name: string, credit: string, width: number, height: number, picture: string, thumbnail: string}} ReadyStyle  `picture`, `thumbnail`: absolute addresses. */

/** @typedef {{id: string, state: "queued"|"running"|"done"|"failed", progress: {done: number, total?: number}, seconds_left?: number, note?: string, asked: object, result?: object, problem?: {detail: string}}} Job  as GET /jobs/{id} tells it. */

/** What the service answered instead of a picture: an RFC 9457 problem. */
export class ImpastoProblem extends Error {
  /** @param {number} status @param {any} body @param {number|undefined} retryAfter seconds */
  constructor(status, body, retryAfter) {
    super(body.detail || body.title || `status ${status}`);
    this.name = "ImpastoProblem";
    this.status = status;
    /** Stable, as `queue-full`. */
    this.type = String(body.type || "").split("/").pop();
    this.remedy = body.remedy;
    /** @type {{field: string, detail: string, limit?: unknown}[]} */
    this.errors = body.errors || [];
    this.retryAfter = retryAfter;
  }

  /** Whether a style_id was unknown: its picture must be uploaded again. */
  get styleForgotten() {
    return this.errors.some((error) => error.field === "style_id");
  }
}

/** The service could not be reached at all. */
export class Unreachable extends Error {
  constructor() {
    super("the service can't be reached");
    this.name = "Unreachable";
  }
}

export class Impasto {
  /** @param {string} address of the service, ending with a slash @param {{key?: string, retries?: number}} [options] */
  constructor(address = "./", { key, retries = 5 } = {}) {
    this.address = new URL(address, globalThis.document ? document.baseURI : undefined);
    this.key = key;
    this.retries = retries;
  }

  /**
   * Repaint a photo. An abort of `signal` frees the place on the service too.
   * @param {Wish} wish @param {{signal?: AbortSignal, timeout?: number}} [options] `timeout` in seconds
   * @returns {Promise<Result>} Throws ImpastoProblem, Unreachable, or the signal's AbortError.
   */
  stylize(wish, options = {}) {
    return withStyles(wish, (sure) => this.#stylize(sure, options));
  }

  /**
   * Begin a job, for what takes longer than a request should: it goes on whatever becomes of this connection.
   * @param {Wish} wish @param {{signal?: AbortSignal}} [options] @returns {Promise<Job>}
   */
  begin(wish, { signal } = {}) {
    // The same key for every attempt: an answer that is lost on its way does not begin a second job.
    const headers = { "Idempotency-Key": Array.from(crypto.getRandomValues(new Uint32Array(4)), String).join("-") };
    return withStyles(wish, async (sure) => {
      const answer = await this.#fetch("jobs", { method: "POST", body: formOf(sure).form, headers, signal });
      return answer.json();
    });
  }

  /** A job as it is now. @param {string} id @param {{signal?: AbortSignal}} [options] @returns {Promise<Job>} */
  async job(id, options = {}) {
    return (await this.#fetch(`jobs/${id}`, options)).json();
  }

  /** The newest picture or frame of a job, small. @param {string} id @returns {Promise<Blob>} */
  async jobPreview(id) {
    return (await this.#fetch(`jobs/${id}/preview`, {})).blob();
  }

  /** What a job that is done made. @param {string} id @param {{signal?: AbortSignal}} [options] @returns {Promise<Blob>} */
  async jobResult(id, options = {}) {
    return (await this.#fetch(`jobs/${id}/result`, options)).blob();
  }

  /** Cancel a job, or forget its result. @param {string} id */
  async endJob(id) {
    await this.#fetch(`jobs/${id}`, { method: "DELETE" });
  }

  /** The styles that stand ready. @param {{signal?: AbortSignal}} [options] @returns {Promise<ReadyStyle[]>} */
  async styles(options = {}) {
    const { styles } = await (await this.#fetch("styles", options)).json();
    const absolute = (path) => new URL(path, this.address).href;
    return styles.map((style) => ({ ...style, picture: absolute(style.picture), thumbnail: absolute(style.thumbnail) }));
  }

  async #stylize(wish, { signal, timeout } = {}) {
    const { styles } = wish;
    const { form, order } = formOf(wish);
    const headers = timeout ? { "X-Request-Timeout": String(timeout) } : {};
    const answer = await this.#fetch("stylize", { method: "POST", body: form, headers, signal });
    const uploaded = (answer.headers.get("X-Style-Id") || "").split(", ").filter(Boolean);
    const styleIds = styles.map((style) => style.id);
    order.filter((index) => !styles[index].id).forEach((index, place) => (styleIds[index] = uploaded[place]));
    return { picture: await answer.blob(), styleIds, timing: timing(answer.headers.get("Server-Timing")) };
  }

  async #fetch(path, options) {
    for (let attempt = 0, pause = 0.5; ; attempt += 1, pause *= 2) {
      try {
        return await this.#once(path, options);
      } catch (error) {
        const later = error instanceof Unreachable || error.status === 429 || error.status === 503;
        if (!later || attempt >= this.retries) throw error;
        await seconds(Math.min(LONGEST_PAUSE, error.retryAfter ?? pause), options.signal);
      }
    }
  }

  async #once(path, options) {
    const headers = { ...options.headers, ...(this.key && { Authorization: `Bearer ${this.key}` }) };
    let answer;
    try {
      answer = await fetch(new URL(path, this.address), { ...options, headers });
    } catch (error) {
      if (options.signal?.aborted) throw error;
      throw new Unreachable();
    }
    if (answer.ok) return answer;
    const retryAfter = Number(answer.headers.get("Retry-After"));
    const body = await answer.json().catch(() => ({}));
    throw new ImpastoProblem(answer.status, body, retryAfter > 0 ? retryAfter : undefined);
  }
}

/** The fields of a request, and the order its styles are in: the service takes uploads first, then ids. */
function formOf({ content, styles, keyframes, ...options }) {
  const order = [...styles.keys()].sort((a, b) => Number(Boolean(styles[a].id)) - Number(Boolean(styles[b].id)));
  const form = new FormData();
  form.append("content", content, "content");
  for (const index of order) {
    const { id, picture, weight, mask } = styles[index];
    if (id) form.append("style_id", id);
    else form.append("style", picture, "style");
    if (weight !== undefined) form.append("weight", String(weight));
    if (mask) form.append("mask", mask, "mask.png");
  }
  if (keyframes) form.append("keyframes", JSON.stringify(keyframes.map((keyframe) => reordered(keyframe, order))));
  for (const [name, value] of Object.entries(options)) if (value !== undefined) form.append(name, String(value));
  return { form, order };
}

/** A keyframe that names the styles by their places in `order`. */
function reordered({ style, weights, ...others }, order) {
  return {
    ...others,
    style: style === undefined ? undefined : order.indexOf(style),
    weights: weights && order.map((index) => weights[index]),
  };
}

/** What `send` gives for a wish; once more with every picture there is where the service has forgotten a style. */
async function withStyles(wish, send) {
  try {
    return await send(wish);
  } catch (problem) {
    const lost = problem instanceof ImpastoProblem && problem.styleForgotten;
    if (!lost || !wish.styles.some((style) => style.id && style.picture)) throw problem;
    return send({ ...wish, styles: wish.styles.map((style) => (style.picture ? { ...style, id: undefined } : style)) });
  }
}

/** Later; throws the signal's reason where that comes first. */
function seconds(number, signal) {
  return new Promise((resolve, reject) => {
    const giveUp = () => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", giveUp);
      resolve();
    }, 1000 * number);
    if (signal?.aborted) giveUp();
    signal?.addEventListener("abort", giveUp, { once: true });
  });
}

function timing(header) {
  const entries = [...(header || "").matchAll(/(\w+);dur=([\d.]+)/g)];
  return Object.fromEntries(entries.map(([, stage, milliseconds]) => [stage, Number(milliseconds)]));
}
