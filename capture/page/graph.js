// Draws the laid out graph, and moves the reader about in it.

const canvas = document.getElementById("canvas");
const stage = svg("g");
canvas.append(stage);

const PLAIN = 0.15; // below this scale no text can be read, and none is drawn
const camera = { x: 0, y: 0, k: 1 };
let scene = { boxes: [], edges: [], w: 0, h: 0 };
let frame = 0;

const path = (points) =>
  points.reduce((text, [x, y], i) => {
    if (!i) return `M${x},${y}`;
    const [px, py] = points[i - 1];
    if (Math.abs(px - x) < 0.5) return `${text}L${x},${y}`;
    const middle = (py + y) / 2;
    return `${text}C${px},${middle} ${x},${middle} ${x},${y}`;
  }, "");

/** Lay out and draw again, keeping `anchor` where it is on the screen. */
function redraw(anchor = null) {
  const before = anchor && anchor.left !== undefined ? [anchor.left * camera.k + camera.x, anchor.top * camera.k + camera.y] : null;
  scene = layout();
  stage.replaceChildren();
  const layers = ["folders", "lines", "boxes"].map((name) => svg("g", { class: name }));
  stage.append(...layers);
  const heat = heatScale();
  for (const it of scene.boxes) {
    const folder = it.open && isFolder(it);
    it.draw = { layer: layers[folder ? 0 : 2], element: null, make: (plain) => (folder ? drawFolder(it, heat) : drawBox(it, heat, plain)) };
    it.draw.box = [it.left, it.top, it.left + it.w, it.top + it.h];
  }
  for (const edge of scene.edges) {
    const [xs, ys] = [edge.points.map((p) => p[0]), edge.points.map((p) => p[1])];
    edge.draw = { layer: layers[1], element: null, make: (plain) => drawEdge(edge, plain) };
    edge.draw.box = [Math.min(...xs), Math.min(...ys), Math.max(...xs), Math.max(...ys)];
  }
  if (before) {
    camera.x = before[0] - anchor.left * camera.k;
    camera.y = before[1] - anchor.top * camera.k;
  }
  mark();
}

/** Show what is in sight: elements are made when they first come into it, and leave when they are out of it. */
function look() {
  frame = 0;
  stage.setAttribute("transform", `translate(${camera.x},${camera.y}) scale(${camera.k})`);
  canvas.classList.toggle("distant", camera.k < 0.4);
  const { clientWidth, clientHeight } = canvas;
  const [left, top] = [(-camera.x - 100) / camera.k, (-camera.y - 100) / camera.k];
  const [right, bottom] = [left + (clientWidth + 200) / camera.k, top + (clientHeight + 200) / camera.k];
  const plain = camera.k < PLAIN;
  for (const thing of [...scene.boxes, ...scene.edges]) {
    const { box, layer } = thing.draw;
    const seen = box[0] <= right && box[2] >= left && box[1] <= bottom && box[3] >= top;
    if (seen && (!thing.draw.element || thing.draw.plain !== plain)) {
      thing.draw.element?.remove();
      thing.draw.element = thing.draw.make(plain);
      thing.draw.plain = plain;
      dress(thing);
    }
    const element = thing.draw.element;
    if (element && seen !== element.isConnected) seen ? layer.append(element) : element.remove();
  }
}

const lookSoon = () => (frame ||= requestAnimationFrame(look));

/** What full heat is: the slowest of what is visible. */
function heatScale() {
  return Math.max(1e-12, ...scene.boxes.filter((it) => !(it.open && isFolder(it))).map((it) => it.sum.time));
}

function paint(it, heat) {
  const kind = `--c: var(--${it.kind}, var(--opaque))`;
  if (app.colour === "time") return `${kind}; --tint: var(--heat); --amount: ${Math.round(66 * Math.sqrt(it.sum.time / heat))}%`;
  if (app.colour === "device") return `--c: ${deviceColour(devicesOf(it))}; --tint: var(--c); --amount: 22%`;
  return `${kind}; --tint: var(--c); --amount: ${it.kind === "scope" ? 0 : 10}%`;
}

