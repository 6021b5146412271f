// The picture: the engine's SVG of the whole graph in a pane that scrolls, or, of a large one, what stands
// around the current value. Both are boxes with a band for the gradient, and only what has changed is painted.

const graph = byId("graph");
const svg = graph.querySelector("svg");
const sheet = byId("sheet");
const lines = new Map(); // by the key of the edge
const whole = new Map(); // the boxes of the whole graph by position
let drawn = whole; // those that are shown
let near = false; // whether these are the neighbourhood of the current value
let found = new Set(); // what was searched for
const pills = shape("g");

function adopt() {
  const all = svg.querySelector("g.graph");
  if (!all) return;
  const groups = ["edge", "node"].map((kind) => [...all.querySelectorAll(`g.${kind}`)]);
  for (const group of groups[1]) {
    const position = Number(group.id.slice(1));
    const outline = group.querySelector(".outline");
    const [x, y, width, height] = ["x", "y", "width", "height"].map((each) => Number(outline.getAttribute(each)));
    group.dataset.position = position;
    whole.set(position, { ...parts(group), x: x + width / 2, y: y + height / 2, width, height });
  }
  for (const group of groups[0]) lines.set(group.id, { group, line: group.querySelector(".line") });
  graph.classList.toggle("still", whole.size > 300); // marching edges would paint all of it again and again
  // A browser keeps what it has painted of a whole <svg>: of many, only those in which a step changes something are
  // painted again. Edges lie below boxes, in whatever order the engine has them.
  for (const kind of groups) for (let from = 0; from < kind.length; from += LAYER) layer(all, kind.slice(from, from + LAYER));
  layer(all, [pills]);
}

const LAYER = 40; // groups of a layer

function layer(all, groups) {
  const [copy, group] = [svg.cloneNode(), all.cloneNode()];
  group.removeAttribute("id");
  group.append(...groups);
  copy.append(group);
  graph.append(copy);
}

const parts = (group) => ({ group, ...Object.fromEntries(["band", "nabla", "gradient"].map((each) => [each, group.querySelector(`.${each}`)])) });

// What an element shows is remembered, and it is painted only where that is something else.
const looks = new WeakMap();
function look(element, told, paint) {
  if (looks.get(element) === told) return;
  looks.set(element, told);
  paint();
}

function paintBox(position, { group, band, nabla, gradient: text }) {
  const [count, all] = [received(position), gifts[position].length];
  const now = (asked(position) ? null : gifts[position][count - 1]) ?? null;
  const marks = { empty: all > 0 && now === null, current: position === current(), operand: gets(position), hit: found.has(position) };
  const marked = Object.keys(marks).filter((each) => marks[each]).join(" ");
  look(group, `${now?.after} ${count} ${marked}`, () => {
    group.setAttribute("class", `node ${nodes[position].kind} ${marked}`);
    if (now === null) delete group.dataset.gradient;
    else group.dataset.gradient = String(now.after);
    if (!band) return;
    band.style.setProperty("--band", now === null ? "none" : colour(now.after));
    nabla.textContent = all > 0 ? `\u00a0∇${now === null || count === all ? "" : ` ${count}/${all}`}` : "";
    text.textContent = now === null ? "" : trimmed(signed(now.after, 4));
  });
}

let flowing = []; // the lines along which the current step pays
function paintLines() {
  for (const { group, line } of flowing) {
    group.setAttribute("class", "edge");
    line.removeAttribute("marker-start");
  }
  flowing = [];
  for (const gift of currentGifts()) {
    const parts = lines.get(`e${current()}_${gift.place}`);
    if (!parts) continue;
    flowing.push(parts);
    parts.group.setAttribute("class", `edge flowing ${asked(gift.operand) ? "zero" : signClass(gift.amount)}`);
    // the gradient goes up to the operand, and so does the arrow that carries it
    parts.line.setAttribute("marker-start", "url(#tip-up)");
  }
}

