// The step that is shown, and everything that changes it.

let timer = null;

function go(to) {
  const target = Math.min(Math.max(Math.round(to) || 0, 0), places());
  if (phase === "forward") ahead = target;
  else if (target !== at) [phase, at] = ["backward", target]; // the update has no steps of its own
  bringIntoSight(current()); // before anything is painted: the places are known then
  show();
}

// All that follows from where the page stands.
function show() {
  byId("tip").hidden = true; // what it told was of another step
  paintGraph();
  paintTables();
  showStep();
  showSource();
  paintMap();
  showPlace();
  window.requestAnimationFrame(() => {
    intoSight(byId("leaves"), byId("parameters").querySelector("tr.here"), 48);
    intoSight(byId("map"), byId("map").querySelector(".lit")); // which scrolls on a phone
  });
}

function paintGraph() {
  if (near) gather();
  for (const [position, parts] of drawn) paintBox(position, parts);
  paintLines();
  paintPills();
}

function showPlace() {
  const [here, all] = [place(), places()];
  const told = say(phase === "forward" ? "ahead" : "told", here, all, nodes[current()].name);
  const paid = (exercising ? [] : currentGifts()).slice(0, 4).map((gift) => say("to", signed(gift.amount, 4), nodes[gift.operand].name));
  made(byId("slider"), { max: all, "aria-valuetext": told }).value = here;
  byId("counter").textContent = say("at", here, all);
  byId("status").textContent = timer ? "" : paid.length ? say("passes", told, paid.join(", ")) : told;
  const off = { slider: all <= 0, play: all <= 0, first: here === 0, back: here === 0, next: here === all, last: here === all };
  for (const [id, disabled] of Object.entries(off)) byId(id).disabled = disabled;
  for (const id of ["forward", "backward", "update"]) byId(id).setAttribute("aria-pressed", String(id === phase));
  const verb = say(timer ? "pause" : "play");
  made(byId("play"), { "aria-pressed": timer !== null, "aria-label": verb });
  made(byId("sign"), { d: timer ? "M4 3h3v10H4zM9 3h3v10H9z" : "M4 3v10l8-5z" });
  byId("verb").textContent = verb;
  clearTimeout(addressing);
  addressing = setTimeout(() => { // a browser takes as long for it as for the step: it comes after the last
    try {
      window.history.replaceState(null, "", `#${at}`);
    } catch {
      // a sandboxed frame has no history of its own
    }
  }, 100);
}
let addressing = null;

function stop() {
  clearInterval(timer);
  timer = null;
}

function play() {
  if (timer !== null) { stop(); showPlace(); return; }
  if (places() <= 0) return;
  timer = setInterval(() => {
    if (onward(1) === places()) stop();
    go(onward(1));
  }, 900);
  go(place() === places() ? 0 : place());
}

const onward = (direction) => stepFrom(direction, byId("by").value);
const leap = (to) => () => { stop(); go(to()); };

function enter(which) {
  stop();
  phase = which;
  if (phase === "update") at = steps.length;
  show();
}

function choose(neighbourhoodOnly) {
  near = byId("near").checked = neighbourhoodOnly;
  byId("sheet").hidden = near;
  byId("around").hidden = !near;
  drawn = whole;
  byId("note").textContent = data.note;
  show();
}

// The step that has to do with a value, and the value in sight.
function visit(position) {
  enter("backward");
  if (stepOf[position] !== null) go(stepOf[position]);
  bringIntoSight(position);
}

for (const id of ["forward", "backward", "update"]) byId(id).addEventListener("click", () => enter(id));
const clicks = { first: leap(() => 0), back: leap(() => onward(-1)), next: leap(() => onward(1)), last: leap(places), play, fit: () => { fitted = true; fit(); } };
for (const [id, click] of Object.entries(clicks)) byId(id).addEventListener("click", click);
byId("slider").addEventListener("input", leap(() => Number(byId("slider").value)));
byId("near").addEventListener("change", () => { fitted = false; choose(byId("near").checked); });
byId("language").addEventListener("click", () => {
  language = language === "en" ? "zh" : "en";
  translate();
  buildTables();
  show();
});

// ---------------------------------------------------------------------------------------- search
let hit = -1;
function seek() {
  const wanted = byId("search").value.trim().toLowerCase();
  const fits = (node) => node.name.toLowerCase().includes(wanted) || node.rule === wanted || node.symbol === wanted;
  found = new Set([...nodes.keys()].filter((position) => wanted !== "" && fits(nodes[position])));
  hit = -1;
  byId("hits").textContent = wanted === "" ? "" : found.size ? say("hits", found.size) : say("nohit");
  paintGraph();
}

