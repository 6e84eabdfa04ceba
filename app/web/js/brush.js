/** Regions painted over the photo, one colour a style: what they cover is that style's, the rest is the first one's. */

import { canvasBlob } from "./photo.js";

export const COLOURS = ["#e0482c", "#2a6fb0", "#1f8a70", "#b0801e"];
const MASK_SIDE = 512;

export class Brush {
  /** @param {HTMLCanvasElement} canvas over the photo @param {import("./viewer.js").Viewer} viewer @param {() => void} onChange */
  constructor(canvas, viewer, onChange) {
    this.canvas = canvas;
    this.viewer = viewer;
    this.onChange = onChange;
    this.style = 1; // the first one is everywhere else already
    this.size = 0.12;
    this.feather = 0.04;
    this.strokes = [];
    this.undone = [];
    canvas.addEventListener("pointerdown", (event) => this.#down(event));
    canvas.addEventListener("pointermove", (event) => this.#moved(event));
    for (const type of ["pointerup", "pointercancel"]) canvas.addEventListener(type, () => this.#up());
  }

  get painted() {
    return this.strokes.length > 0;
  }

  /** For a photo of this size. */
  fit(width, height) {
    const scale = MASK_SIDE / Math.max(width || 4, height || 3);
    this.canvas.width = Math.max(1, Math.round((width || 4) * scale));
    this.canvas.height = Math.max(1, Math.round((height || 3) * scale));
    this.clear();
  }

  clear() {
    this.strokes = [];
    this.undone = [];
    this.draw();
  }

  undo() {
    const stroke = this.strokes.pop();
    if (stroke) this.undone.push(stroke);
    this.draw();
  }

  redo() {
    const stroke = this.undone.pop();
    if (stroke) this.strokes.push(stroke);
    this.draw();
  }

  draw() {
    this.#paint(this.canvas.getContext("2d"), (stroke) => COLOURS[stroke.style]);
  }

  /** One mask a style, white where it acts; they add up to white everywhere. @returns {Promise<Blob[]>} */
  async masks(count) {
    const { width, height } = this.canvas;
    const all = [...Array(count).keys()].map((style) => {
      const canvas = document.createElement("canvas");
      [canvas.width, canvas.height] = [width, height];
      const context = canvas.getContext("2d");
      const sharp = document.createElement("canvas");
      [sharp.width, sharp.height] = [width, height];
      const inside = sharp.getContext("2d");
      inside.fillStyle = style === 0 ? "#fff" : "#000";
      inside.fillRect(0, 0, width, height);
      this.#paint(inside, (stroke) => (stroke.style === style ? "#fff" : "#000"), false);
      context.filter = `blur(${this.feather * MASK_SIDE * 0.5}px)`;
      // Drawn a little larger under the blur, so that borders do not fade to transparent.
      context.drawImage(sharp, -8, -8, width + 16, height + 16);
      context.drawImage(sharp, 0, 0);
      return canvas;
    });
    return Promise.all(all.map((canvas) => canvasBlob(canvas)));
  }

  #paint(context, colour, wipe = true) {
    const { width, height } = this.canvas;
    if (wipe) context.clearRect(0, 0, width, height);
    context.lineCap = context.lineJoin = "round";
    for (const stroke of this.strokes) {
      context.strokeStyle = context.fillStyle = colour(stroke);
      context.lineWidth = stroke.size * MASK_SIDE;
      context.beginPath();
      for (const { x, y } of stroke.points) context.lineTo(x * width, y * height);
      if (stroke.points.length === 1) context.lineTo(stroke.points[0].x * width + 0.01, stroke.points[0].y * height);
      context.stroke();
    }
  }

  #down(event) {
    if (event.button || !event.isPrimary) return;
    this.canvas.setPointerCapture(event.pointerId);
    this.undone = [];
    this.current = { style: this.style, size: this.size / this.viewer.zoom, points: [this.viewer.place(event)] };
    this.strokes.push(this.current);
    this.draw();
  }

  #moved(event) {
    if (!this.current || !event.isPrimary) return;
    this.current.points.push(this.viewer.place(event));
    this.draw();
  }

  #up() {
    if (!this.current) return;
    this.current = null;
    this.onChange();
  }
}
