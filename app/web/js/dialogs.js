/** The dialogs beside the picture: download, code, and the key that a service may want. */

import { save } from "./save.js";
import { word } from "./words.js";
import { snippets } from "./snippets.js";

/** @param {Record<string, HTMLElement>} parts @param {(format: string) => Promise<{picture: Blob, name: string}>} inFormat */
export function saveDialog(parts, inFormat, describe) {
  parts["open-save"].addEventListener("click", () => {
    parts["save-size"].textContent = describe();
    parts.save.showModal();
  });
  for (const button of parts.save.querySelectorAll("[data-format]"))
    button.addEventListener("click", async () => {
      button.disabled = true;
      try {
        const { picture, name } = await inFormat(button.dataset.format);
        save(picture, name);
        parts.save.close();
      } finally {
        button.disabled = false;
      }
    });
}

/** The form beside the download. @param {Record<string, HTMLElement>} parts @param {(size: number) => Promise<void>} begin */
export function largeForm(parts, begin) {
  const button = parts.large.querySelector("button");
  parts["open-save"].addEventListener("click", () => (parts["large-hint"].textContent = word("largeHint")));
  parts.large.addEventListener("submit", async (event) => {
    event.preventDefault();
    button.disabled = true;
    try {
      await begin(Number(parts.large.elements.size.value));
      parts.save.close();
    } catch (error) {
      parts["large-hint"].textContent = error.errors?.[0]?.detail ?? error.message;
    } finally {
      button.disabled = false;
    }
  });
}

/** @param {Record<string, HTMLElement>} parts @param {() => [import("./store.js").Choice, boolean]} current @param {string} address */
export function codeDialog(parts, current, address, onCopied) {
  let language = "curl";
  const draw = () => {
    const all = snippets(...current(), address);
    parts["code-text"].textContent = all[language];
    const tabs = Object.keys(all).map((name) => {
      const tab = document.createElement("button");
      tab.type = "button";
      tab.setAttribute("role", "tab");
      tab.setAttribute("aria-controls", "code-panel");
      tab.setAttribute("aria-selected", String(name === language));
      tab.textContent = name;
      tab.addEventListener("click", () => {
        language = name;
        draw();
        parts["code-tabs"].querySelector('[aria-selected="true"]').focus();
      });
      return tab;
    });
    parts["code-tabs"].replaceChildren(...tabs);
  };
  parts["open-code"].addEventListener("click", () => {
    draw();
    parts.code.showModal();
  });
  parts["copy-code"].addEventListener("click", async () => {
    await copy(parts["code-text"].textContent);
    onCopied();
  });
}

/** Ask for a key. @returns {Promise<string|null>} */
export function askKey(parts) {
  parts.key.value = "";
  parts["ask-key"].returnValue = "";
  parts["ask-key"].showModal();
  return new Promise((resolve) =>
    parts["ask-key"].addEventListener("close", () =>
      resolve(parts["ask-key"].returnValue === "ok" ? parts.key.value.trim() : null), { once: true }));
}

/** Onto the clipboard, also where the page is not served over https. */
export async function copy(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const area = document.createElement("textarea");
  area.value = text;
  (document.querySelector("dialog[open]") || document.body).append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
}
