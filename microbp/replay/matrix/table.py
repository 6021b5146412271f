"""The form for graphs without much structure: one array of all values, and a table of what is computed.

A chain of a million operations has no matrices in it, and a million lines would be too much for Python's
compiler. Here the source is a loop over a table: each row of it applies one rule to all values of one depth.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import numpy as np

from microbp.expr import Expression
from microbp.graph import Node
from microbp.replay.captured import Captured, Generated, ParameterArray
from microbp.replay.matrix.build import Tree, is_number, parsed, text
from microbp.replay.matrix.roles import Role, roles
from microbp.replay.matrix.texts import HELPERS, array_tree, reduction
from microbp.replay.suspicion import may_be_undefined
from microbp.replay.words import counted
from microbp.rules import Rule

__all__ = ["tabled"]

_LOOPS = """\
def operands(v, rule, count, length, at):
    # For each argument an array (count, n) for n samples; of a rule over lists, (count, length or 1, n).
    found = []
    for many in RULES[rule].many:
        size = count * length if many else count
        places = index[at : at + size]
        at += size
        found.append(v[places.reshape(count, -1)] if RULES[rule].deep else v[places])
    return found


def values(x, theta):
    # v[i] is one value for all samples: inputs, parameters, constants, then what is computed from them.
    v = np.empty((SIZE, len(x)))
    v[:INPUTS] = x.T
    v[INPUTS:CONSTANTS] = theta[:, None]
    v[CONSTANTS:FIRST] = constants[:, None]
    for rule, start, count, length, at, _ in steps.tolist():
        y = RULES[rule].value(*operands(v, rule, count, length, at))
        v[start : start + count] = y[:, 0] if RULES[rule].deep else y
    return v


def value(x, theta):
    return values(x, theta)[outputs].T


def value_and_grad(x, theta, dtheta, wrt_x=False):
    v = values(x, theta)
    d = np.zeros_like(v)
    np.add.at(d, outputs, 1.0)
    for rule, start, count, length, at, wanted in steps[::-1].tolist():
        y, upstream = v[start : start + count], d[start : start + count]
        if RULES[rule].deep:
            y, upstream = y[:, None], upstream[:, None]
        given = operands(v, rule, count, length, at)
        for number, many in enumerate(RULES[rule].many):
            size = count * length if many else count
            if wanted >> number & 1:
                passed = upstream * RULES[rule].slopes[number](*given, y)
                if size == 1:
                    d[index[at]] += passed.ravel()
                else:
                    shape = (count, length if many else 1, len(x))
                    passed = np.broadcast_to(passed, shape) if RULES[rule].deep else passed
                    np.add.at(d, index[at : at + size], passed.reshape(size, -1))
            at += size
    dtheta[...] = d[INPUTS:CONSTANTS].sum(axis=1) * trained
    return v[outputs].sum(axis=0), d[:INPUTS].T.copy() if wrt_x else None
