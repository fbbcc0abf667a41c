// The packed data of the page. The list is unpacked at once; a chunk of transcripts when one of its samples is opened
// or searched. Every text of a sample reaches the page as the text of a node, never as markup.

const byId = (id) => document.getElementById(id);
const KEPT_CHUNKS = 6;
const parsed = new Promise((resolve) => {
  if (document.readyState !== "loading") resolve();
  else document.addEventListener("DOMContentLoaded", () => resolve(), { once: true });
});

async function unpack(base64) {
  const binary = atob(base64.trim());
  const bytes = new Uint8Array(binary.length);
  for (let at = 0; at < binary.length; at++) bytes[at] = binary.charCodeAt(at);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return await new Response(stream).text();
}

const chunks = new Map(); // The chunks that were used last, each as a promise of its lines.

function linesOf(number) {
  let lines = chunks.get(number);
  if (lines) chunks.delete(number);
  else {
    lines = parsed.then(() => unpack(byId("chunk-" + number).textContent)).then((text) => text.split("\n"));
    if (chunks.size >= KEPT_CHUNKS) chunks.delete(chunks.keys().next().value);
  }
  chunks.set(number, lines);
  return lines;
}

// Makes an element: its class, its children (texts and nodes), its attributes.
function make(tag, name, children = [], attributes = {}) {
  const node = document.createElement(tag);
  if (name) node.className = name;
  for (const child of [].concat(children)) if (child !== null && child !== undefined) node.append(child);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  return node;
}

const spoken = (name) => name.replaceAll("_", " ");
const LABELS = { failed: "failed", unscored: "not scored", wrong: "wrong", passing: "right" };

function seconds(value) {
  if (value < 9.95) return (value < 1 ? Number(value.toPrecision(2)) : value.toFixed(1)) + " s";
  if (value < 59.5) return Math.round(value) + " s";
  const whole = Math.round(value);
  return whole < 3600 ? `${Math.floor(whole / 60)} min ${whole % 60} s` : `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}
const dollars = (value) => "$" + value.toFixed(value >= 0.1 || value === 0 ? 2 : value >= 0.001 ? 4 : 6);
const figure = (value) => value.toLocaleString("en", { maximumFractionDigits: 3 });
