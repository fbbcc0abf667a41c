// What starts the page: the list is unpacked, keys and links are listened to, and a link that was followed is opened.

function typing(target) {
  return target.closest?.("input, select, textarea, dialog") !== null;
}

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target === query) {
    if (event.key === "Escape") { query.value = ""; find(""); query.blur(); }
    else if (event.key === "Enter" || event.key === "ArrowDown") { event.preventDefault(); list.focus(); if (shown.length) { select(shown.includes(selected) ? selected : shown[0]); } }
    return;
  }
  if (typing(event.target)) return;
  const inList = event.target === list;
  const acts = {
    "/": () => { explorer.scrollIntoView({ block: "start" }); query.focus(); query.select(); },
    j: () => move(1),
    k: () => move(-1),
    Enter: inList ? () => selected >= 0 && openSample(selected, { focus: true }) : null,
    ArrowDown: inList ? () => select(neighbour(1)) : null,
    ArrowUp: inList ? () => select(neighbour(-1)) : null,
    PageDown: inList ? () => select(neighbour(Math.floor(list.clientHeight / ROW))) : null,
    PageUp: inList ? () => select(neighbour(-Math.floor(list.clientHeight / ROW))) : null,
    Home: inList ? () => select(shown[0] ?? -1) : null,
    End: inList ? () => select(shown.at(-1) ?? -1) : null,
    u: () => { unfolded = !unfolded; for (const node of detail.querySelectorAll("details")) node.open = unfolded; },
    Escape: () => opened >= 0 && closeSample(),
    "?": () => byId("help").showModal(),
  };
  if (acts[event.key]) { event.preventDefault(); acts[event.key](); }
}

function clear() {
  for (const select of [choices.result, choices.score, choices.group]) select.value = "";
  query.value = "";
  find("");
}

// #sample/ID/EPOCH opens a sample, #show/KIND:VALUE filters the list.
function follow() {
  const sample = /^#sample\/(.+)\/(\d+)$/.exec(location.hash), show = /^#show\/(.+)$/.exec(location.hash);
  try {
    if (sample) reach(decodeURIComponent(sample[1]), Number(sample[2]));
    if (show) {
      clear();
      choices.result.value = decodeURIComponent(show[1]);
      refresh({ keep: false });
      byId("samples").scrollIntoView({ block: "start" });
    }
  } catch (error) {
    if (!(error instanceof URIError)) throw error;
    count.textContent = "This link is not whole.";
  }
}

function reach(id, epoch) {
  const row = data.id.findIndex((name, place) => name === id && data.epoch[place] === epoch);
  byId("explorer").scrollIntoView({ block: "start" });
  if (row < 0) { count.textContent = `There is no sample ${id} with epoch ${epoch} in this file.`; return; }
  if (!shown.includes(row)) clear();
  select(row);
  list.scrollTop = Math.max(0, shown.indexOf(row) * ROW - list.clientHeight / 3);
  openSample(row, { quiet: true });
}

function listen() {
  let waiting = 0, drawn = false;
  query.addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(() => find(query.value), 120); });
  for (const select of Object.values(choices)) select.addEventListener("change", () => refresh({ keep: false }));
  list.addEventListener("scroll", () => {
    if (drawn) return;
    drawn = true;
    requestAnimationFrame(() => { drawn = false; draw(); });
  });
  addEventListener("resize", () => { document.body.classList.toggle("reading", opened >= 0 && narrow()); draw(); });
  addEventListener("hashchange", follow);
  addEventListener("keydown", onKey);
  // On paper nothing can be unfolded.
  addEventListener("beforeprint", () => { for (const node of document.querySelectorAll("#detail details, #failures details")) node.open = true; });
  document.querySelector(".tools").addEventListener("submit", (event) => event.preventDefault());
  byId("reset").addEventListener("click", clear);
  byId("help-button").addEventListener("click", () => byId("help").showModal());
}

async function start() {
  data = JSON.parse(await unpack(byId("index").textContent));
  size = data.id.length;
  explorer.hidden = false;
  fillChoices();
  listen();
  refresh();
  follow();
  document.documentElement.dataset.ready = "true";
}

start().catch((error) => {
  explorer.hidden = false;
  count.textContent = "The list cannot be shown: the file is not whole, or this browser is too old to unpack it.";
  console.error(error);
});
