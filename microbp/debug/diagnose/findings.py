"""What is found, and how it is said in English and in Chinese: kinds, causes with their advice, sentences.

A ``Finding`` is a plain record; a ``Diagnosis`` has them all, or says that nothing was found, and what was
looked at.
"""

from __future__ import annotations

import math
import re
import string
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from microbp.calls import line_of
from microbp.graph import Node
from microbp.text import Shown, Table, language, sentence

#: The Chinese words for the kinds of findings.
KINDS = {
    "not finite": "非有限数", "rule": "规则", "changed": "改动", "unreached": "未到达",
    "zero gradient": "零梯度", "tiny gradient": "梯度过小", "huge gradient": "梯度过大", "layers": "层",
    "neuron": "神经元", "stale gradient": "过期梯度", "training": "训练",
}  # fmt: skip

#: A cause in one language, with room for its facts: a word; what was seen (where an operation is to blame for
#: a gradient, a sentence of that kind completes it); and what to try.
Cause = tuple[str, str, str]
# ruff: disable[E501]  (a sentence of a table stands on one line)
#: Each cause in English and in Chinese. Its English word is its name.
CAUSES: dict[str, tuple[Cause, Cause]] = {
    "dead": (("dead {rule}", "{what} is flat below 0, and its input is {at}", "for a few samples nothing; for all a smaller learning rate, a larger bias, other initial weights (init='he') or leaky_relu. In a hinge loss it means that the sample is right"),
        ("{rule} 死亡", "{what} 在 0 以下平坦，而它的输入 {at}", "若只有少数样本如此，不必处理；若所有样本如此：减小学习率、增大偏置、换初始权重（init='he'）或用 leaky_relu。对 hinge 损失，这表示该样本已分对")),
    "corner": (("corner", "{rule} has its corner at 0, and {name} is exactly 0, where the derivative is 0 by convention{how}", "inputs and weights that are not exactly 0; weights that start at 0 give this"),
        ("尖点", "{rule} 在 0 处有尖点，而 {name} 恰好为 0，按约定导数取 0{how}", "让输入和权重不恰好为 0；权重从 0 开始就会这样")),
    "saturated": (("saturated {rule}", "{rule} is flat at {at}", "smaller weights or inputs at the scale of 1, or another activation (relu); for a probability, the loss that takes logits (binary_cross_entropy, softmax_cross_entropy)"),
        ("{rule} 饱和", "{rule} 在 {at} 处平坦", "减小权重，或把输入缩放到 1 左右，或换激活函数（relu）；若是概率，用以 logits 为输入的损失（binary_cross_entropy、softmax_cross_entropy）")),
    "multiplied by 0": (("multiplied by 0", "{name} is multiplied by {zero}{how}", "inputs that are not 0 for every sample, and weights that do not start at 0; nothing, if it is an error term that is 0 at the minimum"),
        ("乘以 0", "{name} 乘以 {zero}{how}", "让输入不在每个样本中都为 0，权重不从 0 开始；若它是在最小值处等于 0 的误差项，不必处理")),
    "not chosen": (("not chosen", "{rule} took another operand than {at}", "a smooth form (softplus, logsumexp), or another sample, if it should ever be chosen"),
        ("未被选中", "{rule} 选取的不是 {at}", "若它应当被选中：用光滑形式（softplus、logsumexp），或换一个样本")),
    "clipped": (("clipped", "{at} is outside of {b} … {high}", "wider bounds, or no clip at all"),
        ("被截断", "{at} 超出 {b} … {high}", "放宽上下界，或不用 clip")),
    "flat power": (("flat power", "{base} = {a} to the power {b} has the slope 0 there{how}", "nothing, if it is an error term that is 0: then this is the minimum"),
        ("幂的斜率为 0", "{base} = {a} 的 {b} 次幂在此处斜率为 0{how}", "若它是等于 0 的误差项，不必处理：这就是最小值")),
    "saturated softmax": (("saturated softmax", "the softmax of {at} leaves the derivative 0", "logits at the scale of 1"),
        ("softmax 饱和", "{at} 的 softmax 使导数为 0", "让 logits 在 1 左右")),
    "flat operation": (("flat operation", "{rule} has the derivative 0 at {at}", "another point, or another operation"),
        ("运算平坦", "{rule} 在 {at} 处导数为 0", "换一个点，或换一个运算")),
    "underflow": (("underflow", "{above} · {local} is below the smallest float, so that 0 arrives at {operand}", "fewer or less flat steps in between, a loss on the logarithm, inputs at the scale of 1"),
        ("下溢", "{above} · {local} 小于最小的浮点数，因此到达 {operand} 的是 0", "减少中间步骤或让它们不那么平坦，对对数求损失，把输入缩放到 1 左右")),
    "cancelled": (("cancelled", "{op}: its {n} contributions {shown} sum to exactly 0. Gradient lost: {names}.", "nothing, at a minimum; else look whether the same term is added and subtracted"),
        ("相互抵消", "{op}：它的 {n} 个贡献 {shown} 之和恰好为 0。失去梯度：{names}。", "若在最小值处，不必处理；否则检查是否有同一项一加一减")),
    "rounding": (("cancelled", "{op}: its {n} contributions {shown} cancel down to {total}, which is rounding (their exact sum is {exact}). Gradient lost: {names}.", "a form of the loss without the difference of large terms; at a minimum, nothing"),
        ("相互抵消", "{op}：它的 {n} 个贡献 {shown} 抵消后剩下 {total}，这是舍入误差（精确的和为 {exact}）。失去梯度：{names}。", "改写损失，避免大数相减；若在最小值处，不必处理")),
    "shrunk by depth": (("shrunk by depth", "{gradient} arrives at {name} after {steps} steps, of which {n} make it smaller: {mean:.3g} per step on average. Concerned: {names}.", "fewer steps, weights whose products stay near 1 (init='xavier', 'he'), shortcuts that add"),
        ("逐步缩小", "经过 {steps} 步到达 {name} 的是 {gradient}，其中 {n} 步使它变小：平均每步 {mean:.3g} 倍。涉及：{names}。", "减少步数，让权重的乘积接近 1（init='xavier'、'he'），加跳跃连接")),
    "division by a small number": (("division by a small number", "{node} divides by {divisor}", "a denominator that is kept away from 0 (b + 1e-6), or another form of the quotient"),
        ("除以小数", "{node} 除以 {divisor}", "让分母远离 0（b + 1e-6），或改写商")),
    "near its edge": (("{rule} near its edge", "{node} is the {rule} of {at}, where its slope is steep", "a number kept away from the edge, such as sqrt(a + 1e-12); in place of log of a probability a fused loss (cross_entropy, softplus, logsumexp)"),
        ("{rule} 靠近边界", "{node} 是 {at} 的 {rule}，那里斜率很陡", "让它远离边界，例如 sqrt(a + 1e-12)；若是概率的对数，用融合的损失（cross_entropy、softplus、logsumexp）")),
    "growth of exp": (("growth of exp", "{node} is the {rule} of {at}", "smaller arguments, or the logarithm of it all (logsumexp)"),
        ("exp 增长", "{node} 是 {at} 的 {rule}", "减小自变量，或对整体取对数（logsumexp）")),
    "power of a large number": (("power of a large number", "{at}{grown}, is raised to the power {b}", "inputs and targets at the scale of 1, smaller weights"),
        ("大数的幂", "{at}{grown}，取 {b} 次幂", "把输入和目标缩放到 1 左右，减小权重")),
    "grown factor": (("growth by depth", "{name} is multiplied by {by}{grown}", "inputs and targets at the scale of 1, smaller weights, squashing units (tanh)"),
        ("逐步增长", "{name} 乘以 {by}{grown}", "把输入和目标缩放到 1 左右，减小权重，用有界的激活函数（tanh）")),
    "multiplied by a large number": (("multiplied by a large number", "{name} is multiplied by {by}{grown}", "inputs and targets at the scale of 1, smaller weights, squashing units (tanh)"),
        ("乘以大数", "{name} 乘以 {by}{grown}", "把输入和目标缩放到 1 左右，减小权重，用有界的激活函数（tanh）")),
    "steep operation": (("steep operation", "{rule} is steep at {at}", "inputs at the scale of 1"),
        ("运算陡峭", "{rule} 在 {at} 处陡峭", "把输入缩放到 1 左右")),
    "growth by depth": (("growth by depth", "of the {steps} steps from the loss to {name}, {n} make it larger, each {mean:.3g} times on average. {tail}", "clip the gradients, fewer steps, smaller weights (init='xavier'), squashing units (tanh)"),
        ("逐步增长", "从损失到 {name} 的 {steps} 步中有 {n} 步使它变大，平均每步 {mean:.3g} 倍。{tail}", "裁剪梯度，减少步数，减小权重（init='xavier'），用有界的激活函数（tanh）")),
    "many paths": (("many paths", "the contributions of very many paths add up at {name} and on the way to it: by the factor {by:.3g}. {tail}", "a mean in place of a sum, or fewer uses of the same value"),
        ("路径太多", "非常多路径的贡献在 {name} 处以及途中累加，放大 {by:.3g} 倍。{tail}", "用平均代替求和，或减少同一个值的使用次数")),
    "vanishing": (("vanishing", "from {last} back to {first} the gradient changes from {was} to {now}, {per:.3g} times per {what}. Root mean squares: {course}.", "relu or another unit that does not flatten, init='xavier' or 'he', shortcuts that add"),
        ("消失", "从 {last} 回到 {first}，梯度由 {was} 变为 {now}，每{what} {per:.3g} 倍。均方根：{course}。", "用 relu 等不会变平的激活函数，init='xavier' 或 'he'，加跳跃连接")),
    "exploding": (("exploding", "from {last} back to {first} the gradient changes from {was} to {now}, {per:.3g} times per {what}. Root mean squares: {course}.", "clip the gradients, smaller initial weights (init='xavier'), inputs at the scale of 1"),
        ("爆炸", "从 {last} 回到 {first}，梯度由 {was} 变为 {now}，每{what} {per:.3g} 倍。均方根：{course}。", "裁剪梯度，减小初始权重（init='xavier'），把输入缩放到 1 左右")),
    "given": (("{what} given", "{name} was given as {x}, {first} number that is not finite.{tail}", "clean data (numpy.isfinite), or look at the step before, which made this parameter"),
        ("输入为 {what}", "{name} 给定为 {x}，是{first}非有限的数。{tail}", "清理数据（numpy.isfinite），或检查产生该参数的上一步")),
    "given to an operation": (("{what} given", "{op} was given {x} as a plain number, {first} that is not finite.{tail}", "clean data (numpy.isfinite), or look at what computes this number"),
        ("输入为 {what}", "{op} 得到了 {x}，是{first}非有限的数。{tail}", "清理数据（numpy.isfinite），或检查算出这个数的步骤")),
    "nan from infinity": (("nan from infinity", "{op} made {first} {what} from operands that are infinite: {at}.{tail}", "an end to the infinity it comes from"),
        ("无穷产生 nan", "{op} 产生了{first} {what}，操作数为无穷：{at}。{tail}", "先消除产生它的无穷")),
    "nan made": (("nan made", "{op} made {first} {what} from operands that are finite: {at}.{tail}", "inputs at the scale of 1, a smaller learning rate, or the logarithm (logsumexp, cross_entropy)"),
        ("产生 nan", "{op} 产生了{first} {what}，操作数有限：{at}。{tail}", "把输入缩放到 1 左右，减小学习率，或改用对数（logsumexp、cross_entropy）")),
    "infinity made": (("overflow", "{op} made {first} {what} from operands that are finite: {at}.{tail}", "inputs at the scale of 1, a smaller learning rate, or the logarithm (logsumexp, cross_entropy)"),
        ("上溢", "{op} 产生了{first} {what}，操作数有限：{at}。{tail}", "把输入缩放到 1 左右，减小学习率，或改用对数（logsumexp、cross_entropy）")),
    "swallowed": (("swallowed {what}", "{op} = {x} is finite although an operand is not: {at}. The loss does not show it.", "operands made safe before the operation: select the argument first, then compute on it"),
        ("吞掉了 {what}", "{op} = {x} 有限，尽管有操作数不是：{at}。损失没有显示出来。", "在运算之前让操作数安全：先用 select 选好自变量，再计算")),
    "sum of gradients": (("sum of gradients", "the {n} contributions to the gradient of {name} sum to {x}, {first} gradient that is not finite.{tail}", "smaller factors on the way (see the values after it), or clip the gradients"),
        ("梯度求和", "{name} 的梯度的 {n} 个贡献之和为 {x}，是{first}非有限的梯度。{tail}", "减小途中的因子（见其后的值），或裁剪梯度")),
    "not used": (("0 · {what}", "{op}: its slope at {at} is {local}, and 0 arrives there: {sums}, {first} gradient that is not finite. The value was not used, but its derivative is not finite.{tail}", "operands made safe before the operation: select the argument first, then compute on it"),
        ("0 · {what}", "{op}：它在 {at} 处的斜率为 {local}，而到达那里的是 0：{sums}，是{first}非有限的梯度。该值没有被使用，但它的导数非有限。{tail}", "在运算之前让操作数安全：先用 select 选好自变量，再计算")),
    "flat on steep": (("0 · {what}", "{op}: its slope at {at} is {local}, and 0 arrives there: {sums}, {first} gradient that is not finite. {user} is flat just where {name} is infinitely steep: together they have a slope, but not one by one.{tail}", "the square itself (Σ d²) in place of the square of its root, or a small number below the root: sqrt(a + 1e-12)"),
        ("0 · {what}", "{op}：它在 {at} 处的斜率为 {local}，而到达那里的是 0：{sums}，是{first}非有限的梯度。{user} 平坦之处正是 {name} 无限陡峭之处：合起来有斜率，分开则没有。{tail}", "直接用平方和（Σ d²）代替根的平方，或在根号下加一个小数：sqrt(a + 1e-12)")),
    "infinite slope": (("{slope}", "{op}: its slope at {at} is {local}: {sums}, {first} gradient that is not finite.{tail}", "a number kept away from the edge, such as sqrt(a + 1e-12)"),
        ("{slope}", "{op}：它在 {at} 处的斜率为 {local}：{sums}，是{first}非有限的梯度。{tail}", "让它远离边界，例如 sqrt(a + 1e-12)")),
    "overflow": (("overflow", "{op}: {sums}, beyond the largest float, at {at}: {first} gradient that is not finite.{tail}", "clip does not help here: smaller weights or fewer steps, inputs at the scale of 1"),
        ("上溢", "{op}：{sums}，超过最大的浮点数，在 {at} 处：是{first}非有限的梯度。{tail}", "clip 在此无用：减小权重或步数，把输入缩放到 1 左右")),
    "wrong rule": (("wrong rule", "{op}: the derivative in {operand} is recorded as {stated}, but measured as {measured}, {ratio}.[ Likewise at {again}.]", "microbp.check_rule({rule!r}), and mend the derivative in its row or its define()"),
        ("规则错误", "{op}：对 {operand} 的导数记录为 {stated}，而测得 {measured}，{ratio}。[同样的还有 {again}。]", "用 microbp.check_rule({rule!r}) 检查，并改正表中或 define() 中的导数")),
    "changed after use": (("changed after use", "{text}.[ {n} more operation{n:s} no longer hold{n:v}.]", "compute the loss again after every change of .data; never change local derivatives"),
        ("使用后被改动", "{text}。[另有 {n} 个运算不再成立。]", "每次改动 .data 之后重新计算损失；不要改动局部导数")),
    "constant": (("constant loss", "{name} = {x!r} is a constant: it was recorded under no_grad(), detached, made from .data, or all that it depends on is frozen.", "compute it outside of no_grad(), from Values rather than from .data"),
        ("损失是常数", "{name} = {x!r} 是常数：它在 no_grad() 下记录、被 detach、由 .data 得来，或它依赖的一切都被冻结。", "在 no_grad() 之外计算，用 Value 而不是 .data")),
    "constant leaves": (("constant loss", "nothing that {name} depends on takes a gradient: all its leaves are constants: {leaves}. They were detached, frozen, or made under no_grad().", "the Values that should learn in the forward computation, not detached copies; net.freeze(False)"),
        ("损失是常数", "{name} 依赖的一切都不需要梯度：它的叶节点都是常数：{leaves}。它们被 detach、被冻结，或在 no_grad() 下产生。", "前向计算中使用应当学习的 Value，而不是 detach 的副本；net.freeze(False)")),
    "not computed": (("not computed", "{name} = {x!r} is a leaf: nothing was recorded that leads to it. Value(x.data), float(...) and a new Value of a number begin a graph of their own.", "the recorded result itself as the loss"),
        ("不是计算结果", "{name} = {x!r} 是叶节点：没有记录任何通向它的运算。Value(x.data)、float(...) 和由数新建的 Value 都另起一个图。", "把记录下来的结果本身作为损失")),
    "frozen": (("frozen", "frozen (requires_grad is False), so that no gradient is kept: {who}.", "net.freeze(False), or value.requires_grad = True, if this should learn"),
        ("被冻结", "{who} 被冻结（requires_grad 为 False），不保留梯度。", "若应当学习：net.freeze(False) 或 value.requires_grad = True")),
    "disconnected": (("disconnected", "{root} does not depend on {who}: no recorded operation leads from there to the loss.[ The graph has {n} constant{n:s}, as detach() and no_grad() make them: {leaves}.]", "use it in the forward computation; look for .data, detach(), no_grad() and copies there"),
        ("没有连接", "{root} 与 {who} 无关：没有记录从那里通向损失的运算。[图中有 {n} 个常数（detach() 和 no_grad() 会产生）：{leaves}。]", "在前向计算中使用它；检查那里的 .data、detach()、no_grad() 和副本")),
    "detached": (("detached", "{root} does not depend on {who}; a constant of the same name and number is in the graph: {at}.", "the Value itself, not its .data or a detached copy, in the forward computation"),
        ("被分离", "{root} 与 {who} 无关；图中有同名同值的常数：{at}。", "前向计算中使用 Value 本身，而不是 .data 或 detach 的副本")),
    "taken as .data": (("taken as .data", "{root} does not depend on {who}; its number {x!r} stands as a literal in {at}.", "the Value itself, not its .data or a detached copy, in the forward computation"),
        ("只取了 .data", "{root} 与 {who} 无关；它的数 {x!r} 作为字面量出现在 {at}。", "前向计算中使用 Value 本身，而不是 .data 或 detach 的副本")),
    "accumulated": (("accumulated", "{name}.grad = {held} is {n} times the gradient of this loss, {one}[, and so for {others}]: backward() has added up, since grad was not cleared in between.", "net.zero_grad() before backward(); if you add up over several losses, this is meant"),
        ("累加", "{name}.grad = {held} 是该损失的梯度的 {n} 倍，后者为 {one}[，{others} 也是]：backward() 累加了，因为中间没有清零 grad。", "在 backward() 之前调用 net.zero_grad()；若本来就要对多个损失累加，则是有意的")),
    "stale": (("stale", "{name}.grad = {held} is not what this loss gives, {one}[, and so for {others}]: grad holds another loss's gradient as well, or it was changed.", "net.zero_grad() before backward(); if you add up over several losses, this is meant"),
        ("过期", "{name}.grad = {held} 不是该损失给出的 {one}[，{others} 也是]：grad 还包含另一个损失的梯度，或被改动过。", "在 backward() 之前调用 net.zero_grad()；若本来就要对多个损失累加，则是有意的")),
    "dead neuron": (("dead {rule}", "{rule} gives 0 for all {n} samples: the weighted input lies between {low} and {high}, and no gradient goes through.", "a larger bias, a smaller learning rate, other initial weights (another seed, init='he'), or leaky_relu"),
        ("{rule} 死亡", "{rule} 对全部 {n} 个样本都给出 0：加权输入在 {low} 与 {high} 之间，没有梯度通过。", "增大偏置，减小学习率，换初始权重（换 seed、init='he'），或用 leaky_relu")),
    "saturated neuron": (("saturated {rule}", "{rule} is flat for {flat} of {n} sample{n:s}: the weighted input lies between {low} and {high}.", "inputs at the scale of 1, smaller initial weights (init='xavier')"),
        ("{rule} 饱和", "{rule} 对 {n} 个样本中的 {flat} 个平坦：加权输入在 {low} 与 {high} 之间。", "把输入缩放到 1 左右，减小初始权重（init='xavier'）")),
    "not finite neuron": (("not finite", "the weighted input of {rule} is nan or infinite for at least one sample of {n}.", "diagnose(loss) of such a sample says where that began; where training made the weights nan, the step before"),
        ("非有限数", "{n} 个样本中有些使 {rule} 的加权输入为 nan 或无穷。", "用 diagnose(loss) 诊断这样的样本，看它从何处开始；若是训练使权重变为 nan，检查前一步")),
    "undefined operation": (("undefined operation", "{text}", "operands kept inside of the domain (clip, softplus), or a fused loss (cross_entropy)"),
        ("运算无定义", "{text}", "让操作数留在定义域内（clip、softplus），或用融合的损失（cross_entropy）")),
    "failed step": (("not finite", "{text}", "a smaller learning rate, clip=1.0, inputs and targets at the scale of 1[; then diagnose the loss of {sample} by itself]"),
        ("非有限数", "{text}", "减小学习率，clip=1.0，把输入和目标缩放到 1 左右[；然后单独诊断{sample} 的损失]")),
    "stopped": (("not finite", "{text}", "fit raised NotFinite: give diagnose that error"),
        ("非有限数", "{text}", "fit 抛出了 NotFinite：把该异常交给 diagnose")),
    "diverging": (("diverging", "the cost was {low} in {epoch} {best} and is {last} in {epoch} {n}, above the {first} of the first[ at a learning rate of {rate}].[ From step {left} on it has not been below the first again.]", "a tenth of the learning rate, or clip=1.0"),
        ("发散", "代价在第 {best} {epoch}为 {low}，到第 {n} {epoch}为 {last}，高于第一{epoch}的 {first}[（学习率 {rate}）]。[从第 {left} 步起，它再也没有低于第一步。]", "把学习率减到十分之一，或 clip=1.0")),
    "spike": (("exploding", "the gradient norm is {x} in step {n}; its median is {middle}.", "clip at a few times the median, or look at the samples of that step"),
        ("爆炸", "第 {n} 步的梯度范数为 {x}；中位数为 {middle}。", "按中位数的几倍裁剪，或检查那一步的样本")),
}

