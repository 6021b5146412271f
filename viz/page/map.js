// The map: the folded picture that stays. The box of the current value is lit; a click opens a box in place.

// A wider or dashed stroke would lay all of the map out again: each box has a halo, of which only the colour changes.
for (const outline of byId("map").querySelectorAll("g.mapped > path:first-of-type")) outline.after(made(outline.cloneNode(), { class: "halo" }));

function paintMap() {
  if (data.boxes.length === 0) return;
  for (const each of byId("map").querySelectorAll(".lit, .paid")) each.classList.remove("lit", "paid");
  const mark = (position, how) => document.getElementById(data.boxes[position])?.classList.add(how);
  for (const gift of currentGifts()) mark(gift.operand, "paid");
  mark(current(), "lit");
}

// The last value of a box that passes a gradient on, and all of the box in sight.
function open(box) {
  const members = [...nodes.keys()].filter((position) => data.boxes[position] === box.id);
  const last = members.findLast((position) => stepOf[position] !== null);
  if (last === undefined) return;
  visit(last);
  if (!near) showAll(members);
}

const boxAt = (event) => event.target.closest("g.mapped");
byId("map").addEventListener("click", (event) => { if (boxAt(event)) open(boxAt(event)); });
byId("map").addEventListener("keydown", (event) => {
  if (!boxAt(event) || (event.key !== "Enter" && event.key !== " ")) return;
  event.preventDefault();
  event.stopPropagation();
  open(boxAt(event));
});
byId("map").hidden = data.boxes.length === 0;

// ------------------------------------------------------------------------------ the paths of a value
// What part of its gradient comes along each edge: ∂target/∂value · local · upstream, over the gradient.
function sharesOf(position) {
  const all = final(position)?.after;
  if (!all || !Number.isFinite(all)) return new Map();
  const [change, shares] = [new Map([[position, 1]]), new Map()];
  for (let user = position + 1; user < nodes.length; user += 1) {
    let sum = 0;
    for (const edge of edgesInto[user]) {
      if (!change.has(edge.source) || edge.gift === null) continue;
      const moved = change.get(edge.source) * edge.gift.local;
      shares.set(edge.key, (moved * (final(user)?.after ?? 0)) / all);
      sum += moved;
    }
    if (sum !== 0) change.set(user, sum);
  }
  return shares;
}

let traced = null;
function lightPaths(position) {
  const shown = position !== null && !exercising && ["parameter", "input"].includes(nodes[position].kind);
  const to = shown ? position : null; // in an exercise the shares would give the answers away
  if (to === traced) return;
  traced = to;
  for (const old of graph.querySelectorAll(".share")) old.remove();
  for (const old of graph.querySelectorAll(".edge[data-path]")) delete old.dataset.path;
  graph.classList.toggle("tracing", to !== null);
  for (const [key, share] of to === null ? [] : sharesOf(to)) {
    const { group, line } = lines.get(key) ?? {};
    if (!group || Math.abs(share) < 0.0005) continue;
    group.dataset.path = "";
    const middle = line.getPointAtLength(line.getTotalLength() / 2);
    group.append(shape("text", { class: "share", x: middle.x, y: middle.y + 3 }, `${trimmed(number(100 * share, 3))} %`));
  }
}
for (const kind of ["pointerover", "focusin"]) {
  byId("parameters").addEventListener(kind, (event) => lightPaths(under(event, "tr[data-position]")));
}
byId("parameters").addEventListener("pointerleave", () => lightPaths(null));
