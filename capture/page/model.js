// The graph as a tree of items: scopes hold scopes and operations, fused groups hold what was fused.

const data = JSON.parse(document.getElementById("data").textContent);
const items = new Map(); // by id: "n3" for node 3, "s:model/layer" for a scope
const profiled = data.nodes.some((node) => node.time !== null);

function item(id, kind, label, parent) {
  const made = { id, kind, label, parent, children: [], open: false, node: null, first: Infinity };
  items.set(id, made);
  if (parent) parent.children.push(made);
  return made;
}

const root = item("s:", "scope", data.name, null);
root.open = true;

function scopeItem(path) {
  if (!path) return root;
  const id = `s:${path}`;
  if (items.has(id)) return items.get(id);
  const cut = path.lastIndexOf("/");
  return item(id, "scope", path.slice(cut + 1), scopeItem(path.slice(0, Math.max(cut, 0))));
}

data.nodes.forEach((node, number) => {
  const parent = node.inside === null ? scopeItem(node.scope) : items.get(`n${node.inside}`);
  const label = node.name ? node.name : node.op;
  const made = item(`n${number}`, node.kind, label, parent);
  made.node = node;
  node.number = number;
  node.item = made;
  node.users = [];
  node.results = [];
});

// Edges between innermost operations: what is drawn between folded items are sums of these.
const edges = data.edges.map(([from, to, bytes, text]) => ({
  from: data.nodes[from].item, to: data.nodes[to].item, bytes: typeof bytes === "number" ? bytes : 0, text,
  control: bytes === null,
}));

for (const node of data.nodes) {
  for (const input of node.inputs) {
    if (Array.isArray(input) && input[1] >= 0 && !data.nodes[input[0]].users.includes(node)) data.nodes[input[0]].users.push(node);
  }
}
data.results.forEach(([number], index) => data.nodes[number].results.push(index));

/** What a fused group is called: its first and its last operation. */
for (const node of data.nodes) {
  const ops = node.item.children.map((child) => child.node.op);
  if (node.kind === "fused" && ops.length) node.item.label = `fused ${ops.length > 2 ? `${ops[0]} … ${ops.at(-1)}` : ops.join(", ")}`;
}

const isFolder = (it) => it.children.length > 0;

/** Fill in what an item adds up to: operations that run, FLOPs, bytes, seconds, bytes of results. */
function total(it) {
  it.children.forEach(total);
  const node = it.node;
  if (node) {
    const made = node.outputs.reduce((sum, output) => sum + (typeof output.bytes === "number" ? output.bytes : 0), 0);
    it.sum = { nodes: 1, flops: numeric(node.flops), bytes: numeric(node.bytes), time: numeric(node.time), made, open: 0 };
    it.sum.unknown = typeof node.flops === "number" ? 0 : 1;
    it.first = Math.min(node.number, ...it.children.map((child) => child.first));
    return;
  }
  it.sum = { nodes: 0, flops: 0, bytes: 0, time: 0, made: 0, unknown: 0 };
  for (const child of it.children) {
    for (const key of Object.keys(it.sum)) it.sum[key] += child.sum[key];
    it.first = Math.min(it.first, child.first);
  }
}

const numeric = (value) => (typeof value === "number" ? value : 0);
total(root);

/** Sort siblings by when they first run. */
for (const it of items.values()) it.children.sort((a, b) => a.first - b.first);

function within(it, container) {
  for (let at = it; at; at = at.parent) if (at === container) return true;
  return false;
}

function ancestors(it) {
  const found = [];
  for (let at = it.parent; at && at !== root; at = at.parent) found.unshift(at);
  return found;
}

/** The item that stands for `it` while scopes around it are folded. */
function visible(it) {
  let shown = it;
  for (let at = it; at !== root; at = at.parent) if (!at.parent.open) shown = at.parent;
  return shown;
}

/** Unfold scopes, level by level, as long as what is shown stays small; fused groups stay folded. */
function unfoldSome(limit) {
  let shown = root.children;
  for (;;) {
    const scopes = shown.filter((it) => it.kind === "scope");
    const next = shown.flatMap((it) => (it.kind === "scope" ? it.children : [it]));
    if (!scopes.length || next.length > limit) return;
    for (const it of scopes) it.open = true;
    shown = next;
  }
}

function setAll(open) {
  for (const it of items.values()) if (it !== root && isFolder(it)) it.open = open;
}

/** Where each value lives, by node: from the plan, or from those of several devices. */
const plans = data.plan ? [data.plan] : data.plans;
for (const plan of plans) {
  plan.steps.forEach((numbers, step) => {
    for (const number of [numbers].flat()) data.nodes[number].step ??= step;
  });
  plan.places = plan.places.map(([number, index, where, first, last]) => ({ node: data.nodes[number], index, where, first, last, device: plan.device }));
  for (const place of plan.places) ((place.node.places ??= [])[place.index] ??= []).push(place);
}

/** Devices: on which an operation runs, all that there are, and which edges lead from one to another. */
const placesOf = (node) => (node.device === null ? [] : node.device.split(", "));
const devices = [...new Set(data.nodes.flatMap(placesOf))].sort();
const placed = devices.length > 1;

function devicesOf(it) {
  it.devices ??= it.node ? placesOf(it.node) : [...new Set(it.children.flatMap(devicesOf))].sort();
  return it.devices;
}

const deviceColour = (names) => (names.length === 1 ? `var(--device-${devices.indexOf(names[0]) % 8})` : "var(--opaque)");

for (const edge of edges) {
  const [from, to] = [devicesOf(edge.from), devicesOf(edge.to)];
  edge.crosses = to.some((name) => !from.includes(name)) && from.length > 0;
}

function whereText(where) {
  if (typeof where === "number") return `buffer ${where}`;
  return { input: "an argument", variable: "a variable", constant: "a constant", output: "memory of the result", new: "memory of its own" }[where] ?? where;
}

/** The text that a search looks in, in lower case. */
function haystack(node) {
  if (node.text === undefined) {
    const shapes = node.outputs.map((o) => `${specText(o)} ${o.shape.join(",")} ${o.shape.join("x")}`);
    node.text = [node.op, node.name, node.scope, node.line, node.kind, placed ? node.device : "", ...shapes].join("\n").toLowerCase();
  }
  return node.text;
}

/** Nodes in which every word of the query is found. */
function search(query) {
  const words = query.toLowerCase().split(/\s+/).filter(Boolean);
  return words.length ? data.nodes.filter((node) => words.every((word) => haystack(node).includes(word))) : [];
}