#: Sentences and their parts, in English and in Chinese.
SENTENCES: dict[str, tuple[str, str]] = {
    # What an operation has done to a gradient.
    "zero gradient": ("{op}: {why}[, and likewise at {alike} more node{alike:s}][; elsewhere it is lost at {elsewhere}]. Gradient 0: {names}.",
        "{op}：{why}[，另有 {alike} 个节点同样如此][；在别处消失于 {elsewhere}]。梯度为 0：{names}。"),
    "tiny gradient": ("{op}: {why}; its slope there is {local}, and no larger path avoids it. Gradient {gradient} for {name}; concerned: {names}.",
        "{op}：{why}；那里的斜率为 {local}，没有更大的路径能避开它。{name} 的梯度为 {gradient}；涉及：{names}。"),
    "huge gradient": ("{op}: {why}. {tail}", "{op}：{why}。{tail}"),
    "try": ("Try: {advice}.", "建议：{advice}。"),
    "at": ("[ at {where}][ ({line})]", "[（{where}）][ ({line})]"),
    "of": ("[{rule} at ]{node}[ of {unit}]", "[{unit} 的 ]{node}[ 处的 {rule}]"),
    "list": ("{names}[ and {n} more]", "{names}[ 等（另有 {n} 个）]"),
    "likewise": (" Likewise {more}.", "同样的还有 {more}。"),
    "nothing found": ("nothing found", "没有发现问题"),
    "findings": ("{n} finding{n:s}", "发现 {n} 个问题"),
    "not shown": ("{n} more findings are not shown (diagnosis.findings)", "另有 {n} 个问题没有显示（diagnosis.findings）"),
    "lines": ("Lines: call microbp.record_sites() before computing to see them.", "要显示行号，请在计算之前调用 microbp.record_sites()。"),
    "looked": ("Looked at: {what}.", "检查了：{what}。"),
    "between": ("; ", "；"),
    "columns": ("kind,cause,node,line", "类别,原因,节点,行"),
    "graph": ("{values} value{values:s}; {parameters} parameter{parameters:s}; {m} rule{m:s} at {n} operation{n:s}[, {some} of them spread evenly, of each rule]", "{values} 个值；{parameters} 个参数；{n} 个运算的 {m} 条规则[，其中每条规则均匀抽取，共 {some} 个]"),
    "constant graph": ("{n} value{n:s}", "{n} 个值"),
    "layer gradients": ("the layers' gradients ({course})", "各层的梯度（{course}）"),
    "grad": ("grad", "grad"),
    "no grad": ("grad, which is not computed", "grad（尚未计算）"),
    "neurons seen": ("{n} neuron{n:s} over {m} sample{m:s}", "{n} 个神经元，{m} 个样本"),
    "no neurons": ("the samples; no activation of the net can go flat", "样本；网络中没有会变平坦的激活函数"),
    "neurons fine": ("Neurons: {n} of {m} are fine[; inactive for some samples, as it should be: {off}, {most.name} for most, {most.inactive} of {most.samples}].", "神经元：{m} 个中有 {n} 个正常[；对部分样本不激活（正常）：{off} 个，其中 {most.name} 最多，{most.samples} 个样本中有 {most.inactive} 个]。"),
    "moved again": ("Parameters have moved more than once since: {names}. What they were is not known; the gradients are those that were recorded.", "此后参数改变了不止一次：{names}。原来的数已不可知；梯度是按记录时的数。"),
    "moved": ("The parameters have moved since: {told}. The gradients are those of the numbers that were recorded.", "此后参数已改变：{told}。梯度对应的是当时记录的数。"),
    "moved one": ("{name} was {was!r} and is {now!r} now", "{name} 原为 {was!r}，现为 {now!r}"),
    "step": ("This is step {n} of {m}.", "这是第 {n} 步，共 {m} 步。"),
    "first bad step": ("Of {m} steps, step {n} is the first in which the loss is not finite; this is step {k}{before}.", "共 {m} 步，从第 {n} 步起损失不再有限；这里是第 {k} 步{before}。"),
    "before it": (", the one before", "，即它的前一步"),
    "maximum": ("maximum with 0", "与 0 取 maximum"),
    "number 0": ("the number 0", "数字 0"),
    "given as 0": ("; {name} was given as 0", "；{name} 给定为 0"),
    "is 0 where": ("; {told} is 0, where {at}", "；{told} 为 0，其中 {at}"),
    "grown": (", which has grown from {start} over {n} operation{n:s}", "（它从 {start} 经过 {n} 个运算增长而来）"),
    "huge tail": ("The gradient of {name} is {gradient}; the largest factors on its largest path are {largest}. Concerned: {names}.", "{name} 的梯度为 {gradient}；最大路径上最大的因子是 {largest}。涉及：{names}。"),
    "factor": ("{x} at {node}", "{node} 处的 {x}"),
    "layer": ("layer", "层"),
    "call of": ("call of {unit}", "次 {unit} 调用"),
    "passed on": (" {n} later value{n:s} only passed it on ({names})[; {others} more node{others:s} made one].[ Gradients that are not finite: {hit}.]", "后面 {n} 个值只是传递它（{names}）[；另有 {others} 个节点也产生了]。[非有限的梯度：{hit}。]"),
    "passed by nobody": (" Nobody passed it on[; {others} more node{others:s} made one].[ Gradients that are not finite: {hit}.]", "没有值传递它[；另有 {others} 个节点也产生了]。[非有限的梯度：{hit}。]"),
    "the first": ("the first", "第一个"),
    "another": ("another", "另一个"),
    "come from there": (" {n} gradient{n:s} of others come{n:v} from there. Parameters with it: {names}.", "其他 {n} 个梯度由此而来。涉及的参数：{names}。"),
    "none": ("none", "无"),
    "sign": ("the sign is wrong", "符号错误"),
    "ratio": ("a ratio of {x}", "比值为 {x}"),
    "is 0": ("which is 0", "即 0"),
    "raising operation": ("the operation that raised the error", "抛出异常的运算"),
    "sample": ("sample {n}", "样本 {n}"),
    "error of fit": ("the error of fit", "fit 的异常"),
    "costs seen": ("the costs of {n} steps and {m} epochs", "{n} 步、{m} 轮的代价"),
    "steps seen": ("the losses of {n} steps", "{n} 步的损失"),
    "epoch": ("epoch", "轮"),
    "one step": ("step", "步"),
}  # fmt: skip
# ruff: enable[E501]


