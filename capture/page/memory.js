// The buffer plan: which value lives in which buffer, from which step to which, and how much is in use.

const LEFT = 150;
const RIGHT = 20;
const CURVE = 120;
const ROW = 22;
let plan = plans[0] ?? null; // the one that is shown

/** Bytes in use at each step, in buffers and elsewhere: of a buffer what the largest value in it needs. */
function inUse() {
  const [use, other] = [new Array(plan.steps.length).fill(0), new Array(plan.steps.length).fill(0)];
  const kept = plan.buffers.map(() => new Array(use.length).fill(0));
  for (const place of plan.places) {
    const bytes = numeric(place.node.outputs[place.index]?.bytes);
    for (let step = place.first; step <= place.last && step < use.length; step++) {
      if (typeof place.where === "number") kept[place.where][step] = Math.max(kept[place.where][step], bytes);
      else if (place.where === "new" || place.where === "output") other[step] += bytes;
    }
  }
  for (const buffer of kept) buffer.forEach((bytes, step) => (use[step] += bytes));
  return [use, other];
}

/** Rows of the chart: one for each buffer, then as many as it takes for memory that is not reused. */
function lanes() {
  const found = plan.buffers.map((bytes, i) => ({ name: `buffer ${i}`, bytes, places: plan.places.filter((p) => p.where === i) }));
  for (const [where, name] of [["output", "results"], ["new", "allocated"]]) {
    const own = [];
    for (const place of plan.places.filter((p) => p.where === where).sort((a, b) => a.first - b.first)) {
      let row = own.find((other) => other.places.at(-1).last < place.first);
      if (!row) own.push((row = { name: own.length ? "" : name, bytes: null, places: [] }));
      row.places.push(place);
    }
    found.push(...own);
  }
  return found;
}

function showMemory() {
  const section = document.getElementById("memory");
  if (!plan) {
    section.replaceChildren(el("p", { class: "empty" }, "There is no buffer plan in this page."));
    return;
  }
  const wide = Math.max(520, section.clientWidth - 48);
  const steps = Math.max(1, plan.steps.length);
  const x = (step) => LEFT + ((wide - LEFT - RIGHT) * step) / steps;
  const rowsShown = lanes();
  const high = CURVE + 46 + rowsShown.length * ROW;
  const chart = svg("svg", { width: wide, height: high + 8, role: "img", "aria-label": "Lifetimes of values, by buffer and step" });
  drawCurve(chart, x, wide);
  rowsShown.forEach((row, i) => drawLane(chart, row, CURVE + 46 + i * ROW, x, wide));
  const number = app.selected?.node?.number;
  const chosen = plan.steps.findIndex((numbers) => [numbers].flat().includes(number));
  if (chosen >= 0) chart.append(svg("rect", { class: "now", x: x(chosen), y: 8, width: Math.max(1.5, x(chosen + 1) - x(chosen)), height: high - 8 }));
  const saved = plan.without ? `${percent(plan.without - plan.peak, plan.without)} less` : "";
  const count = (where) => plan.places.filter((p) => p.where === where);
  const sum = (where) => count(where).reduce((bytes, p) => bytes + numeric(p.node.outputs[p.index]?.bytes), 0);
  section.replaceChildren(
    plans.length > 1 ? el("div", { class: "choice", role: "group", "aria-label": "Device" }, plans.map((other) =>
      el("button", { type: "button", class: "device", "aria-pressed": String(other === plan), "data-plan": other.device,
        style: `--c: ${deviceColour([other.device])}`, click: () => showPlan(other.device) }, el("i"), other.device))) : "",
    el("div", { class: "figures" },
      figure(bytesText(plan.peak), "peak, with reuse", exact(plan.peak)),
      figure(bytesText(plan.without), "peak, without reuse", exact(plan.without)),
      saved && figure(saved, "saved by reuse"),
      figure(exact(plan.buffers.length), "buffers"),
      ...["input", "variable", "constant"].filter((where) => count(where).length).map((where) =>
        figure(bytesText(sum(where)), counted(count(where).length, where), exact(sum(where))))),
    el("h3", {}, "Bytes in use at each step: in buffers, and above (paler) results and what steps allocate"), chart);
}

/** Show the plan of a device. */
function showPlan(device) {
  plan = plans.find((other) => other.device === device) ?? plan;
  showTab("memory");
}

const figure = (value, name, hint) => el("div", hint ? { title: hint } : {}, el("strong", {}, value), el("span", {}, name));

function drawCurve(chart, x, wide) {
  const [use, other] = inUse();
  const all = use.map((bytes, step) => bytes + other[step]);
  const most = Math.max(1, plan.peak, ...all);
  const y = (bytes) => 12 + (CURVE - 12) * (1 - bytes / most);
  for (const [name, bytes] of [["area other", all], ["area", use]]) {
    const line = bytes.map((value, step) => `L${x(step)},${y(value)}L${x(step + 1)},${y(value)}`).join("");
    chart.append(svg("path", { class: name, d: `M${x(0)},${y(0)}${line}L${x(use.length)},${y(0)}Z` }));
  }
  chart.append(svg("path", { class: "peak", d: `M${LEFT},${y(plan.peak)}H${wide - RIGHT}` }));
  chart.append(svg("text", { x: LEFT - 12, y: y(plan.peak) + 4, class: "end" }, `peak ${bytesText(plan.peak)}`));
  chart.append(svg("path", { class: "axis", d: `M${LEFT},${y(0)}H${wide - RIGHT}` }));
  const every = Math.max(1, Math.ceil(use.length / 10 / 5) * 5);
  for (let step = 0; step < use.length; step += use.length <= 12 ? 1 : every) {
    chart.append(svg("text", { x: (x(step) + x(step + 1)) / 2, y: CURVE + 17, class: "middle" }, step));
  }
  chart.append(svg("text", { x: LEFT - 12, y: CURVE + 17, class: "end" }, "step"));
}

function drawLane(chart, row, top, x, wide) {
  chart.append(svg("path", { class: "grid", d: `M0,${top + ROW}H${wide - RIGHT}` }));
  chart.append(svg("text", { x: 0, y: top + 15, class: "name" }, row.name));
  if (row.bytes !== null) chart.append(svg("text", { x: LEFT - 12, y: top + 15, class: "end" }, bytesText(row.bytes)));
  for (const place of row.places) {
    const { node, index, first, last } = place;
    const wideBar = Math.max(2, x(last + 1) - x(first) - 1);
    const bar = svg("g", {
      class: `bar${node.item === app.selected ? " selected" : ""}`, tabindex: 0, role: "button", "data-bar": node.number,
      "aria-label": `${label(node)}, steps ${first} to ${last}`, style: `--c: var(--${node.kind}, var(--opaque))`,
      click: () => select(node.item, false), keydown: (event) => event.key === "Enter" && select(node.item, false),
    });
    bar.append(svg("rect", { x: x(first), y: top + 3, width: wideBar, height: ROW - 6, rx: 3 }));
    const text = clip(label(node), Math.floor((wideBar - 10) / 6.5));
    if (wideBar > 40) bar.append(svg("text", { x: x(first) + 6, y: top + 15 }, text));
    bar.append(svg("title", {}, `${label(node)}\n${specText(node.outputs[index])}, ${bytesText(node.outputs[index].bytes)}\nsteps ${first} to ${last}`));
    chart.append(bar);
  }
}
