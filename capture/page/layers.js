// Layered layout of one level: boxes in rows from top to bottom, edges led between them, few crossings, straight lines.

const GAP = { column: 22, lane: 12, row: 40, port: 20 };
const FAR = 24; // rows: a longer edge is drawn straight, behind the boxes
const MOST = 14; // boxes in a row: what is as deep goes below

/**
 * Place boxes ({w, h}, sorted by when they run) and edges ({a, b}: positions in `boxes`, with a !== b). A box with
 * `side` "top" or "bottom" is a port: a point where an edge enters or leaves. Sets x, y (left top) of boxes and
 * `points` of edges; returns the width and height.
 */
function layered(boxes, edges) {
  const count = boxes.length;
  for (const edge of edges) {
    edge.back = edge.a > edge.b;
    [edge.upper, edge.lower] = edge.back ? [edge.b, edge.a] : [edge.a, edge.b];
  }
  const cells = boxes.map((box, i) => ({ box, i, w: box.w, h: box.h, up: [], down: [], rank: 0, port: !!box.side }));
  rankCells(cells, edges);
  const routes = chain(cells, edges);
  const rows = [];
  for (const cell of cells) (rows[cell.rank] ??= []).push(cell);
  for (let r = 0; r < rows.length; r++) rows[r] ??= [];
  order(rows);
  columns(rows);
  return position(rows, cells.slice(0, count), edges, routes);
}

/** Rows: one below everything that is needed; what needs nothing goes next to the first that takes it. */
function rankCells(cells, edges) {
  const up = cells.map(() => []);
  const down = cells.map(() => []);
  for (const edge of edges) {
    up[edge.lower].push(edge.upper);
    down[edge.upper].push(edge.lower);
  }
  const tops = cells.some((cell) => cell.box.side === "top");
  const taken = [];
  cells.forEach((cell, i) => {
    cell.rank = cell.box.side === "top" || !tops ? 0 : 1;
    for (const j of up[i]) cell.rank = Math.max(cell.rank, cells[j].rank + 1);
    if (cell.port || !up[i].length) return;
    while (taken[cell.rank] >= MOST) cell.rank += 1;
    taken[cell.rank] = (taken[cell.rank] ?? 0) + 1;
  });
  const light = cells.map(() => false);
  cells.forEach((cell, i) => (light[i] = !cell.port && (!up[i].length || (up[i].length === 1 && light[up[i][0]]))));
  for (let i = cells.length - 1; i >= 0; i--) {
    if (light[i] && down[i].length) cells[i].rank = Math.min(...down[i].map((j) => cells[j].rank)) - 1;
  }
  const last = Math.max(0, ...cells.filter((cell) => cell.box.side !== "bottom").map((cell) => cell.rank));
  for (const cell of cells) if (cell.box.side === "bottom") cell.rank = last + 1;
  cells.forEach((cell, i) => (cell.source = !up[i].length));
}

/** Put an empty cell into every row that an edge crosses; edges from one box share them. Returns the cells of each edge. */
function chain(cells, edges) {
  const chains = new Map();
  return edges.map((edge) => {
    const [from, to] = [cells[edge.upper], cells[edge.lower]];
    const route = [from];
    edge.far = to.rank - from.rank > FAR && !from.port && !to.port;
    if (edge.far) return [from, to];
    const key = from.box.spread ? edge : from;
    if (!chains.has(key)) chains.set(key, []);
    const lane = chains.get(key);
    for (let rank = from.rank + 1; rank < to.rank; rank++) {
      const k = rank - from.rank - 1;
      if (!lane[k]) {
        lane[k] = { w: GAP.lane, h: 0, up: [], down: [], rank, lane: true };
        cells.push(lane[k]);
        connect(route.at(-1), lane[k], edge, false);
      }
      route.push(lane[k]);
    }
    connect(route.at(-1), to, edge, true);
    return route.concat(to);
  });
}

/** Remember that two cells of neighbouring rows are joined, and where along their sides. */
function connect(upper, lower, edge, ends) {
  const offset = (box, port) => (box?.ports?.has(port) ? box.ports.get(port) - box.w / 2 : 0);
  const from = upper.lane ? 0 : offset(upper.box, edge.key);
  const to = ends ? offset(lower.box, edge.key) : 0;
  upper.down.push({ cell: lower, mine: from, its: to });
  lower.up.push({ cell: upper, mine: to, its: from });
}

/** Order each row by where its neighbours are, down and up in turn, and keep the best. */
function order(rows) {
  const number = (row) => row.forEach((cell, i) => (cell.at = i));
  rows.forEach(number);
  let best = rows.map((row) => row.slice());
  let fewest = crossings(rows);
  for (let sweep = 0; sweep < 8 && fewest > 0; sweep++) {
    const side = sweep % 2 ? "down" : "up";
    for (const row of sweep % 2 ? rows.slice().reverse() : rows) {
      for (const cell of row) {
        const near = cell[side];
        cell.key = near.length ? near.reduce((sum, n) => sum + n.cell.at + n.its * 1e-4, 0) / near.length : cell.at;
      }
      row.sort((a, b) => a.key - b.key || a.at - b.at);
      number(row);
    }
    const now = crossings(rows);
    if (now < fewest) {
      fewest = now;
      best = rows.map((row) => row.slice());
    }
  }
  best.forEach((row, r) => {
    rows[r] = row;
    number(row);
  });
}