class _Filled(string.Formatter):
    """Floats have five digits; ``{n} value{n:s}`` is in the plural where it must be, ``come{n:v}`` a verb.

    What stands in brackets is left out where a fact in it is empty, or 0 things; a rate of 0.0 is told.
    """

    def vformat(self, template: str, args: Sequence[Any], facts: Mapping[str, Any]) -> str:
        def kept(part: re.Match[str]) -> str:
            needed = (name.partition(".")[0] for _, name, *_ in self.parse(part[1]) if name)
            return part[1] * all(facts[each] or isinstance(facts[each], float) for each in needed)

        return super().vformat(re.sub(r"\[(.*?)\]", kept, template), args, facts)

    def format_field(self, value: Any, format_spec: str) -> str:
        if format_spec in ("s", "v") and isinstance(value, int):
            return "s" * ((value != 1) == (format_spec == "s"))
        return format(value, ".5g" if isinstance(value, float) and not format_spec else format_spec)

_FILLED = _Filled()


class Words:
    """A language, and what is said in it."""

    def __init__(self, word: str) -> None:
        self.language = language(word)
        self._column = ("en", "zh").index(self.language)

    def __call__(self, key: str, **facts: object) -> str:
        """A sentence with its facts."""
        return _FILLED.format(SENTENCES[key][self._column], **facts)

    def finding(
        self, kind: str, key: str, about: Node | str = "", parameters: Iterable[str] = (),
        numbers: Iterable[tuple[str, float]] = (), site: str | None = None, /, **facts: Any,
    ) -> Finding:  # fmt: skip
        """The finding about a node, or what is called so, with the sentences of a cause of the table."""
        names, node, position, unit = tuple(parameters), str(about), None, ""
        if isinstance(about, Node):
            facts, site = {"op": self.spoken(about), **facts}, about.site or site
            node, position, unit = about.name, about.position, about.unit
        facts = {"names": self.in_parts(names), **facts}
        row = (_FILLED.format(x, **facts) for x in (CAUSES[key][0][0], *CAUSES[key][self._column]))
        cause, word, what, advice = row
        about_it = names, tuple(numbers), unit, word, self.language
        return Finding(kind, cause, node, position, site, what, advice, *about_it)

    def collapsed(self, findings: Iterable[Finding], most: int = 3) -> Iterator[Finding]:
        """The findings, where more than ``most`` of one cause in one layer become one."""
        alike: dict[tuple[str, str, str], list[Finding]] = {}
        for each in findings:
            layer = (each.unit or each.node).rpartition(".neurons.")[0]
            alike.setdefault((each.kind, each.cause, layer or each.unit), []).append(each)
        for first, *others in alike.values():
            more = self("likewise", more=self.listed((each.where for each in others), 3))
            names = dict.fromkeys(name for each in (first, *others) for name in each.parameters)
            together = first._replace(what=first.what + more, parameters=tuple(names))
            yield from [together] if len(others) >= most else [first, *others]

    def listed(self, names: Iterable[str], most: int = 4) -> str:
        """``a, b, c, d and 7 more``."""
        several = list(names)
        return self("list", names=", ".join(several[:most]), n=max(0, len(several) - most))

    def in_parts(self, names: Iterable[str]) -> str:
        """Parameters; several of one part of a module as that part: ``w, layers.0.neurons.1.*``."""
        parts: dict[str, list[str]] = {}
        for each in names:
            parts.setdefault(part_of(each), []).append(each)
        return self.listed(held[0] if len(held) == 1 else f"{part}.*" for part, held in parts.items())

    def spoken(self, node: Node) -> str:
        """``relu at h1 of net.layers.0.neurons.2``: an operation, its node and its unit."""
        return self("of", rule=node.operation, node=node.name, unit=node.unit)


