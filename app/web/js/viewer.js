/** The photo and its painting over each other: a divider between, zoom and pan for both at once. */

const MOST_ZOOM = 12;

export class Viewer {
  /** @param {Record<string, HTMLElement>} parts the elements of index.html by id */
  constructor({ frame, plane, before, after, divider, split, compare }) {
    Object.assign(this, { frame, plane, before, after, divider, split, compare });
    this.width = this.height = 1;
    this.zoom = 1;
    this.left = this.top = 0;
    this.pointers = new Map();
    /** Set while something else, as the brush, takes what a pointer does. */
    this.locked = false;
    split.addEventListener("input", () => this.#draw());
    new ResizeObserver(() => this.fit()).observe(frame);
    frame.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
    frame.addEventListener("dblclick", (event) => !this.locked && this.zoomBy(this.zoom > 1.5 ? 0 : 2.5, event));
    for (const type of ["pointerdown", "pointermove", "pointerup", "pointercancel"])
      frame.addEventListener(type, (event) => this.#pointer(event));
  }

  /** @param {string|null} address of the photo; null where the browser can't show it */
  showPhoto(address, width, height) {
    this.showing = null;
    this.#set(this.before, address);
    this.#set(this.after, null);
    this.#compare(false);
    [this.width, this.height] = [width || 4, height || 3];
    this.fit();
  }

  /** Something else in the photo's place, until there is another photo. @param {string} address */
  showBefore(address) {
    this.#set(this.before, address);
    this.#compare(true);
  }

  /**
   * @param {string} address of a result @param {boolean} sized whether its size is taken on, as the photo's is not known
   * @returns {Promise<boolean>} false where something newer was to be shown before this one was ready
   */
  async showResult(address, sized) {
    this.showing = address;
    const picture = new Image();
    picture.src = address;
    await picture.decode().catch(() => undefined);
    if (this.showing !== address) return false;
    if (sized) {
      [this.width, this.height] = [picture.naturalWidth, picture.naturalHeight];
      this.fit();
    }
    this.#set(this.after, address);
    this.#compare(Boolean(this.before.getAttribute("src")));
    return true;
  }

  /** The whole picture in the middle. */
  fit() {
    this.zoom = 1;
    this.#layout();
    this.left = (this.frame.clientWidth - this.planeWidth) / 2;
    this.top = (this.frame.clientHeight - this.planeHeight) / 2;
    this.#draw();
  }

  /** @param {number} factor 0 fits @param {{clientX: number, clientY: number}} [at] what stays where it is */
  zoomBy(factor, at) {
    if (!factor) return this.fit();
    const box = this.frame.getBoundingClientRect();
    const x = at ? at.clientX - box.left : box.width / 2;
    const y = at ? at.clientY - box.top : box.height / 2;
    const zoom = Math.min(MOST_ZOOM, Math.max(1, this.zoom * factor));
    this.left = x - ((x - this.left) * zoom) / this.zoom;
    this.top = y - ((y - this.top) * zoom) / this.zoom;
    this.zoom = zoom;
    if (zoom === 1) return this.fit();
    this.#draw();
  }

  panBy(x, y) {
    this.left += x;
    this.top += y;
    this.#draw();
  }

  /** Where a pointer is on the picture, in parts of its width and height. */
  place({ clientX, clientY }) {
    const box = this.frame.getBoundingClientRect();
    return {
      x: (clientX - box.left - this.left) / (this.planeWidth * this.zoom),
      y: (clientY - box.top - this.top) / (this.planeHeight * this.zoom),
    };
  }

  #set(image, address) {
    if (address) image.src = address;
    else image.removeAttribute("src");
  }

  #compare(on) {
    this.compare.hidden = this.divider.hidden = !on;
    this.#draw();
  }

  #layout() {
    const scale = Math.min(this.frame.clientWidth / this.width, this.frame.clientHeight / this.height);
    this.planeWidth = this.width * scale;
    this.planeHeight = this.height * scale;
    this.plane.style.width = `${this.planeWidth}px`;
    this.plane.style.height = `${this.planeHeight}px`;
  }

  #draw() {
    const [width, height] = [this.planeWidth * this.zoom, this.planeHeight * this.zoom];
    const [frameWidth, frameHeight] = [this.frame.clientWidth, this.frame.clientHeight];
    // Some of the picture always stays in sight.
    this.left = Math.min(frameWidth * 0.8, Math.max(frameWidth * 0.2 - width, this.left));
    this.top = Math.min(frameHeight * 0.8, Math.max(frameHeight * 0.2 - height, this.top));
    this.plane.style.transform = `translate(${this.left}px, ${this.top}px) scale(${this.zoom})`;
    const share = this.compare.hidden ? 0 : this.split.value / 100;
    this.plane.style.setProperty("--split", `${100 * share}%`);
    this.divider.style.left = `${this.left + width * share}px`;
  }

  #wheel(event) {
    event.preventDefault();
    this.zoomBy(Math.exp(-event.deltaY * (event.ctrlKey ? 0.01 : 0.002)), event);
  }

  #pointer(event) {
    if (event.type === "pointerdown") {
      if (event.button) return;
      this.pointers.set(event.pointerId, event);
      if (this.locked) return;
      this.frame.setPointerCapture(event.pointerId);
      const reach = event.pointerType === "touch" ? 32 : 18;
      const gap = event.clientX - this.frame.getBoundingClientRect().left - parseFloat(this.divider.style.left);
      this.dividing = !this.divider.hidden && (Math.abs(gap) < reach || this.zoom === 1);
      return;
    }
    const last = this.pointers.get(event.pointerId);
    if (!last) return;
    if (event.type !== "pointermove") {
      this.pointers.delete(event.pointerId);
      return;
    }
    if (this.pointers.size === 2) this.#pinch(last, event);
    else if (this.locked) return;
    else if (this.dividing) {
      this.split.value = String(100 * this.place(event).x);
      this.#draw();
    } else this.panBy(event.clientX - last.clientX, event.clientY - last.clientY);
    this.pointers.set(event.pointerId, event);
  }

  #pinch(last, event) {
    const other = [...this.pointers.values()].find((pointer) => pointer.pointerId !== event.pointerId);
    const reach = (pointer) => Math.hypot(pointer.clientX - other.clientX, pointer.clientY - other.clientY) || 1;
    this.panBy((event.clientX - last.clientX) / 2, (event.clientY - last.clientY) / 2);
    this.zoomBy(reach(event) / reach(last), {
      clientX: (event.clientX + other.clientX) / 2,
      clientY: (event.clientY + other.clientY) / 2,
    });
  }
}
