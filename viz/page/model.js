"use strict";
// The pass as data, and where the page stands in it. All that is shown follows from these.

const data = JSON.parse(document.getElementById("data").textContent);
const empty = { symbol: "", rule: "", formula: "", group: "", operands: [], site: null };
const nodes = data.nodes.map((node) => ({
  ...empty, word: node.name, short: node.name, path: [node.name], ...node, data: Number(node.data),
}));
const steps = data.steps.map((step, index) => ({
  node: step.node,
  upstream: Number(step.upstream),
  gives: step.gives.map((gift) => {
    const whole = { symbols: "", numbers: gift.symbols ?? "", amount: gift.after, ...gift, step: index + 1 };
    for (const field of ["local", "amount", "after"]) whole[field] = Number(whole[field]);
    return whole;
  }),
}));

// For each value its gradients in the order of the pass, the edges into it and out of it.
const [gifts, edgesInto, edgesFrom] = [0, 0, 0].map(() => nodes.map(() => []));
const edges = new Map();
nodes.forEach((node, position) => node.operands.forEach((operand, place) => {
  if (operand === null) return;
  const edge = { key: `e${position}_${place}`, source: operand, target: position, gift: null };
  edges.set(edge.key, edge);
  edgesInto[position].push(edge);
  edgesFrom[operand].push(edge);
}));

// The step in which a value passes its gradient on; for a leaf that in which its gradient is complete; for
// a constant that of what uses it.
const stepOf = nodes.map(() => null);
for (const { node, gives } of steps) {
  for (const gift of gives) {
    gift.number = gifts[gift.operand].push(gift);
    stepOf[gift.operand] = gift.step;
    edges.get(`e${node}_${gift.place}`).gift = gift;
  }
}
steps.forEach((step, index) => { stepOf[step.node] = index + 1; });
nodes.forEach((_, position) => { stepOf[position] ??= stepOf[edgesFrom[position][0]?.target] ?? null; });
gifts[data.root] = [{ step: 0, after: 1 }];
stepOf[data.root] ??= 0;

let at = 0; // the step
let phase = "backward"; // forward, value by value; backward; or the update, the step of descent that follows
let ahead = 0; // the place of the forward phase

const received = (position) => gifts[position].findLastIndex((gift) => gift.step <= at) + 1;
const gradient = (position) => gifts[position][received(position) - 1] ?? null;
const final = (position) => gifts[position].at(-1) ?? null;
const takesGradient = (position) => gifts[position].length > 0;

const computed = [...nodes.keys()].filter((position) => nodes[position].rule !== "");
if (computed.length === 0) computed.push(data.root); // a leaf alone
const valueAt = (place) => (phase === "forward" ? computed[place] : place === 0 ? data.root : steps[place - 1].node);
const place = () => (phase === "forward" ? ahead : at);
const places = () => (phase === "forward" ? computed.length - 1 : steps.length);
const current = () => valueAt(place());
const currentGifts = () => (phase !== "backward" || at === 0 ? [] : steps[at - 1].gives);
const gets = (position) => currentGifts().some((gift) => gift.operand === position);

// The colour of a gradient, the same as in a drawing.
function colour(x) {
  const { largest, decades, shares: [faintest, full], zero, plus, minus, nan } = data.scale;
  if (Number.isNaN(x)) return nan;
  const depth = largest === 0 ? 0 : (Math.log10(Math.abs(x)) - Math.log10(largest)) / decades;
  const share = x === 0 ? 0 : faintest + (full - faintest) * Math.min(Math.max(1 + depth, 0), 1);
  const end = x > 0 ? plus : minus;
  return `rgb(${zero.map((from, part) => Math.round(from + (end[part] - from) * share)).join(", ")})`;
}

// Steps are taken value by value, or up to where another neuron or layer passes gradients on.
function stepFrom(direction, by) {
  const unit = (to) => {
    const { path } = nodes[valueAt(to)];
    return (by === "layers" ? path.slice(0, Math.max(1, path.length - 1)) : path).join("/");
  };
  const isThere = (to) => to >= 0 && to <= places();
  let to = Math.min(Math.max(place() + direction, 0), places());
  while (by !== "values" && isThere(to + direction) && unit(to + direction) === unit(to)) to += direction;
  return to;
}
