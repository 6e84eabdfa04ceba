/** The pad: two to four styles at its corners, and a point between them that says how much of each. */

const CORNERS = {
  2: [[0.12, 0.5], [0.88, 0.5]],
  3: [[0.5, 0.18], [0.12, 0.82], [0.88, 0.82]],
  4: [[0.12, 0.18], [0.88, 0.18], [0.12, 0.82], [0.88, 0.82]],
};
const STEP = 0.04;

/** Where the styles stand, in parts of the pad. */
export const corners = (count) => CORNERS[count] || [];

/** The share of each of `count` styles at a point of the pad; they sum to 1, and a corner is its style alone. */
export function shares(count, { x, y }) {
  const places = corners(count);
  if (!places.length) return count === 1 ? [1] : [];
  const clamp = (value) => Math.min(1, Math.max(0, value));
  const across = clamp((x - 0.12) / 0.76);
  const down = clamp((y - 0.18) / 0.64);
  let all;
  if (count === 2) all = [1 - across, across];
  else if (count === 4) all = [(1 - across) * (1 - down), across * (1 - down), (1 - across) * down, across * down];
  else {
    const right = clamp(across - (1 - down) / 2);
    const left = clamp(down - right);
    all = [1 - down, left, right];
  }
  const total = all.reduce((sum, part) => sum + part, 0) || 1;
  return all.map((part) => Math.round((1000 * part) / total) / 1000);
}

export class Pad {
  /** @param {HTMLElement} element @param {(point: {x: number, y: number}, moving: boolean) => void} onMove */
  constructor(element, onMove) {
    this.element = element;
    this.onMove = onMove;
    this.dot = document.createElement("button");
    this.dot.className = "dot";
    this.dot.type = "button";
    const at = (event) => {
      const box = element.getBoundingClientRect();
      return { x: (event.clientX - box.left) / box.width, y: (event.clientY - box.top) / box.height };
    };
    element.addEventListener("pointerdown", (event) => {
      element.setPointerCapture(event.pointerId);
      this.#move(at(event), true);
    });
    element.addEventListener("pointermove", (event) => {
      if (element.hasPointerCapture(event.pointerId)) this.#move(at(event), true);
    });
    element.addEventListener("pointerup", (event) => this.#move(at(event), false));
    this.dot.addEventListener("keydown", (event) => {
      const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
      if (!way) return;
      event.preventDefault();
      this.#move({ x: this.point.x + STEP * way[0], y: this.point.y + STEP * way[1] }, true);
    });
  }

  /** @param {import("./store.js").StyleChoice[]} styles @param {{x: number, y: number}} point */
  show(styles, point, label) {
    this.point = point;
    const pictures = corners(styles.length).map(([x, y], index) => {
      const picture = document.createElement("img");
      picture.src = styles[index].thumbnail || "";
      picture.alt = "";
      picture.style.left = `${100 * x}%`;
      picture.style.top = `${100 * y}%`;
      return picture;
    });
    this.dot.style.left = `${100 * point.x}%`;
    this.dot.style.top = `${100 * point.y}%`;
    const parts = shares(styles.length, point);
    this.dot.setAttribute("aria-label", `${label}: ` + styles.map((s, i) => `${s.name} ${Math.round(100 * parts[i])} %`).join(", "));
    const kept = document.activeElement === this.dot;
    this.element.replaceChildren(...pictures, this.dot);
    if (kept) this.dot.focus();
  }

  #move({ x, y }, moving) {
    const inside = (value) => Math.min(0.96, Math.max(0.04, value));
    this.onMove({ x: inside(x), y: inside(y) }, moving);
  }
}