def part_of(name: str) -> str:
    """The part of a module to which a parameter belongs: ``layers.0.neurons.2``; else the name."""
    path = name.split(".")
    while len(path) > 1 and path[-1].isdigit():
        path.pop()
    return ".".join(path[:-1]) or name


# -------------------------------------------------------------------------------------- what is found
#: So many findings are shown; ``findings`` has all. The longest line of the sentences.
SHOWN, WIDTH = 20, 100
#: A neuron is mostly saturated, which is worth a finding, if it is so for this part of the samples.
MOSTLY = 0.9


class Finding(NamedTuple):
    """One thing that is wrong, or worth knowing, about a loss, a net or a run."""

    #: What kind of thing: ``zero gradient``, ``huge gradient``, ``not finite``, ``neuron``, …
    kind: str
    #: Why, in a word or two: ``dead relu``, ``underflow``, ``division by a small number``, …
    cause: str
    #: The node where it began, by its name in the graph; a neuron's path; empty where there is none.
    node: str
    #: Its position in the graph, if it has one.
    position: int | None
    #: ``file:line`` of the user's code that made the node, if it was recorded.
    site: str | None
    #: What was seen, in sentences with the numbers.
    what: str
    #: What to try.
    advice: str
    #: The names of the parameters that it concerns.
    parameters: tuple[str, ...] = ()
    #: The numbers it rests on, by what they are.
    numbers: tuple[tuple[str, float], ...] = ()
    #: The module or group that the node belongs to, whichever call it was; empty for none.
    unit: str = ""
    #: The cause in the language of the sentences; kind and cause are English in any.
    word: str = ""
    language: str = "en"

    @property
    def where(self) -> str:
        """The node, and its unit: ``v12 of net.layers.0.neurons.1``; a dash for no node."""
        return Words(self.language)("of", rule="", node=self.node or "-", unit=self.unit)

    @property
    def line(self) -> str:
        """``file:line`` relative to the current directory; a dash where it is not known."""
        return "-" if self.site is None else line_of(self.site)

    def __str__(self) -> str:
        words = Words(self.language)
        at = words("at", where=self.where if self.node else "", line=self.line if self.site else "")
        return f"{self.word or self.cause}{at}: {self.what} {words('try', advice=self.advice)}"


