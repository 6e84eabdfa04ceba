/** A picture saved as a file. */

const SUFFIXES = { "image/jpeg": "jpg", "image/png": "png", "image/webp": "webp", "video/mp4": "mp4", "video/webm": "webm" };

/** @param {Blob} picture @param {string} photoName the file's name is made of it */
export function save(picture, photoName) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(picture);
  link.download = `${photoName.replace(/\.[^.]*$/, "") || "photo"}-impasto.${SUFFIXES[picture.type] || "jpg"}`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
