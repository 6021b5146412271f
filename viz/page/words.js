// Numbers and elements. Names come from the user: they go into textContent and nowhere else.

function number(x, digits, sign = false) {
  if (Number.isNaN(x)) return "nan";
  const size = Math.abs(x);
  const front = x < 0 ? "\u2212" : sign && x > 0 ? "+" : "";
  if (size === Infinity) return `${front}inf`;
  if (size === 0) return "0";
  const plain = size.toPrecision(digits);
  if (size >= 1e-3 && size < 1e4 && !plain.includes("e")) return front + plain;
  return front + size.toExponential(digits - 1).replace("e+", "e").replace("e-", "e\u2212");
}

const signed = (x, digits) => number(x, digits, true);

// In a box: without trailing zeros, as in a drawing.
const trimmed = (text) => text.replace(/(\.\d*?)0+(?=e|$)/, "$1").replace(/\.(?=e|$)/, "");

// In a text: six digits, a whole number as one.
const six = (x, sign = false) => (Number.isInteger(x) ? trimmed(number(x, 6, sign)) : number(x, 6, sign));

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

function shape(tag, attributes = {}, text = null) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  if (text !== null) made.textContent = text;
  return made;
}

const byId = (id) => document.getElementById(id);
const name = (position) => element("bdi", {}, nodes[position].name);

// A long name in one line: names that are long often differ at their ends.
function narrowed(position) {
  const letters = [...nodes[position].name];
  return letters.length > 24 ? element("bdi", {}, [...letters.slice(0, 12), "…", ...letters.slice(-11)].join("")) : name(position);
}

const word = (position) => element("bdi", {}, nodes[position].word); // in quotes where it is not one word
const derivative = (of, by) => element("span", { class: "symbols" }, "∂", word(of), "/∂", word(by));
const signClass = (x) => (x > 0 ? "plus" : x < 0 ? "minus" : "zero");

function coloured(x) {
  return element("b", { class: signClass(x), title: String(x) }, six(x, true));
}

function plural(count, word) {
  return `${count.toLocaleString("en")} ${word}${count === 1 ? "" : "s"}`;
}
