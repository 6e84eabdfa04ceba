/** The page: lines up its parts. */

import { Impasto } from "./api.js";
import { Brush } from "./brush.js";
import { Controls } from "./controls.js";
import { codeDialog, copy, largeForm, saveDialog } from "./dialogs.js";
import { Gallery } from "./gallery.js";
import { Jobs } from "./jobs.js";
import { KeptDialog } from "./kept.js";
import { linkTo, readLink } from "./link.js";
import { remember, remembered } from "./memory.js";
import { Pad, shares } from "./pad.js";
import { Photo, thumbnail } from "./photo.js";
import { Player } from "./play.js";
import { Regions } from "./regions.js";
import { Runner } from "./runner.js";
import { STROKES, Store } from "./store.js";
import { Timeline } from "./timeline.js";
import { Trouble } from "./trouble.js";
import { Viewer } from "./viewer.js";
import { wishFor } from "./wish.js";
import { speak, spoken, word } from "./words.js";

const STYLES_SECONDS = 4;
const parts = Object.fromEntries([...document.querySelectorAll("[id]")].map((element) => [element.id, element]));

speak(remembered("language") || navigator.language);

const impasto = new Impasto(document.baseURI.replace(/[?#].*$/, ""), {
  key: remembered("key", "sessionStorage") ?? undefined,
  retries: 0, // the visitor is told, and sees the seconds go
});
const store = new Store();
const viewer = new Viewer(parts);
const brush = new Brush(parts.paint, viewer, () => repainted(false));
const regions = new Regions(parts, store, viewer, brush, repainted);
const trouble = new Trouble(parts, {
  onKey(key) {
    impasto.key = key;
    remember("key", key, "sessionStorage");
    runner.again();
  },
  onAgain: () => runner.again(),
});
const gallery = new Gallery(parts.gallery, store, () => say(word("mixMost")));
const pad = new Pad(parts.pad, (point, moving) =>
  store.choose({ point, weights: shares(store.choice.styles.length, point) }, moving));
const controls = new Controls(parts.controls, store);
const timeline = new Timeline(parts, store, {
  onMoment: (seconds) => setPhoto(store.photo.video, store.photo.name, seconds),
  onShow({ time, ...changes }) {
    setMixing(changes.styles.length > 1);
    store.choose(changes);
  },
});
const keptDialog = new KeptDialog(parts, open, compare);
const runner = new Runner(async (size) => {
  const wish = await wishFor(store.photo, store.choice, brush, size);
  return wish && { run: (signal) => paint(wish, signal) };
});

/** The newest full picture, and what it was made of. */
let full = null;
let shown = null;
let fileFor = "photo";

function say(text) {
  parts.status.textContent = text;
}

async function paint(wish, signal) {
  const since = performance.now();
  const { styles } = store.choice;
  const result = await impasto.stylize(wish, { signal });
  styles.forEach((style, index) => (style.id = result.styleIds[index]));
  return { wish, picture: result.picture, choice: store.choice, photo: store.photo, seconds: (performance.now() - since) / 1000 };
}

// Photos

let newestPhoto = 0;

async function setPhoto(file, name, seconds = 0) {
  const number = (newestPhoto += 1);
  const photo = await Photo.read(file, name, seconds);
  if (number !== newestPhoto) return photo.close();
  if (!photo.bitmap && file.type.startsWith("video/")) return say(word("notPicture", { name: photo.name }));
  store.setPhoto(photo);
}

store.addEventListener("photo", ({ detail: last }) => {
  const { photo } = store;
  const sameVideo = photo.video && photo.video === last?.video;
  // A dialog that is open goes on with what it was opened for.
  if (!sameVideo) full = null;
  // What has the focus is about to go: whoever uses the keyboard goes on with the styles.
  if (parts.start.contains(document.activeElement)) parts.styles.focus({ preventScroll: true });
  parts.start.hidden = true;
  parts.viewer.hidden = false;
  trouble.hide();
  parts.keep.disabled = parts["open-save"].disabled = true;
  viewer.showPhoto(photo.address, photo.width, photo.height);
  // What is painted on one frame of a video stays for the others.
  if (!sameVideo) brush.fit(photo.width, photo.height);
  say(word(photo.video ? "pickStyleVideo" : photo.bitmap ? "pickStyle" : "noBefore"));
  runner.change(false);
});

for (const button of parts.samples.children) {
  const address = button.firstElementChild.src;
  button.addEventListener("click", async () => setPhoto(await (await fetch(address)).blob(), address.split("/").pop()));
}

function pickFile(what, camera = false) {
  fileFor = what;
  parts.file.multiple = what === "style";
  if (camera) parts.file.setAttribute("capture", "environment");
  else parts.file.removeAttribute("capture");
  parts.file.value = "";
  parts.file.click();
}

parts.pick.addEventListener("click", () => pickFile("photo"));
parts["new-photo"].addEventListener("click", () => pickFile("photo"));
parts["add-style"].addEventListener("click", () => pickFile("style"));
parts.camera.addEventListener("click", () => pickFile("photo", true));
parts.file.addEventListener("change", () => take([...parts.file.files], fileFor));

async function take(files, what) {
  if (what === "photo" && files.length) await setPhoto(files[0]);
  if (what === "style") for (const file of files) await addStyle(file);
}

addEventListener("paste", (event) => {
  const files = [...event.clipboardData.files];
  if (files.length) take(files, "photo");
});
addEventListener("dragover", (event) => {
  event.preventDefault();
  parts.drop.hidden = ![...event.dataTransfer.types].includes("Files");
});
addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) parts.drop.hidden = true;
});
addEventListener("drop", (event) => {
  event.preventDefault();
  parts.drop.hidden = true;
  const right = store.photo && event.clientX > innerWidth / 2;
  take([...event.dataTransfer.files], right ? "style" : "photo");
});

