// The list of samples: filters, order, search, and as many rows in the page as fit on the screen.

const ROW = 62; // As in the style sheet.
const list = byId("list"), count = byId("count"), query = byId("query");
const choices = { result: byId("by-result"), score: byId("by-score"), group: byId("by-group"), order: byId("order") };
let data, size = 0, shown = [], selected = -1; // `shown` holds rows of the data; `selected` is one of them, or -1.
let haystacks = [];
let search = { words: [], hits: null, run: 0 };
const space = make("div", "", [], { role: "presentation" });
list.append(space);

const filters = {
  standing: (value) => (row) => data.standing[row] === value,
  outcome: (value) => (row) => data.outcome[row] === value,
  kind: (value) => (row) => data.kind[row] === value,
  group: (value) => {
    const [field, name] = JSON.parse(value);
    return (row) => data.groups[field][row].includes(name);
  },
  // A scorer between 0 and 1 is right, wrong or between; of another the lowest and highest quarter are of interest.
  score: (value) => {
    const [name, what] = JSON.parse(value), values = data.scores[name];
    if (what === "failed") { const failed = new Set(data.unscored[name]); return (row) => failed.has(row); }
    if (what === "right") return (row) => values[row] !== null && values[row] >= 1;
    if (what === "wrong") return (row) => values[row] !== null && values[row] <= 0;
    if (what === "between") return (row) => values[row] !== null && values[row] > 0 && values[row] < 1;
    const [low, high] = quarters(values);
    return what === "low" ? (row) => values[row] !== null && values[row] <= low : (row) => values[row] !== null && values[row] >= high;
  },
};

function quarters(values) {
  const sorted = values.filter((value) => value !== null).sort((one, other) => one - other);
  return [sorted[Math.floor((sorted.length - 1) / 4)], sorted[Math.ceil(((sorted.length - 1) * 3) / 4)]];
}

const orders = {
  id: null,
  slow: (one, other) => data.seconds[other] - data.seconds[one],
  cost: (one, other) => (data.cost[other] ?? -1) - (data.cost[one] ?? -1),
  tokens: (one, other) => (data.tokens[other] ?? -1) - (data.tokens[one] ?? -1),
  low: (one, other) => firstScore(one) - firstScore(other),
};
const firstScore = (row) => Object.values(data.scores)[0]?.[row] ?? Infinity;

// The boxes above the list, filled with what this run has.
function fillChoices() {
  if (!Object.keys(data.scores).length) LABELS.passing = "answered";
  const counted = (column, names) => names(column).map((name) => [name, data[column].reduce((sum, value) => sum + (value === name), 0)]);
  const there = (column) => [...new Set(data[column])].filter(Boolean);
  const add = (select, label, entries) => {
    const group = make("optgroup", "", [], { label });
    for (const [text, value] of entries) group.append(make("option", "", [text], { value }));
    if (entries.length) select.append(group);
  };
  add(choices.result, "Result", counted("standing", there).map(([name, many]) => [`${LABELS[name]} (${figure(many)})`, "standing:" + name]));
  add(choices.result, "Outcome", counted("outcome", there).map(([name, many]) => [`${spoken(name)} (${figure(many)})`, "outcome:" + name]));
  add(choices.result, "Kind of failure", counted("kind", there).map(([name, many]) => [`${spoken(name)} (${figure(many)})`, "kind:" + name]));
  for (const [name, values] of Object.entries(data.scores)) {
    const entry = (text, what) => [text, "score:" + JSON.stringify([name, what])];
    const numbers = values.filter((value) => value !== null), entries = [];
    if (numbers.every((value) => value >= 0 && value <= 1)) {
      if (numbers.some((value) => value >= 1)) entries.push(entry(`${name}: right`, "right"));
      if (numbers.some((value) => value > 0 && value < 1)) entries.push(entry(`${name}: in between`, "between"));
      if (numbers.some((value) => value <= 0)) entries.push(entry(`${name}: wrong`, "wrong"));
    } else {
      const [low, high] = quarters(values);
      entries.push(entry(`${name}: ${figure(low)} or less`, "low"), entry(`${name}: ${figure(high)} or more`, "high"));
    }
    if (data.unscored[name].length) entries.push(entry(`${name}: failed to score`, "failed"));
    add(choices.score, name, entries);
  }
  for (const [field, values] of Object.entries(data.groups)) {
    const names = [...new Set(values.flat())].sort((one, other) => one.localeCompare(other, "en", { numeric: true }));
    add(choices.group, field, names.map((name) => [name, "group:" + JSON.stringify([field, name])]));
  }
  for (const select of [choices.score, choices.group]) if (!select.querySelector("optgroup")) select.parentElement.remove();
}

const chosen = (select) => {
  const [, kind, value] = /^(\w+):([^]*)$/.exec(select.value) ?? [];
  return kind ? filters[kind](value) : null;
};

