// Beside the graph: the current step in symbols and numbers, the line of source, the tables.

const CARDS = 40; // of a step with more operands the others are counted

function showStep() {
  const position = current();
  const node = nodes[position];
  const heading = element("h2", {}, name(position));
  const formula = element("span", { class: "symbols", dir: "ltr" }, node.formula);
  const long = node.formula.length > 40;
  if (node.formula && !long) heading.append(" = ", formula);
  heading.append(" = ", element("span", { title: String(node.data) }, six(node.data)));
  const below = long ? [element("p", { class: "said" }, "= ", formula)] : [];
  if (phase === "forward") { byId("step").replaceChildren(heading, ...below, ...madeFrom(position)); return; }
  if (phase === "update") { byId("step").replaceChildren(...descent()); return; }
  const upstream = element("p", { class: "upstream" }, say("upstream"), derivative(data.root, position), " = ");
  upstream.append(coloured(at === 0 ? 1 : steps[at - 1].upstream));
  const last = at === steps.length && at > 0 ? [element("p", { class: "complete" }, `✓ ${say("complete")}`)] : [];
  byId("step").replaceChildren(heading, ...below, upstream, ...(at === 0 ? seed() : passes(position)), ...last);
}

function seed() {
  return [element("p", { class: "said" }, say(steps.length === 0 ? "nosteps" : "seed"))];
}

// Of the forward pass: what a value is computed from, in numbers.
function madeFrom(position) {
  const rows = edgesInto[position].slice(0, CARDS).map((edge) => {
    const row = element("p", {}, name(edge.source), " = ");
    row.append(element("b", { title: String(nodes[edge.source].data) }, six(nodes[edge.source].data)));
    return element("div", { class: "card" }, row);
  });
  const rest = edgesInto[position].length - rows.length;
  if (rest > 0) rows.push(element("p", { class: "said" }, `+ ${rest}`));
  return [element("h3", {}, say("computed")), ...rows];
}

// The step that follows the pass: each parameter against its gradient.
let rate = 0.1;
function descent() {
  const input = element("input", { type: "number", id: "rate", value: String(rate), min: "0", step: "any" });
  const body = element("tbody");
  const fill = () => body.replaceChildren(...nodes.flatMap((node, position) => {
    const last = final(position);
    if (node.kind !== "parameter" || last === null) return [];
    const moved = element("td", {}, number(node.data - rate * last.after, 6));
    return [element("tr", {}, element("th", { scope: "row" }, narrowed(position)), element("td", {}, number(node.data, 6)), element("td", { class: signClass(last.after) }, signed(last.after, 6)), moved)];
  }));
  input.addEventListener("input", () => { rate = Number(input.value) || 0; fill(); });
  fill();
  const label = element("label", {}, `${say("rate")} `);
  label.append(input);
  return [element("h2", {}, say("descent")), label, element("table", {}, head("name", "number", "gradient", "after"), body)];
}

function passes(position) {
  const gives = currentGifts();
  const cards = gives.slice(0, CARDS).map((gift) => (exercising ? question : card)(position, gift));
  if (gives.length > CARDS) {
    const rest = `and ${plural(gives.length - CARDS, "more contribution")}: the table below has their gradients`;
    cards.push(element("p", { class: "said" }, rest));
  }
  return [element("h3", {}, say("rule")), ...cards];
}

function card(position, gift) {
  const value = six(gift.local);
  const local = element("p", {}, say("local"), derivative(position, gift.operand));
  if (gift.symbols) local.append(" = ", element("span", { class: "symbols", dir: "ltr" }, gift.symbols));
  const said = [gift.symbols, trimmed(value)];
  if (gift.numbers && !said.includes(gift.numbers) && gift.numbers !== trimmed(number(gift.local, 4))) {
    local.append(" = ", element("span", { class: "symbols", dir: "ltr" }, gift.numbers));
  }
  if (gift.symbols !== trimmed(value)) local.append(" = ", element("span", { title: String(gift.local) }, value));
  const upstream = six(steps[at - 1].upstream);
  const contribution = element("p", {}, `${say("contribution")}${upstream} × ${gift.local < 0 ? `(${value})` : value} = `, coloured(gift.amount));
  const sum = element("p", { class: "sum" }, jump(gift.operand), ".grad ");
  if (gift.number > 1) {
    const before = gifts[gift.operand][gift.number - 2].after;
    sum.append(element("span", { title: String(before) }, six(before, true)), " += ", six(gift.amount, true), " → ");
  } else sum.append("= ");
  sum.append(coloured(gift.after), " ", state(gift.number, gifts[gift.operand].length));
  return element("div", { class: `card ${signClass(gift.amount)}` }, local, contribution, sum);
}

function state(count, all) {
  if (count < all) return element("span", { class: "state" }, `${count} ${say("of")} ${all}`);
  return element("span", { class: "state" }, all > 1 ? `✓ ${say("final")} (${all} ${say("of")} ${all})` : `✓ ${say("final")}`);
}

// A name that leads to the step in which its gradient is passed on or complete.
function jump(position, called = name(position)) {
  const button = element("button", { type: "button", class: "jump" }, called);
  button.addEventListener("click", () => visit(position));
  return button;
}

// ---------------------------------------------------------------------------------------- source
let file = null;
const rowsOf = new Map();

