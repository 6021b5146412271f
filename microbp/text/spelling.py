"""``did_you_mean``: what a misspelt word was meant to be; ``language``; and ``counted``: how many things."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable

__all__ = ["LANGUAGES", "counted", "did_you_mean", "language"]

#: The languages of sentences for people, in the order in which their tables have them.
LANGUAGES = ("en", "zh")


def did_you_mean(word: object, known: Iterable[str]) -> str:
    """A question for an error text; empty where no known word is near. Capitals do not count.

    >>> did_you_mean("Stpe", ["break", "step"])
    "did you mean 'step'?"
    >>> did_you_mean("entropy", ["binary_entropy", "softmax_entropy", "trophy"])  # two of which it is a part
    "did you mean 'binary_entropy' or 'softmax_entropy'?"
    >>> did_you_mean("xyz", ["break", "step"]) or "there are break and step"
    'there are break and step'
    """
    folded, given = {each.casefold(): each for each in known}, str(word).casefold()
    near = [each for each in folded if given in each] if len(given) > 3 else []
    if not 0 < len(near) < 4:
        near = difflib.get_close_matches(given, folded, n=1, cutoff=0.5)
    return f"did you mean {' or '.join(repr(folded[each]) for each in near)}?" if near else ""


def language(word: str) -> str:
    """``en`` or ``zh``, of the ways in which they are written.

    >>> language("en_GB"), language("zh-CN"), language("cn"), language("Chinese"), language("中文")
    ('en', 'zh', 'zh', 'zh', 'zh')
    >>> language("fr")
    Traceback (most recent call last):
        ...
    ValueError: language='fr': it is 'en' (English) or 'zh' (Chinese)
    """
    first = str(word).casefold().replace("_", "-").partition("-")[0]
    known = {"en": "en", "english": "en", "zh": "zh", "cn": "zh", "chinese": "zh", "中文": "zh"}
    if first not in known:
        raise ValueError(f"language={word!r}: it is 'en' (English) or 'zh' (Chinese)")
    return known[first]


def counted(count: int, word: str) -> str:
    """A number of things, exactly while it can be read.

    >>> counted(1, "value"), counted(2000, "value"), counted(2**100, "path"), counted(2**2000, "path")
    ('1 value', '2,000 values', '1.268e+30 paths', 'about 10^602 paths')
    """
    number = f"{count:,}" if count < 10**12 else f"{float(count):.4g}" if count.bit_length() < 1000 else ""
    about = f"about 10^{math.floor((count.bit_length() - 0.5) * math.log10(2.0))}"
    return f"{number or about} {word}{'s' * (count != 1)}"
