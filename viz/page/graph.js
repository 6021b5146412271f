// The picture: built once (or, of a large graph, at each step), then only what has changed is painted.

const svg = byId("graph");
const drawn = new Map(); // by position
const lines = new Map(); // by the key of the edge
let halo;
let pills;
let bounds;

function arrow(id) {
  const marker = shape("marker", {
    id, viewBox: "0 0 8 8", refX: 7, refY: 4, markerWidth: 7, markerHeight: 7, orient: "auto-start-reverse", markerUnits: "userSpaceOnUse",
  });
  marker.append(shape("path", { d: "M0,0.8L8,4L0,7.2z" }));
  return marker;
}

function build({ places, routes, frames = [] }) {
  drawn.clear();
  lines.clear();
  const definitions = shape("defs");
  definitions.append(arrow("tip-plain"), arrow("tip-plus"), arrow("tip-minus"), arrow("tip-zero"));
  const [below, above] = [shape("g"), shape("g")];
  pills = shape("g");
  halo = shape("rect", { class: "halo", rx: 7, height: data.height + 12 });
  for (const { label, place: [x, y, width, height] } of frames) {
    const [left, top] = [x - width / 2, y - height / 2];
    below.append(
      shape("rect", { class: "frame", x: left, y: top, width, height, rx: 7 }),
      shape("text", { class: "label", x: left + 7, y: top + 13 }, label),
    );
  }
  for (const [key, route] of routes) below.append(buildLine(key, route));
  for (const [position, place] of places) above.append(buildNode(position, place));
  svg.classList.toggle("still", places.size > 300); // marching edges would paint all of it again and again
  svg.replaceChildren(definitions, below, halo, above, pills);
  const corners = [
    ...[...places].map(([position, [x, y]]) => [x, y, nodes[position].width, data.height]),
    ...frames.map((frame) => frame.place),
  ];
  const least = (values) => values.reduce((a, b) => Math.min(a, b));
  const [left, right] = [least(corners.map(([x, , w]) => x - w / 2)), -least(corners.map(([x, , w]) => -x - w / 2))];
  const [top, bottom] = [least(corners.map(([, y, , h]) => y - h / 2)), -least(corners.map(([, y, , h]) => -y - h / 2))];
  bounds = { x: left - 12, y: top - 12, width: right - left + 24, height: bottom - top + 30 };
  for (const position of drawn.keys()) paint(position);
  for (const key of lines.keys()) paintLine(key);
}

function buildNode(position, [x, y]) {
  const node = nodes[position];
  const [w, h] = [node.width, data.height];
  const [left, top, half] = [-w / 2, -h / 2, h / 2];
  const group = shape("g", { id: `n${position}`, transform: `translate(${x},${y})` });
  const parts = {
    x, y, group,
    band: shape("rect", { class: "band", x: left + node.aside + 4, y: 1, width: w - node.aside - 8, height: half - 4, rx: 3 }),
    badge: shape("text", { class: "badge", y: 13 }),
    gradient: shape("text", { class: "gradient", x: -left - 8, y: 13 }),
  };
  const text = left + node.aside + 8; // right of the sign of the operation, as in a drawing
  parts.badge.setAttribute("x", text + 14);
  group.append(
    shape("rect", { class: "fill", x: left, y: top, width: w, height: h, rx: 8 }),
    parts.band,
    shape("rect", { class: "outline", x: left, y: top, width: w, height: h, rx: 8 }),
    shape("text", { class: node.named ? "name" : "name made", x: text, y: -4 }, node.short),
    shape("text", { class: "data", x: -left - 8, y: -4 }, trimmed(number(node.data, 4))),
    shape("text", { class: "symbol", x: left + 4 + node.aside / 2, y: 5 }, node.symbol),
    shape("text", { class: "nabla", x: text, y: 13 }, takesGradient(position) ? "∇" : ""),
    parts.badge,
    parts.gradient,
  );
  drawn.set(position, parts);
  return group;
}

function buildLine(key, route) {
  const edge = edges.get(key);
  const group = shape("g", { id: key });
  const line = shape("path", { d: route.path, class: "line" });
  group.append(line);
  if (route.label && edge.gift && edge.gift.local !== 1) {
    group.append(shape("text", { class: "factor", x: route.label[0], y: route.label[1] + 3 }, `×${trimmed(number(edge.gift.local, 4))}`));
  }
  lines.set(key, { group, line });
  return group;
}

function paint(position) {
  const parts = drawn.get(position);
  if (!parts) return;
  const node = nodes[position];
  const now = gradient(position);
  const classes = ["node", node.kind];
  if (position === data.root) classes.push("root");
  if (takesGradient(position) && now === null) classes.push("empty");
  if (position === current()) classes.push("current");
  if (currentGifts().some((gift) => gift.operand === position)) classes.push("operand");
  if (found.has(position)) classes.push("hit");
  parts.group.setAttribute("class", classes.join(" "));
  if (now === null) parts.group.removeAttribute("data-gradient");
  else parts.group.setAttribute("data-gradient", String(now.after));
  parts.band.setAttribute("fill", now === null ? "none" : now.colour);
  parts.gradient.textContent = now === null ? "" : trimmed(signed(now.after, 4));
  parts.badge.textContent = now === null || isFinal(position) ? "" : `${received[position]}/${gifts[position].length}`;
}

function paintLine(key) {
  const parts = lines.get(key);
  if (!parts) return;
  const edge = edges.get(key);
  const flowing = phase === "backward" && at > 0 && edge.target === current() && edge.gift !== null;
  const sign = flowing ? signClass(edge.gift.amount) : "plain";
  parts.group.setAttribute("class", `edge ${flowing ? `flowing ${sign}` : passed(edge) ? "passed" : ""}`);
  // the gradient goes up to the operand, and so does the arrow that carries it
  parts.line.setAttribute(flowing ? "marker-start" : "marker-end", `url(#tip-${sign})`);
  parts.line.removeAttribute(flowing ? "marker-end" : "marker-start");
}

// The halo and what the current step pays, at those who receive it.
function paintStep() {
  const parts = drawn.get(current());
  if (parts) {
    const width = nodes[current()].width + 12;
    halo.setAttribute("x", parts.x - width / 2);
    halo.setAttribute("y", parts.y - data.height / 2 - 6);
    halo.setAttribute("width", width);
  }
  const stacked = new Map();
  pills.replaceChildren();
  for (const gift of currentGifts()) {
    const to = drawn.get(gift.operand);
    if (!to) continue;
    const row = stacked.get(gift.operand) ?? 0;
    stacked.set(gift.operand, row + 1);
    const text = `${gift.number > 1 ? "+= " : ""}${trimmed(signed(gift.amount, 4))}`;
    const width = 7 * text.length + 14;
    const pill = shape("g", { class: "pill", transform: `translate(${to.x},${to.y + data.height / 2 + 6 + 16 * row})` });
    pill.append(
      shape("rect", { x: -width / 2, y: -7, width, height: 15, rx: 7.5, fill: gift.tint }),
      shape("text", { y: 4.5 }, text),
    );
    pills.append(pill);
  }
}
