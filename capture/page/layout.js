// Layout of the whole graph: each unfolded item is a box that holds a layout of its own.

const PAD = 18;
const HEAD = 30;

/** Lay out what is visible. Returns boxes (outer ones first) and edges, in coordinates of the whole drawing. */
function layout() {
  prepare(root, edges.map((edge) => ({ edge, from: edge.from, to: edge.to })), []);
  measure(root);
  const scene = { boxes: [], edges: [], w: root.w, h: root.h };
  collect(root, 0, 0, scene);
  return scene;
}

/** The child of `container` that holds `it`, or null. */
function childOf(container, it) {
  for (let at = it; at; at = at.parent) if (at.parent === container) return at;
  return null;
}

/**
 * Find the edges between the children of an unfolded item: `passing` are the innermost edges that touch it. Those that
 * come from outside, or go there, pass a port; `ports` are [{key, side, entering, members}].
 */
function prepare(container, passing, ports) {
  const byEdge = { true: new Map(), false: new Map() };
  for (const port of ports) for (const member of port.members) byEdge[port.entering].set(member, port);
  const level = new Map();
  for (const { edge } of passing) {
    const a = childOf(container, edge.from) ?? byEdge.true.get(edge);
    const b = childOf(container, edge.to) ?? byEdge.false.get(edge);
    if (!a || !b || a === b) continue;
    const key = `${a.id}>${b.id}`;
    if (!level.has(key)) level.set(key, { key: `${container.id}|${key}`, from: a, to: b, members: [] });
    level.get(key).members.push(edge);
  }
  const shown = [...ports.filter((p) => p.side === "top"), ...container.children, ...ports.filter((p) => p.side === "bottom")];
  shown.forEach((box, i) => (box.index = i));
  container.level = { shown, edges: [...level.values()] };
  for (const child of container.children) {
    if (!child.open || !isFolder(child)) continue;
    const [inner, doors] = [[], []];
    for (const group of container.level.edges) {
      if (group.from !== child && group.to !== child) continue;
      const entering = group.to === child;
      const upward = group.from.index > group.to.index;
      doors.push({ id: `p:${group.key}`, key: group.key, side: entering !== upward ? "top" : "bottom", entering, members: group.members });
      inner.push(...group.members.map((edge) => ({ edge })));
    }
    inner.push(...passing.filter(({ edge }) => childOf(container, edge.from) === child && childOf(container, edge.to) === child));
    prepare(child, inner, doors);
  }
}

/** Set the size of an item, and of everything in it. */
function measure(it) {
  if (!it.open || !isFolder(it)) {
    const [label, small, side] = texts(it);
    const top = width(label, "label") + (side ? width(side, "small") + 14 : 0);
    Object.assign(it, { w: Math.max(84, Math.ceil(Math.max(top, width(small, "small")) + 36)), h: small ? 42 : 30, spread: false });
    it.ports = null;
    return;
  }
  it.children.forEach(measure);
  const { shown, edges: groups } = it.level;
  for (const box of shown) if (box.side) Object.assign(box, { w: 2, h: 0 });
  for (const group of groups) Object.assign(group, { a: group.from.index, b: group.to.index });
  const size = layered(shown, groups);
  if (it === root) return void Object.assign(it, size);
  const [label, , side] = texts(it);
  it.w = Math.max(size.w + 2 * PAD, Math.ceil(width(label, "label") + width(side, "small") + 70));
  it.h = size.h + HEAD + 2 * PAD;
  it.shift = (it.w - size.w) / 2;
  it.spread = true;
  it.ports = new Map(shown.filter((box) => box.side).map((box) => [box.key, box.x + 1 + it.shift]));
}

/** Move everything to where the whole drawing has it. */
function collect(container, x, y, scene) {
  const { shown, edges: groups } = container.level;
  for (const group of groups) {
    const points = group.points.map(([px, py]) => [px + x, py + y]);
    // Edges through a port reach the border of their box.
    for (const [end, box] of [[0, group.from], [points.length - 1, group.to]]) {
      if (box.side) points[end] = [points[end][0], box.side === "top" ? y - PAD : y + container.inner + PAD];
    }
    scene.edges.push({ ...group, points, inside: container, ends: !group.to.side && !(group.to.open && isFolder(group.to)) });
  }
  for (const it of shown) {
    if (it.side) continue;
    it.left = it.x + x;
    it.top = it.y + y;
    scene.boxes.push(it);
    if (it.open && isFolder(it)) {
      it.inner = it.h - HEAD - 2 * PAD;
      collect(it, it.left + it.shift, it.top + HEAD + PAD, scene);
    }
  }
}

/** The lines of text of an item: label, what is below it, what is at its right. */
function texts(it) {
  const { sum, node } = it;
  const measured = profiled && (node ? node.time !== null : sum.time > 0) ? timeText(sum.time) : "";
  const label = clip(it.label, 34);
  if (it.kind === "scope") return [label, `${counted(sum.nodes, "node")} · ${flopsText(sum.flops)}`, measured];
  const [first, ...more] = node.outputs;
  const small = first ? specText(first) + (more.length ? ` +${more.length}` : "") : node.name ? node.op : "";
  return [label, clip(small, 40), measured];
}
