/** From what the visitor chose to a request: a quick preview, or the full picture. */

const PREVIEW_SIDE = 256;
const LEAST_STYLE_SIDE = 96;

/**
 * @param {import("./photo.js").Photo} photo @param {import("./store.js").Choice} choice
 * @param {import("./brush.js").Brush} brush @param {"preview"|"full"} size
 * @returns {Promise<import("./api.js").Wish|null>} null where there is nothing to ask for
 */
export async function wishFor(photo, choice, brush, size) {
  if (!photo || !choice.styles.length) return null;
  // What this browser can't read it can't reduce either: no previews of it.
  if (size === "preview" && !photo.bitmap) return null;
  const full = Math.min(choice.size, photo.longSide);
  const side = size === "preview" ? Math.min(PREVIEW_SIDE, full) : full;
  const masked = choice.styles.length > 1 && brush.painted;
  const [content, masks] = await Promise.all([photo.for(side), masked ? brush.masks(choice.styles.length) : []]);
  return {
    content,
    styles: choice.styles.map(({ id, picture }, index) => ({
      id,
      picture,
      weight: choice.styles.length > 1 && !masked ? choice.weights[index] : undefined,
      mask: masks[index],
    })),
    strength: choice.strength,
    size: photo.bitmap ? side : choice.size,
    // Strokes are as large beside the preview as beside the full picture.
    style_size: Math.max(LEAST_STYLE_SIDE, Math.round((choice.style_size * side) / full)) || choice.style_size,
    preserve_color: choice.preserve_color,
  };
}
