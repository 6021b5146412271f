"""The answers of a class: read from a table, graded with follow-on errors, with one summary for each mistake.

A person who gets δ wrong and uses it rightly afterwards has made one mistake. So each answer is compared with
two numbers: the true gradient, and what a backward pass arrives at that goes on with the person's *own*
gradients wherever there is one.
"""

from __future__ import annotations

import csv
import html
import io
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from microbp.answers import AnswerRow, check_answers
from microbp.answers.claims import whole_decimals
from microbp.calls import user_scope
from microbp.graph import Graph
from microbp.sweeps import backward
from microbp.text import LANGUAGES, Shown, Table, did_you_mean, number, quoted, safe, shown
from microbp.text import language as spelled
from microbp.value import Value

__all__ = ["Answer", "Grades", "Mistake", "Student", "grade", "read_answers"]

#: By a key: in English, in Chinese.
WORDS = {
    "title": ("students: {students}; {mean:g} of {most:g} points on average", "{students} 名学生，平均 {mean:g} 分，满分 {most:g} 分"),
    "student": ("student", "学生"),
    "points": ("points", "得分"),
    "answer": ("answer", "题目"),
    "written": ("written", "作答"),
    "true": ("true gradient", "真实梯度"),
    "verdict": ("verdict", "判定"),
    "told": ("what happened", "说明"),
    "right": ("right", "正确"),
    "follows": ("follows", "延续正确"),
    "WRONG": ("WRONG", "错误"),
    "no answer": ("no answer", "未作答"),
    "unreadable": ("unreadable", "无法识别"),
    "rightly": ("right: {names} is wrong, and used rightly here", "正确：{names} 有误，但此处使用得当"),
    "own": ("given the own {names}: {told}", "以其自己的 {names} 为准：{told}"),
    "share": ("points, of all", "得分率"),
    "unknown": ("a mistake that is not known", "未能识别的错误"),
    "none": ("every answer is right", "全部答案正确"),
    "no mistakes": ("no answer is wrong", "没有错误答案"),
    "mistakes": ("Mistakes", "错误汇总"),
    "who": ("{count} × {text}: {who}", "{count} 次 {text}：{who}"),
    "count": ("times", "次数"),
    "mistake": ("mistake", "错误"),
    "legend": (
        "✓ right   ↷ follows from an own wrong answer, and costs nothing   ✗ wrong   ? unreadable   – no answer",
        "✓ 正确   ↷ 由自己的错误答案正确推出，不扣分   ✗ 错误   ? 无法识别   – 未作答",
    ),
    "report": ("Answers, graded", "作业批改"),
}  # fmt: skip
#: What a line with too many cells may be.
COMMA = (
    ". A decimal comma in a file that is separated by commas stands in quotes; or separate it by semicolons"
)
#: What stands before an answer in the table of the class.
MARKS = {"right": "✓", "follows": "↷", "WRONG": "✗", "no answer": "–", "unreadable": "?"}


def _said(key: str, language: str, **fields: Any) -> str:
    return WORDS[key][LANGUAGES.index(language)].format(**fields)


class Answer(NamedTuple):
    """One answer of a student."""

    name: str
    #: As it was written; empty where nothing was.
    written: str
    true: float
    #: ``right``, ``follows``, ``WRONG``, ``no answer`` or ``unreadable``.
    verdict: str
    points: float
    #: What is wrong, or from which own answers it follows; empty where there is nothing to say.
    told: str
    #: Whether a mistake was found that reproduces the number.
    explained: bool
    #: The mistake, without the doubt that few digits leave.
    mistake: str = ""


class Student(NamedTuple):
    """The answers of a student."""

    name: str
    #: The sum of the points.
    points: float
    answers: tuple[Answer, ...]


class Mistake(NamedTuple):
    """A mistake, and who made it: pairs of a student and the name of an answer."""

    text: str
    made: tuple[tuple[str, str], ...]


