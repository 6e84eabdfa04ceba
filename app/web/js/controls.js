/** The form of sliders and choices, kept in step with the store both ways. */

import { FIRST, SIZES, STROKES } from "./store.js";
import { word } from "./words.js";

export class Controls {
  /** @param {HTMLFormElement} form @param {import("./store.js").Store} store */
  constructor(form, store) {
    this.form = form;
    this.store = store;
    const { strength, style_size, size } = form.elements;
    strength.addEventListener("input", () => store.choose({ strength: Number(strength.value) }, true));
    // To the right strokes grow, for which the style is read smaller.
    style_size.addEventListener("input", () =>
      store.choose({ style_size: STROKES[STROKES.length - 1 - Number(style_size.value)] }, true));
    for (const radio of form.elements.preserve_color)
      radio.addEventListener("change", () => store.choose({ preserve_color: radio.value }));
    size.addEventListener("change", () => store.choose({ size: Number(size.value) }));
    form.addEventListener("reset", (event) => {
      event.preventDefault();
      store.choose({ ...FIRST });
    });
    form.addEventListener("submit", (event) => event.preventDefault());
    store.addEventListener("choice", () => this.show());
    this.translate();
  }

  translate() {
    const options = SIZES.map((side) => new Option(word("sizeOption", { n: side }), String(side)));
    this.form.elements.size.replaceChildren(...options);
    this.show();
  }

  show() {
    const { strength, style_size, size, preserve_color } = this.store.choice;
    const elements = this.form.elements;
    elements.strength.value = String(strength);
    const nearest = STROKES.reduce((best, side, index) =>
      Math.abs(side - style_size) < Math.abs(STROKES[best] - style_size) ? index : best, 0);
    elements.style_size.value = String(STROKES.length - 1 - nearest);
    elements.preserve_color.value = preserve_color;
    if (![...elements.size.options].some((option) => option.value === String(size)))
      elements.size.append(new Option(word("sizeOption", { n: size }), String(size)));
    elements.size.value = String(size);
    this.#output("strength", `${Math.round(100 * strength)} %`);
    this.#output("style_size", `${style_size} px`);
  }

  #output(name, text) {
    this.form.querySelector(`output[for="${name}"]`).textContent = text;
  }
}
