"""Names and numbers as they stand in a text and in LaTeX. Names are data, never markup."""

from __future__ import annotations

import math
import re

from microbp.text.safe import cut


def plain_number(x: float, digits: int | None = None, *, padded: bool = False, sign: bool = False) -> str:
    """A number as text, with ``digits`` significant digits or all; a real minus sign.

    ``padded`` keeps zeros at the end, and so says that the number was rounded: one with fewer digits is
    exact, and 0 has no sign. ``sign`` shows a plus, too.

    >>> plain_number(-0.74136507), plain_number(-0.74136507, 4), plain_number(2.0), plain_number(1e-7)
    ('−0.74136507', '−0.7414', '2', '1e-07')
    >>> [plain_number(x, 9, padded=True) for x in (0.5, 1 / 3, -0.1 * 3, -0.0)]
    ['0.5', '0.333333333', '−0.300000000', '0']
    """
    if math.isnan(x) or math.isinf(x):
        written = "nan" if math.isnan(x) else "∞" if x > 0 else "-∞"
    elif digits is None:
        written = repr(float(x)).removesuffix(".0")
    elif type(digits) is bool or digits < 1:
        raise ValueError(f"digits={digits!r}: a number is written with 1 or more")
    else:
        written = f"{x:.{digits}g}"
        if padded and x == 0.0:
            written = "0"
        elif padded and float(written) != x:
            mantissa, e, exponent = f"{x:#.{digits}g}".partition("e")
            written = mantissa.removesuffix(".") + e + exponent
    if written[0] == "-":
        return f"−{written[1:]}"
    return f"+{written}" if sign and x > 0.0 else written


def latex_number(x: float, digits: int | None = None, *, padded: bool = False) -> str:
    r"""A number as LaTeX; powers of ten are written out.

    >>> print(latex_number(-0.5), latex_number(1.5e-7), latex_number(1e10 / 3, 4))
    -0.5 1.5\cdot 10^{-7} 3.333\cdot 10^{9}
    """
    return latex_digits(plain_number(x, digits, padded=padded))


def latex_digits(written: str) -> str:
    """A number as plain text, turned into LaTeX."""
    if written.endswith(("nan", "∞")):
        return written.replace("nan", r"\mathrm{nan}").replace("∞", r"\infty").replace("−", "-")
    mantissa, _, exponent = written.replace("−", "-").partition("e")
    if not exponent:
        return mantissa
    power = f"10^{{{int(exponent)}}}"
    return {"1": power, "-1": f"-{power}"}.get(mantissa, rf"{mantissa}\cdot {power}")


NUMBER = re.compile(r"[-−]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?|[-−]?(inf|∞)|nan")
_ONE_WORD = re.compile(r"[^\W\d][\w.#′]*(\[[\w., '\"]*\])*([.#′][\w.#′]*)*(\([\w, ]*\))?")


def plain_name(name: str) -> str:
    """A name as it stands in a text; in quotes where it could be taken for something else.

    >>> plain_name("layers.0.w[1]"), plain_name("a - b"), plain_name("2")
    ('layers.0.w[1]', '“a - b”', '“2”')
    """
    name = cut(name)
    if _ONE_WORD.fullmatch(name) and name not in ("nan", "inf", "if", "else", "and", "or"):
        return name
    shown = (each if each.isprintable() else repr(each)[1:-1] for each in name)
    return f"“{''.join(shown).translate({ord('“'): '‘', ord('”'): '’'})}”"


_GREEK = {
    "α": "alpha", "β": "beta", "γ": "gamma", "δ": "delta", "ε": "epsilon", "ζ": "zeta", "η": "eta",
    "θ": "theta", "ι": "iota", "κ": "kappa", "λ": "lambda", "μ": "mu", "ν": "nu", "ξ": "xi", "π": "pi",
    "ρ": "rho", "σ": "sigma", "τ": "tau", "υ": "upsilon", "φ": "phi", "χ": "chi", "ψ": "psi", "ω": "omega",
    "Γ": "Gamma", "Δ": "Delta", "Θ": "Theta", "Λ": "Lambda", "Ξ": "Xi", "Π": "Pi", "Σ": "Sigma",
    "Υ": "Upsilon", "Φ": "Phi", "Ψ": "Psi", "Ω": "Omega",
}  # fmt: skip
_SPECIAL = {
    "\\": r"\backslash ", "{": r"\{", "}": r"\}", "$": r"\text{＄}", "%": r"\%", "#": r"\#", "&": r"\&",
    "_": r"\_", "^": r"\wedge ", "~": r"\sim ", "<": "{<}", ">": "{>}", "`": r"\backprime ", "'": r"\prime ",
    "′": r"\prime ", "-": r"\text{-}", "−": r"\text{-}", "*": r"\ast ", '"': r"\text{''}", "@": r"\text{＠}",
    " ": "~",
}  # fmt: skip


def latex_name(name: str) -> str:
    r"""A name as LaTeX for math mode; whatever it holds, it stays a name.

    A number at its end, what follows an underscore, and indices become its subscript; a number before
    indices is that of a layer.

    >>> print(*map(latex_name, ["w5", "net_o1", "theta", "W[0][1]", "E", "δ_1", "layers.0.w.1", "w1[0,2]"]))
    w_5 net_{o1} \theta W_{0,1} E \delta_1 layers.0.w.1 w_{0,2}^{(1)}
    >>> print(*map(latex_name, ["权重1", "a_b_c", "}$<b>"]))
    \text{权重}_1 a_{b\_c} \}\text{＄}{<}b{>}
    """
    name = cut(name)
    stem, layer, subscript = name, "", ""
    if match := re.fullmatch(r"([^\W\d_]+)(\d+)((?:\[[\w,]+\])+)(#\d+)?", name):
        stem, layer, subscript = match[1], f"({match[2]}){match[4] or ''}", match[3]
    elif match := re.fullmatch(r"([^\W\d_]+)(?:(\d+)|_(\w+)|((?:\[[\w,]+\])+))", name):
        stem, subscript = (each for each in match.groups() if each is not None)
    written = _latex_letters(stem)
    if not subscript:
        return written
    inner = _latex_letters(subscript.replace("][", ",").strip("[]"))
    written += f"_{inner}" if len(inner) == 1 else f"_{{{inner}}}"
    return f"{written}^{{{_latex_letters(layer)}}}" if layer else written


def _latex_letters(word: str) -> str:
    if word in _GREEK.values():
        return rf"\{word}"
    written = []
    for part in re.findall(r"[\x00-\x7f′−]|[^\x00-\x7f′−]+", word):
        if part in _SPECIAL:
            written.append(_SPECIAL[part])
        elif part.isascii():
            written.append(part if part.isprintable() else r"\text{?}")
        elif part in _GREEK:
            written.append(rf"\{_GREEK[part]} ")
        else:
            shown = "".join(each if each.isprintable() else "?" for each in part)
            written.append(rf"\text{{{shown}}}")
    joined = "".join(written)
    return re.sub(r"(\\[A-Za-z]+) (?![A-Za-z])", r"\1", joined).rstrip(" ")