@dataclass(frozen=True, repr=False)
class Grades(Shown):
    """What :func:`grade` found; ``str(grades)`` is the table."""

    students: tuple[Student, ...]
    #: The points that can be had for each answer, by name.
    points: Mapping[str, float]
    language: str = "en"

    @property
    def ok(self) -> bool:
        """Whether every answer of every student is right."""
        return all(each.verdict == "right" for student in self.students for each in student.answers)

    @property
    def mistakes(self) -> tuple[Mistake, ...]:
        """Each mistake once, the most frequent first; those that could not be named together at the end."""
        made: dict[str, list[tuple[str, Answer]]] = {}
        for student in self.students:
            for each in student.answers:
                if each.verdict == "WRONG":
                    made.setdefault(each.mistake, []).append((student.name, each))
        found = []
        for mistake, pairs in sorted(made.items(), key=lambda item: (not item[0], -len(item[1]))):
            text = min((each.told for _, each in pairs), key=len)  # without a doubt, where one leaves none
            who = tuple((student, each.name) for student, each in pairs)
            found.append(Mistake(text if mistake else self._word("unknown"), who))
        return tuple(found)

    def __getitem__(self, name: str) -> Student:
        """The student of that name. KeyError says which there are."""
        for student in self.students:
            if student.name == str(name):
                return student
        names = [student.name for student in self.students]
        near = did_you_mean(name, names)
        raise KeyError(f"there is no student {name!r}{f'; {near}' if near else ''}")

    def _none(self) -> str:
        """What is told where there is no mistake; a blank is none, and is not right."""
        return self._word("none" if self.ok else "no mistakes")

    def _word(self, key: str, **fields: Any) -> str:
        return _said(key, self.language, **fields)

    def _title(self) -> str:
        mean = sum(student.points for student in self.students) / len(self.students)
        most = sum(self.points.values())
        return self._word("title", students=len(self.students), mean=round(mean, 2), most=most)

    def _shares(self) -> list[float]:
        """Of each answer, what share of the points the class has."""
        had = [[each.points for each in student.answers] for student in self.students]
        most = [len(had) * each for each in self.points.values()]
        sums = map(sum, zip(*had, strict=True))
        return [found / whole if whole else 1.0 for found, whole in zip(sums, most, strict=True)]

    def _class(self) -> tuple[list[str], list[list[tuple[str, str]]]]:
        """The table of the class: what the columns are called, and rows of texts with their verdicts."""
        rows = [
            [(student.name, ""), *map(_marked, student.answers), (f"{student.points:g}", "")]
            for student in self.students
        ]
        shares = [(self._word("share"), ""), *((f"{share:.0%}", "") for share in self._shares()), ("", "")]
        return [self._word("student"), *self.points, self._word("points")], [*rows, shares]

    def table(self) -> Table:
        """A row for each student; below, each mistake once, with who made it."""
        heads, rows = self._class()
        told = [
            self._word("who", count=len(each.made), text=each.text, who=_who(each, 6)) for each in self.mistakes
        ]
        return Table(
            self._title(),
            (heads[0], *(f">{head}" for head in heads[1:])),
            tuple(tuple(text for text, _ in row) for row in rows),
            (self._word("legend"), *(told or [self._none()])),
        )

    def __repr__(self) -> str:
        return f"Grades({self._title()})"

    def html(self) -> str:
        """A page of its own: the class, each mistake once, and a sheet for each student to be handed back."""
        word = self._word
        mistakes = [[(str(len(each.made)), ""), (each.text, ""), (_who(each), "")] for each in self.mistakes]
        parts = [
            f"<h1>{word('report')}</h1><p>{_text(self._title())}</p>",
            _html_table(*self._class()),
            f"<p>{_text(word('legend'))}</p><h2>{word('mistakes')}</h2>",
            _html_table([word("count"), word("mistake"), word("student")], mistakes)
            if mistakes
            else f"<p>{self._none()}</p>",
            *map(self._sheet, self.students),
        ]
        return _PAGE.format(language=self.language, title=word("report"), body="\n".join(parts))

    def _sheet(self, student: Student) -> str:
        """What one student gets back."""
        heads = [self._word(each) for each in ("answer", "written", "true", "verdict", "points", "told")]
        rows = [
            [
                (each.name, ""), (each.written, ""), (number(each.true, 6), ""),
                (self._word(each.verdict), each.verdict), (f"{each.points:g}", ""), (each.told, ""),
            ]
            for each in student.answers
        ]  # fmt: skip
        sums = f"{student.points:g} / {sum(self.points.values()):g}"
        title = f"<h2>{_text(student.name)} <small>{sums}</small></h2>"
        return f"<section>{title}{_html_table(heads, rows)}</section>"


