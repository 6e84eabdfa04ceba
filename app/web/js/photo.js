/** Photos and pictures as the page holds them: reduced in the browser, so that no more is sent than is wanted. */

const LARGEST_PREVIEW = 256;

/** A photo of the visitor's: the file, and what a browser that can read it shows of it. */
export class Photo {
  /** @param {Blob} file @param {ImageBitmap|null} bitmap null where the browser can't read it, as HEIC in most */
  constructor(file, bitmap, name) {
    this.file = file;
    this.name = name;
    this.bitmap = bitmap;
    this.width = bitmap?.width;
    this.height = bitmap?.height;
    this.address = bitmap ? URL.createObjectURL(file) : null;
    /** @type {Map<number, Promise<Blob>>} */
    this.reduced = new Map();
  }

  /** @param {Blob} file @param {number} [seconds] of a video, where the frame is that stands for it */
  static async read(file, name = file.name || "photo", seconds = 0) {
    const { frame, duration } = (file.type.startsWith("video/") && (await frameOf(file, seconds))) || {};
    const bitmap = await createImageBitmap(frame ?? file, { imageOrientation: "from-image" }).catch(() => null);
    const photo = new Photo(frame ?? file, bitmap, name);
    /** The video that the photo is a frame of, where in it, and how long it is, in seconds. */
    photo.video = frame ? file : null;
    photo.time = seconds;
    photo.duration = duration;
    return photo;
  }

  get longSide() {
    return this.bitmap ? Math.max(this.width, this.height) : Infinity;
  }

  /** The photo as it is to be sent for a result of this long side: itself, or reduced. */
  for(side) {
    if (!this.bitmap || this.longSide <= side * 1.05) return Promise.resolve(this.file);
    if (!this.reduced.has(side)) {
      if (this.reduced.size > 3) this.reduced.delete(this.reduced.keys().next().value);
      this.reduced.set(side, reduce(this.bitmap, side, this.file.type));
    }
    return this.reduced.get(side);
  }

  preview() {
    return this.for(LARGEST_PREVIEW);
  }

  close() {
    if (this.address) URL.revokeObjectURL(this.address);
    this.bitmap?.close();
  }
}

/** @param {Blob} file of a video @returns {Promise<{frame: Blob, duration: number}|null>} null where the browser can't play it */
async function frameOf(file, seconds) {
  const video = document.createElement("video");
  video.muted = true;
  video.preload = "auto";
  video.src = URL.createObjectURL(file);
  try {
    await new Promise((resolve, reject) => {
      video.onloadeddata = resolve;
      video.onerror = reject;
    });
    if (seconds > 0)
      await new Promise((resolve, reject) => {
        video.onseeked = resolve;
        video.onerror = reject;
        video.currentTime = seconds;
      });
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [video.videoWidth, video.videoHeight];
    canvas.getContext("2d").drawImage(video, 0, 0);
    return { frame: await canvasBlob(canvas, "image/jpeg", 0.93), duration: video.duration };
  } catch {
    return null;
  } finally {
    URL.revokeObjectURL(video.src);
  }
}

async function reduce(bitmap, side, type) {
  const scale = side / Math.max(bitmap.width, bitmap.height);
  const width = Math.max(1, Math.round(bitmap.width * scale));
  const height = Math.max(1, Math.round(bitmap.height * scale));
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [width, height];
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, 0, 0, width, height);
  // What may be transparent stays so.
  const keepsAlpha = type === "image/png" || type === "image/webp";
  return canvasBlob(canvas, keepsAlpha ? "image/png" : "image/jpeg", 0.93);
}

/** @param {HTMLCanvasElement} canvas @returns {Promise<Blob>} */
export function canvasBlob(canvas, type = "image/png", quality = undefined) {
  return new Promise((resolve, reject) =>
    canvas.toBlob((blob) => (blob ? resolve(blob) : reject(new Error("no memory for the picture"))), type, quality));
}

/** A small square picture's address, for galleries. @param {Blob} file */
export async function thumbnail(file, side = 240) {
  const bitmap = await createImageBitmap(file).catch(() => null);
  if (!bitmap) return null;
  const square = Math.min(bitmap.width, bitmap.height);
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = side;
  canvas.getContext("2d").drawImage(
    bitmap, (bitmap.width - square) / 2, (bitmap.height - square) / 2, square, square, 0, 0, side, side);
  bitmap.close();
  return canvasBlob(canvas, "image/jpeg", 0.85);
}