/** Count pairs of edges that cross, by how many ends of earlier edges lie to the right. */
function crossings(rows) {
  let sum = 0;
  for (let r = 1; r < rows.length; r++) {
    const size = rows[r].length + 1;
    const tree = new Array(size + 1).fill(0);
    let seen = 0;
    for (const cell of rows[r - 1]) {
      const ends = cell.down.map((n) => n.cell.at);
      for (const at of ends) {
        let below = 0;
        for (let i = at + 1; i > 0; i -= i & -i) below += tree[i];
        sum += seen - below;
      }
      for (const at of ends) for (let i = at + 1; i <= size; i += i & -i) tree[i] += 1;
      seen += ends.length;
    }
  }
  return sum;
}

/** Columns: every cell as near to the middle of its neighbours as the order of its row allows. */
function columns(rows) {
  for (const row of rows) {
    let x = 0;
    for (const cell of row) {
      cell.x = x + cell.w / 2;
      x += cell.w + GAP.column;
    }
    for (const cell of row) cell.x -= (x - GAP.column) / 2;
  }
  for (let sweep = 0; sweep < 30; sweep++) {
    const sides = sweep >= 6 ? ["up", "down"] : [sweep % 2 ? "down" : "up"];
    for (const row of sweep % 2 ? rows.slice().reverse() : rows) relax(row, sides);
  }
}

/** Move the cells of a row to where they want to be, as far as they have room: least squares, in order. */
function relax(row, sides) {
  const blocks = [];
  let offset = 0;
  row.forEach((cell, i) => {
    if (i) offset += (row[i - 1].w + cell.w) / 2 + (cell.lane && row[i - 1].lane ? GAP.lane : GAP.column);
    let [sum, weight] = [0, 0];
    for (const side of sides) {
      for (const near of cell[side]) {
        const heavy = cell.lane && near.cell.lane ? 8 : cell.lane || near.cell.lane ? 0.5 : 2;
        sum += heavy * (near.cell.x + near.its - near.mine);
        weight += heavy;
      }
    }
    const block = weight ? { sum: sum - weight * offset, weight } : { sum: 0.1 * (cell.x - offset), weight: 0.1 };
    block.cells = [[cell, offset]];
    while (blocks.length && blocks.at(-1).sum / blocks.at(-1).weight > block.sum / block.weight) {
      const left = blocks.pop();
      block.sum += left.sum;
      block.weight += left.weight;
      block.cells = left.cells.concat(block.cells);
    }
    blocks.push(block);
  });
  for (const block of blocks) for (const [cell, at] of block.cells) cell.x = block.sum / block.weight + at;
}

/** Give boxes their corners and edges their points. */
function position(rows, placed, edges, routes) {
  const left = Math.min(...rows.flat().map((cell) => cell.x - cell.w / 2), 0);
  const right = Math.max(...rows.flat().map((cell) => cell.x + cell.w / 2), 0);
  let y = 0;
  const bounds = rows.map((row, r) => {
    const height = Math.max(0, ...row.map((cell) => cell.h));
    const top = y;
    const joins = row.reduce((sum, cell) => sum + cell.down.length, 0);
    const gap = row.some((cell) => cell.box?.side === "top") || rows[r + 1]?.some((cell) => cell.port) ? GAP.port : GAP.row;
    y += height + (r < rows.length - 1 ? gap + Math.min(40, 1.2 * joins) : 0);
    return { top, bottom: top + height };
  });
  for (const cell of rows.flat()) cell.x -= left;
  for (const cell of placed) {
    const { top, bottom } = bounds[cell.rank];
    cell.box.x = cell.x - cell.w / 2;
    cell.box.y = cell.source && !cell.port ? bottom - cell.h : top;
  }
  spreadEnds(placed, edges, routes);
  edges.forEach((edge, i) => {
    const [from, to] = [routes[i][0], routes[i].at(-1)];
    const points = [[edge.start, from.box.y + from.h], [edge.start, bounds[from.rank].bottom]];
    for (const lane of routes[i].slice(1, -1)) points.push([lane.x, bounds[lane.rank].top], [lane.x, bounds[lane.rank].bottom]);
    points.push([edge.end, bounds[to.rank].top], [edge.end, to.box.y]);
    edge.points = edge.back ? points.reverse() : points;
  });
  return { w: right - left, h: y };
}

/** Let edges meet a box side by side, in the order in which they come. */
function spreadEnds(placed, edges, routes) {
  const ends = new Map(placed.map((cell) => [cell, { up: new Map(), down: new Map() }]));
  edges.forEach((edge, i) => {
    const route = routes[i];
    const put = (cell, side, other, key) => {
      const table = ends.get(cell)[side];
      if (!table.has(other)) table.set(other, []);
      table.get(other).push([edge, key]);
    };
    put(route[0], "down", route[1], "start");
    put(route.at(-1), "up", route.at(-2), "end");
  });
  for (const [cell, sides] of ends) {
    for (const table of [sides.up, sides.down]) {
      const list = [...table].sort(([a], [b]) => a.x - b.x);
      const step = list.length > 1 ? Math.min(14, (cell.w * 0.6) / (list.length - 1)) : 0;
      list.forEach(([, meeting], k) => {
        for (const [edge, key] of meeting) {
          const port = cell.box.ports?.get(edge.key);
          edge[key] = port === undefined ? cell.x + (k - (list.length - 1) / 2) * step : cell.box.x + port;
        }
      });
    }
  }
}
