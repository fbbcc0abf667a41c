// One sample: what was asked and answered, its scores, and every message, tool calls and thinking folded.

const detail = byId("detail"), explorer = byId("explorer");
const PICTURES = new Set(["image/png", "image/jpeg", "image/gif", "image/webp"]);
let opened = -1, unfolded = false;

const linkOf = (row) => `#sample/${encodeURIComponent(data.id[row])}/${data.epoch[row]}`;

async function openSample(row, { focus = false, quiet = false } = {}) {
  opened = row;
  explorer.classList.add("reading");
  document.body.classList.toggle("reading", narrow());
  if (!quiet) history.replaceState(null, "", linkOf(row));
  let record = null, trouble = "";
  if (data.chunk[row] >= 0) {
    try {
      record = JSON.parse((await linesOf(data.chunk[row]))[data.line[row]]);
    } catch (error) {
      trouble = "The transcript cannot be unpacked: the file is not whole, or this browser is too old for it.";
    }
    if (opened !== row) return; // Another one was opened meanwhile.
  }
  detail.replaceChildren(headOf(row), ...(record ? bodyOf(record) : briefOf(row, trouble)));
  detail.scrollTop = 0;
  if (focus || narrow()) detail.querySelector("h3").focus({ preventScroll: true });
}

function closeSample() {
  opened = -1;
  explorer.classList.remove("reading");
  document.body.classList.remove("reading");
  detail.replaceChildren(make("p", "empty", ["Choose a sample to read its transcript."]));
  history.replaceState(null, "", location.pathname + location.search + "#samples");
  list.focus({ preventScroll: true });
}

const narrow = () => matchMedia("(max-width: 980px)").matches;

function headOf(row) {
  const button = (name, text, label, act) => {
    const node = make("button", name, [text], { type: "button", "aria-label": label, title: label });
    node.addEventListener("click", act);
    return node;
  };
  const copy = button("copy", "Copy link", "Copy the link to this sample", async () => {
    const link = location.href.split("#")[0] + linkOf(row);
    try { await navigator.clipboard.writeText(link); copy.textContent = "Copied"; } catch { prompt("The link to this sample", link); }
  });
  return make("header", "detail-head", [
    button("back", "‹ List", "Back to the list", closeSample),
    make("h3", "", [...marked(data.id[row]), data.epochs > 1 ? make("small", "", ["epoch " + data.epoch[row]]) : null], { tabindex: "-1" }),
    copy,
    button("", "↑", "Previous sample", () => move(-1)),
    button("", "↓", "Next sample", () => move(1)),
  ]);
}

function move(step) {
  const row = neighbour(step);
  if (row < 0) return;
  select(row);
  if (!narrow() || opened >= 0) openSample(row);
}

// What the list knows of a sample whose transcript is not in this file.
function briefOf(row, trouble) {
  const scores = Object.entries(data.scores).map(([name, values]) => [name, values[row]]).filter(([, value]) => value !== null);
  return [
    verdictOf(scores, { outcome: data.outcome[row], seconds: data.seconds[row], tokens: data.tokens[row], cost: data.cost[row] }),
    make("p", "error", [trouble || "This transcript was left out to keep the file small. It is in the results file of the run; a report made with a higher --passing or --megabytes holds more."]),
    asked([["Input", data.input[row]], ["Answer", data.answer[row]]]),
  ];
}

function bodyOf(record) {
  const row = opened, usage = record.usage, scores = Object.entries(record.scores ?? {});
  const parts = [
    verdictOf(scores.map(([name, score]) => [name, score.value ?? null]), {
      outcome: data.outcome[row], limit: record.limit, seconds: record.seconds, first: record.first_token,
      tokens: usage ? usage[0] + usage[2] : null, cost: record.cost, attempts: record.attempts,
    }),
  ];
  if (record.error) parts.push(make("p", "error", [`${record.error.boundary}, ${spoken(record.error.kind)}${record.error.status ? " (" + record.error.status + ")" : ""}: `, ...marked(record.error.message)]));
  parts.push(asked([["Input", record.input], ...(record.turns ?? []).map((turn, place) => [`Turn ${place + 2}`, turn]),
    ["Choices", (record.choices ?? []).map((choice, place) => `${String.fromCharCode(65 + (place % 26))}. ${choice}`).join("\n")],
    ["Target", plain(record.target)], ["Answer", record.answer]]));
  if (scores.length) parts.push(scoresOf(scores));
  parts.push(make("h4", "", ["Transcript"]));
  if (record.transcript) parts.push(...threadOf(record.transcript));
  else parts.push(make("p", "elsewhere", ["There is none: the session could not be read when the sample ended."]));
  if (record.metadata) parts.push(fold("Metadata", "", [make("pre", "", marked(JSON.stringify(record.metadata, null, 2)))]));
  if (record.session) parts.push(make("h4", "", ["Session"]), make("p", "elsewhere", marked(record.session)));
  return parts;
}

function verdictOf(scores, what) {
  const item = (name, value) => make("span", "", [name ? name + " " : "", make("b", "", [value])]);
  return make("div", "verdict", [
    item("", spoken(what.outcome) + (what.limit ? ": " + spoken(what.limit) : "")),
    ...scores.map(([name, value]) => item(name, value === null ? "failed" : figure(value))),
    item("took", seconds(what.seconds)),
    what.first ? item("first token", seconds(what.first)) : null,
    what.tokens ? item("tokens", figure(what.tokens)) : null,
    what.cost !== null && what.cost !== undefined ? item("cost", dollars(what.cost)) : null,
    what.attempts > 1 ? item("attempts", String(what.attempts)) : null,
  ]);
}

