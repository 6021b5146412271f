"""What is said about claims: a sentence for each finding, in English and in Chinese."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from microbp.text import LANGUAGES

#: A text that is made when it is read: of the thousands of mistakes that are tried, one is told.
Told = Callable[[], str]


def say(language: str, sentence: str, **fields: Any) -> str:
    """A sentence of the table.

    >>> say("en", "stands", right="σ′(net) = 0.2", wrong=say("en", "value"), numbers=0.6)
    "in place of σ′(net) = 0.2 stands the function's value, not its derivative: 0.6"
    """
    return SENTENCES[sentence][LANGUAGES.index(language)].format(**fields)


def element(place: Iterable[Any], array: str = "") -> str:
    """``W[0,1]``: an element of an array; ``W`` for a number by itself."""
    text = ",".join(map(str, place))
    return f"{array}[{text}]" if text else array


def shape_of(array: Any) -> str:
    """``2×1``; with fewer dimensions as NumPy writes it."""
    return "×".join(map(str, array.shape)) if array.ndim > 1 else str(array.shape)


def shown(array: Any, most: int = 4) -> str:
    """The first numbers of an array, in 6 digits."""
    if array.ndim == 0:
        return f"{float(array):.6g}"
    most = most if array.size <= 6 else 2
    return f"[{', '.join(shown(each, most) for each in array[:most])}{', …' * (len(array) > most)}]"


def several(texts: Iterable[Any], most: int = 3, more: str = ", …") -> str:
    """The first of some texts or numbers in a row, and that there are others."""
    listed = [each if isinstance(each, str) else f"{each:.6g}" for each in texts]
    return ", ".join(listed[:most]) + more.format(len(listed) - most) * (len(listed) > most)


def places_of(flags: Any) -> str:
    """``[0,1], [1,1]``: where it is true."""
    return several(map(element, np.argwhere(flags)), 4, " and {} more")


#: By a key: in English, in Chinese.
SENTENCES = {
    # ------------------------------------------------------------------------- the gradient as a whole
    "rounded": ("it is the true gradient {true}, rounded: a float counts as rounded only with 5 digits, a text with 3", "它是真实梯度 {true} 的舍入值：浮点数至少 5 位、文本至少 3 位有效数字才算作舍入"),
    "cut": ("it is the true gradient {true}, cut off where it should be rounded", "它是真实梯度 {true} 的截断值，而不是舍入值"),
    "sign": ("the sign is wrong: it is -1 × the true gradient", "符号错误：它是真实梯度的 -1 倍"),
    "sign or update": ("the sign is wrong: it is -1 × the true gradient (as the update of a descent with η = 1 it would be right: say learning_rate=1)", "符号错误：它是真实梯度的 -1 倍（作为 η = 1 的下降更新量则是正确的：请写 learning_rate=1）"),
    "times": ("it is {factor:g} × the true gradient: {reason}", "它是真实梯度的 {factor:g} 倍：{reason}"),
    "half": ("the ½ of the cost or another factor ½ is missing", "缺少代价函数中的 ½ 或别的因子 ½"),
    "double": ("the 2 of the square's derivative is missing, or a factor ½ does not belong in it", "缺少平方求导产生的 2，或多乘了一个 ½"),
    "summed": ("summed over {what}, where the loss averages", "对{what}求了和，而损失取的是平均"),
    "averaged": ("averaged over {what}, where the loss sums", "对{what}取了平均，而损失是求和"),
    "terms": ("the {n} terms of {sum}", "{sum} 的 {n} 项"),
    "samples": ("the {n} uses of each parameter (samples?)", "每个参数的 {n} 次使用（样本？）"),
    "axis": ("{n}, the length of an axis", "某一轴的长度 {n}"),
    "transposed": ("it is the transpose of the true gradient", "它是真实梯度的转置"),
    "swapped": ("{kind} {one} and {kind} {other} of {name} are swapped", "{name} 的{kind} {one} 与{kind} {other} 对调了"),
    "reversed": ("the {kind}s of {name} are in the reverse order", "{name} 的各{kind}顺序颠倒了"),
    "permuted": ("the {kind}s of {name} are in the order {order}", "{name} 的各{kind}按 {order} 的顺序排列"),
    "row": ("row", "行"),
    "column": ("column", "列"),
    "element": ("element", "元素"),
    "slice": ("axis-{axis} slice", "轴 {axis} 切片"),
    "shape": ("the numbers are right, the shape is not", "数值正确，形状不对"),
    "broadcast": ("broadcast over all elements it is right, the shape is not", "广播到所有元素后数值正确，但形状不对"),
    "unreduced": ("it is not yet reduced over its axis {axis}: the {how} of these {n} is the true gradient", "尚未沿轴 {axis} 归约：这 {n} 个的{how}才是真实梯度"),
    "sum": ("sum", "和"),
    "mean": ("mean", "平均"),
    "line": ("{which}, {shape}, stands in place of every {kind}, as if broadcast", "{which}（{shape}）占据了每一{kind}，如同被广播"),
    "line of": ("{kind} {i} of the true gradient", "真实梯度的{kind} {i}"),
    "lines": ("the {how} of the {kind}s", "各{kind}的{how}"),
    "update": ("it is the update, -η × the gradient with η = {rate:g}", "它是更新量 -η × 梯度，η = {rate:g}"),
    "update unsaid": ("it is the update, -η × the gradient with η = {rate:g} (right as an update: say learning_rate={rate:g})", "它是更新量 -η × 梯度，η = {rate:g}（作为更新量正确：请写 learning_rate={rate:g}）"),
    "rate": ("it is η × the gradient with η = {rate:g}: no rate belongs in it", "它是 η × 梯度，η = {rate:g}：梯度中不应有学习率"),
    "itself": ("it is the parameter itself", "它是参数本身"),
    "updated": ("it is the updated parameter, w - η × the gradient with η = {rate:g}", "它是更新后的参数 w - η × 梯度，η = {rate:g}"),
    "wrongly updated": ("it is the updated parameter, w - η × a wrong gradient with η = {rate:g}; of that gradient: {mistake}", "它是用错误梯度更新后的参数 w - η × 梯度，η = {rate:g}；该梯度的错误：{mistake}"),
    "of another": ("it is the gradient of {name}, {numbers}", "它是 {name} 的梯度 {numbers}"),
    "interchanged": ("it is the gradient of {name}, {numbers}: the claims for {this} and {name} are interchanged", "它是 {name} 的梯度 {numbers}：{this} 与 {name} 的答案互换了"),
    "every": ("every element is {factor:.9g} × the true gradient", "每个元素都是真实梯度的 {factor:.9g} 倍"),
    "every update": ("every element is {factor:.9g} × the true gradient (as an update it has η = {rate:.9g})", "每个元素都是真实梯度的 {factor:.9g} 倍（作为更新量，η = {rate:.9g}）"),
    "opposite": ("{mistake}; and its sign is the opposite, as in an update", "{mistake}；而且符号相反，如同更新量"),
    "and times": ("{mistake}; and it is times {factor:g}: {reason}", "{mistake}；而且乘了 {factor:g}：{reason}"),
    "both": ("{first}; and {second}", "{first}；而且{second}"),
    "only at": ("at {places} only: {mistake}", "仅在 {places} 处：{mistake}"),
    # -------------------------------------------------------------------------- factors of the chain rule
    "missing": ("the factor {factor} is missing", "缺少因子 {factor}"),
    "missing, several": ("the factors {factor} are missing", "缺少因子 {factor}"),
    "twice": ("the factor {factor} is used twice", "因子 {factor} 用了两次"),
    "twice, several": ("the factors {factor} are used twice", "因子 {factor} 用了两次"),
    "stands": ("in place of {right} stands {wrong}: {numbers}", "{right} 的位置上写成了{wrong}：{numbers}"),
    "value": ("the function's value, not its derivative", "函数值，而不是导数"),
    "value again": ("the function of the output, not its derivative", "对输出再求一次函数值，而不是导数"),
    "at the output": ("the derivative at the output in place of the argument", "在输出处而不是在自变量处的导数"),
    "by the argument": ("its formula with the argument in place of the output", "把自变量当作输出代入的导数公式"),
    "part": ("only the factor {text} of its formula", "导数公式中仅有的因子 {text}"),
    "other": ("{text}′", "{text}′"),
    "other by output": ("{text}′ as computed from the output", "由输出算出的 {text}′"),
    "sign in": ("its formula with a wrong sign, {text}", "符号写错的导数公式 {text}"),
    "without": ("the derivative without the target", "漏掉目标值时的导数"),
    "added": ("the derivative with the target added, not subtracted", "把目标值加上而不是减去时的导数"),
    "before": ("the other factor before the activation", "激活之前的另一个因子"),
    "partner": ("the other factor of the product", "乘积中的另一个因子"),
    "output": ("the layer's own output", "该层自己的输出"),
    "input": ("the layer's input", "该层的输入"),
    "neighbour": ("{wrong} stands in place of {right}", "{wrong} 占据了 {right} 的位置"),
    "upstream of": ("the upstream gradient of {name}, {number:.6g}, stands in place of that of {own}, {right:.6g}", "{name} 的上游梯度 {number:.6g} 占据了 {own} 的上游梯度 {right:.6g} 的位置"),
    # ---------------------------------------------------------------------------------------------- paths
    "path": ("{path} is missing", "缺少{path}"),
    "only path": ("only {path} is there: the others are missing", "只有{path}：其余的都缺少"),
    "from through": ("the path from {source} through {user}", "从 {source} 经过 {user} 的路径"),
    "term": ("term {i} of {n} of {sum}, {term},", "{sum} 的第 {i} 项（共 {n} 项）{term}"),
    "use": ("use {i} of {n} (a sample?)", "第 {i} 次使用（共 {n} 次；样本？）"),
    "constant": ("{what} is taken as a constant: the paths through it are missing", "把 {what} 当作常数：缺少经过它的路径"),
    "others": ("the paths through the other outputs are missing: of {what} only the diagonal of its derivative is there", "缺少经过其他输出的路径：{what} 的导数只有对角线部分"),
    "next step": ("what comes back from the next step through {what} is missing: the sum over time is truncated", "缺少从下一时间步经 {what} 传回的部分：沿时间的求和被截断"),
    "overwritten": ("only the last use of {what} counts: each overwrites the one before, = in place of +=", "{what} 只有最后一次使用起作用：后者覆盖前者，把 += 写成了 ="),
    "upstream": ("the upstream gradient of {names}, {numbers}, is missing: it begins there with 1", "缺少 {names} 的上游梯度 {numbers}：从那里以 1 开始"),
    "early": ("{names} had been updated with η = {rate:.6g} before being used in the backward pass: {numbers}", "{names} 在反向传播使用之前已用 η = {rate:.6g} 更新：{numbers}"),
    "moved": ("{name} = {new:.6g} in place of {old:.6g}", "{name} = {new:.6g}，而不是 {old:.6g}"),
    # ------------------------------------------------------------------------------------------- matrices
    "product": ("it is {form}, not {right}", "它是 {form}，而不是 {right}"),
    "spread": ("{product}: this {shape} is broadcast over {onto}, so that its {kind}s are equal", "{product}：这个 {shape} 被广播到 {onto}，于是各{kind}相等"),
    # --------------------------------------------------------------------------------- around the causes
    "shapes": ("the claim is {claimed}, {name} is {true}", "答案的形状是 {claimed}，{name} 是 {true}"),
    "stands for": ("as an update with η = {rate:g} it stands for the gradient {gradient}", "作为 η = {rate:g} 的更新量，它对应梯度 {gradient}"),
    "mistakes": ("{n} mistakes give this: {texts}", "有 {n} 种错误会得到它：{texts}"),
    "found": ("{cause}", "{cause}"),
    "or": ("; or ", "；或者"),
    "then": ("; ", "；"),
    "independent": ("the loss does not depend on it{at}: the gradient is 0", "损失与它{at}无关：梯度为 0"),
    "place": (" at {places}", "在 {places} 处"),
    "not finite": ("no mistake is looked for among numbers that are not finite", "对非有限的数不查找错误"),
    "zero": ("0 would say that the loss does not depend on it{at}, but it does", "0 表示损失与它{at}无关，但其实有关"),
    "none": ("none of {n} mistakes tried gives this{at}", "试过的 {n} 种错误都不会{at}得到它"),
    "unrounded": ("{told}. Was it rounded? A float needs 5 digits, a text 3, to be taken so", "{told}。是舍入过的吗？浮点数至少 5 位、文本至少 3 位有效数字才按舍入处理"),
    "idle": ("with so few digits some mistake or other would give this{at} by accident: none is named", "位数这么少，总有某种错误会{at}碰巧得到它：不指明是哪一种"),
    "doubtful": ("{cause}; with so few digits, though, 1 in {one:.0f} numbers would be met by accident", "{cause}；不过位数这么少，每 {one:.0f} 个数就会碰巧相符一个"),
    "blank": ("there is no answer{at}", "{at}没有作答"),
    "unread": ("{text} is not read as a number: write it as -0.0076, -0,0076, -7.6e-3 or 1/3", "{text} 不能识别为数：请写成 -0.0076、-0,0076、-7.6e-3 或 1/3"),
    # ------------------------------------------------------------------------------------------ the table
    "heads": ("name|>claimed|>true gradient|>ratio|verdict", "名称|>答案|>真实梯度|>比值|判定"),
    "right": ("right", "正确"),
    "WRONG": ("WRONG", "错误"),
    "right as an update": ("right as an update", "作为更新量正确"),
    "no answer": ("no answer", "未作答"),
    "unreadable": ("unreadable", "无法识别"),
}  # fmt: skip
