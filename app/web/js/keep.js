/** Results kept in this browser (IndexedDB), each with its settings. */

const NAME = "impasto";
const MOST = 100;

/** @typedef {{id?: number, when: number, picture: Blob, thumbnail: Blob, photo: Blob, photoName: string, choice: object}} Kept */

function promised(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

async function store(mode) {
  const opening = indexedDB.open(NAME, 1);
  opening.onupgradeneeded = () => opening.result.createObjectStore("kept", { keyPath: "id", autoIncrement: true });
  const database = await promised(opening);
  return database.transaction("kept", mode).objectStore("kept");
}

/** @param {Kept} kept */
export async function keep(kept) {
  const kept_ = await store("readwrite");
  await promised(kept_.add(kept));
  const keys = await promised(kept_.getAllKeys());
  for (const key of keys.slice(0, Math.max(0, keys.length - MOST))) kept_.delete(key);
}

/** Newest first. @returns {Promise<Kept[]>} */
export async function allKept() {
  return (await promised((await store("readonly")).getAll())).reverse();
}

export async function countKept() {
  return promised((await store("readonly")).count());
}

export async function forget(id) {
  return promised((await store("readwrite")).delete(id));
}