class Remark(str):
    """What is worth knowing and no fault; another text says what was looked at."""

    __slots__ = ()


class LayerRow(NamedTuple):
    """The gradients of one layer, or of one call of a repeated module."""

    name: str
    #: How many gradients.
    gradients: int
    #: The root of their mean square.
    rms: float


class NeuronRow(NamedTuple):
    """One activation, over all samples."""

    #: Its module or group; else its name, or its number among those of the net.
    name: str
    activation: str
    samples: int
    #: For how many samples its slope is exactly 0.
    inactive: int
    #: For how many its slope is below a hundredth of the largest, inactive ones among them.
    saturated: int
    #: The range of its weighted input.
    least: float
    most: float
    site: str | None

    @property
    def verdict(self) -> str:
        """``not finite``, ``dead``, ``saturated``, ``mostly saturated`` or ``fine``."""
        if not math.isfinite(self.most - self.least):
            return "not finite"
        if self.inactive == self.samples:
            return "dead" if self.activation == "relu" else "saturated"
        if self.saturated == self.samples:
            return "saturated"
        rectifier = self.activation in ("relu", "leaky_relu", "elu")
        return "mostly saturated" if self.saturated >= MOSTLY * self.samples and not rectifier else "fine"


#: What a detector yields.
Told = Iterator[Finding | LayerRow | Remark | str]


