/** What the visitor has chosen, in one place; everything else is drawn from it. */

export const STROKES = [192, 256, 384, 512, 640, 768, 1024];
export const SIZES = [512, 768, 1024, 1536, 2048];
export const MOST_STYLES = 4;
export const FIRST = { strength: 1, style_size: 512, preserve_color: "none", size: 1024 };

/**
 * @typedef {{key: string, id?: string, name: string, credit?: string, thumbnail: string|null, picture?: Blob}} StyleChoice
 * @typedef {{styles: StyleChoice[], weights: number[], point: {x: number, y: number}, strength: number, style_size: number, preserve_color: string, size: number}} Choice
 */
export class Store extends EventTarget {
  constructor() {
    super();
    /** @type {import("./photo.js").Photo|null} */
    this.photo = null;
    /** @type {StyleChoice[]} */
    this.gallery = [];
    /** @type {Choice} */
    this.choice = { ...FIRST, styles: [], weights: [], point: { x: 0.5, y: 0.5 } };
  }

  setPhoto(photo) {
    const last = this.photo;
    last?.close();
    this.photo = photo;
    this.#tell("photo", last);
  }

  setGallery(gallery) {
    this.gallery = gallery;
    this.#tell("gallery");
  }

  /** @param {Partial<Choice>} changes @param {boolean} moving whether more is sure to follow, as while a slider moves */
  choose(changes, moving = false) {
    this.choice = { ...this.choice, ...changes };
    this.#tell("choice", { changes, moving });
  }

  #tell(type, detail = undefined) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}
