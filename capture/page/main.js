// What is selected, searched and shown, and the controls that change it.

const app = { selected: null, colour: "class", query: "", found: [], match: -1, tab: "graph" };
const byId = (id) => document.getElementById(id);
const TABS = ["graph", "table", "memory", "timeline"];

/** Select an item; with `move`, unfold what it is in and bring it into sight. */
function select(it, move = true) {
  app.selected = it === root ? null : it;
  if (it && move) {
    const folded = ancestors(it).filter((scope) => !scope.open);
    for (const scope of folded) scope.open = true;
    if (folded.length) redraw(folded[0]);
    if (it.left !== undefined) reveal(it);
  }
  mark();
  showPanel();
  if (app.tab === "memory") showMemory();
  if (app.tab === "timeline") markSlices();
  if (app.tab === "table") for (const row of document.querySelectorAll("#table tr[data-node]")) {
    row.classList.toggle("selected", `n${row.dataset.node}` === it?.id);
  }
}

/** Go to an item in the graph, wherever the reader is. */
function goTo(it) {
  showTab("graph");
  select(it);
}

function showTab(name) {
  app.tab = name;
  for (const tab of TABS) {
    byId(tab).hidden = tab !== name;
    byId(`tab-${tab}`).setAttribute("aria-selected", String(tab === name));
    byId(`tab-${tab}`).tabIndex = tab === name ? 0 : -1;
  }
  byId("tools").hidden = name !== "graph";
  if (name === "table") showTable();
  if (name === "memory") showMemory();
  if (name === "timeline") showTimeline();
  if (name === "graph") lookSoon();
}

function look4(query) {
  app.query = query.trim();
  app.found = search(query);
  app.match = -1;
  showFound();
  mark();
  if (app.tab === "table") showTable();
}

function showFound() {
  const { length } = app.found;
  byId("found").textContent = !app.query ? "" : !length ? "none" : app.match < 0 ? `${length}` : `${app.match + 1} of ${length}`;
  byId("next").disabled = byId("previous").disabled = !length;
}

function step(by) {
  const { length } = app.found;
  if (!length) return;
  app.match = app.match < 0 ? (by > 0 ? 0 : length - 1) : (app.match + by + length) % length;
  showFound();
  select(app.found[app.match].item, app.tab === "graph");
}

function showLegend() {
  const swatch = (colour, text) => el("span", { style: `--c: ${colour}` }, el("i"), text);
  const kinds = ["parameter", "constant", "state", "elementwise", "reduction", "contraction", "view", "fused", "opaque", "callback"];
  const used = new Set(data.nodes.map((node) => node.kind));
  const words = { parameter: "argument", state: "variable", callback: "Python" };
  const entries = {
    class: () => kinds.filter((kind) => used.has(kind)).map((kind) => swatch(`var(--${kind})`, words[kind] ?? kind)),
    time: () => [el("span", {}, "fast", el("i", { class: "ramp" }), "slowest shown"), ...entries.class()],
    device: () => devices.map((name) => swatch(deviceColour([name]), name)),
  };
  const shown = entries[app.colour]();
  if (placed && app.colour !== "device") shown.push(...entries.device().map((entry) => (entry.classList.add("dot"), entry)));
  if (edges.some((edge) => edge.crosses)) {
    shown.push(el("span", { style: "--from: var(--device-0); --to: var(--device-1)" }, el("i", { class: "striped" }), "from one device to another"));
  }
  byId("legend").replaceChildren(...shown);
}

/** How many results are needed on other devices than their own: one transfer for each of them and device. */
function crossing() {
  const found = edges.filter((edge) => edge.crosses && !edge.control).map((edge) => [edge.from.id, edge.text, devicesOf(edge.to)].join("|"));
  data.results.forEach(([number, index], i) => {
    const node = data.nodes[number];
    const home = data.homes[i];
    if (!placesOf(node).includes(home)) found.push([node.item.id, specText(node.outputs[index]), home].join("|"));
  });
  return new Set(found).size;
}

function summary() {
  const { sum } = root;
  const groups = data.nodes.filter((node) => node.kind === "fused").length;
  const told = [counted(sum.nodes, "node"), groups && counted(groups, "fused group"), flopsText(sum.flops), `${bytesText(sum.bytes)} moved`];
  if (profiled) told.push(`${timeText(sum.time)} in nodes`);
  const sizes = Object.entries(data.sizes).map(([name, size]) => `${name} = ${size}`);
  if (sizes.length) told.push(`at ${sizes.join(", ")}`);
  if (placed) told.push(counted(devices.length, "device"), `${counted(crossing(), "transfer")}`);
  const all = (key) => bytesText(plans.reduce((bytes, plan) => bytes + plan[key], 0));
  if (plans.length) told.push(`peak ${all("peak")} (${all("without")} without reuse)`);
  return told.filter(Boolean).join(" · ");
}

function listen() {
  const query = byId("query");
  query.addEventListener("input", () => look4(query.value));
  byId("search").addEventListener("submit", (event) => event.preventDefault());
  query.addEventListener("keydown", (event) => {
    if (event.key === "Enter") step(event.shiftKey ? -1 : 1);
    else if (event.key === "Escape" && !query.value) canvas.focus();
  });
  byId("next").addEventListener("click", () => step(1));
  byId("previous").addEventListener("click", () => step(-1));
  byId("fold").addEventListener("click", () => { setAll(false); redraw(); fit(); });
  byId("unfold").addEventListener("click", () => { setAll(true); redraw(); fit(false); });
  byId("fit").addEventListener("click", () => fit());
  byId("larger").addEventListener("click", () => zoom(1.25));
  byId("smaller").addEventListener("click", () => zoom(0.8));
  byId("colour").addEventListener("change", (event) => {
    app.colour = event.target.value;
    showLegend();
    redraw();
  });
  const tabs = TABS.filter((name) => !byId(`tab-${name}`).hidden);
  for (const [i, name] of tabs.entries()) {
    byId(`tab-${name}`).addEventListener("click", () => showTab(name));
    byId(`tab-${name}`).addEventListener("keydown", (event) => {
      const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!by) return;
      const other = tabs[(i + by + tabs.length) % tabs.length];
      showTab(other);
      byId(`tab-${other}`).focus();
    });
  }
  document.addEventListener("keydown", (event) => {
    if (event.key !== "/" || event.target.closest("input, select, textarea")) return;
    event.preventDefault();
    query.focus();
    query.select();
  });
  window.addEventListener("resize", () => {
    if (app.tab === "memory") showMemory();
    if (app.tab === "timeline") showTimeline();
  });
  listenToGraph();
}

function start() {
  byId("title").textContent = data.name;
  byId("summary").textContent = summary();
  const modes = [["class", "by class"], profiled && ["time", "by time"], ["device", "by device"]].filter(Boolean);
  byId("colour").append(...modes.map(([value, text]) => el("option", { value }, text)));
  app.colour = byId("colour").value = placed ? "device" : profiled ? "time" : "class";
  byId("tab-timeline").hidden = !slices.length;
  unfoldSome(30);
  showLegend();
  showFound();
  listen();
  redraw();
  fit(false);
  showPanel();
}

start();
