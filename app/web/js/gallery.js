/** The styles to choose from, and which are chosen. */

import { COLOURS } from "./brush.js";
import { MOST_STYLES } from "./store.js";
import { shares } from "./pad.js";
import { styleName } from "./words.js";

export class Gallery {
  /** @param {HTMLElement} element @param {import("./store.js").Store} store @param {() => void} onFull told when one more is too many */
  constructor(element, store, onFull) {
    this.element = element;
    this.store = store;
    this.onFull = onFull;
    this.mixing = false;
    store.addEventListener("gallery", () => this.draw());
    store.addEventListener("choice", () => this.mark());
  }

  draw() {
    const tiles = this.store.gallery.map((style) => {
      const tile = document.createElement("button");
      tile.type = "button";
      tile.dataset.key = style.key;
      tile.title = style.credit ? `${styleName(style.name)} — ${style.credit}` : styleName(style.name);
      const picture = document.createElement("img");
      picture.alt = "";
      picture.width = picture.height = 96;
      if (style.thumbnail) picture.src = style.thumbnail;
      const name = document.createElement("span");
      name.className = "name";
      name.textContent = styleName(style.name);
      tile.append(picture, name);
      tile.addEventListener("click", () => this.choose(style));
      return tile;
    });
    this.element.replaceChildren(...tiles);
    this.mark();
  }

  mark() {
    const chosen = this.store.choice.styles;
    for (const tile of this.element.children) {
      const index = chosen.findIndex((style) => style.key === tile.dataset.key);
      tile.setAttribute("aria-pressed", String(index >= 0));
      tile.querySelector(".mark")?.remove();
      if (index < 0 || chosen.length < 2) continue;
      const mark = document.createElement("span");
      mark.className = "mark";
      mark.textContent = String(index + 1);
      mark.style.setProperty("--mark", COLOURS[index]);
      tile.append(mark);
    }
  }

  /** One alone, or one more or less of a mix. */
  choose(style) {
    const chosen = this.store.choice.styles;
    let styles = [style];
    if (this.mixing) {
      const without = chosen.filter((other) => other.key !== style.key);
      styles = without.length < chosen.length ? without : [...chosen, style];
      if (styles.length > MOST_STYLES) return this.onFull();
      if (!styles.length) styles = [style];
    }
    const point = { x: 0.5, y: 0.5 };
    this.store.choose({ styles, point, weights: shares(styles.length, point) });
  }
}