"""


def tabled(captured: Captured) -> Generated:
    """The loop and its table, for any graph; it is made in one pass over the nodes."""
    role_of = roles(captured).role
    nodes, inputs, params = captured.graph.nodes, len(captured.inputs), len(captured.params)
    row = {place: n for n, place in enumerate(captured.inputs) if place is not None}
    row.update((place, inputs + n) for n, place in enumerate(captured.params) if place is not None)
    constants: dict[str, int] = {}

    def constant(value: float) -> int:
        return constants.setdefault(value.hex(), inputs + params + len(constants))

    rules: dict[Rule, int] = {}
    level: dict[int, int] = {}
    alike: dict[tuple[int, int, int], list[Node]] = defaultdict(list)
    for node in nodes:
        role = role_of[node.position]
        if role is Role.CONSTANT:
            row[node.position] = constant(node.data)
        if role is not Role.COMPUTED:
            continue
        rule = node.rule
        assert rule is not None
        depth = 1
        for each in node.operands:
            if type(each) is int:
                depth = max(depth, 1 + level.get(each, 0))
            else:
                constant(each)
        level[node.position] = depth
        singles = len(rule.args) - len(rule.over)
        length = (len(node.operands) - singles) // len(rule.over) if rule.over else 1
        alike[depth, rules.setdefault(rule, len(rules)), length].append(node)
    first = start = inputs + params + len(constants)
    #: Which of the first rows a gradient goes to.
    takes = [True] * inputs + list(captured.trained) + [False] * len(constants)
    steps: list[tuple[int, ...]] = []
    index: list[int] = []
    for (_, number, length), members in sorted(alike.items(), key=lambda pair: pair[0]):
        rule = members[0].rule
        assert rule is not None
        at, wanted = len(index), 0
        operands = [rule.split(node.operands) if rule.over else node.operands for node in members]
        for place, (arg, *column) in enumerate(zip(rule.args, *operands, strict=True)):
            for entry in column:
                for each in entry if arg in rule.over else (entry,):
                    found = row[each] if type(each) is int else constant(each)
                    index.append(found)
                    if found >= first or takes[found]:
                        wanted |= 1 << place
        steps.append((number, start, len(members), length, at, wanted))
        for offset, node in enumerate(members):
            row[node.position] = start + offset
        start += len(members)
    tables = {
        "steps": np.array(steps, dtype=np.int64).reshape(-1, 6),
        "index": np.array(index, dtype=np.int64),
        "constants": np.array([float.fromhex(each) for each in constants]),
        "trained": np.array(captured.trained, dtype=float),
        "outputs": np.array([row[each] for each in captured.outputs], dtype=np.int64),
    }
    sizes = f"SIZE, INPUTS, CONSTANTS, FIRST = {start}, {inputs}, {inputs + params}, {first}"
    functions = "\n".join(_functions(rules))
    imports = "import math\nfrom types import SimpleNamespace\n\nimport numpy as np\n"
    helpers = "".join(f"\n\n{helper}" for name, helper in HELPERS.items() if f"{name}(" in functions)
    source = f"{imports}\n{sizes}\n{helpers}\n{functions}\n\n\n{_LOOPS}"
    arrays = (ParameterArray("theta", (params,), tuple(range(params))),)
    told = f"{counted(len(nodes), 'scalar')} became a table of {counted(len(steps), 'array operation')}"
    heads = {f"    SimpleNamespace(  # {rule}": rule for rule in rules}
    watched = {
        number + 2  # where its value is computed
        for number, line in enumerate(source.splitlines(), start=1)
        if line in heads and may_be_undefined(heads[line])
    }
    return Generated(source, arrays, tables, told, exact=False, watched=frozenset(watched))


def _functions(rules: Iterable[Rule]) -> list[str]:
    """The rules as functions of arrays: value, local derivatives, which arguments run over lists."""
    lines = ["RULES = ["]
    for rule in rules:
        names = {arg: parsed(f"a{n}") for n, arg in enumerate(rule.args)}
        head = ", ".join(f"a{n}" for n in range(len(rule.args)))
        slopes = [f"lambda {head}, y: {_text(rule, each, {**names, 'y': parsed('y')})}" for each in rule.d]
        many = [arg in rule.over for arg in rule.args]
        lines += [
            f"    SimpleNamespace(  # {rule}",
            f"        many={many}, deep={bool(rule.over)},",
            f"        value=lambda {head}: {_text(rule, rule.y, names)},",
            f"        slopes=[{', '.join(slopes)}],",
            "    ),",
        ]
    return [*lines, "]"]


def _text(rule: Rule, expression: Expression, names: dict[str, Tree]) -> str:
    def aggregate(function: str, elements: Tree) -> Tree:
        single = is_number(elements)
        if single is not None:
            length = f"a{rule.args.index(rule.over[0])}.shape[1]"
            fewer = {"total": "", "rest": " - 1"}
            return parsed(f"{single!r} * ({length}{fewer[function]})") if function in fewer else elements
        return reduction(function, elements, axis=1)

    return text(array_tree(expression, names, aggregate))
