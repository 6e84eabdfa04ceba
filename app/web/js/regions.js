/** The brush's own controls: which style it paints, how wide and how soft, and back again. */

import { COLOURS } from "./brush.js";
import { styleName } from "./words.js";

export class Regions {
  /** @param {Record<string, HTMLElement>} parts @param {(moving: boolean) => void} onChange */
  constructor(parts, store, viewer, brush, onChange) {
    Object.assign(this, { parts, store, viewer, brush });
    parts.painting.addEventListener("click", () => this.#paint(parts.paint.hidden));
    parts["brush-size"].addEventListener("input", () => (brush.size = parts["brush-size"].value / 100));
    parts.feather.addEventListener("input", () => {
      brush.feather = parts.feather.value / 100;
      if (brush.painted) onChange(true);
    });
    const step = (name) => {
      brush[name]();
      onChange(false);
    };
    for (const name of ["undo", "redo", "clear"]) parts[name].addEventListener("click", () => step(name));
    addEventListener("keydown", (event) => {
      if (parts.paint.hidden || !(event.ctrlKey || event.metaKey) || event.key.toLowerCase() !== "z") return;
      event.preventDefault();
      step(event.shiftKey ? "redo" : "undo");
    });
  }

  draw() {
    const { styles } = this.store.choice;
    if (styles.length < 2) {
      this.#paint(false);
      if (this.brush.painted) this.brush.clear();
    }
    this.brush.style = Math.min(this.brush.style, Math.max(1, styles.length - 1));
    const buttons = styles.map((style, index) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = styleName(style.name);
      button.style.setProperty("--mark", COLOURS[index]);
      button.setAttribute("aria-pressed", String(index === this.brush.style));
      button.addEventListener("click", () => {
        this.brush.style = index;
        this.draw();
        this.parts["brush-styles"].children[index].focus();
      });
      return button;
    });
    this.parts["brush-styles"].replaceChildren(...buttons);
  }

  #paint(on) {
    this.parts.painting.setAttribute("aria-pressed", String(on));
    this.parts.brushes.hidden = this.parts.paint.hidden = !on;
    this.viewer.locked = on;
  }
}
