/** What this browser remembers of the visitor. One that allows no storage forgets at once, and nothing else breaks. */

/** @param {"localStorage"|"sessionStorage"} where until when: for ever, or until the tab is closed @returns {string|null} */
export function remembered(name, where = "localStorage") {
  try {
    return globalThis[where].getItem(name);
  } catch {
    return null;
  }
}

export function remember(name, value, where = "localStorage") {
  try {
    globalThis[where].setItem(name, value);
  } catch {
    // Then not.
  }
}
