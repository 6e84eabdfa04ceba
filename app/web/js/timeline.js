/** The time line of a video: keyframes, each of them the styles and the strength that were on the screen for a moment. */

import { styleName, word } from "./words.js";

const STEP_SECONDS = 0.1;
const LARGE_STEP_SECONDS = 1;
const REST_MILLISECONDS = 200;
const LEAST_DRAG = 3; // pixels: a hand that clicks is not quite still

/** @typedef {{time: number, styles: import("./store.js").StyleChoice[], weights: number[], point: {x: number, y: number}, strength: number}} Keyframe */

export class Timeline {
  /**
   * @param {Record<string, HTMLElement>} parts @param {import("./store.js").Store} store
   * @param {{onMoment: (seconds: number) => void, onShow: (keyframe: Keyframe) => void}} told
   *   which frame is to be seen, and what is to be on the screen
   */
  constructor(parts, store, { onMoment, onShow }) {
    Object.assign(this, { parts, store, onMoment, onShow });
    /** @type {Keyframe[]} by time, but while one is moved past another */
    this.keyframes = [];
    /** @type {Keyframe|null} */
    this.selected = null;
    /** @type {Map<Keyframe, HTMLElement>} */
    this.sliders = new Map();
    store.addEventListener("photo", () => this.#photo());
    store.addEventListener("choice", () => this.#buttons());
    parts.moment.addEventListener("input", () => this.#go(Number(parts.moment.value)));
    parts["add-keyframe"].addEventListener("click", () => this.#add());
    parts["remove-keyframe"].addEventListener("click", () => this.#remove(this.selected));
  }

  /** What a job is to be asked for beside the settings on the screen: nothing below two keyframes. */
  wish() {
    if (this.keyframes.length < 2) return {};
    this.#sort();
    const styles = new Map(this.keyframes.flatMap((keyframe) => keyframe.styles.map((style) => [style.key, style])));
    const keys = [...styles.keys()];
    return {
      styles: [...styles.values()].map(({ id, picture }) => ({ id, picture })),
      keyframes: this.keyframes.map((keyframe) => ({
        time: keyframe.time,
        weights: keys.map((key) => keyframe.weights[keyframe.styles.findIndex((style) => style.key === key)] ?? 0),
        strength: keyframe.strength,
      })),
    };
  }

  draw() {
    const focused = [...this.sliders].find(([, slider]) => slider === document.activeElement)?.[0];
    this.#sort();
    this.sliders = new Map(this.keyframes.map((keyframe) => [keyframe, this.#slider(keyframe)]));
    this.parts.keyframes.replaceChildren(...this.sliders.values());
    this.sliders.get(focused)?.focus();
    const n = this.keyframes.length;
    this.parts["keyframes-hint"].textContent = word(["keyframesNone", "keyframesOne"][n] ?? "keyframesMany", { n });
    this.#place();
    this.#buttons();
  }

  #photo() {
    const { video, time, duration } = this.store.photo;
    // What is recorded live may not tell how long it is.
    this.parts.timeline.hidden = !video || !Number.isFinite(duration);
    // Another frame of the same video leaves the line as it is.
    if (video === this.video) return;
    clearTimeout(this.resting);
    [this.video, this.duration, this.time] = [video, duration, time];
    this.keyframes = [];
    this.selected = null;
    this.parts.moment.max = String(duration || 0);
    this.draw();
  }

  /** Where the line is, and once it rests there the frame that belongs to it. */
  #go(seconds) {
    this.time = this.#within(seconds);
    this.#place();
    clearTimeout(this.resting);
    this.resting = setTimeout(() => {
      if (this.time !== this.store.photo.time) this.onMoment(this.time);
    }, REST_MILLISECONDS);
  }

  /** On the line, in whole hundredths of a second. */
  #within(seconds) {
    const most = Math.floor(100 * this.duration);
    return Math.min(most, Math.max(0, Math.round(100 * seconds))) / 100;
  }

  #sort() {
    this.keyframes.sort((one, other) => one.time - other.time);
  }

  #add() {
    const { styles, weights, point, strength } = this.store.choice;
    const keyframe = { time: this.time, styles, weights, point, strength };
    // One that is there already is set anew.
    this.keyframes = [...this.keyframes.filter(({ time }) => time !== this.time), keyframe];
    this.selected = keyframe;
    this.draw();
  }

  #remove(keyframe) {
    const index = this.keyframes.indexOf(keyframe);
    this.keyframes.splice(index, 1);
    this.selected = this.keyframes[Math.min(index, this.keyframes.length - 1)] ?? null;
    this.draw();
    (this.sliders.get(this.selected) ?? this.parts["add-keyframe"]).focus();
  }

  #move(keyframe, seconds) {
    keyframe.time = this.#within(seconds);
    this.#go(keyframe.time);
  }

  /** It has been moved. Drawn anew only where another was passed: a slider that stays is not told anew by screen readers. */
  #settle() {
    if (this.keyframes.some(({ time }, index) => time < this.keyframes[index - 1]?.time)) this.draw();
  }

