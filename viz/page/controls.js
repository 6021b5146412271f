// The step that is shown, and everything that changes it.

let found = new Set();
let hits = [];
let timer = null;
let near = false; // whether the neighbourhood of the current value is shown, rather than the graph

function go(to) {
  byId("tip").hidden = true; // what it told was of another step
  const target = Math.min(Math.max(Math.round(to) || 0, 0), places());
  const before = [current(), ...currentGifts().map((gift) => gift.operand)];
  const { changed, through } = phase === "forward" ? { changed: [], through: new Set() } : move(target);
  if (phase === "forward") ahead = target;
  const now = [current(), ...currentGifts().map((gift) => gift.operand)];
  const touched = new Set([...before, ...changed, ...now]);
  if (!near) {
    for (const position of touched) paint(position);
    through.add(before[0]).add(now[0]);
    for (const position of through) for (const edge of edgesInto[position]) paintLine(edge.key);
  } else showNeighbourhood();
  paintStep();
  for (const id of ["parameters", "values"]) for (const position of touched) paintRow(id, position);
  showStep();
  showSource();
  paintMap();
  scrollToRow();
  if (!near && byId("follow").checked) centre(current());
  const here = place();
  byId("slider").max = String(places());
  byId("slider").value = String(here);
  const told = `${phase === "forward" ? "forward step" : "step"} ${here} of ${places()}: ${nodes[current()].name}`;
  byId("slider").setAttribute("aria-valuetext", told);
  byId("counter").textContent = `${say("step")} ${here} / ${places()}`;
  const paid = currentGifts().slice(0, 4).map((gift) => `${signed(gift.amount, 4)} to ${nodes[gift.operand].name}`);
  byId("status").textContent = timer ? "" : paid.length ? `${told} passes ${paid.join(", ")}` : told;
  for (const id of ["first", "back"]) byId(id).disabled = here === 0;
  for (const id of ["next", "last"]) byId(id).disabled = here === places();
  try {
    window.history.replaceState(null, "", `#${at}`);
  } catch {
    // a sandboxed frame has no history of its own
  }
}

// The row of what receives a gradient comes into the table's sight; nothing else scrolls.
function scrollToRow() {
  const row = byId("parameters").querySelector("tr.here");
  const box = byId("leaves");
  if (!row) return;
  window.requestAnimationFrame(() => {
    const [of, within] = [row.getBoundingClientRect(), box.getBoundingClientRect()];
    if (of.top < within.top + 48 || of.bottom > within.bottom) box.scrollTop += of.top - within.top - within.height / 2;
  });
}

function enter(which) {
  stop();
  phase = which;
  if (phase === "update") move(steps.length);
  for (const id of ["forward", "backward", "update"]) byId(id).setAttribute("aria-pressed", String(id === phase));
  for (const id of ["slider", "play"]) byId(id).disabled = places() <= 0;
  if (!near) { for (const position of drawn.keys()) paint(position); for (const key of lines.keys()) paintLine(key); }
  for (const position of nodes.keys()) paintRow("parameters", position);
  go(place());
}

function showGraph() {
  drawn = whole;
  byId("note").textContent = data.note;
  for (const position of drawn.keys()) paint(position);
  for (const key of lines.keys()) paintLine(key);
  fit();
}

function choose(neighbourhoodOnly) {
  near = neighbourhoodOnly;
  byId("near").checked = near;
  byId("following").hidden = near;
  svg.classList.toggle("away", near);
  byId("around").hidden = !near;
  if (near) showNeighbourhood(); else showGraph();
  paintStep();
}

// The step that has to do with a value, and the value in sight.
function visit(position) {
  stop();
  if (phase !== "backward") enter("backward");
  if (stepOf[position] !== null) go(stepOf[position]);
  if (!near && !isSeen(position)) centre(position);
}

// ------------------------------------------------------------------------------------------ play
function stop() {
  if (timer === null) return;
  clearInterval(timer);
  timer = null;
  showPlaying();
}

function play() {
  if (timer !== null) { stop(); return; }
  if (places() <= 0) return;
  if (place() === places()) go(0);
  timer = setInterval(() => {
    go(onward(1));
    if (place() === places()) stop();
  }, 900);
  showPlaying();
}

function showPlaying() {
  const on = timer !== null;
  byId("play").setAttribute("aria-pressed", String(on));
  byId("verb").textContent = say(on ? "pause" : "play");
  byId("play").setAttribute("aria-label", say(on ? "pause" : "play"));
  byId("sign").setAttribute("d", on ? "M4 3h3v10H4zM9 3h3v10H9z" : "M4 3v10l8-5z");
}

const onward = (direction) => stepFrom(direction, byId("by").value);
for (const id of ["forward", "backward", "update"]) byId(id).addEventListener("click", () => enter(id));
const leap = (to) => () => { stop(); go(to()); };
byId("first").addEventListener("click", leap(() => 0));
byId("back").addEventListener("click", leap(() => onward(-1)));
byId("next").addEventListener("click", leap(() => onward(1)));
byId("last").addEventListener("click", leap(places));
byId("play").addEventListener("click", play);
byId("slider").addEventListener("input", leap(() => Number(byId("slider").value)));
byId("fit").addEventListener("click", fit);
byId("near").addEventListener("change", () => choose(byId("near").checked));
byId("follow").addEventListener("change", () => { if (byId("follow").checked) centre(current()); });