function asked(entries) {
  const nodes = entries.filter(([, text]) => text !== null && text !== undefined && text !== "");
  return make("dl", "asked", nodes.flatMap(([name, text]) => [make("dt", "", [name]), make("dd", "", marked(text), { tabindex: text.length > 600 ? 0 : -1 })]));
}

const plain = (value) => (typeof value === "string" || value === undefined ? value : JSON.stringify(value, null, 1));

function scoresOf(scores) {
  const rows = scores.map(([name, score]) => make("tr", "", [
    make("th", "", [name], { scope: "row" }),
    make("td", "number", [score.error ? "failed" : figure(score.value ?? NaN)]),
    make("td", "", marked([score.error, score.explanation, score.answer && !score.explanation ? "read: " + score.answer : null].filter(Boolean).join("\n"))),
  ]));
  const head = make("tr", "", ["Scorer", "Value", "Why"].map((name, place) => make("th", place === 1 ? "number" : "", [name], { scope: "col" })));
  return make("table", "", [make("caption", "hidden", ["Scores of this sample"]), make("thead", "", [head]), make("tbody", "", rows)]);
}

// The messages, each call with its result, wherever that came.
function threadOf(messages) {
  const results = new Map();
  for (const message of messages) for (const block of message.blocks) if (block.kind === "result") results.set(block.id, block);
  const calls = new Set(messages.flatMap((message) => message.blocks).filter((block) => block.kind === "call").map((block) => block.id));
  const nodes = [];
  for (const message of messages) {
    const blocks = message.blocks.filter((block) => block.kind !== "result" || !calls.has(block.id)).map((block) => blockOf(block, results));
    if (message.error) blocks.push(make("p", "error", marked(message.error)));
    if (blocks.length) nodes.push(make("section", "message", [messageHead(message), make("div", "", blocks)]));
  }
  return nodes;
}

function messageHead(message) {
  const name = message.marker === "summary" ? "Summary" : message.role === "assistant" ? "Assistant" : "User";
  const facts = [message.usage ? figure(message.usage[2]) + " tokens" : null, message.finish && message.finish !== "end_turn" && message.finish !== "tool_use" ? spoken(message.finish) : null];
  return make("header", "", [make("b", "", [name]), facts.filter(Boolean).join(", ")], { title: message.model ?? "" });
}

function blockOf(block, results) {
  switch (block.kind) {
    case "text": return textOf(block.text);
    case "thinking":
      if (!block.text) return make("p", "elsewhere", [block.redacted ? "Thinking that the provider keeps to itself." : "Thinking, without a text."]);
      return fold("Thinking", `${figure(block.text.split(/\s+/).length)} words`, [make("div", "text thought", marked(block.text))]);
    case "call": return callOf(block, results.get(block.id));
    case "result": return fold("Result", "", resultOf(block), block.failed ? "failed" : "");
    case "image": return pictureOf(block);
    default: return make("p", "elsewhere", ["A block that this page does not know."]);
  }
}

function callOf(block, result) {
  const input = block.raw ?? JSON.stringify(block.input, null, 2);
  const state = block.error ? "not understood" : !result ? "no result" : result.failed ? "failed" : "";
  const inside = [make("h5", "", ["Input"]), make("pre", "", marked(input))];
  if (block.error) inside.push(make("p", "error", marked(block.error)));
  if (result) inside.push(make("h5", "", ["Result"]), ...resultOf(result));
  return fold(block.name, block.raw ?? JSON.stringify(block.input), inside, state, "");
}

const resultOf = (result) => result.blocks.map((block) => (block.kind === "text" ? make("pre", "", marked(block.text)) : blockOf(block, new Map())));

// A part that is folded until it is wanted, or until a search finds something in it. A tool's name is set as code.
function fold(name, brief, inside, state = "", style = "plain") {
  const summary = make("summary", "", [make("b", style, [name]), make("span", "", [brief.slice(0, 300)]), state ? make("em", "failed", [state]) : null]);
  const node = make("details", "fold", [summary, make("div", "", inside)]);
  node.open = unfolded || (search.words.length > 0 && node.querySelector("mark") !== null);
  return node;
}

// Only what is in the file is drawn; an address is told, and nothing is asked of it.
function pictureOf(block) {
  if (block.data && PICTURES.has(block.type) && /^[A-Za-z0-9+/=\s]*$/.test(block.data))
    return make("img", "", [], { src: `data:${block.type};base64,${block.data}`, alt: "Image of the conversation", loading: "lazy" });
  return make("p", "elsewhere", [block.url ? "Image at " + block.url + " (not part of this file)" : `Image (${block.type || "of an unknown type"}), not shown`]);
}

// A text as it is, but for code between fences, which is set as code.
function textOf(text) {
  const node = make("div", "text");
  text.split(/^```[^\n`]*\n([^]*?)^```[ \t]*$\n?/m).forEach((part, place) => {
    if (place % 2) node.append(make("code", "", marked(part.replace(/\n$/, ""))));
    else if (part.trim()) node.append(...marked(part.replace(/^\n+|\n+$/g, "")));
  });
  return node;
}

// The text, with what was searched for marked.
function marked(text) {
  const string = String(text ?? "");
  if (!search.words.length) return [string];
  const pattern = search.words.map((word) => word.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")).join("|");
  return string.split(new RegExp(`(${pattern})`, "gi")).map((part, place) => (place % 2 ? make("mark", "", [part]) : part));
}