function showSource() {
  const site = nodes[current()].site;
  byId("source").hidden = site === null;
  byId("nosource").hidden = data.sources.length > 0 || steps.length === 0;
  for (const each of byId("lines").querySelectorAll(".here")) {
    each.classList.remove("here");
    each.removeAttribute("aria-current");
  }
  if (site === null) return;
  if (file !== site[0]) loadSource(site[0]);
  byId("file").textContent = `${data.sources[file].name}:${site[1]}`;
  const row = rowsOf.get(site[1]);
  row.classList.add("here");
  row.setAttribute("aria-current", "step");
  // in the next frame: where the row is, is not known before the page is laid out again
  window.requestAnimationFrame(() => {
    const box = byId("lines");
    box.scrollTop = row.offsetTop - box.clientHeight / 2 + row.offsetHeight / 2;
  });
}

function loadSource(index) {
  file = index;
  rowsOf.clear();
  const rows = [];
  let last = null;
  for (const [line, text] of data.sources[index].lines) {
    if (last !== null && line > last + 1) rows.push(element("div", { class: "gap" }, "⋯"));
    const row = element("div", { class: "row" }, element("span", { class: "count" }, String(line)), element("code", {}, text || " "));
    rowsOf.set(line, row);
    rows.push(row);
    last = line;
  }
  byId("lines").replaceChildren(...rows);
}

// ---------------------------------------------------------------------------------------- tables
const rows = { parameters: new Map(), values: new Map() };

function head(...titles) {
  const row = element("tr");
  for (const title of titles) row.append(element("th", { scope: "col" }, say(title)));
  return element("thead", {}, row);
}

function buildTable(id, positions) {
  const body = element("tbody");
  for (const position of positions) {
    const node = nodes[position];
    const called = id === "values" ? name(position) : narrowed(position);
    const label = element("th", { scope: "row", title: node.name }, takesGradient(position) ? jump(position, called) : called);
    if (id === "values" && node.formula) label.append(" = ", element("span", { class: "symbols", dir: "ltr" }, node.formula));
    const grad = element("td");
    const mark = element("td");
    const row = element("tr", { "data-position": String(position) }, label, element("td", { title: String(node.data) }, number(node.data, 6)), grad, mark);
    rows[id].set(position, { row, grad, mark });
    body.append(row);
  }
  byId(id).replaceChildren(head("name", "number", "gradient", "state"), body);
  for (const position of positions) paintRow(id, position);
}

function paintRow(id, position) {
  const parts = rows[id].get(position);
  if (!parts) return;
  const now = asked(position) ? null : gradient(position);
  const gets = currentGifts().some((gift) => gift.operand === position) || position === current();
  parts.row.className = gets ? "here" : "";
  parts.grad.className = now === null ? "none" : signClass(now.after);
  if (now === null) parts.grad.removeAttribute("title");
  else parts.grad.title = String(now.after);
  parts.grad.textContent = now === null ? (takesGradient(position) ? "" : say("none")) : signed(now.after, 6);
  const all = gifts[position].length;
  parts.mark.textContent = now === null ? "" : isFinal(position) ? "✓" : `${received[position]}/${all}`;
}

function buildTables() {
  const isKind = (kind) => (node) => node.kind === kind;
  const positions = [...nodes.keys()];
  const parameters = positions.filter((position) => isKind("parameter")(nodes[position]));
  const inputs = positions.filter((position) => isKind("input")(nodes[position]));
  byId("leavestitle").textContent = say(inputs.length ? (parameters.length ? "both" : "inputs") : "parameters");
  byId("leaves").hidden = parameters.length + inputs.length === 0;
  buildTable("parameters", [...parameters, ...inputs]);
  const every = byId("every");
  rows.values.clear();
  every.open = false;
  every.querySelector("summary").textContent = `${say("all")} (${nodes.length.toLocaleString("en")})`;
}
byId("every").addEventListener("toggle", () => {
  if (byId("every").open && rows.values.size === 0) buildTable("values", [...nodes.keys()]);
});

// ----------------------------------------------------------------------------------------- hover
function describe(position) {
  const node = nodes[position];
  const now = asked(position) ? null : gradient(position);
  const last = final(position);
  const told = [["", node.name + (node.formula ? ` = ${node.formula}` : "")], ["number", String(node.data)]];
  if (last === null) told.push(["gradient", say("takesnone")]);
  else {
    const count = `${received[position]} ${say("of")} ${gifts[position].length}`;
    told.push(["now", now === null ? say("nothing") : `${now.after} (${count})`]);
    if (!exercising) told.push(["atlast", String(last.after)]);
  }
  if (node.rule) told.push(["operation", node.rule]);
  if (node.group) told.push(["inside", node.group]);
  if (node.site) told.push(["line", `${data.sources[node.site[0]].name}:${node.site[1]}`]);
  return told;
}

function showTip(position, clientX, clientY) {
  const tip = byId("tip");
  tip.replaceChildren(...describe(position).map(([label, text]) => (
    element("p", label ? {} : { class: "head", dir: "auto" }, ...(label ? [element("span", {}, say(label)), element("b", {}, text)] : [text]))
  )));
  tip.hidden = false;
  const { offsetWidth: w, offsetHeight: h } = tip;
  const right = clientX + 16 + w > window.innerWidth;
  tip.style.left = `${Math.max(4, right ? clientX - w - 12 : clientX + 16)}px`;
  tip.style.top = `${Math.max(4, Math.min(clientY + 14, window.innerHeight - h - 6))}px`;
}