// Styles

async function addStyle(file, name = file.name?.replace(/\.[^.]*$/, "") || word("yourStyle")) {
  const small = await thumbnail(file);
  const style = { key: crypto.randomUUID?.() ?? String(Math.random()), name, picture: file, thumbnail: small && URL.createObjectURL(small) };
  store.setGallery([style, ...store.gallery]);
  gallery.choose(style);
}

async function readyStyles() {
  for (;;) {
    try {
      const ready = await impasto.styles();
      trouble.hide();
      return ready;
    } catch (error) {
      await trouble.show(error, STYLES_SECONDS);
      await new Promise((resolve) => setTimeout(resolve, 1000 * STYLES_SECONDS));
    }
  }
}

async function loadStyles() {
  const ready = await readyStyles();
  store.setGallery([...store.gallery, ...ready.map((style) => ({ ...style, key: style.id, picture: undefined }))]);
  const { ids, changes } = readLink();
  const styles = (await Promise.all(ids.slice(0, 4).map(linkedStyle))).filter(Boolean);
  if (styles.length < ids.length) say(word("styleGone"));
  if (styles.length > 1) setMixing(true);
  const point = changes.point ?? store.choice.point;
  if (ids.length || Object.keys(changes).length)
    store.choose({ ...changes, styles, point, weights: shares(styles.length, point) });
}

async function linkedStyle(id) {
  const known = store.gallery.find((style) => style.id === id);
  if (known) return known;
  const answer = await fetch(new URL(`styles/${id}`, impasto.address)).catch(() => null);
  if (!answer?.ok) return null;
  const style = { key: id, id, name: word("sharedStyle"), thumbnail: null };
  store.setGallery([style, ...store.gallery]);
  return style;
}

function setMixing(on) {
  parts.mixing.checked = gallery.mixing = on;
  parts["mix-hint"].hidden = !on;
  if (!on && store.choice.styles.length > 1) gallery.choose(store.choice.styles[0]);
}

parts.mixing.addEventListener("change", () => setMixing(parts.mixing.checked));

store.addEventListener("choice", ({ detail }) => {
  const { styles, point } = store.choice;
  parts.mix.hidden = styles.length < 2 || brush.painted;
  if (styles.length > 1) pad.show(styles, point, word("pad"));
  if (detail.changes.styles) regions.draw();
  parts.painting.disabled = styles.length < 2;
  parts.painting.title = styles.length < 2 ? word("paintNeeds") : "";
  runner.change(detail.moving);
});

/** Where regions are painted they say which style acts, and the pad does no more. */
function repainted(moving) {
  parts.mix.hidden = store.choice.styles.length < 2 || brush.painted;
  runner.change(moving);
}

// Results and trouble

runner.addEventListener("busy", () => {
  if (!store.photo || !store.choice.styles.length) return;
  parts.stage.setAttribute("aria-busy", "true");
  say(word("painting"));
});
runner.addEventListener("idle", () => parts.stage.removeAttribute("aria-busy"));
runner.addEventListener("result", async ({ detail: { size, result, asked } }) => {
  if (result.photo !== store.photo) return;
  trouble.hide();
  const address = URL.createObjectURL(result.picture);
  if (!(await viewer.showResult(address, !store.photo.bitmap))) return URL.revokeObjectURL(address);
  if (shown) URL.revokeObjectURL(shown);
  shown = address;
  parts.after.dataset.size = size;
  if (size !== "full" || asked !== runner.newest) return;
  const { naturalWidth: w, naturalHeight: h } = parts.after;
  full = { ...result, w, h };
  parts.keep.disabled = parts["open-save"].disabled = false;
  say(word("painted", { s: result.seconds.toFixed(1), w, h }));
});
runner.addEventListener("trouble", ({ detail }) => {
  say("");
  trouble.show(detail.error, detail.seconds);
});