# ------------------------------------------------------------------------------------------- grading
def grade(
    loss: Value,
    answers: Mapping[str, Mapping[str, str | None]] | Iterable[tuple[str, Mapping[str, str | None]]],
    *,
    decimals: int = 4,
    points: float | Mapping[str, float] = 1.0,
    names: Mapping[str, Any] | None = None,
    language: str = "en",
) -> Grades:
    """The answers of a class about gradients ∂loss/∂v, graded; ``answers`` has a pair for each student.

    A pair, or an entry of a mapping, is a student's name and a mapping from names of values to what was
    written: ``"0.0822"``, ``"-0,0076"``, ``"1/3"``; ``""`` or None is no answer. A name is one that
    :func:`microbp.check_answers` takes for a single value. Numbers are rounded to ``decimals``; ``points``
    are for each answer, or by name (1 where a name has none).

    An answer is ``right`` if it is the true gradient, or what comes of the student's own rounded numbers. It
    ``follows``, and costs nothing, if it is wrong only because the student's own gradient of a later value is:

    >>> x, w, v = 3.0, Value(0.4, name="w"), Value(0.7, name="v")
    >>> h = (w * x).sigmoid()
    >>> E = 0.5 * (1.0 - v * h) ** 2
    >>> li, wang = {"h": "-0.3234", "w": "-0.1726"}, {"h": "-0.4620", "w": "-0.2466"}
    >>> print(grade(E, [("Li", li), ("Wang", wang)]))
    students: 2; 1.5 of 2 points on average
    <BLANKLINE>
    student                  h           w   points
    ───────────────────────────────────────────────
    Li               ✓ -0.3234   ✓ -0.1726        2
    Wang             ✗ -0.4620   ↷ -0.2466        1
    points, of all         50%        100%
    <BLANKLINE>
    ✓ right   ↷ follows from an own wrong answer, and costs nothing   ✗ wrong   ? unreadable   – no answer
    1 × the factor ∂(v·h)/∂h = v = 0.7 is missing: Wang (h)

    Raises KeyError for a name that the loss does not depend on or, in ``points``, that no answer has; ValueError
    where there is nothing to grade, a name stands for an array, two names for one value, or points or
    decimals are no number of 0 or more; TypeError for what is no such pair; and what :func:`microbp.check_answers` raises.
    """
    pairs = answers.items() if isinstance(answers, Mapping) else answers
    listed = list[tuple[str, dict[str, str | None]]]()
    for each in pairs:
        try:
            student, written = each
            listed.append((str(student), dict(written)))
        except (TypeError, ValueError):  # noqa: PERF203 (a generator's own errors are not these)
            told = "a name and a mapping from names of values to answers"
            raise TypeError(f"grade() takes for each student {told}, not {quoted(each)}") from None
    asked = list(dict.fromkeys(name for _, written in listed for name in written))
    if not asked:
        raise ValueError("grade() was given no answers")
    decimals = whole_decimals(decimals)
    for name in (each for each in points if each not in asked) if isinstance(points, Mapping) else ():
        near = did_you_mean(name, asked)
        raise KeyError(f"points are given for {shown(name)!r}, of which no answer is{f'; {near}' if near else ''}")
    worth = {name: float(points.get(name, 1.0) if isinstance(points, Mapping) else points) for name in asked}
    for name, most in worth.items():
        if not 0.0 <= most < math.inf:
            raise ValueError(f"points are a number, 0 or more; those for {shown(name)} are {most:g}")
    key = _Key(loss, asked, user_scope() if names is None else names, decimals, spelled(language))
    students = []
    for student, written in listed:
        graded = key.graded(written, worth)
        students.append(Student(student, sum(each.points for each in graded), graded))
    return Grades(tuple(students), worth, key.language)


