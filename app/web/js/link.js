/** A link that carries the settings: style ids and sliders, not the photo. */

import { FIRST } from "./store.js";

/** @param {import("./store.js").Choice} choice @returns {string} an address */
export function linkTo(choice) {
  const words = new URLSearchParams();
  const ids = choice.styles.map((style) => style.id).filter(Boolean);
  if (ids.length) words.set("style", ids.join(","));
  if (ids.length > 1) words.set("point", [choice.point.x, choice.point.y].map((part) => part.toFixed(3)).join(","));
  for (const name of Object.keys(FIRST)) if (choice[name] !== FIRST[name]) words.set(name, choice[name]);
  const address = new URL(location.href);
  address.hash = words.toString();
  return address.href;
}

/** What a link asks for. @returns {{ids: string[], changes: Partial<import("./store.js").Choice>}} */
export function readLink(hash = location.hash) {
  const words = new URLSearchParams(hash.replace(/^#/, ""));
  const changes = {};
  for (const [name, first] of Object.entries(FIRST)) {
    const text = words.get(name);
    if (text === null) continue;
    const value = typeof first === "number" ? Number(text) : text;
    if (typeof first === "number" ? Number.isFinite(value) && value >= 0 : ["none", "match", "luminance"].includes(value))
      changes[name] = value;
  }
  const [x, y] = (words.get("point") || "").split(",").map(Number);
  if (x >= 0 && x <= 1 && y >= 0 && y <= 1) changes.point = { x, y };
  const ids = (words.get("style") || "").split(",").filter((id) => /^[0-9a-f]{32}$/.test(id));
  return { ids, changes };
}