// What the current step pays, at those who receive it.
function paintPills() {
  for (const old of document.querySelectorAll(".pill")) old.remove();
  const row = new Map();
  for (const gift of currentGifts()) {
    const to = drawn.get(gift.operand);
    if (!to || asked(gift.operand)) continue;
    const text = `${gift.number > 1 ? "+= " : ""}${trimmed(signed(gift.amount, 4))}`;
    const pill = near ? element("span", { class: "pill" }, text) : shape("g", { class: "pill" });
    pill.style.setProperty("--band", colour(gift.amount));
    if (near) { to.group.append(pill); continue; }
    row.set(gift.operand, (row.get(gift.operand) ?? -1) + 1);
    const width = 7 * text.length + 14;
    pill.setAttribute("transform", `translate(${to.x},${to.y + to.height / 2 + 6 + 16 * row.get(gift.operand)})`);
    pill.append(shape("rect", { x: -width / 2, y: -7, width, height: 15, rx: 7.5 }), shape("text", { y: 4.5 }, text));
    pills.append(pill);
  }
}

// ------------------------------------------------------------------------- around the current value
const AROUND = 40; // values in a row; more are counted

function chip(position) {
  const node = nodes[position];
  const group = element(
    "button", { type: "button", "data-position": position },
    element("b", { class: "symbol" }, node.symbol), bdi(node.short), element("span", { class: "data" }, trimmed(number(node.data, 4))),
    element("span", { class: "band" }, element("span", { class: "nabla" }), " ", element("span", { class: "gradient" })),
  );
  drawn.set(position, parts(group));
  return group;
}

function gather() {
  const centre = current();
  drawn = new Map();
  const rows = { computed: edgesInto[centre].map((edge) => edge.source), current: [centre], readers: edgesFrom[centre].map((edge) => edge.target) };
  const shown = Object.entries(rows).filter(([, row]) => row.length > 0).map(([key, row]) => {
    const each = [...new Set(row)];
    const ring = element("div", { class: "ring" }, ...each.slice(0, AROUND).map(chip));
    if (each.length > AROUND) ring.append(element("span", { class: "said" }, `+ ${each.length - AROUND}`));
    return element("section", {}, element("h2", {}, say(key)), ring);
  });
  byId("around").replaceChildren(...shown);
  byId("note").textContent = say("around", nodes[centre].name, nodes.length - drawn.size, nodes.length) + data.note;
}

// ------------------------------------------------------------------------------------------ what is seen
// Around the picture is half a pane of room on each side: where it is scrolled to is the point in the middle.
const bounds = data.view ?? { x: 0, y: 0, width: 1, height: 1 };
const FAR = 0.25; // text is no more than a speck there, and costs more to paint than all else
let scale = 1;
let [wide, high] = [1, 1];

function zoom(to, x = 0, y = 0) { // the point at x, y from the middle stays
  const before = scale;
  scale = Math.min(6, Math.max(0.02, to));
  const [left, top] = [sheet.scrollLeft + x, sheet.scrollTop + y].map((each) => (each * scale) / before);
  graph.classList.toggle("far", scale < FAR);
  sheet.classList.toggle("whole", scale <= fitting());
  [graph.style.width, graph.style.height] = [`${bounds.width * scale}px`, `${bounds.height * scale}px`];
  sheet.scrollTo(left - x, top - y);
}

const fitting = () => Math.min(wide / bounds.width, high / bounds.height, 1.6);
const centre = (x, y) => sheet.scrollTo((x - bounds.x) * scale, (y - bounds.y) * scale);

function fit() {
  zoom(fitting());
  centre(bounds.x + bounds.width / 2, bounds.y + bounds.height / 2);
}

// So much of the picture that all of these are seen, but no nearer than is usual.
function showAll(positions) {
  const boxes = positions.filter((each) => whole.has(each)).map((each) => whole.get(each));
  if (boxes.length === 0) return;
  const [left, top] = [Math.min(...boxes.map((p) => p.x - p.width / 2)), Math.min(...boxes.map((p) => p.y)) - 60];
  const [right, bottom] = [Math.max(...boxes.map((p) => p.x + p.width / 2)), Math.max(...boxes.map((p) => p.y)) + 60];
  zoom(Math.min(wide / (right - left + 60), high / (bottom - top), 1.2));
  centre((left + right) / 2, (top + bottom) / 2);
}

function bringIntoSight(position) {
  const box = whole.get(position);
  if (near || !box) return;
  const [across, down] = [(box.x - bounds.x) * scale - sheet.scrollLeft, (box.y - bounds.y) * scale - sheet.scrollTop];
  const room = [wide / 2 - (box.width / 2) * scale, high / 2 - (box.height / 2) * scale];
  if (Math.abs(across) > room[0] || Math.abs(down) > room[1]) centre(box.x, box.y);
}