// Shows the rows that the boxes and the search let through, in their order.
function refresh({ keep = true } = {}) {
  const tests = [choices.result, choices.score, choices.group].map(chosen).filter(Boolean);
  if (search.words.length) tests.push((row) => search.hits.has(row));
  shown = [];
  for (let row = 0; row < size; row++) if (tests.every((test) => test(row))) shown.push(row);
  const order = orders[choices.order.value];
  if (order) shown.sort(order);
  space.style.height = shown.length * ROW + "px";
  if (!keep) list.scrollTop = 0;
  byId("reset").hidden = !tests.length;
  tell();
  draw();
}

function tell() {
  const all = figure(size), some = figure(shown.length);
  count.textContent = (shown.length === size ? `${all} results` : `${some} of ${all} results`) + (search.state ? ` · ${search.state}` : "");
}

function draw() {
  const first = Math.max(0, Math.floor(list.scrollTop / ROW) - 6);
  const last = Math.min(shown.length, Math.ceil((list.scrollTop + list.clientHeight) / ROW) + 6);
  space.replaceChildren(...shown.slice(first, last).map((row, place) => rowOf(row, first + place)));
  const here = shown.indexOf(selected);
  if (here >= first && here < last) list.setAttribute("aria-activedescendant", "row-" + selected);
  else list.removeAttribute("aria-activedescendant");
}

function rowOf(row, place) {
  const standing = data.standing[row];
  const label = standing === "failed" ? spoken(data.outcome[row]) : Object.keys(data.scores).length ? LABELS[standing] : spoken(data.outcome[row]);
  const node = make("div", "row", [
    make("div", "", [
      make("b", "", [data.id[row]]),
      data.epochs > 1 ? make("small", "", ["epoch " + data.epoch[row]]) : null,
      make("span", "said " + (standing === "passing" ? "right" : standing), [label]),
    ]),
    make("span", "brief", [data.input[row]]),
  ], { role: "option", id: "row-" + row, "aria-posinset": place + 1, "aria-setsize": shown.length, "aria-selected": row === selected });
  node.style.top = place * ROW + "px";
  node.addEventListener("click", () => { select(row); openSample(row); });
  return node;
}

function select(row) {
  selected = row;
  const place = shown.indexOf(row);
  if (place >= 0) {
    if (place * ROW < list.scrollTop) list.scrollTop = place * ROW;
    else if ((place + 1) * ROW > list.scrollTop + list.clientHeight) list.scrollTop = (place + 1) * ROW - list.clientHeight;
  }
  draw();
}

// The row so many places further on; the first one where none is selected.
function neighbour(step) {
  if (!shown.length) return -1;
  const place = shown.indexOf(selected);
  return shown[place < 0 ? 0 : Math.min(shown.length - 1, Math.max(0, place + step))];
}

// Every word has to be in the row or in its transcript; words in quotation marks are one. Rows are searched at once,
// transcripts chunk by chunk, so that the page stays quick.
async function find(text) {
  const run = ++search.run;
  const words = [...text.toLowerCase().matchAll(/"([^"]+)"?|(\S+)/g)].map((match) => match[1] ?? match[2]);
  search = { words, hits: new Set(), run, state: "" };
  if (!words.length) return refresh({ keep: false });
  const rest = new Map();
  for (let row = 0; row < size; row++) {
    haystacks[row] ??= [data.id[row], data.input[row], data.answer[row], data.kind[row]].join("\n").toLowerCase();
    const missing = words.filter((word) => !haystacks[row].includes(word));
    if (!missing.length) search.hits.add(row);
    else if (data.chunk[row] >= 0) {
      if (!rest.has(data.chunk[row])) rest.set(data.chunk[row], []);
      rest.get(data.chunk[row]).push([row, missing]);
    }
  }
  let done = 0;
  for (const [chunk, rows] of rest) {
    search.state = `searching transcripts, ${Math.round((100 * done++) / rest.size)} %`;
    if (done % 4 === 1) refresh({ keep: done > 1 });
    const lines = await linesOf(chunk);
    if (search.run !== run) return;
    for (const [row, missing] of rows) if (holds(lines[data.line[row]], missing)) search.hits.add(row);
  }
  search.state = "";
  refresh({ keep: done > 1 });
  if (opened >= 0 && search.hits.has(opened)) openSample(opened, { quiet: true }); // With what was found marked.
}

function holds(line, words) {
  const packed = line.toLowerCase();
  if (!words.every((word) => packed.includes(JSON.stringify(word).slice(1, -1)))) return false;
  const text = texts(JSON.parse(line)).join("\n").toLowerCase();
  return words.every((word) => text.includes(word));
}

// The texts of a record, without the data of images and the names of our own fields.
function texts(value, found = []) {
  if (typeof value === "string") found.push(value);
  else if (typeof value === "number") found.push(String(value));
  else if (value && typeof value === "object")
    for (const [key, inner] of Object.entries(value)) if (key !== "data" || typeof inner !== "string") texts(inner, found);
  return found;
}
