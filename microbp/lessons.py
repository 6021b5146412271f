"""``learn``: the first hour. Twelve steps from one multiplication to the 2-2-2 net, each with a question.

Each step is a few lines of code, whose numbers are shown, and asks for one gradient; what is typed is graded by
:func:`microbp.check_answers`, which names the mistake in a wrong one.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from microbp import Value, check_answers, explain
from microbp.text import LANGUAGES, sentence, write
from microbp.text import language as spelled

__all__ = ["LESSONS", "Lesson", "learn"]

#: The width of a text.
WIDTH = 80


class Lesson(NamedTuple):
    """A step: what it tells, the code that computes ``of``, and the value whose gradient is asked for.

    ``title`` and ``text`` are in English and in Chinese.
    """

    of: str
    asked: str
    title: tuple[str, str]
    text: tuple[str, str]
    code: str

    def scope(self) -> dict[str, Any]:
        """The variables of its code.

        >>> scope = LESSONS[0].scope()
        >>> scope["y"].backward()
        >>> scope["y"].data, scope["w"].grad
        (6.0, 2.0)
        """
        names: dict[str, Any] = {"Value": Value}
        exec(self.code, names)
        return {name: held for name, held in names.items() if isinstance(held, Value)}


_NEURONS = """\
net_h1 = w1 * i1 + w2 * i2 + b1;  h1 = net_h1.sigmoid()
net_h2 = w3 * i1 + w4 * i2 + b1;  h2 = net_h2.sigmoid()
net_o1 = w5 * h1 + w6 * h2 + b2;  o1 = net_o1.sigmoid()
net_o2 = w7 * h1 + w8 * h2 + b2;  o2 = net_o2.sigmoid()
E = 0.5 * (0.01 - o1) ** 2 + 0.5 * (0.99 - o2) ** 2"""

LESSONS = (
    Lesson("y", "w", ("One multiplication", "一次乘法"), (
        "A gradient says how fast a result moves. Let w grow by a little: how many times as much does y = w·2 grow? That number is ∂y/∂w.",
        "梯度说明结果变化得有多快。让 w 增加一点点：y = w·2 会增加它的几倍？这个倍数就是 ∂y/∂w。",
    ), "w = Value(3.0)\ny = w * 2.0"),
    Lesson("y", "b", ("One addition", "一次加法"), (
        "What is added moves the result by as much as it moves itself, whatever else stands in the sum.",
        "被加上的数变化多少，结果就变化多少，与和式中的其他项无关。",
    ), "w, b = Value(3.0), Value(-1.0)\ny = w * 2.0 + b"),
    Lesson("y", "w", ("A chain", "一条链"), (
        "Here w moves u, and u moves y. Rates along a chain multiply: ∂y/∂w = ∂y/∂u · ∂u/∂w. This is the chain rule, and nearly all there is to know.",
        "这里 w 带动 u，u 带动 y。沿着链，各个变化率相乘：∂y/∂w = ∂y/∂u · ∂u/∂w。这就是链式法则，也几乎是全部要知道的东西。",
    ), "w = Value(5.0)\nu = w * 3.0\ny = u * -2.0"),
    Lesson("E", "e", ("A square", "平方"), (
        "Not every rate is the same everywhere: the square e² moves 2·e times as fast as e. How fast depends on where e stands.",
        "变化率并非处处相同：平方 e² 的变化是 e 的 2·e 倍。有多快取决于 e 此刻的值。",
    ), "e = Value(-1.5)\nE = e ** 2"),
    Lesson("E", "w", ("An error", "误差"), (
        "A guess y = w·2 should have been 3. The cost E = ½(3 − y)² has the rate −(3 − y) in y: the ½ cancels the 2, and the minus is that of −y. Go on along the chain to w.",
        "猜测 y = w·2 本应是 3。代价 E = ½(3 − y)² 对 y 的变化率是 −(3 − y)：½ 与 2 相消，负号来自 −y。再沿着链走到 w。",
    ), "w = Value(0.5)\ny = w * 2.0\nE = 0.5 * (3.0 - y) ** 2"),
    Lesson("y", "w", ("Two paths", "两条路径"), (
        "A value that is used twice moves the result along two paths, and what arrives along them is added up. Here one path is the left factor, the other goes through u.",
        "用了两次的值沿两条路径影响结果，沿各路径到达的量要相加。这里一条路径是左边的因子，另一条经过 u。",
    ), "w = Value(5.0)\nu = w + 2.0\ny = w * u"),
    Lesson("h", "net", ("The sigmoid", "sigmoid 函数"), (
        "σ(net) = 1/(1 + e^−net) squeezes any number between 0 and 1. Its rate is σ′ = h·(1 − h), where h = σ(net) is the result itself: nothing else is needed.",
        "σ(net) = 1/(1 + e^−net) 把任何数压到 0 与 1 之间。它的变化率是 σ′ = h·(1 − h)，其中 h = σ(net) 就是结果本身，不需要别的。",
    ), "net = Value(0.0)\nh = net.sigmoid()"),
    Lesson("h", "w1", ("A neuron", "一个神经元"), (
        "A neuron weighs its inputs, adds a bias, and squeezes the sum. From h back to w1 there are two links: σ′(net), and what stands beside w1 in its product.",
        "神经元对输入加权、加上偏置，再把和压缩。从 h 回到 w1 有两环：σ′(net)，以及乘积中与 w1 相乘的那个数。",
    ), "w1, w2, b = Value(0.25), Value(-0.5), Value(0.0)\nnet = w1 * 2.0 + w2 * 1.0 + b\nh = net.sigmoid()"),
    Lesson("E", "net", ("δ, the error of a neuron", "δ：神经元的误差"), (
        "Everything that a neuron owes to the cost passes through its net, so that ∂E/∂net has a name of its own: δ. For the weight w1 it is then only δ · its input. Find δ = −(1 − h)·σ′(net).",
        "神经元对代价的全部影响都经过它的 net，所以 ∂E/∂net 有自己的名字：δ。对权重 w1，只需再乘以它的输入。求 δ = −(1 − h)·σ′(net)。",
    ), "w1, w2, b = Value(0.25), Value(-0.5), Value(0.0)\nnet = w1 * 2.0 + w2 * 1.0 + b\nh = net.sigmoid()\nE = 0.5 * (1.0 - h) ** 2"),
    Lesson("E", "w1", ("Two layers", "两层"), (
        "The error goes back through the second neuron into the first: δ_h = δ_o · w2 · σ′(net_h), and ∂E/∂w1 = δ_h · x with x = 1.5. Three digits are enough.",
        "误差经过第二个神经元传回第一个：δ_h = δ_o · w2 · σ′(net_h)，而 ∂E/∂w1 = δ_h · x，x = 1.5。三位有效数字即可。",
    ), "w1, w2 = Value(0.4), Value(0.8)\nnet_h = w1 * 1.5\nh = net_h.sigmoid()\nnet_o = w2 * h\no = net_o.sigmoid()\nE = 0.5 * (1.0 - o) ** 2"),
    Lesson("E", "h1", ("Two outputs", "两个输出"), (
        "In the 2-2-2 net h1 feeds both outputs: two paths, added up. ∂E/∂h1 = δ_o1·w5 + δ_o2·w7, where δ_o1 = −(0.01 − o1)·σ′(net_o1), and δ_o2 likewise with 0.99.",
        "在 2-2-2 网络里 h1 供给两个输出：两条路径相加。∂E/∂h1 = δ_o1·w5 + δ_o2·w7，其中 δ_o1 = −(0.01 − o1)·σ′(net_o1)，δ_o2 同理，用 0.99。",
    ), "w5, w6, w7, w8, b2 = map(Value, (0.40, 0.45, 0.50, 0.55, 0.60))\nh1, h2 = Value(0.593269992), Value(0.596884378)\n" + "\n".join(_NEURONS.splitlines()[2:])),
    Lesson("E", "w1", ("The 2-2-2 net", "2-2-2 网络"), (
        "All of it: from E over both outputs to h1, through σ′(net_h1), to w1, which stands beside i1 = 0.05. Every step is one that you have done.",
        "全部合在一起：从 E 经两个输出到 h1，再经 σ′(net_h1) 到 w1，与它相乘的是 i1 = 0.05。每一步你都做过了。",
    ), "w1, w2, w3, w4, w5, w6, w7, w8 = map(Value, (.15, .20, .25, .30, .40, .45, .50, .55))\ni1, i2, b1, b2 = map(Value, (0.05, 0.10, 0.35, 0.60))\n" + _NEURONS),
)  # fmt: skip

#: By a key: in English, in Chinese.
WORDS = {
    "begin": ("{n} steps. Type a number, as 0.25, -0,25 or -1/4; ? derives the answer, skip goes on, quit ends.", "共 {n} 步。请输入数，如 0.25、-0,25 或 -1/4；? 给出推导，skip 跳过，quit 结束。"),
    "step": ("Step {at} of {n}: {title}", "第 {at} 步，共 {n} 步：{title}"),
    "right": ("Right. In microbp: {of}.backward() leaves {asked}.grad = {grad:.6g}.", "正确。在 microbp 中：{of}.backward() 之后 {asked}.grad = {grad:.6g}。"),
    "wrong": ("Not yet: {told}.", "还不对：{told}。"),
    "again": ("Try again, or type ? to see how it is derived.", "再试一次，或输入 ? 查看推导。"),
    "end": ("{right} of {n} steps answered, {first} at the first try.", "共 {n} 步，答对 {right} 步，其中 {first} 步一次答对。"),
    "on": ("Go on later with: microbp learn --from {at}", "以后可以继续：microbp learn --from {at}"),
    "next": ("What you did by hand: microbp explain net.py w1, and step by step: microbp page net.py", "您手算过的一切：microbp explain net.py w1；逐步查看：microbp page net.py"),
}  # fmt: skip
#: What may be typed in place of a number.
COMMANDS = {"?": "?", "help": "?", "帮助": "?", "skip": "skip", "跳过": "skip", "quit": "quit", "q": "quit", "exit": "quit", "退出": "quit"}


def learn(
    first: int = 1, language: str = "en", ask: Callable[[str], str | None] = input, steps: Sequence[Lesson] = LESSONS
) -> int:
    """Go through the steps from the ``first`` on; returns how many of them were not answered rightly.

    ``ask`` shows a prompt and returns what was typed, None at the end. It raises ValueError for a language
    that is neither English nor Chinese.

    >>> typed = iter(["3", "2"])
    >>> left = learn(ask=lambda prompt: next(typed), steps=LESSONS[:1])
    1 steps. Type a number, as 0.25, -0,25 or -1/4; ? derives the answer, skip goes
    on, quit ends.
    <BLANKLINE>
    Step 1 of 1: One multiplication
    A gradient says how fast a result moves. Let w grow by a little: how many times
    as much does y = w·2 grow? That number is ∂y/∂w.
    <BLANKLINE>
        w = Value(3.0)
        y = w * 2.0
    <BLANKLINE>
        w = 3, y = 6
    <BLANKLINE>
    Not yet: it is the parameter itself.
    Try again, or type ? to see how it is derived.
    Right. In microbp: y.backward() leaves w.grad = 2.
    <BLANKLINE>
    1 of 1 steps answered, 0 at the first try.
    What you did by hand: microbp explain net.py w1, and step by step: microbp page
    net.py
    """
    tongue, tries = spelled(language), [0] * len(steps)
    _tell("begin", tongue, n=len(steps))
    for at, lesson in enumerate(steps[first - 1 :], first):
        write("")
        _tell("step", tongue, at=at, n=len(steps), title=lesson.title[LANGUAGES.index(tongue)])
        answered = _taken(lesson, tongue, ask)
        if answered is None:
            _tell("on", tongue, at=at)
            break
        tries[at - 1] = answered
    write("")
    right = sum(map(bool, tries))
    _tell("end", tongue, right=right, n=len(steps), first=tries.count(1))
    if tries[-1]:
        _tell("next", tongue)
    return len(steps) - first + 1 - right


def _taken(lesson: Lesson, tongue: str, ask: Callable[[str], str | None]) -> int | None:
    """At which try a step was answered; 0 where it was skipped, None where all ended."""
    scope = lesson.scope()
    root = scope[lesson.of]
    _paragraph(lesson.text[LANGUAGES.index(tongue)])
    held = ", ".join(f"{name} = {value.data:.6g}" for name, value in scope.items())
    write("")
    for line in [*lesson.code.splitlines(), "", *sentence(held, WIDTH - 4)]:
        write(f"    {line}" if line else "")
    write("")
    tries = 1
    while (typed := ask(f"∂{lesson.of}/∂{lesson.asked} = ")) is not None:
        word = unicodedata.normalize("NFKC", typed).rpartition("=")[2].strip()  # ？ is typed in Chinese
        command = COMMANDS.get(word.casefold())
        if command == "skip":
            return 0
        if command == "quit":
            return None
        if command == "?":
            write(f"\n{explain(root, lesson.asked, names=scope, language=tongue).text(WIDTH)}\n")
            tries += 1
        elif word:
            pair = [(scope[lesson.asked], word)]
            row = check_answers(root, pair, names=scope, language=tongue, show=False).rows[0]
            # A calculator does not show the last zero of three digits.
            near = row.claimed is not None and math.isclose(row.claimed, row.true, rel_tol=5e-4)
            if near or row.verdict == "right":
                _tell("right", tongue, of=lesson.of, asked=lesson.asked, grad=float(row.true))
                return tries
            _tell("wrong", tongue, told=row.explanation)
            _tell("again", tongue)
            tries += 1
    return None


def _tell(key: str, language: str, **fields: Any) -> None:
    _paragraph(WORDS[key][LANGUAGES.index(language)].format(**fields))


def _paragraph(text: str) -> None:
    for line in sentence(text, WIDTH):
        write(line)