function shell(it, heat, extra) {
  const [label, small, side] = texts(it);
  const said = [label, small, side].filter(Boolean).join(", ");
  const group = svg("g", {
    class: `item ${extra}`, id: it.id, "data-id": it.id, role: "treeitem", "aria-label": said, "aria-level": ancestors(it).length + 1,
    "aria-expanded": isFolder(it) ? String(it.open) : null, style: paint(it, heat),
    transform: `translate(${it.left},${it.top})`,
  });
  return [group, label, small, side];
}

function drawBox(it, heat, plain) {
  const [group, label, small, side] = shell(it, heat, `box ${it.kind === "fused" ? "fused" : ""}`);
  const { w, h } = it;
  if (isFolder(it)) group.append(svg("rect", { class: "stack", x: 4, y: 4, width: w, height: h, rx: 7 }));
  group.append(svg("rect", { class: "body", width: w, height: h, rx: 7 }));
  if (plain) return group;
  group.append(isFolder(it) ? toggle(8, h / 2, false) : svg("rect", { class: "pill", x: 8, y: 9, width: 4, height: h - 18, rx: 2 }));
  group.append(svg("text", { class: "label", x: 22, y: small ? 18 : 20 }, label));
  if (small) group.append(svg("text", { class: "small", x: 22, y: 33 }, small));
  if (side) group.append(svg("text", { class: "side", x: w - 12, y: 18 }, side));
  if (placed && app.colour !== "device") group.append(deviceMarks(it, w - 12, h - 10));
  if (it.node?.results.length) group.append(svg("path", { class: "result", d: `M${w / 2 - 12},${h}h24` }));
  group.append(svg("title", {}, title(it)));
  return group;
}

function drawFolder(it, heat) {
  const [group, label, , side] = shell(it, heat, `folder ${it.kind === "fused" ? "fused" : ""}`);
  group.append(svg("rect", { class: "ground", width: it.w, height: it.h, rx: 10 }));
  group.append(svg("rect", { class: "bar", width: it.w, height: HEAD, rx: 10 }));
  group.append(toggle(10, HEAD / 2, true));
  group.append(svg("text", { class: "label", x: 26, y: 20 }, label));
  if (side) group.append(svg("text", { class: "side", x: it.w - 14, y: 20 }, side));
  return group;
}

/** A dot for each device, to the left of a point. */
function deviceMarks(it, x, y) {
  const dots = devicesOf(it).slice(0, 4).reverse();
  return svg("g", { class: "devices" }, dots.map((name, i) => svg("circle", { cx: x - 3 - 10 * i, cy: y, r: 3.5, style: `fill: ${deviceColour([name])}` })));
}

function toggle(x, y, open) {
  const arrow = open ? `M${x - 1},${y - 2}l4,5l4,-5z` : `M${x},${y - 4}l5,4l-5,4z`;
  return svg("g", { class: "toggle" }, svg("rect", { x: x - 8, y: y - 15, width: 24, height: 30 }), svg("path", { d: arrow }));
}

function title(it) {
  const lines = [it.node ? `${it.node.op}${it.node.name ? ` ${it.node.name}` : ""}` : it.id.slice(2)];
  if (it.node?.line) lines.push(it.node.line);
  if (placed && devicesOf(it).length) lines.push(`on ${devicesOf(it).join(", ")}`);
  lines.push([`${flopsText(it.sum.flops)}`, `${bytesText(it.sum.bytes)} moved`, profiled ? timeText(it.sum.time) : ""].filter(Boolean).join(" · "));
  return lines.join("\n");
}

