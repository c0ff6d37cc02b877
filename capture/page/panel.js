// The panel at the side: what is selected, or the whole graph.

const panel = document.getElementById("panel");

const rows = (pairs) =>
  el("dl", {}, pairs.filter(Boolean).map(([name, value, hint]) => [el("dt", {}, name), el("dd", hint ? { title: hint } : {}, value)]));

const part = (heading, ...content) => el("section", {}, el("h3", {}, heading), ...content);

/** A button that leads to an item. */
function link(it, text = it.label) {
  return el("button", { class: "link", type: "button", "data-goto": it.id, click: () => goTo(it) }, text);
}

function showPanel() {
  const it = app.selected;
  panel.replaceChildren(...(it ? (it.node ? ofNode(it) : ofScope(it)) : ofGraph()).filter(Boolean));
  panel.scrollTop = 0;
}

function heading(it, kind, text) {
  const crumbs = ancestors(it).map((scope, i) => [i ? el("span", {}, "/") : null, link(scope)]);
  return el("div", { class: "heading", style: `--c: var(--${it.kind}, var(--opaque))` },
    crumbs.length ? el("p", { class: "crumbs" }, crumbs) : null,
    el("h2", {}, text), el("p", { class: "kind" }, kind));
}

function costs(sum, node) {
  const flops = node ? node.flops : sum.flops;
  const bytes = node ? node.bytes : sum.bytes;
  const time = node ? node.time : sum.time;
  const both = typeof flops === "number" && typeof bytes === "number";
  return part("Cost", rows([
    profiled && ["Time", known(time) ? [timeText(time), el("small", {}, percent(time, root.sum.time))] : "not measured", "measured; share of all nodes"],
    ["FLOPs", flopsText(flops), exact(flops)],
    ["Bytes moved", bytesText(bytes), exact(bytes)],
    node && known(node.unfused) && ["if not fused", bytesText(node.unfused), exact(node.unfused)],
    both && bytes > 0 && ["Intensity", `${(flops / bytes).toPrecision(3)} FLOP/B`, "FLOPs per byte moved: below some ten, memory is the limit"],
    time > 0 && flops > 0 && ["Rate", `${short(flops / time)}FLOP/s`],
    time > 0 && bytes > 0 && ["Bandwidth", `${short(bytes / time)}B/s`],
    !node && sum.unknown > 0 && ["Not known", `cost of ${counted(sum.unknown, "node")}`],
  ]));
}

function ofGraph() {
  const { sum } = root;
  const real = data.nodes.filter((node) => node.inside === null);
  const by = profiled ? "time" : "flops";
  const text = profiled ? timeText : flopsText;
  const top = real.filter((node) => numeric(node[by]) > 0).sort((a, b) => b[by] - a[by]).slice(0, 12);
  return [
    el("div", { class: "heading" }, el("h2", {}, "The whole graph"), el("p", { class: "kind" }, "nothing is selected")),
    costs(sum, null),
    placed && part("Devices", el("ol", { class: "ranking" }, devices.map(deviceLine))),
    ...plans.map((plan) => part(plan.device ? `Memory of ${plan.device}` : "Memory", rows([
      ["Peak", bytesText(plan.peak), exact(plan.peak)],
      ["without reuse", bytesText(plan.without), exact(plan.without)],
      ["Buffers", exact(plan.buffers.length)],
      ["Steps", exact(plan.steps.length)],
    ]))),
    top.length ? part(profiled ? "Slowest nodes" : "Most FLOPs", el("ol", { class: "ranking" }, top.map((node) =>
      el("li", {}, el("span", { class: "share", style: `width: ${(100 * node[by]) / top[0][by]}%` }),
        link(node.item, label(node)), el("span", { class: "where" }, node.scope), el("span", { class: "number" }, text(node[by])))))) : null,
    part("Moving about", rows([
      ["Move", "drag, or scroll"], ["Zoom", "Ctrl and scroll, + and −; 0 shows everything"], ["Unfold", "double-click, or Enter"],
      ["Fold around", "Backspace"], ["Follow edges", "arrow keys"], ["Search", "/, then Enter for the next match"],
    ])),
  ];
}

/** One device: its share of the time or the FLOPs, and how many operations it runs. */
function deviceLine(name) {
  const by = profiled ? "time" : "flops";
  const mine = data.nodes.filter((node) => node.inside === null && placesOf(node).includes(name));
  const sum = mine.reduce((all, node) => all + numeric(node[by]), 0);
  return el("li", {}, el("span", { class: "share", style: `width: ${root.sum[by] ? (100 * sum) / root.sum[by] : 0}%; --heat: ${deviceColour([name])}` }),
    el("span", { class: "device", style: `--c: ${deviceColour([name])}` }, el("i"), name), el("span", { class: "where" }, counted(mine.length, "node")),
    el("span", { class: "number" }, profiled ? timeText(sum) : flopsText(sum)));
}