  #show(keyframe) {
    this.#go(keyframe.time);
    this.onShow(keyframe);
  }

  #slider(keyframe) {
    const slider = document.createElement("button");
    slider.type = "button";
    slider.setAttribute("role", "slider");
    slider.setAttribute("aria-valuemin", "0");
    slider.setAttribute("aria-valuemax", String(this.#within(this.duration)));
    const shown = keyframe.styles.map((style, index) => ({ style, weight: keyframe.weights[index] }));
    const many = shown.length > 1;
    const names = shown.map(({ style, weight }) => styleName(style.name) + (many ? ` ${Math.round(100 * weight)} %` : ""));
    const label = word("keyframe", { styles: names.join(", "), p: Math.round(100 * keyframe.strength) });
    slider.setAttribute("aria-label", label);
    slider.title = label;
    for (const { style, weight } of shown) {
      if (!style.thumbnail || !weight) continue;
      const picture = document.createElement("img");
      picture.src = style.thumbnail;
      picture.alt = "";
      picture.draggable = false;
      picture.style.flexGrow = String(weight);
      slider.append(picture);
    }
    slider.addEventListener("focus", () => this.#select(keyframe));
    slider.addEventListener("keydown", (event) => this.#key(event, keyframe));
    // By keyboard; a pointer's own end is looked at below, as it may have dragged.
    slider.addEventListener("click", ({ detail: clicks }) => clicks || this.#show(keyframe));
    this.#draggable(slider, keyframe);
    return slider;
  }

  #draggable(slider, keyframe) {
    let from = null;
    slider.addEventListener("pointerdown", (event) => {
      if (event.button) return;
      slider.focus();
      slider.setPointerCapture(event.pointerId);
      from = { x: event.clientX, time: keyframe.time, moved: false };
    });
    slider.addEventListener("pointermove", ({ clientX }) => {
      if (!from) return;
      from.moved ||= Math.abs(clientX - from.x) >= LEAST_DRAG;
      const seconds = (this.duration * (clientX - from.x)) / this.parts.keyframes.clientWidth;
      if (from.moved) this.#move(keyframe, from.time + seconds);
    });
    slider.addEventListener("lostpointercapture", () => {
      from = null;
      this.#settle();
      this.#show(keyframe);
    });
  }

  #select(keyframe) {
    this.selected = keyframe;
    this.#place();
    this.#buttons();
  }

  #key(event, keyframe) {
    const { key } = event;
    const by = {
      ArrowLeft: -STEP_SECONDS, ArrowDown: -STEP_SECONDS, ArrowRight: STEP_SECONDS, ArrowUp: STEP_SECONDS,
      PageDown: -LARGE_STEP_SECONDS, PageUp: LARGE_STEP_SECONDS, Home: -Infinity, End: Infinity,
    }[key];
    const removes = key === "Delete" || key === "Backspace";
    if (by === undefined && !removes) return;
    event.preventDefault();
    if (removes) return this.#remove(keyframe);
    this.#move(keyframe, keyframe.time + by);
    this.#settle();
  }

  /** Everything that moves. */
  #place() {
    const { moment, "moment-text": text } = this.parts;
    const told = (seconds) => word("seconds", { s: seconds.toFixed(2) });
    moment.value = String(this.time ?? 0);
    moment.setAttribute("aria-valuetext", told(this.time ?? 0));
    text.textContent = told(this.time ?? 0);
    for (const [keyframe, slider] of this.sliders) {
      slider.style.left = `${(100 * keyframe.time) / this.duration}%`;
      slider.setAttribute("aria-valuenow", String(keyframe.time));
      slider.setAttribute("aria-valuetext", told(keyframe.time));
      slider.setAttribute("aria-current", String(keyframe === this.selected));
    }
  }

  #buttons() {
    this.parts["add-keyframe"].disabled = !this.store.choice.styles.length;
    this.parts["remove-keyframe"].disabled = !this.selected;
  }
}
