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

// -------------------------------------------------------------------- what the page says, in two languages
const sayings = {
  en: {
    fit: "fit", follow: "follow", neighbourhood: "neighbourhood", step: "step", play: "play", pause: "pause", source: "Source",
    forward: "forward", backward: "backward", update: "update", by: "step by", values: "values", neurons: "neurons", layers: "layers",
    map: "map: the whole graph, folded", name: "name", number: "data", gradient: "gradient", state: "state", after: "after",
    nosource: "Source lines are shown here after microbp.record_sites(True).",
    seed: "The seed. All values are computed; no gradient has been passed on yet.",
    nosteps: "It was not computed from anything that takes a gradient: there are no steps.",
    complete: "The pass is complete: every gradient is final.",
    rule: "Upstream × local = contribution", upstream: "upstream gradient ", local: "local ", contribution: "contribution ",
    computed: "Computed from", rate: "learning rate", descent: "One step of descent: parameter − rate × gradient",
    parameters: "Parameters", inputs: "Inputs", both: "Parameters and inputs", search: "find a value  ( / )",
    scale: " log scale", none: "none", final: "final", of: "of",
    now: "gradient now", atlast: "gradient final", nothing: "nothing yet", takesnone: "takes none",
    operation: "operation", inside: "in", line: "line",
    all: "All values", exercise: "exercise", right: "right", wrong: "not right", nonumber: "not a number", digits: "not right: write three digits or more",
    sign: "the sign is wrong", forgotten: "what came before is to be added: +=", notadded: "that is the gradient before this step",
    minus: "the contribution is to be added, not subtracted", nolocal: "the local derivative is missing", noupstream: "the upstream gradient is missing",
    plus: "upstream and local are multiplied, not added", divided: "upstream is multiplied by the local derivative, not divided",
    twice: "twice as much as it is", half: "half of what it is",
    current: "current value", readers: "Read by", around: "Around", left: "not shown",
  },
  zh: {
    fit: "全图", follow: "跟随", neighbourhood: "邻域", step: "步进", play: "播放", pause: "暂停", source: "源代码",
    forward: "前向", backward: "反向", update: "更新", by: "步长", values: "值", neurons: "神经元", layers: "层",
    map: "地图：折叠后的整个计算图", name: "名称", number: "数值", gradient: "梯度", state: "状态", after: "之后",
    nosource: "调用 microbp.record_sites(True) 之后，这里显示源代码行。",
    seed: "起点：所有值都已算出，还没有传递任何梯度。",
    nosteps: "它不依赖任何需要梯度的值：没有步骤。",
    complete: "反向传播完成：所有梯度都已最终确定。",
    rule: "上游梯度 × 局部导数 = 贡献", upstream: "上游梯度 ", local: "局部导数 ", contribution: "贡献 ",
    computed: "由以下值计算", rate: "学习率", descent: "一步梯度下降：参数 − 学习率 × 梯度",
    parameters: "参数", inputs: "输入", both: "参数和输入", search: "查找值  ( / )",
    scale: " 对数刻度", none: "无", final: "最终", of: "/",
    now: "目前梯度", atlast: "最终梯度", nothing: "尚无", takesnone: "不接收梯度",
    operation: "运算", inside: "所在", line: "行",
    all: "所有值", exercise: "练习", right: "正确", wrong: "不正确", nonumber: "不是数字", digits: "不正确：请写三位以上有效数字",
    sign: "符号错误", forgotten: "应加上之前的梯度：+=", notadded: "这是本步之前的梯度",
    minus: "贡献应当相加，而不是相减", nolocal: "缺少局部导数", noupstream: "缺少上游梯度",
    plus: "上游梯度与局部导数应相乘，而不是相加", divided: "应乘以局部导数，而不是除以它",
    twice: "是正确值的两倍", half: "是正确值的一半",
    current: "当前值", readers: "被以下值使用", around: "邻近", left: "未显示",
  },
};
let language = "en";
const say = (key) => sayings[language][key];

function translate() {
  document.documentElement.lang = language === "zh" ? "zh-Hans" : "en";
  for (const each of document.querySelectorAll("[data-say]")) each.textContent = say(each.dataset.say);
  byId("search").placeholder = say("search");
  byId("map").setAttribute("aria-label", say("map"));
  byId("language").textContent = language === "zh" ? "English" : "中文";
  byId("language").lang = language === "zh" ? "en" : "zh";
  byId("language").setAttribute("aria-label", language === "zh" ? "English: the page in English" : "中文: the page in Chinese");
}

function plural(count, word) {
  return `${count.toLocaleString("en")} ${word}${count === 1 ? "" : "s"}`;
}