function drawEdge(edge, plain) {
  const bytes = edge.members.reduce((sum, member) => sum + member.bytes, 0);
  const thick = Math.min(3.5, 1 + Math.max(0, Math.log10(bytes / 1e4)) * 0.5);
  const [x, y] = edge.points.at(-1);
  const control = edge.members.every((member) => member.control);
  const drawn = edge.far ? [edge.points[0], edge.points.at(-1)] : edge.points;
  const crossing = edge.members.filter((member) => member.crosses);
  const group = svg("g", { class: `edge${control ? " control" : ""}${edge.far ? " far" : ""}${crossing.length ? " crossing" : ""}` });
  const wide = (thick + (crossing.length ? 1.2 : 0)).toFixed(2);
  group.append(svg("path", { class: "line", d: path(drawn), "stroke-width": wide }));
  if (crossing.length) {
    // In the colours of both devices in turn.
    const ends = ["from", "to"].map((end) => [...new Set(crossing.flatMap((member) => devicesOf(member[end])))].sort());
    group.setAttribute("style", `--from: ${deviceColour(ends[0])}; --to: ${deviceColour(ends[1])}`);
    group.append(svg("path", { class: "stripe", d: path(drawn), "stroke-width": wide }));
    edge.route = `${ends[0].join(", ")} → ${ends[1].join(", ")}`;
  }
  if (plain) return group;
  if (edge.ends) {
    const s = edge.back ? -1 : 1;
    group.append(svg("path", { class: "head", d: `M${x},${y}l-3.5,${-6 * s}h7z` }));
  }
  const said = edge.members.length === 1 ? edge.members[0].text : `${counted(edge.members.length, "value")}, ${bytesText(bytes)}`;
  group.append(svg("title", {}, edge.route ? `${said}\n${edge.route}` : said));
  return group;
}

/** Mark what is selected, its inputs and outputs, and what a search found. */
function mark() {
  const chosen = app.selected && visible(app.selected);
  canvas.classList.toggle("picked", !!chosen);
  const [into, out, near] = [new Set(), new Set(), new Map()];
  if (chosen) {
    for (const edge of edges) {
      const [a, b] = [within(edge.from, app.selected), within(edge.to, app.selected)];
      if (a === b) continue;
      (b ? into : out).add(edge);
      near.set(visible(a ? edge.to : edge.from), b ? "feeds" : "takes");
    }
  }
  const found = new Set(app.found.map((node) => node.item));
  const around = new Set(app.found.flatMap((node) => ancestors(node.item)));
  for (const it of scene.boxes) {
    it.marks = { selected: it === chosen, feeds: near.get(it) === "feeds", takes: near.get(it) === "takes" };
    const hit = found.has(it) || around.has(it) || ancestors(it).some((holder) => found.has(holder));
    it.marks.miss = found.size > 0 && !hit && !(it.open && isFolder(it)) && !near.has(it) && it !== chosen;
  }
  for (const edge of scene.edges) {
    edge.marks = { into: edge.members.some((m) => into.has(m)), out: edge.members.some((m) => out.has(m)) };
  }
  for (const thing of [...scene.boxes, ...scene.edges]) dress(thing);
  canvas.setAttribute("aria-activedescendant", chosen ? chosen.id : "");
  lookSoon();
}

function dress(thing) {
  const element = thing.draw.element;
  if (!element) return;
  for (const [name, on] of Object.entries(thing.marks)) element.classList.toggle(name, on);
  if (!thing.points) element.setAttribute("aria-selected", String(thing.marks.selected));
}

/** Show the whole graph, though not larger than life, nor so small that nothing can be read if its top is enough. */
function fit(whole = true) {
  const { clientWidth, clientHeight } = canvas;
  const k = Math.min(1, (clientWidth - 48) / Math.max(scene.w, 1), (clientHeight - 72) / Math.max(scene.h, 1));
  camera.k = Math.max(k, whole ? 0.003 : 0.8);
  const first = scene.boxes.reduce((best, it) => (best && best.top <= it.top ? best : it), null);
  const middle = scene.w * camera.k > clientWidth && first && !isFolder(first) ? first.left + first.w / 2 : scene.w / 2;
  camera.x = clientWidth / 2 - middle * camera.k;
  camera.y = Math.max(24, (clientHeight - 24 - scene.h * camera.k) / 2);
  lookSoon();
}

/** Move so that an item is in sight. */
function reveal(it) {
  const { clientWidth, clientHeight } = canvas;
  if (camera.k < 0.5) camera.k = 0.8;
  const [x, y] = [(it.left + it.w / 2) * camera.k + camera.x, (it.top + Math.min(it.h / 2, 60)) * camera.k + camera.y];
  if (x < 90 || x > clientWidth - 90) camera.x += clientWidth / 2 - x;
  if (y < 50 || y > clientHeight - 90) camera.y += clientHeight / 2 - y;
  lookSoon();
}

