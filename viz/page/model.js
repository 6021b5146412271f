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
const current = () => (at === 0 ? data.root : steps[at - 1].node);
const currentGifts = () => (at === 0 ? [] : steps[at - 1].gives);

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
