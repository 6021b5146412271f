// What the page says, in English and in Chinese; numbers; elements. Names come from the user: they go into
// textContent and nowhere else.

const sayings = {
  fit: ["fit", "全图"], near: ["neighbourhood", "邻域"], step: ["step", "步进"], play: ["play", "播放"],
  pause: ["pause", "暂停"], source: ["Source", "源代码"], forward: ["forward", "前向"], backward: ["backward", "反向"],
  update: ["update", "更新"], by: ["step by", "步长"], values: ["values", "值"], neurons: ["neurons", "神经元"],
  layers: ["layers", "层"], name: ["name", "名称"], number: ["data", "数值"], gradient: ["gradient", "梯度"],
  state: ["state", "状态"], after: ["after", "之后"], exercise: ["exercise", "练习"], none: ["none", "无"],
  map: ["map: the whole graph, folded", "地图：折叠后的整个计算图"], every: ["all values", "所有值"],
  pane: ["the graph; everything in it also stands in the tables", "计算图；其中的一切也列在表格里"],
  picture: ["computation graph", "计算图"], side: ["the current step", "当前步骤"], lines: ["source lines", "源代码行"],
  phases: ["part of the pass", "传播的阶段"], first: ["first step (Home)", "第一步 (Home)"],
  back: ["step back (left arrow)", "后退一步 (←)"], next: ["step forward (right arrow)", "前进一步 (→)"],
  last: ["last step (End)", "最后一步 (End)"], search: ["find a value  ( / )", "查找值  ( / )"],
  language: ["中文: the page in Chinese", "English: the page in English"], other: ["中文", "English"],
  hits: ["{0} found", "找到 {0} 个"], hit: ["{0} of {1}", "第 {0} 个，共 {1} 个"], nohit: ["nothing found", "没有找到"],
  nosource: ["Source lines are shown here after microbp.record_sites(True).", "调用 microbp.record_sites(True) 之后，这里显示源代码行。"],
  seed: ["The seed. All values are computed; no gradient has been passed on yet.", "起点：所有值都已算出，还没有传递任何梯度。"],
  nosteps: ["It was not computed from anything that takes a gradient: there are no steps.", "它不依赖任何需要梯度的值：没有步骤。"],
  complete: ["The pass is complete: every gradient is final.", "反向传播完成：所有梯度都已最终确定。"],
  rule: ["Upstream × local = contribution", "上游梯度 × 局部导数 = 贡献"], upstream: ["upstream gradient ", "上游梯度 "],
  local: ["local ", "局部导数 "], contribution: ["contribution ", "贡献 "], computed: ["Computed from", "由以下值计算"],
  rate: ["learning rate ", "学习率 "], descent: ["One step of descent: parameter − rate × gradient", "一步梯度下降：参数 − 学习率 × 梯度"],
  parameters: ["Parameters", "参数"], inputs: ["Inputs", "输入"], both: ["Parameters and inputs", "参数和输入"],
  scale: [" log scale", " 对数刻度"], final: ["✓ final", "✓ 最终"], finals: ["✓ final ({0} of {0})", "✓ 最终 ({0}/{0})"],
  of: ["{0} of {1}", "{0}/{1}"], now: ["gradient now", "目前梯度"], atlast: ["gradient final", "最终梯度"],
  nothing: ["nothing yet", "尚无"], takesnone: ["takes none", "不接收梯度"], operation: ["operation", "运算"],
  inside: ["in", "所在"], line: ["line", "行"], current: ["current value", "当前值"], readers: ["Read by", "被以下值使用"],
  around: ["Around {0}; not shown: {1} of {2} values. ", "{0} 的邻近；未显示：{1}/{2} 个值。"],
  more: ["and {0} more: the table below has their gradients", "另有 {0} 个：其梯度见下表"],
  at: ["step {0} / {1}", "第 {0} 步 / {1}"], told: ["step {0} of {1}: {2}", "第 {0} 步，共 {1} 步：{2}"],
  ahead: ["forward step {0} of {1}: {2}", "前向第 {0} 步，共 {1} 步：{2}"], passes: ["{0} passes {1}", "{0} 传递 {1}"],
  to: ["{0} to {1}", "{0} 给 {1}"],
  right: ["right", "正确"], wrong: ["not right", "不正确"], nonumber: ["not a number", "不是数字"],
  digits: ["not right: write three digits or more", "不正确：请写三位以上有效数字"], sign: ["the sign is wrong", "符号错误"],
  forgotten: ["what came before is to be added: +=", "应加上之前的梯度：+="],
  notadded: ["that is the gradient before this step", "这是本步之前的梯度"],
  minus: ["the contribution is to be added, not subtracted", "贡献应当相加，而不是相减"],
  nolocal: ["the local derivative is missing", "缺少局部导数"], noupstream: ["the upstream gradient is missing", "缺少上游梯度"],
  plus: ["upstream and local are multiplied, not added", "上游梯度与局部导数应相乘，而不是相加"],
  divided: ["upstream is multiplied by the local derivative, not divided", "应乘以局部导数，而不是除以它"],
  twice: ["twice as much as it is", "是正确值的两倍"], half: ["half of what it is", "是正确值的一半"],
};
let language = "en";
const say = (key, ...parts) => sayings[key][language === "zh" ? 1 : 0].replace(/\{(\d)\}/g, (_, index) => parts[index]);

function translate() {
  document.documentElement.lang = language === "zh" ? "zh-Hans" : "en";
  byId("language").lang = language === "zh" ? "en" : "zh";
  for (const each of document.querySelectorAll("[data-say]")) each.textContent = say(each.dataset.say);
  for (const each of document.querySelectorAll("[data-label]")) {
    for (const where of ["aria-label", ...(each.matches("button") ? ["title"] : [])]) each.setAttribute(where, say(each.dataset.label));
  }
  byId("search").placeholder = say("search");
}

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
// In a box: without trailing zeros, as in a drawing. In a text: six digits, a whole number as one.
const trimmed = (text) => text.replace(/(\.\d*?)0+(?=e|$)/, "$1").replace(/\.(?=e|$)/, "");
const six = (x, sign = false) => (Number.isInteger(x) ? trimmed(number(x, 6, sign)) : number(x, 6, sign));

function made(element, attributes, children = []) {
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}
const element = (tag, attributes = {}, ...children) => made(document.createElement(tag), attributes, children);
const shape = (tag, attributes = {}, ...children) => made(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
const byId = (id) => document.getElementById(id);
const bdi = (...parts) => element("bdi", {}, ...parts);
const symbols = (...parts) => element("span", { class: "symbols", dir: "ltr" }, ...parts);
const derivative = (of, by) => symbols("∂", bdi(nodes[of].word), "/∂", bdi(nodes[by].word)); // in quotes where it is not one word
const signClass = (x) => (x > 0 ? "plus" : x < 0 ? "minus" : "zero");
const exact = (x, text = six(x)) => element("span", { title: String(x) }, text);
const coloured = (x) => element("b", { class: signClass(x), title: String(x) }, six(x, true));