// Keep, download, share

parts.keep.addEventListener("click", async () => {
  const { picture, choice, photo, wish } = full;
  const styles = choice.styles.map(({ id, name, credit, picture: own }) => ({ id, name, credit, picture: own }));
  try {
    await keptDialog.add({
      when: Date.now(), picture, thumbnail: await thumbnail(picture), photo: wish.content, photoName: photo.name,
      choice: { ...choice, styles },
    });
    say(word("keptNow"));
  } catch {
    say(word("noKeep"));
  }
});

async function open(kept) {
  const styles = [];
  for (const style of kept.choice.styles) {
    const known = store.gallery.find((other) => other.id && other.id === style.id);
    if (known) styles.push(known);
    else {
      const small = style.picture && (await thumbnail(style.picture));
      styles.push({ ...style, key: style.id ?? String(Math.random()), thumbnail: small && URL.createObjectURL(small) });
      store.setGallery([styles.at(-1), ...store.gallery]);
    }
  }
  setMixing(styles.length > 1);
  await setPhoto(kept.photo, kept.photoName);
  store.choose({ ...kept.choice, styles });
}

/** What was kept on the left of the line, in the photo's place, and what is painted now on the right. */
async function compare(kept) {
  const picture = await createImageBitmap(kept.picture);
  const shape = picture.width / picture.height;
  picture.close();
  if (!full || Math.abs(shape / (full.w / full.h) - 1) > 0.02) return say(word("compareShape"));
  viewer.showBefore(URL.createObjectURL(kept.picture));
  say(word("comparing"));
}

parts["open-save"].addEventListener("click", () => {
  const { length } = timeline.keyframes;
  parts["large-video"].hidden = !full.photo.video;
  parts["large-video"].textContent = length > 1 ? word("wholeVideoKeyframes", { n: length }) : word("wholeVideo");
  parts["large-size"].hidden = Boolean(full.photo.video);
});
saveDialog(
  parts,
  async (format) => {
    if (full.picture.type === `image/${format}`) return { picture: full.picture, name: full.photo.name };
    const { picture } = await impasto.stylize({ ...full.wish, format });
    return { picture, name: full.photo.name };
  },
  () => `${full.w} × ${full.h}, ${Math.ceil(full.picture.size / 1000)} kB`,
);
const jobs = new Jobs(parts.jobs, impasto, new Player(parts));
largeForm(parts, async (size) => {
  const { photo, wish } = full;
  if (photo.video) return jobs.begin({ ...wish, content: photo.video, ...timeline.wish() }, photo.name);
  // Strokes grow with the picture as far as styles are read.
  const style_size = Math.min(STROKES.at(-1), Math.round((wish.style_size * size) / wish.size));
  return jobs.begin({ ...wish, content: photo.file, size, style_size }, photo.name);
});
codeDialog(parts, () => [store.choice, brush.painted], impasto.address.href, () => say(word("copied")));
parts.share.addEventListener("click", async () => {
  const address = linkTo(store.choice);
  history.replaceState(null, "", address);
  await copy(address);
  say(word(store.choice.styles.some((style) => !style.id) ? "linkOwn" : "linkCopied"));
});

// The rest of the page

parts["zoom-in"].addEventListener("click", () => viewer.zoomBy(1.5));
parts["zoom-out"].addEventListener("click", () => viewer.zoomBy(1 / 1.5));
parts["zoom-reset"].addEventListener("click", () => viewer.fit());

function setLanguage(name) {
  remember("language", name);
  speak(name);
  showLanguage();
  controls.translate();
  gallery.draw();
  regions.draw();
  timeline.draw();
  jobs.draw();
}

function showLanguage() {
  parts.language.textContent = spoken() === "zh" ? "English" : "中文";
  parts.language.lang = spoken() === "zh" ? "en" : "zh";
}

parts.language.addEventListener("click", () => setLanguage(spoken() === "zh" ? "en" : "zh"));
parts.theme.addEventListener("click", () => {
  const dark = document.documentElement.dataset.theme
    ? document.documentElement.dataset.theme === "dark"
    : matchMedia("(prefers-color-scheme: dark)").matches;
  const theme = dark ? "light" : "dark";
  remember("theme", theme);
  document.documentElement.dataset.theme = theme;
});
showLanguage();
loadStyles();
