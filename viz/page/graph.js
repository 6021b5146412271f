// The picture: the engine's SVG of the whole graph, or, of a large one, what stands around the current value.
// Both are boxes with a band for the gradient, and from step to step only what has changed is painted.

const svg = byId("graph");
const lines = new Map(); // by the key of the edge
const whole = new Map(); // the boxes of the whole graph by position
let drawn = whole; // those that are shown
const pills = shape("g");

function adopt() {
  svg.prepend(arrows());
  for (const group of svg.querySelectorAll("g.node")) {
    const position = Number(group.id.slice(1));
    const { x, y, width, height } = group.querySelector(".outline").getBBox();
    const part = (name) => group.querySelector(`.${name}`);
    group.dataset.position = position;
    whole.set(position, {
      group, x: x + width / 2, y: y + height / 2, width, height, band: part("band"), nabla: part("nabla"), gradient: part("gradient"),
    });
  }
  for (const group of svg.querySelectorAll("g.edge")) lines.set(group.id, { group, line: group.querySelector(".line") });
  svg.querySelector("g.graph")?.append(pills);
  svg.classList.toggle("still", whole.size > 300); // marching edges would paint all of it again and again
}

function arrows() {
  const definitions = shape("defs");
  for (const sign of ["plus", "minus", "zero"]) {
    const marker = shape("marker", {
      id: `tip-${sign}`, viewBox: "0 0 8 8", refX: 7, refY: 4, markerWidth: 9, markerHeight: 9, orient: "auto-start-reverse", markerUnits: "userSpaceOnUse",
    });
    marker.append(shape("path", { d: "M0,0.8L8,4L0,7.2z" }));
    definitions.append(marker);
  }
  return definitions;
}

// ------------------------------------------------------------------------- around the current value
const AROUND = 40; // values in a row; more are counted

function chip(position) {
  const node = nodes[position];
  const [nabla, gradient] = [element("span", { class: "nabla" }), element("span", { class: "gradient" })];
  const band = element("span", { class: "band" }, nabla, " ", gradient);
  const group = element(
    "button", { type: "button", "data-position": String(position) },
    element("b", { class: "symbol" }, node.symbol), element("bdi", { class: "name" }, node.short),
    element("span", { class: "data" }, trimmed(number(node.data, 4))), band,
  );
  drawn.set(position, { group, band, nabla, gradient });
  return group;
}

function showNeighbourhood() {
  const centre = current();
  const rows = [
    ["computed", [...new Set(edgesInto[centre].map((edge) => edge.source))]],
    ["current", [centre]],
    ["readers", [...new Set(edgesFrom[centre].map((edge) => edge.target))]],
  ];
  drawn = new Map();
  byId("around").replaceChildren(...rows.filter(([, row]) => row.length > 0).map(([key, row]) => {
    const boxes = element("div", { class: "ring" }, ...row.slice(0, AROUND).map(chip));
    if (row.length > AROUND) boxes.append(element("span", { class: "said" }, `+ ${row.length - AROUND}`));
    return element("section", {}, element("h3", {}, say(key)), boxes);
  }));
  for (const position of drawn.keys()) paint(position);
  byId("note").textContent = `${say("around")} ${nodes[centre].name}; ${say("left")}: ${plural(nodes.length - drawn.size, "value")}. ${data.note}`;
}

// ---------------------------------------------------------------------------------------- painting
function paint(position) {
  const parts = drawn.get(position);
  if (!parts) return;
  const now = asked(position) ? null : gradient(position);
  const classes = ["node", nodes[position].kind];
  if (takesGradient(position) && now === null) classes.push("empty");
  if (position === current()) classes.push("current");
  if (currentGifts().some((gift) => gift.operand === position)) classes.push("operand");
  if (found.has(position)) classes.push("hit");
  parts.group.setAttribute("class", classes.join(" "));
  if (now === null) parts.group.removeAttribute("data-gradient");
  else parts.group.setAttribute("data-gradient", String(now.after));
  if (!parts.band) return;
  parts.band.style.setProperty("--band", now === null ? "none" : now.colour);
  const count = now === null || isFinal(position) ? "" : ` ${received[position]}/${gifts[position].length}`;
  parts.nabla.textContent = takesGradient(position) ? `\u00a0∇${count}` : "";
  parts.gradient.textContent = now === null ? "" : trimmed(signed(now.after, 4));
}

function paintLine(key) {
  const parts = lines.get(key);
  if (!parts) return;
  const edge = edges.get(key);
  const flowing = phase === "backward" && at > 0 && edge.target === current() && edge.gift !== null;
  const sign = flowing ? signClass(edge.gift.amount) : "";
  parts.group.setAttribute("class", `edge ${flowing ? `flowing ${sign}` : passed(edge) ? "passed" : ""}`);
  // the gradient goes up to the operand, and so does the arrow that carries it
  if (flowing) parts.line.setAttribute("marker-start", `url(#tip-${sign})`);
  else parts.line.removeAttribute("marker-start");
}

// What the current step pays, at those who receive it.
function paintStep() {
  for (const old of document.querySelectorAll(".pill")) old.remove();
  const stacked = new Map();
  for (const gift of currentGifts()) {
    const to = drawn.get(gift.operand);
    if (!to || asked(gift.operand)) continue;
    const text = `${gift.number > 1 ? "+= " : ""}${trimmed(signed(gift.amount, 4))}`;
    if (near) {
      const pill = element("span", { class: "pill" }, text);
      pill.style.setProperty("--band", gift.tint);
      to.group.append(pill);
      continue;
    }
    const row = stacked.get(gift.operand) ?? 0;
    stacked.set(gift.operand, row + 1);
    const width = 7 * text.length + 14;
    const pill = shape("g", { class: "pill", transform: `translate(${to.x},${to.y + to.height / 2 + 6 + 16 * row})` });
    pill.append(
      shape("rect", { x: -width / 2, y: -7, width, height: 15, rx: 7.5, fill: gift.tint }),
      shape("text", { y: 4.5 }, text),
    );
    pills.append(pill);
  }
}