@dataclass(frozen=True, repr=False)
class Diagnosis(Shown):
    """What :func:`diagnose` found; ``str(diagnosis)`` is the report, a notebook shows it as Markdown."""

    title: str
    #: The worst first: numbers that are not finite, wrong rules, then gradients.
    findings: tuple[Finding, ...]
    #: What was looked at, in words.
    looked_at: tuple[str, ...]
    #: Each layer's gradients, in the order of the forward computation.
    layers: tuple[LayerRow, ...] = ()
    #: Each activation over the samples, if data was given.
    neurons: tuple[NeuronRow, ...] = ()
    #: What is worth knowing and no fault: that the parameters have moved since, which step it is.
    remarks: tuple[str, ...] = ()
    language: str = "en"

    @property
    def ok(self) -> bool:
        """Whether nothing was found."""
        return not self.findings

    @property
    def rows(self) -> tuple[Finding, ...]:
        """The findings, under the name that every report has."""
        return self.findings

    def __getitem__(self, which: str) -> Finding:
        """The first finding of a kind, a cause, or about a node, a unit or a parameter of that name.

        KeyError says what was found.
        """
        about = [each for each in self.findings if which in (each.kind, each.cause, each.node, each.unit)]
        about += [each for each in self.findings if which in each.parameters]
        if about:
            return about[0]
        there = ", ".join(f"{each.cause} at {each.where}" for each in self.findings) or "nothing"
        raise KeyError(f"no finding is about {which!r}; found: {there}")

    def __repr__(self) -> str:
        causes = Counter(each.cause for each in self.findings)
        told = ", ".join(f"{count} {cause}" for cause, count in causes.items())
        return f"Diagnosis({told or 'nothing found'})"

    def table(self, width: int = WIDTH) -> Table:
        """The findings as a table, with the sentences and what was looked at below it, in so many columns."""
        words, shown = Words(self.language), self.findings[:SHOWN]
        notes: list[str] = []
        for i, each in enumerate(shown, 1):
            for told in (f"{i}. {each.what}", f"   {words('try', advice=each.advice)}"):
                notes += sentence(told, width, "   ")
        looked = words("looked", what=words("between").join(self.looked_at))
        for told in (*self._more(words), *self.remarks, looked):
            notes += sentence(told, width)
        # The line is left out where none is known.
        last = 4 if any(each.site is not None for each in shown) else 3
        kinds = KINDS if self.language == "zh" else {}
        cells = ((kinds.get(x.kind, x.kind), x.word or x.cause, x.where, x.line)[:last] for x in shown)
        rows = tuple((str(i), *row) for i, row in enumerate(cells, 1))
        found = words("findings" if self.findings else "nothing found", n=len(self.findings))
        columns = (">", *words("columns").split(","))[: last + 1]
        return Table(f"{self.title}: {found}", columns, rows, tuple(notes))

    def _more(self, words: Words) -> Iterator[str]:
        """What stands below the findings."""
        shown = self.findings[:SHOWN]
        if len(self.findings) > SHOWN:
            yield words("not shown", n=len(self.findings) - SHOWN)
        if shown and all(each.site is None for each in shown) and shown[0].position is not None:
            yield words("lines")
        fine = [row for row in self.neurons if row.verdict == "fine"]
        off = [row for row in fine if row.inactive]
        most = max(off, key=lambda row: row.inactive / row.samples, default=None)
        if self.neurons:
            yield words("neurons fine", n=len(fine), m=len(self.neurons), off=len(off), most=most)

    def markdown(self) -> str:
        """The report as Markdown."""
        return self.table(10**9).markdown()