const label = (node) => (node.kind === "fused" ? node.item.label : node.name ? `${node.op} ${node.name}` : node.op);

function ofScope(it) {
  const { sum } = it;
  const by = profiled ? "time" : "flops";
  const list = it.children.slice().sort((a, b) => b.sum[by] - a.sum[by]).slice(0, 30);
  return [
    heading(it, `scope of ${counted(sum.nodes, "node")}`, it.label),
    foldButton(it),
    placed && devicesOf(it).length ? rows([["Device", deviceText(it)]]) : null,
    costs(sum, null),
    part("Memory", rows([["Results", bytesText(sum.made), exact(sum.made)]])),
    part(it.children.length > list.length ? `The largest ${list.length} of ${it.children.length} inside` : "Inside", el("ol", { class: "ranking" }, list.map((child) =>
      el("li", {}, el("span", { class: "share", style: `width: ${sum[by] ? (100 * child.sum[by]) / sum[by] : 0}%` }),
        link(child, child.node ? label(child.node) : child.label), el("span", { class: "where" }, child.node ? "" : counted(child.sum.nodes, "node")),
        el("span", { class: "number" }, profiled ? timeText(child.sum.time) : flopsText(child.sum.flops)))))),
  ];
}

const foldButton = (it) =>
  el("button", { class: "wide", type: "button", id: "flip", click: () => { flip(it); showPanel(); } }, it.open ? "Fold" : "Unfold");

function ofNode(it) {
  const { node } = it;
  const words = { parameter: "argument", state: "state of a variable", fused: `${counted(it.children.length, "operation")} in one kernel`, callback: "call of Python" };
  const kind = [words[node.kind] ?? node.kind, node.effects !== "none" && node.effects !== node.kind ? node.effects : ""].filter(Boolean).join(", ");
  const attrs = Object.entries(node.attrs);
  return [
    heading(it, kind, node.kind === "fused" ? label(node) : node.name || node.op),
    isFolder(it) ? foldButton(it) : null,
    node.line ? el("pre", { class: "line", title: "your line" }, node.line) : null,
    rows([
      ["Op", node.op],
      node.device !== null && ["Device", deviceText(it)],
      node.scope && ["Scope", node.scope],
      ["Node", `${node.number}${known(node.step) ? `, step ${node.step}` : ""}`],
      node.results.length && ["Returned as", node.results.map((index) => `result ${index}`).join(", ")],
    ]),
    part(node.outputs.length === 1 ? "Result" : "Results", ...(node.outputs.length ? node.outputs.map((output, index) => outputRows(node, output, index)) : [el("p", {}, "none")])),
    costs(it.sum, node),
    node.inputs.length ? part("Inputs", el("ul", { class: "values" }, node.inputs.map(inputLine))) : null,
    node.users.length ? part("Used by", el("ul", { class: "values" }, node.users.map((user) => el("li", {}, link(user.item, label(user)), el("span", {}, user.scope))))) : null,
    node.after.length ? part("Runs after", el("ul", { class: "values" }, node.after.map((n) => el("li", {}, link(data.nodes[n].item, label(data.nodes[n])))))) : null,
    attrs.length ? part("Attributes", rows(attrs)) : null,
    isFolder(it) ? part("Fused operations", el("ul", { class: "values" }, it.children.map((child) => el("li", {}, link(child), el("span", {}, child.node.line))))) : null,
    node.source ? part("Kernel", el("pre", { class: "source", tabindex: 0 }, node.source)) : null,
  ];
}

/** The devices of an item, each with its colour if there are several in the graph. */
const deviceText = (it) =>
  devicesOf(it).map((name) => el("span", { class: "device", style: `--c: ${deviceColour([name])}` }, placed ? el("i") : null, name));

function outputRows(node, output, index) {
  const lives = node.places?.[index] ?? [];
  const on = (place) => (place.device ? ` on ${place.device}` : "");
  return rows([
    ["Shape", `[${output.shape.join(", ")}]`],
    ["Dtype", output.dtype],
    ["Memory", bytesText(output.bytes), exact(output.bytes)],
    ...lives.flatMap((place) => [
      ["Lives in", typeof place.where === "number"
        ? el("button", { class: "link", type: "button", click: () => showPlan(place.device) }, whereText(place.where) + on(place)) : whereText(place.where) + on(place)],
      ["Steps", place.first === place.last ? `${place.first}` : `${place.first} to ${place.last}`],
    ]),
  ]);
}

function inputLine(input) {
  if (!Array.isArray(input)) return el("li", {}, el("code", {}, input));
  const [number, index] = input;
  const node = data.nodes[number];
  if (index < 0) return el("li", {}, "a number that the group is given");
  return el("li", {}, link(node.item, label(node) + (node.outputs.length > 1 ? `, result ${index}` : "")), el("span", {}, specText(node.outputs[index])));
}
