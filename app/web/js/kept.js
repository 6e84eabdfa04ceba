/** The dialog of what is kept in this browser. */

import { allKept, countKept, forget, keep } from "./keep.js";
import { save } from "./save.js";
import { word } from "./words.js";

export class KeptDialog {
  /** @param {Record<string, HTMLElement>} parts @param {(kept: import("./keep.js").Kept) => void} onOpen @param {(kept: import("./keep.js").Kept) => void} onCompare */
  constructor(parts, onOpen, onCompare) {
    this.parts = parts;
    this.onOpen = onOpen;
    this.onCompare = onCompare;
    parts["open-kept"].addEventListener("click", async () => {
      await this.draw().catch(() => undefined);
      parts.kept.showModal();
    });
    this.count();
  }

  /** @param {import("./keep.js").Kept} kept Throws where the browser keeps nothing. */
  async add(kept) {
    await keep(kept);
    await this.count();
  }

  async count() {
    this.parts["kept-count"].textContent = String(await countKept().catch(() => 0));
  }

  async draw() {
    const all = await allKept();
    for (const image of this.parts["kept-list"].querySelectorAll("img")) URL.revokeObjectURL(image.src);
    this.parts["kept-empty"].hidden = all.length > 0;
    this.parts["kept-list"].replaceChildren(...all.map((one) => this.#figure(one)));
  }

  #figure(one) {
    const figure = document.createElement("figure");
    const image = document.createElement("img");
    image.src = URL.createObjectURL(one.thumbnail);
    image.alt = one.choice.styles.map((style) => style.name).join(", ");
    const caption = document.createElement("figcaption");
    const { lang } = document.documentElement;
    const locale = navigator.language.startsWith(lang) ? navigator.language : lang;
    const when = new Date(one.when).toLocaleString(locale, { dateStyle: "medium", timeStyle: "short" });
    caption.textContent = `${image.alt} · ${when}`;
    const row = document.createElement("div");
    row.className = "row";
    const button = (name, action) => {
      const made = document.createElement("button");
      made.type = "button";
      made.textContent = word(name);
      made.addEventListener("click", action);
      row.append(made);
    };
    button("open", () => {
      this.parts.kept.close();
      this.onOpen(one);
    });
    button("compareKept", () => {
      this.parts.kept.close();
      this.onCompare(one);
    });
    button("download", () => save(one.picture, one.photoName));
    button("remove", async () => {
      await forget(one.id);
      await Promise.all([this.draw(), this.count()]);
    });
    figure.append(image, caption, row);
    return figure;
  }
}