class _Key:
    """The graph, with what all students share."""

    def __init__(
        self, loss: Value, asked: Sequence[str], scope: Mapping[str, Any], decimals: int, language: str
    ) -> None:
        self.loss, self.scope, self.decimals, self.language = loss, scope, decimals, language
        self.graph = Graph(loss, names=scope)
        self.places = {name: self._place(name) for name in asked}
        names = {place: name for name, place in self.places.items()}
        for name, place in self.places.items():
            if names[place] != name:
                told = f"{shown(name)} and {shown(names[place])} are one value: it is asked for once"
                raise ValueError(told)

    def _place(self, name: str) -> int:
        place = self.graph._called.get(name)
        if place is not None:
            return place
        known = [each for each, named in zip(self.graph.names, self.graph.named, strict=True) if named]
        elements = [each for each in known if each.startswith(f"{name}[")]
        if elements:
            told = f"{name} is an array: an answer is about one of its elements, {elements[0]} or another"
            raise ValueError(told)
        near = did_you_mean(name, known)
        raise KeyError(
            f"nothing that the loss depends on is called {shown(name)!r}{f'; {near}' if near else '.'} "
            f"There are: {', '.join(map(shown, known[:40]))}"
        )

    def _rows(
        self, loss: Value, written: Mapping[str, str | None], tolerance: float | None = None
    ) -> dict[str, AnswerRow]:
        pairs = [(self.graph._values[self.places[name]], text) for name, text in written.items()]
        report = check_answers(
            loss, pairs, show=False, names=self.scope, decimals=self.decimals, language=self.language,
            tolerance=tolerance,
        )  # fmt: skip
        return dict(zip(written, report.rows, strict=True))

    def graded(self, written: Mapping[str, str | None], worth: Mapping[str, float]) -> tuple[Answer, ...]:
        """The answers of one student, in the order of the class; each is judged after those that it uses."""
        rows = self._rows(self.loss, {name: written.get(name) for name in worth})
        own = {name: float(row.claimed) for name, row in rows.items() if row.claimed is not None}
        first, uses = self._followed(own)
        half, answers = 0.5 * 10.0**-self.decimals, dict[str, Answer]()
        blame: dict[str, list[str]] = {}  # of each answer that is not true, those that are to blame
        for name in sorted(rows, key=self.places.__getitem__, reverse=True):
            row, told, mistake = rows[name], rows[name].explanation, _mistake(rows[name])
            verdict = row.verdict
            guilty = [*dict.fromkeys(first for each in uses[name] for first in blame.get(each, ()))]
            if verdict == "WRONG":
                rounding = half * (1.0 + sum(map(abs, uses[name].values())))
                arriving = first[name] + sum(own[each] * times for each, times in uses[name].items())
                if abs(own[name] - arriving) <= rounding * (1.0 + 1e-9):
                    verdict = "follows" if guilty else "right"
                    told = _said("rightly", self.language, names=", ".join(guilty)) if guilty else ""
                    blame[name] = guilty
                else:
                    used = {each: own[each] for each in uses[name]}
                    near = rounding / abs(own[name]) if own[name] else 1.0
                    told_by = guilty and not first[name] and near < 1.0
                    if told_by and (found := self._given(used, name, row.written, near)).causes:
                        own_too = partial(_said, "own", self.language, names=", ".join(guilty))
                        told, mistake = own_too(told=found.explanation), own_too(told=_mistake(found))
                    blame[name] = [name]
            points = worth[name] if verdict in ("right", "follows") else 0.0
            text = "" if row.written is None else str(row.written)
            answers[name] = Answer(name, text, float(row.true), verdict, points, told, bool(mistake), mistake)
        return tuple(answers[name] for name in worth)

    def _followed(self, own: Mapping[str, float]) -> tuple[dict[str, float], dict[str, dict[str, float]]]:
        """A pass that goes on with a person's own gradients: what arrives at each value, by name.

        First what comes from the loss past all of them; then times what each of them arrives. Each is a pass of
        its own, which ends at the others.
        """
        graph, names = self.graph, [*own]
        seeds: dict[int, NDArray[np.float64]] = {graph.roots[-1]: np.eye(1, len(names) + 1)[0]}
        local = np.repeat(graph.local[:, None], len(names) + 1, axis=1)
        for column, name in enumerate(names, 1):
            place = self.places[name]
            seeds[place] = seeds.get(place, 0.0) + np.eye(1, len(names) + 1, column)[0]
            local[graph.first[place] : graph.first[place + 1], np.arange(len(names) + 1) != column] = 0.0
        passes = backward(graph, seeds, local)
        uses = {
            name: {
                each: float(passes[place, column])
                for column, each in enumerate(names, 1)
                if each != name and passes[place, column]
            }
            for name, place in self.places.items()
        }
        return {name: float(passes[place, 0]) for name, place in self.places.items()}, uses

    def _given(self, used: Mapping[str, float], name: str, written: Any, near: float) -> AnswerRow:
        """What is found beside the own gradients from which all that arrives comes.

        A loss whose gradients they are is asked: the sum of the values, each times its own gradient.
        """
        terms = [own * self.graph._values[self.places[each]] for each, own in used.items()]
        return self._rows(sum(terms[1:], terms[0]), {name: written}, near)[name]


