"use strict";
// The pass as data, and which part of it has happened: the number of contributions that each value has
// received. Everything that is shown follows from that; going back is counting down.

const data = JSON.parse(document.getElementById("data").textContent);
const { nodes, steps } = data;

for (const node of nodes) node.data = Number(node.data);
for (const step of steps) {
  step.upstream = Number(step.upstream);
  for (const gift of step.gives) for (const field of ["local", "amount", "after"]) gift[field] = Number(gift[field]);
}

// For each value its gradients in the order of the pass, the edges into it and out of it.
const gifts = nodes.map(() => []);
const edgesInto = nodes.map(() => []);
const edgesFrom = nodes.map(() => []);
const edges = new Map();
nodes.forEach((node, position) => node.operands.forEach((operand, place) => {
  if (operand === null) return;
  const edge = { key: `e${position}_${place}`, source: operand, target: position, place, gift: null };
  edges.set(edge.key, edge);
  edgesInto[position].push(edge);
  edgesFrom[operand].push(edge);
}));

// The step in which a value passes its gradient on; for a leaf that in which its gradient is complete; for
// a constant that of what uses it.
const stepOf = nodes.map(() => null);
steps.forEach((step, index) => {
  for (const gift of step.gives) {
    gift.number = gifts[gift.operand].push(gift);
    stepOf[gift.operand] = index + 1;
    edges.get(`e${step.node}_${gift.place}`).gift = gift;
  }
});
steps.forEach((step, index) => { stepOf[step.node] = index + 1; });
nodes.forEach((_, position) => { stepOf[position] ??= stepOf[edgesFrom[position][0]?.target] ?? null; });

gifts[data.root] = [{ after: 1, colour: data.seed }];
stepOf[data.root] ??= 0;

let at = 0;
const received = nodes.map((_, position) => (position === data.root ? 1 : 0));

const gradient = (position) => gifts[position][received[position] - 1] ?? null;
const final = (position) => gifts[position][gifts[position].length - 1] ?? null;
const isFinal = (position) => received[position] === gifts[position].length;
const takesGradient = (position) => gifts[position].length > 0;
const passed = (edge) => edge.gift !== null && stepOf[edge.target] <= at;

// The pass is shown backward; forward, value by value; or with the step of descent that follows it.
let phase = "backward";
let ahead = 0;
const computed = [...nodes.keys()].filter((position) => nodes[position].rule !== "");
const current = () => (phase === "forward" ? computed[ahead] : at === 0 ? data.root : steps[at - 1].node);
const currentGifts = () => (phase !== "backward" || at === 0 ? [] : steps[at - 1].gives);
const place = () => (phase === "forward" ? ahead : at);
const places = () => (phase === "forward" ? computed.length - 1 : steps.length);

// Steps can be taken value by value, or up to where another neuron or layer passes gradients on.
const unitOf = (position, by) => {
  const path = nodes[position].path;
  return (by === "layers" ? path.slice(0, Math.max(1, path.length - 1)) : path).join("/");
};

function stepFrom(direction, by) {
  const unit = (to) => unitOf(phase === "forward" ? computed[to] : to === 0 ? data.root : steps[to - 1].node, by);
  let to = Math.min(Math.max(place() + direction, 0), places());
  if (by === "values") return to;
  while (to + direction >= 0 && to + direction <= places() && unit(to + direction) === unit(to)) to += direction;
  return to;
}

// Go to a step. Returns the values whose gradient changed and those that passed theirs on.
function move(to) {
  const changed = new Set();
  const through = new Set();
  while (at < to) {
    at += 1;
    through.add(steps[at - 1].node);
    for (const gift of steps[at - 1].gives) { received[gift.operand] += 1; changed.add(gift.operand); }
  }
  while (at > to) {
    through.add(steps[at - 1].node);
    for (const gift of steps[at - 1].gives) { received[gift.operand] -= 1; changed.add(gift.operand); }
    at -= 1;
  }
  return { changed, through };
}
