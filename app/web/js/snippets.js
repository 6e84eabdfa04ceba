/** What is on the screen, as a request to the API in the visitor's language. */

/** @param {import("./store.js").Choice} choice */
function fields({ styles, weights, strength, style_size, preserve_color, size }, masked) {
  const list = styles.map((style, index) => (style.id ? ["style_id", style.id] : ["style", `style${index + 1}.jpg`]));
  list.sort(([a], [b]) => (a > b) - (a < b)); // uploads come first
  if (styles.length > 1 && !masked) for (const weight of weights) list.push(["weight", weight]);
  if (masked) styles.forEach((_, index) => list.push(["mask", `mask${index + 1}.png`]));
  if (strength !== 1) list.push(["strength", strength]);
  if (style_size !== 512) list.push(["style_size", style_size]);
  if (preserve_color !== "none") list.push(["preserve_color", preserve_color]);
  list.push(["size", size]);
  return list;
}

const isFile = (name) => name === "style" || name === "mask";

function curl(list, address) {
  const parts = [["content", "photo.jpg"], ...list].map(([name, value]) =>
    `  -F ${name}=${name === "content" || isFile(name) ? "@" : ""}${value} \\`);
  return ["curl \\", ...parts, `  ${address}stylize -o result.jpg`].join("\n");
}

function javascript(list, address) {
  const lines = list.map(([name, value]) =>
    isFile(name) ? `form.append("${name}", ${name}Input.files[0]);  // ${value}` : `form.append("${name}", "${value}");`);
  return `const form = new FormData();
form.append("content", photoInput.files[0]);
${lines.join("\n")}
const answer = await fetch("${address}stylize", { method: "POST", body: form });
if (!answer.ok) throw new Error((await answer.json()).detail);
img.src = URL.createObjectURL(await answer.blob());`;
}

function python(list, address) {
  const files = [["content", "photo.jpg"], ...list.filter(([name]) => isFile(name))];
  const data = new Map();
  for (const [name, value] of list) if (!isFile(name)) data.set(name, [...(data.get(name) || []), String(value)]);
  const texts = [...data].map(([name, values]) => `"${name}": ${JSON.stringify(values.length > 1 ? values : values[0])}`);
  return `import httpx

files = [${files.map(([name, value]) => `("${name}", open("${value}", "rb"))`).join(", ")}]
data = {${texts.join(", ")}}
answer = httpx.post("${address}stylize", files=files, data=data, timeout=60)
if answer.is_error:
    raise SystemExit(answer.json()["detail"])
with open("result.jpg", "wb") as result:
    result.write(answer.content)`;
}

/** @returns {Record<string, string>} by the name of the language */
export function snippets(choice, masked, address) {
  const list = fields(choice, masked);
  return { curl: curl(list, address), JavaScript: javascript(list, address), Python: python(list, address) };
}