def _mistake(row: AnswerRow) -> str:
    return "; ".join(cause.text for cause in row.causes)


# ------------------------------------------------------------------------------------------ reading
def read_answers(path: str | Path, skip: Iterable[str] = ()) -> list[tuple[str, dict[str, str]]]:
    """The students of a CSV file and what each wrote, for :func:`grade`.

    The first line names the columns: the student, then the values whose gradients are asked for, which may be
    written as ``w5``, ``∇w5`` or ``∂E/∂w5``. Columns of ``skip`` are left out. The file is separated by
    commas, semicolons or tabs, in UTF-8, UTF-16, GB 18030 or Windows-1252, as spreadsheets write it; a decimal
    comma in a file separated by commas stands in quotes. A student without a name, and a name that comes again,
    have the number of the line.

    Raises OSError where the file cannot be read, ValueError, with the line, where it is no such table.
    """
    data = Path(path).read_bytes()
    if data[:4] == b"PK\3\4":  # as .xlsx and .ods begin
        raise ValueError(f"{path} is a workbook; save it as CSV in the spreadsheet")
    text = _decoded(data)
    lines = [line for line in text.splitlines() if line.strip()]
    told = bool(lines) and lines[0].lower() in ("sep=;", "sep=,", "sep=\t")  # as Excel is told it
    if not lines[told:]:
        raise ValueError(f"{path} is empty: its first line names the columns, student and then w1, w2, …")
    mark = lines[0][4] if told else max(";\t,", key=lines[0].count)
    # Strict, since a quote that is never closed would take all further students for one name.
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=mark, skipinitialspace=True, strict=True)
    try:
        table = [(reader.line_num, [" ".join(cell.split()) for cell in row]) for row in reader]
        table = [(line, row) for line, row in table if any(row)][told:]
    except csv.Error as error:
        raise ValueError(f"{path}, line {reader.line_num}: {error}; a quote begins a cell and ends it") from None
    heads = [head.rpartition("∂")[2].removeprefix("∇") for head in table[0][1]]
    if len(heads) < 2:
        raise ValueError(f"{path} has one column: behind the student stand w1, w2, …, separated by , or ;")
    for missing in (each for each in skip if each not in heads[1:]):
        near = did_you_mean(missing, heads[1:])
        raise ValueError(f"{path} has no column {missing!r} to skip{f'; {near}' if near else ''}")
    kept = {at: head for at, head in enumerate(heads) if at and head and head not in skip}
    twice = [head for head in kept.values() if [*kept.values()].count(head) > 1]
    if twice:
        raise ValueError(f"{path} has two columns {twice[0]!r}")
    if not kept:
        raise ValueError(f"{path} has no column of answers: behind the student stand w1, w2, …")
    students: dict[str, dict[str, str]] = {}
    for line, row in table[1:]:
        if any(row[len(heads) :]):
            cells = f"{len(row)} cells, but {len(heads)} columns{COMMA * (mark == ',')}"
            raise ValueError(f"{path}, line {line}: {cells}")
        for cell in (cell for cell, head in zip(row[1:], heads[1:], strict=False) if cell and not head):
            raise ValueError(f"{path}, line {line}: {shown(cell)!r} stands in a column without a name")
        written = dict(enumerate(row))
        name = row[0] if row[0] and row[0] not in students else f"{row[0]} ({line})".strip()
        students[name] = {head: written.get(at, "") for at, head in kept.items()}
    if not students:
        raise ValueError(f"{path} has columns and no student: each has a line")
    return [*students.items()]


