// What part of the picture is seen: a centre and a scale, written as the viewBox.

const view = { x: 0, y: 0, scale: 1 };
const bounds = data.view ?? { x: 0, y: 0, width: 1, height: 1 };

// The size of the pane is kept: to ask for it in the midst of a step would lay out the page once more.
let pane = { left: 0, top: 0, width: 1, height: 1 };

function measure() {
  const { left, top, width, height } = byId("pane").getBoundingClientRect();
  pane = { left, top, width: Math.max(width, 1), height: Math.max(height, 1) };
}

// On paper the whole graph is seen, whatever becomes of the pane in the meantime.
let printing = false;

function look() {
  if (printing) {
    svg.setAttribute("viewBox", `${bounds.x} ${bounds.y} ${bounds.width} ${bounds.height}`);
    return;
  }
  const { width, height } = pane;
  const [w, h] = [width / view.scale, height / view.scale];
  svg.setAttribute("viewBox", `${view.x - w / 2} ${view.y - h / 2} ${w} ${h}`);
}

const fitting = () => Math.min(pane.width / bounds.width, pane.height / bounds.height, 1.6);

function fit() {
  view.x = bounds.x + bounds.width / 2;
  view.y = bounds.y + bounds.height / 2;
  view.scale = fitting();
  look();
}

// So much of the picture that all of these are seen, but no nearer than is usual.
function showAll(positions) {
  const boxes = positions.filter((each) => whole.has(each)).map((each) => [whole.get(each), whole.get(each).width / 2 + 30]);
  if (boxes.length === 0) return;
  const [left, right] = [Math.min(...boxes.map(([p, w]) => p.x - w)), Math.max(...boxes.map(([p, w]) => p.x + w))];
  const [top, bottom] = [Math.min(...boxes.map(([p]) => p.y)) - 60, Math.max(...boxes.map(([p]) => p.y)) + 60];
  view.scale = Math.min(pane.width / (right - left), pane.height / (bottom - top), 1.2);
  [view.x, view.y] = [(left + right) / 2, (top + bottom) / 2];
  look();
}

function centre(position) {
  const parts = whole.get(position);
  if (!parts) return;
  [view.x, view.y] = [parts.x, parts.y];
  look();
}

function isSeen(position) {
  const parts = whole.get(position);
  if (!parts) return false;
  const { width, height } = pane;
  const across = Math.abs(parts.x - view.x) * view.scale + 40;
  return across < width / 2 && Math.abs(parts.y - view.y) * view.scale + 30 < height / 2;
}

function zoom(factor, clientX, clientY) {
  measure();
  const { left, top, width, height } = pane;
  const [dx, dy] = [clientX - left - width / 2, clientY - top - height / 2];
  const before = view.scale;
  view.scale = Math.min(6, Math.max(0.02, before * factor));
  view.x += dx / before - dx / view.scale;
  view.y += dy / before - dy / view.scale;
  look();
}

function zoomHere(factor) {
  measure();
  const { left, top, width, height } = pane;
  zoom(factor, left + width / 2, top + height / 2);
}

svg.addEventListener("wheel", (event) => {
  event.preventDefault();
  const unit = event.deltaMode === 1 ? 16 : 1;
  zoom(Math.exp(-0.0016 * unit * event.deltaY), event.clientX, event.clientY);
}, { passive: false });

// Drag with one pointer, pinch with two. A press that does not move is a click.
const fingers = new Map();
let dragged = false;

svg.addEventListener("pointerdown", (event) => {
  if (fingers.size === 0) dragged = false;
  fingers.set(event.pointerId, event);
});
svg.addEventListener("pointermove", (event) => {
  const before = fingers.get(event.pointerId);
  if (!before) return;
  const [dx, dy] = [event.clientX - before.clientX, event.clientY - before.clientY];
  if (!dragged && Math.hypot(dx, dy) < 4) return;
  dragged = true;
  svg.setPointerCapture(event.pointerId);
  svg.classList.add("dragging");
  if (fingers.size === 2) {
    const [other] = [...fingers.values()].filter((each) => each.pointerId !== event.pointerId);
    const span = (one) => Math.max(1, Math.hypot(one.clientX - other.clientX, one.clientY - other.clientY));
    zoom(span(event) / span(before), other.clientX, other.clientY);
  } else {
    view.x -= dx / view.scale;
    view.y -= dy / view.scale;
    look();
  }
  fingers.set(event.pointerId, event);
});
for (const kind of ["pointerup", "pointercancel"]) {
  svg.addEventListener(kind, (event) => {
    fingers.delete(event.pointerId);
    svg.classList.remove("dragging");
  });
}
