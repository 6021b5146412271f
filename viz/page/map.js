// The map: the folded picture that stays. The box of the current value is lit; a click opens a box in place.

const membersOf = new Map(); // by the id of a box the positions of its values
data.boxes.forEach((box, position) => {
  if (!membersOf.has(box)) membersOf.set(box, []);
  membersOf.get(box).push(position);
});

function paintMap() {
  for (const each of byId("map").querySelectorAll(".lit, .paid")) each.classList.remove("lit", "paid");
  const mark = (position, how) => document.getElementById(data.boxes[position])?.classList.add(how);
  if (data.boxes.length === 0) return;
  for (const gift of currentGifts()) mark(gift.operand, "paid");
  mark(current(), "lit");
  const [map, lit] = [byId("map"), byId("map").querySelector(".lit")];
  if (map.scrollHeight <= map.clientHeight || !lit) return;
  const [box, all] = [lit.getBoundingClientRect(), map.getBoundingClientRect()];
  map.scrollTop += box.top + box.height / 2 - all.top - all.height / 2;
}

// The last value of a box that passes a gradient on, and all of the box in sight.
function open(box) {
  const members = membersOf.get(box.id) ?? [];
  const whole = members.filter((position) => stepOf[position] !== null);
  if (whole.length === 0) return;
  visit(whole[whole.length - 1]);
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
  const whole = final(position)?.after;
  if (!whole || !Number.isFinite(whole)) return new Map();
  const change = new Map([[position, 1]]);
  const shares = new Map();
  for (let user = position + 1; user < nodes.length; user += 1) {
    let sum = 0;
    for (const edge of edgesInto[user]) {
      if (!change.has(edge.source) || edge.gift === null) continue;
      const moved = change.get(edge.source) * edge.gift.local;
      shares.set(edge.key, (moved * (final(user)?.after ?? 0)) / whole);
      sum += moved;
    }
    if (sum !== 0) change.set(user, sum);
  }
  return shares;
}

let litPaths = null;

function lightPaths(position) {
  if (position === litPaths) return;
  litPaths = position;
  for (const { group } of lines.values()) { group.classList.remove("path"); group.querySelector(".share")?.remove(); }
  svg.classList.toggle("tracing", position !== null);
  if (position === null) return;
  for (const [key, share] of sharesOf(position)) {
    const parts = lines.get(key);
    if (!parts || Math.abs(share) < 0.0005) continue;
    parts.group.classList.add("path");
    const middle = parts.line.getPointAtLength(parts.line.getTotalLength() / 2);
    parts.group.append(shape("text", { class: "share", x: middle.x, y: middle.y + 3 }, `${trimmed(number(100 * share, 3))} %`));
  }
}

const traced = (position) => (position !== null && ["parameter", "input"].includes(nodes[position].kind) ? position : null);
svg.addEventListener("pointermove", (event) => { if (!event.buttons) lightPaths(traced(under(event))); });
svg.addEventListener("pointerleave", () => lightPaths(null));
for (const kind of ["pointerover", "focusin"]) {
  byId("parameters").addEventListener(kind, (event) => {
    const row = event.target.closest("tr[data-position]");
    lightPaths(row ? traced(Number(row.dataset.position)) : null);
  });
}
byId("parameters").addEventListener("pointerleave", () => lightPaths(null));
