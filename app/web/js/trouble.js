/** What went wrong, in the service's words where it has some, and what can be done about it. */

import { ImpastoProblem, Unreachable } from "./api.js";
import { askKey } from "./dialogs.js";
import { word } from "./words.js";

export class Trouble {
  /** @param {Record<string, HTMLElement>} parts @param {{onKey: (key: string) => void, onAgain: () => void}} actions */
  constructor(parts, { onKey, onAgain }) {
    Object.assign(this, { parts, onKey, onAgain });
  }

  hide() {
    this.parts.trouble.hidden = true;
  }

  /** @param {Error} error @param {number} [seconds] after which it is tried again by itself */
  async show(error, seconds) {
    if (error instanceof ImpastoProblem && error.status === 401) {
      const key = await askKey(this.parts);
      if (key) return this.onKey(key);
    }
    const text = document.createElement("p");
    text.textContent = tell(error, seconds);
    this.parts.trouble.replaceChildren(text, ...(futile(error) ? [] : [this.#again()]));
    this.parts.trouble.hidden = false;
  }

  #again() {
    const again = document.createElement("button");
    again.type = "button";
    again.textContent = word("again");
    again.addEventListener("click", () => {
      this.hide();
      this.onAgain();
    });
    return again;
  }
}

function tell(error, seconds) {
  const offline = error instanceof Unreachable;
  if (seconds) return word(offline ? "offline" : "busy", { n: seconds });
  if (offline) return word("offlineNow");
  // What is wrong with a field says what to do as well; else the remedy does.
  const details = error.errors?.map(({ detail }) => detail).join(" ");
  return details || [error.message, error.remedy].filter(Boolean).join(" ");
}

/** Whether the same again would end the same. */
function futile(error) {
  return error instanceof ImpastoProblem && error.status < 500 && ![401, 429].includes(error.status);
}
