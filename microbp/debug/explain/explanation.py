"""``Explanation``: a derivation as plain records, compared line by line with the engine, and laid out.

Its sentences stand in a table, in English and Chinese.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple

from microbp.debug.formulas import agree, number
from microbp.notation import Math
from microbp.text import Shown, columns, sentence

# ruff: disable[E501]  (a sentence of a table stands on one line)
#: Each sentence; what stands in braces is filled in, a formula as a formula.
SENTENCES: dict[str, tuple[str, str]] = {
    "title": ("{gradient}: how {value} acts on {loss}", "{gradient}：{value} 如何影响 {loss}"),
    "key": ("{w} is weight i of neuron k in {layer}, {b} its bias, {z} its weighted input, {h} its output", "记 {layer} 中第 k 个神经元（从 0 数起）的第 i 个权重为 {w}，偏置为 {b}，加权输入为 {z}，输出为 {h}"),
    "key further": ("; names with {number} belong to {layer}", "；编号 {number} 对应 {layer}"),
    "key end": (".", "。"),
    "key plain": ("z1[k] is the weighted input of neuron k in layer 1, h1[k] its output, and so on for other layers", "z1[k] 是第 1 层第 k 个神经元的加权输入，h1[k] 是其输出，其余各层类推"),
    "key call": (" #2 marks the second call, sample or net, and so on.", "#2 表示第二次调用（或第二个样本、第二个网络），依此类推。"),
    "sigmoid": ("Here 1/(1 + exp(−z)) is written σ(z); its derivative is σ(z)·(1 − σ(z)).", "下文把 1/(1 + exp(−z)) 记作 σ(z)，其导数为 σ(z)·(1 − σ(z))。"),
    "softmax": ("That is the softmax of {below} minus its target: {p} − {t}.", "这正是 {below} 的 softmax 输出减去目标值：{p} − {t}。"),
    "softmax scaled": ("In the parentheses stands the softmax of {below} minus its target: {p} − {t}.", "括号中正是 {below} 的 softmax 输出减去目标值：{p} − {t}。"),
    "independent": ("{loss} does not depend on {value}: no path leads from {loss} to {value}, so {gradient} = 0, and a backward pass leaves its gradient as it was.", "{loss} 与 {value} 无关：从 {loss} 出发没有任何一条路径能到达 {value}，因此 {gradient} = 0，反向传播不会改动它的梯度。"),
    "itself": ("{loss} changes with itself one to one.", "{loss} 对自身求导，结果为 1。"),
    "direct": ("{value} acts on {loss} directly. {definition}, so", "{value} 直接影响 {loss}：由 {definition}，得"),
    "one path": ("{value} acts on {loss} along a single path, {path}. By the chain rule", "{value} 只沿一条路径影响 {loss}：{path}。根据链式求导法则，"),
    "some paths": ("{value} acts on {loss} along {count} paths. By the chain rule the gradient is the sum over them:", "{value} 沿 {count} 条路径影响 {loss}。根据链式求导法则，总的梯度是各条路径之和："),
    "many paths": ("{value} acts on {loss} along {count} paths, too many to write each out. They are collected where they meet: {delta} stands for the gradient of {loss} at such a node, and is a sum over the nodes just above it.", "{value} 沿 {count} 条路径影响 {loss}，不便逐条写出。把 {loss} 在路径汇合处的梯度记为 {delta}，每个 {delta} 只需对紧邻的上一层求和，从后往前逐层推得。"),
    "one way": ("{value} acts on {loss} by way of {path}. By the chain rule", "{value} 经由 {path} 影响 {loss}。根据链式求导法则，"),
    "long way": ("{value} acts on {loss} by a way too long for one line. It is cut into pieces: {delta} stands for the gradient of {loss} at the end of each.", "{value} 影响 {loss} 的路径太长，需分段来写：把 {loss} 在各段端点的梯度记为 {delta}。"),
    "common": ("What the paths have in common stands outside the parentheses:", "把各路径公共的因子提到括号外："),
    "first": ("({count}) First {factor}. {definition}, so", "（{count}）先求 {factor}。由 {definition}，得"),
    "next": ("({count}) Then {factor}. {definition}, so", "（{count}）再求 {factor}。由 {definition}，得"),
    "last": ("({count}) Last {factor}. {definition}, so", "（{count}）最后求 {factor}。由 {definition}，得"),
    "factors above": ("The other factors are found in the same way; their numbers stand in the lines below.", "其余因子求法相同，数值直接代入下面各式。"),
    "contributions": ("{below} enters {above} in {count} places; their contributions are added.", "{below} 在 {above} 中出现 {count} 次，各处的贡献要相加。"),
    "branch": ("Here {rule} has {condition}.", "此处 {rule} 满足 {condition}。"),
    "branch not": ("Here {rule} does not have {condition}.", "此处 {rule} 不满足 {condition}。"),
    "largest": ("Here {below} is the largest, and takes all.", "此处 {below} 最大，梯度全部归它。"),
    "tie": ("Here {count} are the largest, {below} among them, and share.", "此处有 {count} 个并列最大（{below} 是其中之一），平分梯度。"),
    "not largest": ("Here {below} is not the largest: {other} is.", "此处最大的是 {other}，不是 {below}。"),
    "digits": ("In these digits the formula gives {shown}; computed so as to keep its digits it is {value}.", "按所示位数直接代入会得到 {shown}；用不损失精度的算法得 {value}。"),
    "product": ("Multiplied together:", "把各因子相乘，得到"),
    "paths": ("Path by path:", "逐条路径相乘："),
    "sum": ("Added up:", "再把各路径相加："),
    "given": ("The backward pass has found these {delta} in the same way:", "以下各 {delta} 由反向传播以同样的方法算出："),
    "deltas": ("From the loss down:", "从代价开始，自后向前："),
    "hidden": ("The last number is the sum of the others, {count} in number.", "最后一个数是其余 {count} 项之和。"),
    "hidden one": ("The last number is that of the remaining term.", "最后一个数是其余那一项。"),
    "zero factor": ("The gradient is 0 because of the factor {factor} = 0.", "梯度为 0，原因是因子 {factor} = 0。"),
    "cancelled": ("The gradient is 0: the contributions cancel.", "梯度为 0：各项贡献恰好抵消。"),
    "underflow": ("The gradient is 0: no factor is, but their product is below the smallest float.", "梯度为 0：没有因子为 0，但乘积小于浮点数所能表示的最小值（下溢）。"),
    "nan": ("The gradient is nan; the first value that is nan is {node}.", "梯度为 nan；最先出现 nan 的是 {node}。"),
    "nan factor": ("The gradient is nan, though no value is: it comes from {factor} = {number}.", "梯度为 nan，而各个值都不是 nan：它来自 {factor} = {number}。"),
    "frozen": ("{value} is frozen: a backward pass leaves it without a gradient.", "{value} 已被冻结（requires_grad 为 False），反向传播不会给它梯度。"),
    "update": ("One step of gradient descent with the learning rate {rate}:", "取学习率 {rate}，沿梯度的反方向更新："),
    "matrix": ("The matrix form: {scalars} scalars became {operations} array operations", "矩阵形式：{scalars} 个标量合并为 {operations} 个数组运算"),
    "matrix forward": ("Forward, with a row for each sample of a batch:", "前向传播（每个样本占一行）："),
    "matrix deltas": ("Backward. J is the sum of the samples' costs, δ its derivative by a weighted input:", "反向传播。J 是各样本代价之和，δ 是 J 对加权输入的导数："),
    "matrix gradients": ("And from these the gradients, summed over the samples:", "由此得到各参数的梯度（对样本求和）："),
    "matrix agrees": ("At the recorded sample all {count} derivatives were computed by these lines, and agree with the engine's.", "在录制的样本上用以上各式算出全部 {count} 个导数，与引擎的结果一致。"),
    "agrees": ("Every line was computed again from the recorded numbers, and agrees with the engine's.", "以上每一行都由记录的数重新算过，与引擎的结果一致。"),
    "via": ("via {path}", "经 {path}"),
    "wrong": ("WRONG: this derivation and the engine disagree. Is a rule wrong, or was a number changed after it was used?", "有误：推导与引擎的结果不一致。可能是某条求导规则有错，或某个数在使用之后被改动过："),
    "differs": ("{label}: the formula gives {value}, the engine has {engine}{where}", "{label}：按公式应为 {value}，引擎却是 {engine}{where}"),
}  # fmt: skip
# ruff: enable[E501]


def say(language: str, sentence: str, count: int | str = 0, /, **filled: Math | str | int) -> Math:
    """A sentence, as plain text and as Markdown."""
    template = SENTENCES[sentence][language == "zh"].replace("{count}", str(count))
    marked = {word: f"${x.latex}$" if isinstance(x, Math) else x for word, x in filled.items()}
    markdown = template.format(**marked)
    if language == "zh":  # a space between a formula and Chinese, none before punctuation
        markdown = re.sub(r"\$ ([，。：；）])", r"$\1", markdown)
    return Math(template.format(**filled), markdown)


#: How wide a line of plain text gets; one of formulas is indented by 4, and broken before an equals sign.
COLUMNS = 90
WIDTH = COLUMNS - 4
#: Where products of numbers beyond these may have overflowed, or lost digits, on the way.
LOW, HIGH = 1e-290, 1e290


class Row(NamedTuple):
    """One line of the derivation: ``label = symbols = … = numbers = value``."""

    #: ``chain``, ``factor``, ``path``, ``delta``, ``given``, ``gradient``, ``update``, ``matrix``, ``value``.
    kind: str
    label: Math
    #: The right-hand side in symbols, once or in several forms.
    symbols: tuple[Math, ...] = ()
    #: It in numbers, as they are printed; None where there is nothing to compute.
    numbers: Math | None = None
    #: The result; None in a line without numbers.
    value: float | None = None
    #: What the engine has recorded or computed.
    engine: float = math.nan
    #: The size of what is added up in it: rounding errors grow with it. nan: beyond what can be judged.
    size: float = 0.0
    #: Where a rule's text and what the engine recorded differ: the operation and the node.
    culprit: str = ""

    def fault(self, language: str) -> str | None:
        """What is wrong in the line, or None."""
        if self.value is None or agree(self.value, self.engine, self.size):
            return None
        where = f" ({self.culprit})" if self.culprit else ""
        numbers = {"value": repr(self.value), "engine": repr(self.engine), "where": where}
        return say(language, "differs", label=self.label.text, **numbers).text

    def pieces(self) -> list[Math]:
        """What stands between the equals signs, without what says the same again."""
        printed = None if self.value is None else number(self.value)
        pieces = [each for each in (*self.symbols, self.numbers, printed) if each is not None]
        return [each for before, each in zip((None, *pieces), pieces, strict=False) if each != before]

    def lines(self, width: int) -> list[str]:
        """The line as plain text, or several broken before an equals sign, which stand below each other."""
        pieces, label = [each.text for each in self.pieces()], self.label.text
        signs = [" ← " if self.kind == "update" else " = ", *[" = "] * (len(pieces) - 1)]
        whole = label + "".join(sign + each for sign, each in zip(signs, pieces, strict=True))
        if columns(whole) <= width and "\n" not in whole:
            return [whole]
        lines: list[str] = []
        indent = " " * min(columns(label), width // 2)
        for sign, piece in zip(signs, pieces, strict=True):
            # A term that begins with its sign stands below the equals sign.
            made = [each for line in piece.split("\n") for each in broken(line, width - len(indent) - 3)]
            lines.append((indent if lines else label) + sign + made[0])
            lines += [indent + (" " if each[:1] in "+−" else "     ") + each for each in made[1:]]
        return lines

    def tex(self) -> list[str]:
        """The lines as LaTeX, aligned at ``&``."""
        sign = r"\leftarrow " if self.kind == "update" else "="
        first, *others = self.pieces()
        return [rf"{self.label.latex} &{sign} {first.latex}", *(rf"&= {each.latex}" for each in others)]


class Code(NamedTuple):
    """Lines of a program, and the formulas that they are, as lines of LaTeX, aligned at ``&``."""

    code: tuple[str, ...]
    formulas: tuple[str, ...]

    def lines(self, _: int) -> tuple[str, ...]:
        """The lines of the program as they are."""
        return self.code

    def tex(self) -> tuple[str, ...]:
        """The formulas."""
        return self.formulas

#: A sentence, a line of the derivation, or lines of a program.
Part = Math | Row | Code


def within(*sizes: float) -> float:
    """The largest of the sizes; nan where one of them is so large or small that digits may be lost."""
    return max(sizes) if all(each == 0.0 or LOW < each < HIGH for each in sizes) else math.nan


@dataclass(frozen=True, repr=False)
class Explanation(Shown):
    """What :func:`microbp.debug.explain.explain` tells; ``str()`` is plain text, ``markdown`` has LaTeX."""

    title: Math
    language: str
    #: Sentences and lines, in their order.
    parts: tuple[Part, ...]
    #: Lines that are compared with the engine, and not shown.
    compared: tuple[Row, ...] = ()
    #: What is said where all agree.
    agrees = "agrees"

    @property
    def rows(self) -> tuple[Row, ...]:
        """The lines without the sentences."""
        return (*(each for each in self.parts if isinstance(each, Row)), *self.compared)

    @property
    def faults(self) -> tuple[str, ...]:
        """The lines that are wrong: computed again from recorded numbers, and compared with the engine."""
        return tuple(filter(None, (row.fault(self.language) for row in self.rows)))

    @property
    def ok(self) -> bool:
        """Whether every number is what its line gives, and what the engine has."""
        return not self.faults

    def _told(self) -> list[Part]:
        """All parts, and what the comparison with the engine gave, if there was one."""
        compared = any(row.value is not None for row in self.rows)
        verdict = say(self.language, self.agrees if self.ok else "wrong", len(self.compared))
        return [*self.parts, *([verdict] if compared else [])]

    def text(self, width: int = COLUMNS) -> str:
        """The plain text, in lines of so many columns; a word, or a formula without a sum, stays whole."""
        lines = [*sentence(self.title.text, width), ""]
        for part in self._told():
            if isinstance(part, Math):
                lines += ["", *sentence(part.text, width)] if lines[-1] else sentence(part.text, width)
            else:
                lines += [f"    {line}" for line in part.lines(width - 4)]
        return "\n".join([*lines, *(f"  {each}" for each in self.faults)])

    def __str__(self) -> str:
        return self.text()

    @property
    def markdown(self) -> str:
        """Markdown with LaTeX between ``$$``, as notebooks and documents show it."""
        blocks = [f"**{self.title.latex}**"]
        for prose, parts in groupby(self._told(), lambda part: isinstance(part, Math)):
            texts = ([part.latex] if isinstance(part, Math) else part.tex() for part in parts)
            told = [line for text in texts for line in text]
            aligned = " \\\\\n".join(told)
            blocks += told if prose else [f"$$\n\\begin{{aligned}}\n{aligned}\n\\end{{aligned}}\n$$"]
        faults = "\n".join(f"- `{each.replace('`', chr(39))}`" for each in self.faults)
        return "\n\n".join([*blocks, *([faults] if faults else [])]) + "\n"


def broken(text: str, width: int) -> list[str]:
    """A formula as lines no wider than that, if it can be broken: before a sign, as far outside as can be."""
    lines, width = [], max(width, 1)
    while columns(text) > width:
        places, depth = [], 0
        for place, each in enumerate(text[:width]):
            depth += (each in "([") - (each in ")]")
            sign = text[place : place + 3]
            if place > width // 4 and (each == "·" or sign in (" + ", " − ", " · ")):
                places.append((2 * depth + 3 * (each == "·") + (sign == " · "), -place))
        if not places:
            break
        place = -min(places)[1]
        lines.append(text[:place].rstrip())
        text = text[place:].lstrip()
    return [*lines, text]
