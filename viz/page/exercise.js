// The reader's turn: in place of what a step pays he types the gradient that comes out, and is told what is wrong.

let exercising = false;
const solved = new Set();
const asked = (position) => exercising && currentGifts().some((gift) => gift.operand === position && !solved.has(gift));

// What comes out after a usual slip, the simplest first: of the step, then of what is added up.
function slips(gift) {
  const up = steps[at - 1].upstream;
  const before = gift.after - gift.amount;
  const added = gift.number > 1 ? [[gift.amount, "forgotten"], [before, "notadded"], [before - gift.amount, "minus"]] : [];
  const [sum, twice, half] = [up + gift.local, 2 * gift.after, gift.after / 2];
  return [
    [-gift.after, "sign"], ...added, [before + up, "nolocal"], [before + gift.local, "noupstream"],
    [before + sum, "plus"], [before + up / gift.local, "divided"], [twice, "twice"], [half, "half"],
  ];
}

// A number is met if it rounds to what was written, of three digits or more, or is it to a millionth.
function judge(text, gift) {
  const written = text.trim().replace(",", ".").replace(/\u2212/g, "-").replace(/^([-+]?)(inf|∞)$/i, "$1Infinity");
  const x = Number(written);
  if (written === "" || (Number.isNaN(x) && !/^nan$/i.test(written))) return "nonumber";
  const [, whole, part = "", power = "0"] = /^[-+]?(\d*)\.?(\d*)(?:e([-+]?\d+))?$/i.exec(written) ?? [, ""];
  const digits = `${whole}${part}`.replace(/^0+/, "").length;
  const unit = 10 ** (Number(power) - part.length);
  const close = (truth) => Math.abs(x - truth) <= Math.max(1e-6 * Math.abs(truth), digits > 2 ? 0.5001 * unit : 0);
  const meets = (truth) => Object.is(x, truth) || (Number.isFinite(truth) && close(truth));
  if (meets(gift.after)) return "right";
  return slips(gift).find(([wrong]) => meets(wrong))?.[1] ?? (digits > 2 || !Number.isFinite(x) ? "wrong" : "digits");
}

function question(gift) {
  const input = element("input", { type: "text", class: "answer", inputmode: "decimal", autocomplete: "off", "aria-label": `${nodes[gift.operand].name}.grad` });
  const verdict = element("p", { class: "verdict", role: "status" });
  if (solved.has(gift)) input.value = six(gift.after);
  input.addEventListener("change", () => {
    const found = judge(input.value, gift);
    verdict.textContent = `${found === "right" ? "✓" : "✗"} ${say(found)}`;
    if (found === "right") solved.add(gift);
    paintGraph();
    paintTables();
  });
  return element("div", { class: "card" }, localOf(gift), element("label", {}, jump(gift.operand), ".grad = ", input), verdict);
}

byId("exercise").addEventListener("click", () => {
  exercising = !exercising;
  byId("exercise").setAttribute("aria-pressed", String(exercising));
  byId("map").hidden = exercising || data.boxes.length === 0; // it would give the answers away
  lightPaths(null);
  enter("backward");
  go(exercising && at === 0 ? 1 : at);
});
