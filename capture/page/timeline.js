// One run as it was measured: a lane for each device, a bar for each node, arrows where values went from one to another.

const LANE = 40;
const AXIS = 26;
const slices = data.slices.map(([device, number, other, start, end]) => ({ device, node: number === null ? null : data.nodes[number], other, start, end }));
const stretch = { by: 1 }; // how much wider than the window the run is drawn

/** What a bar is called: its node, or what it sends or waits for. */
function sliceName({ node, other }) {
  if (node) return label(node);
  const [what, , name, from, to] = other ?? ["", 0, "", "", ""];
  return what === "send" ? `send ${name} to ${to}` : `receive ${name} from ${from}`;
}

/** Distances of some ten marks on the axis: 1, 2 or 5 times a power of ten. */
function spacing(length, marks) {
  const power = 10 ** Math.floor(Math.log10(length / marks));
  return power * [1, 2, 5, 10].find((by) => power * by * marks >= length);
}

function showTimeline() {
  const section = byId("timeline");
  const names = [...new Set(slices.map((slice) => slice.device))].sort();
  const length = Math.max(1e-9, ...slices.map((slice) => slice.end));
  const wide = Math.max(320, section.clientWidth - 48 - 180) * stretch.by;
  const x = (seconds) => 1 + ((wide - 12) * seconds) / length;
  const high = AXIS + names.length * LANE + 4;
  const heads = svg("svg", { width: 150, height: high, "aria-hidden": "true" });
  const chart = svg("svg", { width: wide, height: high, role: "group", "aria-label": "Nodes of one run, by device and time" });
  const mark = spacing(length, Math.max(2, Math.floor(wide / 110)));
  for (let i = 0; i * mark <= length * 1.0001; i++) {
    chart.append(svg("path", { class: "grid", d: `M${x(i * mark)},${AXIS - 6}V${high}` }), svg("text", { x: x(i * mark) + 4, y: 14 }, timeText(i * mark)));
  }
  names.forEach((name, i) => {
    const top = AXIS + i * LANE;
    const mine = slices.filter((slice) => slice.device === name);
    const busy = mine.reduce((sum, slice) => sum + (slice.node ? slice.end - slice.start : 0), 0);
    heads.append(svg("rect", { x: 0, y: top + 8, width: 4, height: LANE - 14, rx: 2, style: `fill: ${deviceColour([name])}` }));
    heads.append(svg("text", { class: "name", x: 12, y: top + 20 }, name), svg("text", { x: 12, y: top + 34 }, `${percent(busy, length)} busy`));
    chart.append(svg("path", { class: "grid", d: `M0,${top + LANE + 1}H${wide}` }));
    for (const slice of mine) chart.append(drawSlice(slice, top, x));
  });
  for (const arrow of arrows(names, x)) chart.append(arrow);
  const scroll = el("div", { class: "scroll", wheel: (event) => (event.ctrlKey || event.metaKey) && (event.preventDefault(), stretchBy(Math.exp(-event.deltaY * 0.004), event.clientX)) }, chart);
  section.replaceChildren(
    el("div", { class: "figures" },
      figure(timeText(length), "one run"),
      figure(exact(names.length), names.length === 1 ? "device" : "devices"),
      figure(exact(slices.filter((slice) => slice.node).length), "nodes measured"),
      el("span", { class: "group" },
        el("button", { type: "button", id: "shorter", "aria-label": "Zoom out", click: () => stretchBy(1 / 1.6) }, "−"),
        el("button", { type: "button", id: "whole", click: () => stretchBy(0) }, "Fit"),
        el("button", { type: "button", id: "longer", "aria-label": "Zoom in", click: () => stretchBy(1.6) }, "+"))),
    el("h3", {}, "When each node ran; paler bars send, or wait for what another device sends"),
    el("div", { class: "lanes" }, heads, scroll));
  markSlices();
}

/** Draw wider or narrower, with what is at a place of the window kept there. */
function stretchBy(factor, at = null) {
  const before = byId("timeline").querySelector(".scroll");
  const { left } = before.getBoundingClientRect();
  const where = at === null ? before.clientWidth / 2 : at - left;
  const kept = (before.scrollLeft + where) / before.scrollWidth;
  stretch.by = Math.min(400, Math.max(1, stretch.by * factor));
  showTimeline();
  const now = byId("timeline").querySelector(".scroll");
  now.scrollLeft = kept * now.scrollWidth - where;
}

function drawSlice(slice, top, x) {
  const { node, start, end } = slice;
  const wideBar = Math.max(1, x(end) - x(start) - 0.5);
  const name = sliceName(slice);
  const open = () => node && select(node.item, false);
  const bar = svg("g", {
    class: `bar ${node ? "" : "wait"}`, "data-slice": node ? node.number : slice.other?.[0], tabindex: node ? 0 : null, role: node ? "button" : "img",
    "aria-label": `${name}, ${timeText(end - start)} on ${slice.device}`, style: `--c: var(--${node ? node.kind : "opaque"}, var(--opaque))`,
    click: open, keydown: (event) => event.key === "Enter" && open(),
  });
  bar.append(svg("rect", { x: x(start), y: top + 7, width: wideBar, height: LANE - 12, rx: Math.min(3, wideBar / 3) }));
  if (wideBar > 34) bar.append(svg("text", { x: x(start) + 5, y: top + 26 }, clip(name, Math.max(2, Math.floor((wideBar - 8) / 6.2)))));
  bar.append(svg("title", {}, [name, `${timeText(end - start)}, from ${timeText(start)}`, node?.line].filter(Boolean).join("\n")));
  return bar;
}

/** From the end of each Send to the end of the Recv of the same edge. */
function arrows(names, x) {
  const sent = new Map(slices.filter((slice) => slice.other?.[0] === "send").map((slice) => [slice.other[1], slice]));
  return slices.filter((slice) => slice.other?.[0] === "recv" && sent.has(slice.other[1])).map((slice) => {
    const from = sent.get(slice.other[1]);
    const [a, b] = [from, slice].map(({ device }) => names.indexOf(device));
    const edge = (row, other) => AXIS + row * LANE + (other > row ? LANE - 5 : 7);
    const [x1, y1, x2, y2] = [x(from.end), edge(a, b), Math.max(x(slice.end), x(from.end)), edge(b, a)];
    const s = b > a ? 1 : -1;
    const group = svg("g", { class: "arrow", style: `--c: ${deviceColour([from.device])}` });
    group.append(svg("path", { class: "shaft", d: `M${x1},${y1}C${x1},${(y1 + y2) / 2} ${x2},${(y1 + y2) / 2} ${x2},${y2}` }));
    group.append(svg("path", { class: "tip", d: `M${x2},${y2}l-3,${-6 * s}h6z` }));
    group.append(svg("title", {}, `${slice.other[2]}: ${slice.other[3]} → ${slice.other[4]}`));
    return group;
  });
}

/** Mark the bars of what is selected. */
function markSlices() {
  const chosen = app.selected;
  for (const bar of document.querySelectorAll("#timeline [data-slice]")) {
    const node = data.nodes[Number(bar.dataset.slice)];
    bar.classList.toggle("selected", !!chosen && !!node && within(node.item, chosen));
  }
}
