// Beside the graph: the current step in symbols and numbers, the line of source, the tables.

const CARDS = 40; // of a step with more operands the others are counted

function showStep() {
  if (phase === "update") { byId("step").replaceChildren(...descent()); return; }
  const [position, step] = [current(), at === 0 ? null : steps[at - 1]];
  const node = nodes[position];
  const heading = element("h2", {}, bdi(node.name));
  const long = node.formula.length > 40;
  if (node.formula && !long) heading.append(" = ", symbols(node.formula));
  heading.append(" = ", exact(node.data));
  const shown = [heading, ...(long ? [said("= ", symbols(node.formula))] : [])];
  if (phase === "forward") shown.push(...cards("computed", edgesInto[position], operandCard));
  else {
    shown.push(element("p", { class: "upstream" }, say("upstream"), derivative(data.root, position), " = ", coloured(step?.upstream ?? 1)));
    if (step === null) shown.push(said(say(steps.length === 0 ? "nosteps" : "seed")));
    else shown.push(...cards("rule", step.gives, exercising ? question : card));
    if (step !== null && at === steps.length) shown.push(element("p", { class: "complete" }, `✓ ${say("complete")}`));
  }
  byId("step").replaceChildren(...shown);
}

const said = (...parts) => element("p", { class: "said" }, ...parts);

function cards(title, all, make) {
  const rest = all.length > CARDS ? [said(say("more", all.length - CARDS))] : [];
  return [element("h3", {}, say(title)), ...all.slice(0, CARDS).map(make), ...rest];
}

const operandCard = ({ source }) => element("div", { class: "card" }, bdi(nodes[source].name), " = ", exact(nodes[source].data));

const localOf = (gift) => {
  const line = element("p", {}, say("local"), derivative(current(), gift.operand));
  if (gift.symbols) line.append(" = ", symbols(gift.symbols));
  return line;
};

function card(gift) {
  const value = six(gift.local);
  const local = localOf(gift);
  if (![gift.symbols, trimmed(value), trimmed(number(gift.local, 4)), ""].includes(gift.numbers)) local.append(" = ", symbols(gift.numbers));
  if (gift.symbols !== trimmed(value)) local.append(" = ", exact(gift.local));
  const upstream = six(steps[at - 1].upstream);
  const contribution = element("p", {}, `${say("contribution")}${upstream} × ${gift.local < 0 ? `(${value})` : value} = `, coloured(gift.amount));
  const sum = element("p", { class: "sum" }, jump(gift.operand), ".grad ");
  if (gift.number > 1) {
    const before = gifts[gift.operand][gift.number - 2].after;
    sum.append(exact(before, six(before, true)), " += ", six(gift.amount, true), " → ");
  } else sum.append("= ");
  const all = gifts[gift.operand].length;
  const state = gift.number < all ? say("of", gift.number, all) : say(all > 1 ? "finals" : "final", all);
  sum.append(coloured(gift.after), " ", element("span", { class: "state" }, state));
  return element("div", { class: `card ${signClass(gift.amount)}` }, local, contribution, sum);
}

// A name that leads to the step in which its gradient is passed on or complete.
function jump(position, ...called) {
  const button = element("button", { type: "button", class: "jump" }, bdi(...(called.length ? called : [nodes[position].name])));
  button.addEventListener("click", () => visit(position));
  return button;
}

// The step that follows the pass: each parameter against its gradient.
let rate = 0.1;
function descent() {
  const input = element("input", { type: "number", id: "rate", value: rate, min: "0", step: "any" });
  const table = element("table", {}, head("name", "number", "gradient", "after"));
  const changed = [...nodes.keys()].filter((position) => nodes[position].kind === "parameter" && takesGradient(position));
  const rowOf = (position, called) => {
    const [{ data: before }, last] = [nodes[position], final(position).after];
    const cells = [number(before, 6), signed(last, 6), number(before - rate * last, 6)].map((each) => element("td", {}, each));
    cells[1].className = signClass(last);
    return element("tr", {}, element("th", { scope: "row" }, bdi(...called)), ...cells);
  };
  const fill = () => table.replaceChildren(table.tHead, ...grouped(changed, rowOf));
  input.addEventListener("input", () => { rate = Number(input.value) || 0; fill(); });
  fill();
  return [element("h2", {}, say("descent")), element("label", {}, say("rate"), input), table];
}

// ---------------------------------------------------------------------------------------- source
const AROUND_LINE = 3; // lines above and below

function showSource() {
  const { site } = nodes[current()];
  byId("source").hidden = site === null;
  byId("nosource").hidden = data.sources.length > 0 || steps.length === 0;
  if (site === null) return;
  const { name, lines: all } = data.sources[site[0]];
  byId("file").textContent = `${name}:${site[1]}`;
  byId("lines").replaceChildren(...all.filter(([line]) => Math.abs(line - site[1]) <= AROUND_LINE).map(([line, text]) => {
    const row = element("div", { class: "row" }, element("span", { class: "count" }, line), element("code", {}, text || " "));
    if (line === site[1]) made(row, { class: "row here", "aria-current": "step" });
    return row;
  }));
}