function nextHit(direction) {
  if (found.size === 0) return;
  hit = (hit + direction + found.size) % found.size;
  visit([...found][hit]);
  byId("hits").textContent = say("hit", hit + 1, found.size);
}

byId("search").addEventListener("input", seek);
byId("search").addEventListener("keydown", (event) => {
  if (event.key === "Enter") nextHit(event.shiftKey ? -1 : 1);
  if (event.key !== "Escape") return;
  byId("search").value = "";
  seek();
  byId("search").blur();
});

// -------------------------------------------------------------------------- keyboard and pointer
const keys = {
  ArrowLeft: clicks.back, ArrowRight: clicks.next, Home: clicks.first, End: clicks.last, " ": play, f: clicks.fit,
  "/": () => byId("search").focus(),
  Escape: () => { stop(); showPlace(); byId("tip").hidden = true; },
  "+": () => nearer(1.25),
  "-": () => nearer(0.8),
};
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey || !Object.hasOwn(keys, event.key)) return;
  if (event.target.closest("select, input[type=number], input[type=search], .answer")) return;
  if (event.key === " " && event.target.closest("button, summary, input[type=checkbox]")) return; // it is pressed
  event.preventDefault();
  keys[event.key]();
});

const under = (event, what = ".node") => {
  const group = event.target.closest(what);
  return group ? Number(group.dataset.position) : null;
};
let dragged = 0; // so many pixels: a press that does not move is a click
let fitted = true; // until the reader has chosen what he sees
const nearer = (factor, x = 0, y = 0) => { fitted = false; zoom(scale * factor, x, y); };
byId("pane").addEventListener("pointerdown", () => { dragged = 0; });
byId("pane").addEventListener("pointermove", (event) => {
  const position = event.buttons ? null : under(event);
  lightPaths(position);
  if (position === null) byId("tip").hidden = true;
  else showTip(position, event);
  if (event.buttons !== 1 || event.pointerType !== "mouse") return;
  dragged += Math.hypot(event.movementX, event.movementY);
  sheet.scrollBy(-event.movementX, -event.movementY);
});
byId("pane").addEventListener("pointerleave", () => { byId("tip").hidden = true; lightPaths(null); });
byId("pane").addEventListener("click", (event) => {
  if (under(event) !== null && dragged < 4) visit(under(event));
});
sheet.addEventListener("wheel", (event) => {
  event.preventDefault();
  const { left, top } = sheet.getBoundingClientRect();
  const turned = event.deltaY * (event.deltaMode === 1 ? 16 : 1);
  nearer(Math.exp(-0.0016 * turned), event.clientX - left - wide / 2, event.clientY - top - high / 2);
}, { passive: false });

// ----------------------------------------------------------------------------------------- start
// What is seen at first depends on the room there is, which in a frame may come later, and may change.
new ResizeObserver(() => {
  [wide, high] = [Math.max(byId("pane").clientWidth, 1), Math.max(byId("pane").clientHeight, 1)];
  if (!data.view) return;
  if (!fitted) { bringIntoSight(current()); return; }
  if (near !== fitting() < 0.3) choose(!near);
  if (fitting() >= 0.62) { fit(); return; }
  zoom(0.8); // begin at the root, and go with the steps
  centre(whole.get(current()).x, whole.get(current()).y);
}).observe(byId("pane"));

const linked = () => (/^#\d+$/.test(window.location.hash) ? Number(window.location.hash.slice(1)) : null);
window.addEventListener("hashchange", () => { if (linked() !== null && linked() !== at) { phase = "backward"; leap(linked)(); } });

const { largest, decades } = data.scale;
const told = trimmed(number(largest, 4));
[byId("low").textContent, byId("high").textContent] = [`−${told}`, `+${told}`];
const fainter = largest * 10 ** (-decades / 2);
byId("strip").append(...[-largest, -fainter, 0, fainter, largest].map((x) => {
  const swatch = element("span", { class: "swatch" });
  swatch.style.background = colour(x);
  return swatch;
}));
byId("title").textContent = data.title;
byId("count").textContent = `(${nodes.length.toLocaleString("en")})`;
byId("nearby").hidden = !data.view;
if (data.view) svg.setAttribute("viewBox", `${bounds.x} ${bounds.y} ${bounds.width} ${bounds.height}`);
adopt();
const start = linked() ?? 0;
translate();
buildTables();
choose(!data.view);
go(start);
