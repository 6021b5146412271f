// The neighbourhood of the current value, two edges far, laid out here: every graph has one that is legible.

const MOST = 40; // values
const OPERANDS = 12;
const ACROSS = 6; // boxes side by side
const ROW = 84;
const LEAST = 0.8; // the scale at which a neighbourhood is legible
const SPACE = 14;
const ASIDE = 90;

const operandsOf = (position) => edgesInto[position].map((edge) => edge.source);
const usersOf = (position) => edgesFrom[position].map((edge) => edge.target);

// In the order of what matters: what the step pays, who paid before, then one edge further.
function neighbourhood(centre) {
  const shown = new Set([centre]);
  const add = (positions) => { for (const each of positions) if (shown.size < MOST) shown.add(each); };
  const operands = operandsOf(centre).slice(0, OPERANDS);
  const users = usersOf(centre).slice(0, 4);
  add(operands);
  add(users);
  for (const edge of edgesFrom[centre].slice(0, 4)) {
    add(operandsOf(edge.target).slice(Math.max(0, edge.place - 2), edge.place + 3));
  }
  for (const each of users) add(usersOf(each).slice(0, 2));
  if (operands.length <= ACROSS) for (const each of operands) add(operandsOf(each).slice(0, 3));
  return shown;
}

// Operands above their users, each around the mean place of what uses it.
function around(centre) {
  const shown = neighbourhood(centre);
  const order = [...shown].sort((a, b) => b - a); // users first: a value stands behind its operands
  const level = new Map();
  const levels = [];
  for (const position of order) {
    const users = usersOf(position).filter((each) => level.has(each));
    const own = Math.max(-1, ...users.map((each) => level.get(each))) + 1;
    level.set(position, own);
    (levels[own] ??= []).push(position);
  }
  const places = new Map();
  let y = 0;
  for (const members of levels) {
    const wish = new Map(members.map((position) => [position, meanOfUsers(position, places)]));
    members.sort((a, b) => wish.get(a) - wish.get(b) || a - b);
    const middle = members.reduce((sum, position) => sum + wish.get(position), 0) / members.length;
    for (const row of broken(members)) {
      const total = row.reduce((width, position) => width + nodes[position].width + SPACE, -SPACE);
      let left = middle - total / 2;
      for (const position of row) {
        places.set(position, [left + nodes[position].width / 2, y]);
        left += nodes[position].width + SPACE;
      }
      y -= ROW;
    }
  }
  const routes = new Map();
  for (const position of order) for (const edge of edgesInto[position]) {
    if (!places.has(edge.source)) continue;
    const route = straight(edge, places);
    if (edge.source !== centre && edge.target !== centre) route.label = null; // many edges, little room
    routes.set(edge.key, route);
  }
  return { places, routes, left: nodes.length - shown.size };
}

function meanOfUsers(position, places) {
  const users = edgesFrom[position].filter((edge) => places.has(edge.target));
  const sum = users.reduce((total, edge) => total + places.get(edge.target)[0] + edge.place, 0);
  return users.length ? sum / users.length : 0;
}

// A row that is too long for the pane as several.
function broken(members) {
  const widest = Math.max(pane.width / LEAST, 360);
  const found = [];
  let room = 0;
  for (const position of members) {
    room -= nodes[position].width + SPACE;
    if (room < 0 || found[found.length - 1].length === ACROSS) {
      found.push([]);
      room = widest - nodes[position].width - SPACE;
    }
    found[found.length - 1].push(position);
  }
  return found;
}

function straight(edge, places) {
  const [x0, y0] = places.get(edge.source);
  const [x1, y1] = places.get(edge.target);
  const top = y0 + data.height / 2;
  const bottom = y1 - data.height / 2 - 1;
  const twin = edgesInto[edge.target].filter((each) => each.source === edge.source);
  const shift = twin.length > 1 ? (twin.indexOf(edge) - (twin.length - 1) / 2) * 24 : 0;
  const [from, to] = [x0 + shift, x1 + shift];
  if (bottom - top > ROW && Math.abs(x1 - x0) < ASIDE) { // around the boxes that stand between
    const gap = ROW - data.height;
    const lane = Math.max(from, to) + ASIDE + (bottom - top) / 12;
    const out = `C${from},${top + gap / 2} ${lane},${top + gap / 2} ${lane},${top + gap}`;
    const back = `C${lane},${bottom - gap / 2} ${to},${bottom - gap / 2} ${to},${bottom}`;
    return { path: `M${from},${top}${out}L${lane},${bottom - gap}${back}`, label: [lane, (top + bottom) / 2] };
  }
  const bend = (bottom - top) / 2;
  const path = `M${from},${top}C${from},${top + bend} ${to},${bottom - bend} ${to},${bottom}`;
  return { path, label: [from + (x1 - x0) * 0.3, top + (bottom - top) * 0.42] };
}