// ---------------------------------------------------------------------------------------- tables
const rows = new Map([["parameters", []], ["values", []]]);
const head = (...titles) => element("thead", {}, element("tr", {}, ...titles.map((each) => element("th", { scope: "col" }, say(each)))));

// The module that a parameter belongs to, and what it is called in there: layers.0.neurons.3 and w.0.
const owned = ({ name, short }) => /^(.+)\.([^\W\d]\w*(?:\.\d+)*)$/u.exec(name)?.slice(1) ?? ["", short];

const PART = 40; // rows of a part of a table: of many, those far out of sight are neither laid out nor painted

// The rows of each module under its name: a row is heard with all of its name, and seen without that.
function grouped(positions, rowOf) {
  const all = [];
  let last = null;
  for (const position of positions) {
    const [module, own] = owned(nodes[position]);
    const heading = element("tr", {}, element("th", { scope: "rowgroup", colspan: 4 }, bdi(module)));
    const begins = module !== last;
    if (begins || all.at(-1).children.length > PART) all.push(element("tbody", {}, ...(module && begins ? [heading] : [])));
    last = module;
    all.at(-1).append(rowOf(position, module ? [element("span", { class: "heard" }, `${module}.`), own] : [own]));
  }
  return all;
}

function buildTable(id, positions) {
  const built = [];
  const parts = grouped(positions, (position, own) => {
    const node = nodes[position];
    const called = id === "values" && own[0] === node.short ? [node.name] : own; // there is where it stands in full
    const label = element("th", { scope: "row", title: node.name }, takesGradient(position) ? jump(position, ...called) : bdi(...called));
    if (id === "values" && node.formula) label.append(" = ", symbols(node.formula));
    const [grad, mark] = [element("td"), element("td")];
    const row = element("tr", { "data-position": position }, label, element("td", { title: node.data }, number(node.data, 6)), grad, mark);
    built.push({ position, row, grad, mark });
    return row;
  });
  rows.set(id, built);
  byId(id).replaceChildren(head("name", "number", "gradient", "state"), ...parts);
  built.forEach(paintRow);
}

function paintRow({ position, row, grad, mark }) {
  const now = asked(position) ? null : gradient(position);
  const [count, all] = [received(position), gifts[position].length];
  const here = gets(position) || position === current();
  look(row, `${now?.after} ${count} ${here}`, () => {
    row.className = here ? "here" : "";
    grad.className = now === null ? "none" : signClass(now.after);
    grad.title = now === null ? "" : String(now.after);
    grad.textContent = now === null ? (all > 0 ? "" : say("none")) : signed(now.after, 6);
    mark.textContent = now === null ? "" : count === all ? "✓" : `${count}/${all}`;
  });
}

const paintTables = () => rows.forEach((table) => table.forEach(paintRow));

// The part of a box that scrolls comes into its sight, below what stays at its top; nothing else scrolls.
function intoSight(box, part, top = 0) {
  if (!part) return;
  const [seen, all] = [part.getBoundingClientRect(), box.getBoundingClientRect()];
  if (seen.top < all.top + top || seen.bottom > all.bottom) box.scrollTop += (seen.top + seen.bottom - all.top - all.bottom) / 2;
}

function buildTables() {
  const [parameters, inputs] = ["parameter", "input"].map((kind) => [...nodes.keys()].filter((position) => nodes[position].kind === kind));
  byId("leavestitle").textContent = say(inputs.length ? (parameters.length ? "both" : "inputs") : "parameters");
  byId("leaves").hidden = parameters.length + inputs.length === 0;
  buildTable("parameters", [...parameters, ...inputs]);
  byId("every").open = false;
  rows.set("values", []);
}
byId("every").addEventListener("toggle", () => {
  if (byId("every").open && rows.get("values").length === 0) buildTable("values", [...nodes.keys()]);
});

// ----------------------------------------------------------------------------------------- hover
function showTip(position, { clientX, clientY }) {
  const [node, now, last] = [nodes[position], asked(position) ? null : gradient(position), final(position)];
  const lines = [node.name + (node.formula ? ` = ${node.formula}` : ""), `${say("number")}: ${node.data}`];
  const tell = (key, text) => { if (text) lines.push(`${say(key)}: ${text}`); };
  if (last === null) tell("gradient", say("takesnone"));
  else tell("now", now === null ? say("nothing") : `${now.after} (${say("of", received(position), gifts[position].length)})`);
  if (last !== null && !exercising) tell("atlast", String(last.after));
  tell("operation", node.rule);
  tell("inside", node.group);
  tell("line", node.site && `${data.sources[node.site[0]].name}:${node.site[1]}`);
  const tip = byId("tip");
  tip.textContent = lines.join("\n");
  tip.hidden = false;
  const [x, y] = [clientX + 16 + tip.offsetWidth > window.innerWidth ? clientX - tip.offsetWidth - 12 : clientX + 16, clientY + 14];
  tip.style.left = `${Math.max(4, x)}px`;
  tip.style.top = `${Math.max(4, Math.min(y, window.innerHeight - tip.offsetHeight - 6))}px`;
}