function zoom(factor, x = canvas.clientWidth / 2, y = canvas.clientHeight / 2) {
  const k = Math.min(3, Math.max(0.003, camera.k * factor));
  camera.x = x - ((x - camera.x) * k) / camera.k;
  camera.y = y - ((y - camera.y) * k) / camera.k;
  camera.k = k;
  lookSoon();
}

function flip(it, open = !it.open) {
  if (!isFolder(it) || it === root) return;
  it.open = open;
  redraw(it);
}

/** The box that an arrow key leads to: along an edge where there is one, else the nearest on that side. */
function neighbour(it, key) {
  const [dx, dy] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[key];
  const centre = (box) => [box.left + box.w / 2, box.top + (box.open && isFolder(box) ? 0 : box.h / 2)];
  const [x, y] = centre(it);
  let [best, least] = [null, Infinity];
  for (const other of scene.boxes) {
    if (other === it) continue;
    const [ox, oy] = centre(other);
    const [along, across] = [(ox - x) * dx + (oy - y) * dy, Math.abs((ox - x) * dy) + Math.abs((oy - y) * dx)];
    if (along <= 1 || (dx && across > 30)) continue;
    const joined = dy && (dy > 0 ? other.marks.takes : other.marks.feeds) ? 0.1 : 1;
    const cost = joined * (along + 3 * across);
    if (cost < least) [best, least] = [other, cost];
  }
  return best;
}

function listenToGraph() {
  const itemAt = (event) => items.get(event.target.closest?.("[data-id]")?.dataset.id);
  let drag = null;
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    drag = { x: event.clientX, y: event.clientY, moved: false };
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!drag) return;
    const [dx, dy] = [event.clientX - drag.x, event.clientY - drag.y];
    if (!drag.moved && Math.hypot(dx, dy) < 4) return;
    if (!drag.moved) canvas.setPointerCapture(event.pointerId);
    drag = { x: event.clientX, y: event.clientY, moved: true };
    camera.x += dx;
    camera.y += dy;
    lookSoon();
  });
  canvas.addEventListener("pointerup", () => setTimeout(() => (drag = null)));
  canvas.addEventListener("pointercancel", () => (drag = null));
  canvas.addEventListener("click", (event) => {
    if (drag?.moved) return;
    const it = itemAt(event);
    if (it && event.target.closest(".toggle")) flip(it);
    else select(it ?? null, false);
  });
  canvas.addEventListener("dblclick", (event) => {
    const it = itemAt(event);
    if (it && !event.target.closest(".toggle")) flip(it);
  });
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    const box = canvas.getBoundingClientRect();
    const unit = event.deltaMode === 1 ? 16 : 1;
    if (event.ctrlKey || event.metaKey) zoom(Math.exp(-event.deltaY * unit * 0.004), event.clientX - box.left, event.clientY - box.top);
    else {
      camera.x -= unit * (event.shiftKey ? event.deltaY : event.deltaX);
      camera.y -= event.shiftKey ? 0 : unit * event.deltaY;
      lookSoon();
    }
  }, { passive: false });
  canvas.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const chosen = app.selected && visible(app.selected);
    if (event.key.startsWith("Arrow")) {
      const next = chosen ? neighbour(chosen, event.key) : scene.boxes[0];
      if (next) select(next);
    } else if ((event.key === "Enter" || event.key === " ") && chosen) {
      flip(chosen);
      reveal(chosen);
    } else if (event.key === "Backspace" && chosen && chosen.parent !== root) {
      const parent = chosen.parent;
      flip(parent, false);
      select(parent);
    } else if (event.key === "Escape") select(null);
    else if (event.key === "+" || event.key === "=") zoom(1.25);
    else if (event.key === "-") zoom(0.8);
    else if (event.key === "0") fit();
    else return;
    event.preventDefault();
  });
  new ResizeObserver(lookSoon).observe(canvas);
}
