// All nodes as a table that can be sorted: which ones cost most.

const COLUMNS = [
  ["Node", (n) => n.number, (n) => n.number, true],
  ["Op", (n) => label(n), (n) => link(n.item, label(n))],
  ["Class", (n) => n.kind, (n) => n.kind],
  ["Result", (n) => numeric(n.outputs[0]?.bytes), (n) => n.outputs.map(specText).join(", ")],
  ["FLOPs", (n) => numeric(n.flops), (n) => short(n.flops), true],
  ["Bytes", (n) => numeric(n.bytes), (n) => bytesText(n.bytes), true],
  ...(profiled ? [["Time", (n) => n.time ?? -1, (n) => timeText(n.time), true], ["Share", (n) => n.time ?? -1, (n) => (known(n.time) ? percent(n.time, root.sum.time) : "–"), true]] : []),
  ...(placed ? [["Device", (n) => n.device ?? "", (n) => deviceText(n.item)]] : []),
  ["Scope", (n) => n.scope, (n) => n.scope],
  ["Line", (n) => n.line, (n) => n.line],
];
const sorting = { column: COLUMNS.findIndex(([name]) => name === (profiled ? "Time" : "Node")), down: profiled };

function showTable() {
  const [, key] = COLUMNS[sorting.column];
  const list = (app.query ? app.found : data.nodes).filter((node) => node.inside === null || app.query);
  const sign = sorting.down ? -1 : 1;
  const sorted = list.slice().sort((a, b) => (key(a) < key(b) ? -sign : key(a) > key(b) ? sign : a.number - b.number));
  const head = COLUMNS.map(([name, , , right], i) =>
    el("th", { class: right ? "right" : "", scope: "col", "aria-sort": i !== sorting.column ? "none" : sorting.down ? "descending" : "ascending" },
      el("button", { type: "button", click: () => sortBy(i) }, name)));
  const body = sorted.map((node) =>
    el("tr", { "data-node": node.number, class: node.item === app.selected ? "selected" : "", click: () => select(node.item, false) },
      COLUMNS.map(([, , show, right]) => el("td", { class: right ? "right" : "" }, show(node)))));
  document.getElementById("table").replaceChildren(
    el("table", {}, el("thead", {}, el("tr", {}, head)), el("tbody", {}, body)),
    sorted.length ? "" : el("p", { class: "empty" }, "No node matches the search."));
}

function sortBy(column) {
  sorting.down = sorting.column === column ? !sorting.down : !!COLUMNS[column][3];
  sorting.column = column;
  showTable();
}