def _decoded(data: bytes) -> str:
    """Text as spreadsheets write it: in UTF-16, in UTF-8, or as in China or in the West.

    A character of Chinese is two bytes, most of them beyond ASCII, or four, two of them digits, as of ∂; a
    letter of Windows-1252 is one.
    """
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return data.decode("utf-16")
    # UTF-16 without a mark, where one byte is 0 of what is in ASCII: of each line, what ends and what divides it
    if 0 < 2 * data.count(b"\n") <= data.count(0):
        order = "le" if data[1::2].count(0) > data[::2].count(0) else "be"
        return data.decode(f"utf-16-{order}", "replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        odd = [len(run) % 2 for run in re.findall(rb"(?:[\x81-\xfe]\d){2}|[\x80-\xff]+", data)]
        return data.decode("cp1252" if 2 * sum(odd) > len(odd) else "gb18030", "replace")


# ------------------------------------------------------------------------------------------ showing
def _marked(answer: Answer) -> tuple[str, str]:
    return f"{MARKS[answer.verdict]} {answer.written}".rstrip(), answer.verdict


def _who(mistake: Mistake, most: int | None = None) -> str:
    """``Li (w5, w6), Wang (w5)``; ``…`` for those beyond the first ``most``."""
    made: dict[str, list[str]] = {}
    for student, name in mistake.made:
        made.setdefault(student, []).append(name)
    told = [f"{student} ({', '.join(names)})" for student, names in made.items()]
    return ", ".join(told[:most]) + ", …" * (len(told[:most]) < len(told))


def _text(text: str) -> str:
    return html.escape(safe(text, "xml"))


def _html_table(heads: Sequence[str], rows: Sequence[Sequence[tuple[str, str]]]) -> str:
    """A table of texts, each with the verdict that colours it."""
    head = "".join(f"<th>{_text(each)}</th>" for each in heads)
    lines = ("".join(f'<td class="{verdict}">{_text(text)}</td>' for text, verdict in row) for row in rows)
    return f"<table><tr>{head}</tr>{''.join(f'<tr>{line}</tr>' for line in lines)}</table>"


_PAGE = """<!DOCTYPE html>
<html lang="{language}"><head><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width"><style>
:root {{ color-scheme: light dark }}
body {{ font: 15px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem }}
table {{ border-collapse: collapse; display: block; overflow-x: auto }}
th, td {{ padding: .25rem .8rem; text-align: left; border-bottom: 1px solid #8884 }}
td {{ font-variant-numeric: tabular-nums }}
.right {{ background: #2a22 }} .follows {{ background: #28f3 }} .WRONG {{ background: #e433 }}
.no, .unreadable {{ background: #fb03 }}
small {{ font-weight: normal; opacity: .7; margin-left: 1rem }}
@media print {{ section {{ break-before: page }} }}
</style></head><body>
{body}
</body></html>
"""