// ---------------------------------------------------------------------------------------- search
function seek() {
  const wanted = byId("search").value.trim().toLowerCase();
  const fits = (node) => node.name.toLowerCase().includes(wanted) || node.rule === wanted || node.symbol === wanted;
  const before = found;
  hits = wanted === "" ? [] : [...nodes.keys()].filter((position) => fits(nodes[position]));
  found = new Set(hits);
  for (const position of new Set([...before, ...found])) paint(position);
  byId("hits").textContent = wanted === "" ? "" : hits.length ? plural(hits.length, "hit") : "no hit";
  byId("hits").dataset.index = "-1";
}

function nextHit(direction) {
  if (hits.length === 0) return;
  const index = (Number(byId("hits").dataset.index) + direction + hits.length) % hits.length;
  byId("hits").dataset.index = String(index);
  byId("hits").textContent = hits.length === 1 ? "1 hit" : `${index + 1} of ${hits.length} hits`;
  visit(hits[index]);
  if (!near) centre(hits[index]);
}

function forget() {
  byId("search").value = "";
  seek();
  byId("search").blur();
}

byId("search").addEventListener("input", seek);
byId("search").addEventListener("keydown", (event) => {
  if (event.key === "Enter") nextHit(event.shiftKey ? -1 : 1);
  if (event.key === "Escape") forget();
});

// -------------------------------------------------------------------------------------- keyboard
const keys = {
  ArrowLeft: () => { stop(); go(onward(-1)); },
  ArrowRight: () => { stop(); go(onward(1)); },
  Home: () => { stop(); go(0); },
  End: () => { stop(); go(places()); },
  " ": play,
  "/": () => byId("search").focus(),
  Escape: () => { stop(); if (byId("search").value) forget(); byId("tip").hidden = true; },
  f: fit,
  "+": () => zoomHere(1.25),
  "-": () => zoomHere(0.8),
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey || !Object.hasOwn(keys, event.key)) return;
  const target = event.target;
  if (target === byId("search") || target.closest("select, input[type=number], .answer")) return;
  if (event.key === " " && target.closest("button, summary, input[type=checkbox]")) return; // it is pressed
  event.preventDefault();
  keys[event.key]();
});

// --------------------------------------------------------------------------------- on the picture
const under = (event) => {
  const group = event.target.closest(".node");
  return group ? Number(group.dataset.position) : null;
};
byId("pane").addEventListener("click", (event) => {
  const position = under(event);
  if (position !== null && !dragged) visit(position);
});
byId("pane").addEventListener("pointermove", (event) => {
  const position = event.buttons ? null : under(event);
  if (position === null) byId("tip").hidden = true;
  else showTip(position, event.clientX, event.clientY);
});
byId("pane").addEventListener("pointerleave", () => { byId("tip").hidden = true; });

// ----------------------------------------------------------------------------------------- start
function linked() {
  return /^#\d+$/.test(window.location.hash) ? Number(window.location.hash.slice(1)) : null;
}

function legend() {
  const strip = data.legend.map((colour) => {
    const swatch = shape("svg", { viewBox: "0 0 16 10", class: "swatch", "aria-hidden": "true" });
    swatch.append(shape("rect", { x: 0.5, y: 0.5, width: 15, height: 9, fill: colour }));
    return swatch;
  });
  const top = trimmed(number(data.largest, 4));
  byId("legend").append(element("span", { "data-say": "gradient" }), ` −${top} `, ...strip, ` +${top}`, element("span", { "data-say": "scale" }, " log scale"));
}

// What is seen at first depends on the room there is, which in a frame may come later, and may change.
// It stays as it is from when the reader has chosen, zoomed or dragged.
let chosen = false;
let fitted = true;
for (const id of ["near", "follow"]) byId(id).addEventListener("change", () => { chosen = true; });
for (const kind of ["wheel", "pointerdown"]) svg.addEventListener(kind, () => { fitted = false; });
byId("fit").addEventListener("click", () => { fitted = true; });

function resized() {
  measure();
  if (!fitted) { look(); return; }
  if (!chosen && data.view) {
    const scale = fitting();
    byId("follow").checked = scale < 0.62; // begin at the root, and go with the steps
    if (near !== scale < 0.3) choose(!near);
  }
  if (byId("follow").checked) { view.scale = Math.max(fitting(), 0.8); centre(current()); }
  else fit();
}

new ResizeObserver(resized).observe(byId("pane"));
window.addEventListener("hashchange", () => { const to = linked(); if (to !== null && to !== at) { stop(); go(to); } });
window.addEventListener("beforeprint", () => { printing = true; look(); });
window.addEventListener("afterprint", () => { printing = false; look(); });

byId("title").textContent = data.title;
for (const id of ["play", "slider"]) byId(id).disabled = steps.length === 0;
byId("slider").max = String(steps.length);
legend();
translate();
showPlaying();
buildTables();
byId("language").addEventListener("click", () => {
  language = language === "en" ? "zh" : "en";
  translate();
  showPlaying();
  buildTables();
  go(place());
});
byId("nearby").hidden = !data.view;
adopt();
choose(!data.view);
resized();
go(linked() ?? 0);
