"""The answers of a class: what is read, the verdicts with follow-on errors, the mistakes, the report."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

import microbp
from microbp import Value, cli
from microbp.classroom import grade, read_answers

EXAMPLES = Path(microbp.__file__).parents[1] / "examples"


@pytest.fixture(scope="module")
def net():
    """The 2-2-2 net: its variables."""
    names = {"Value": Value, "group": microbp.group}
    exec((EXAMPLES / "net.py").read_text(encoding="utf-8"), names)
    return names


def verdicts(net, decimals=6, **written):
    """The verdict on each answer of one student."""
    graded = grade(net["E"], [("Li", written)], decimals=decimals, names=net).students[0]
    return {each.name: each.verdict for each in graded.answers}


def gradients(net, factor=1.0, decimals=6, **times):
    """What a person writes down who has the gradient of each name, times something."""
    return {name: f"{net[name].grad * factor * each:.{decimals}f}" for name, each in times.items()}


# ------------------------------------------------------------------------------------- follow-on errors
def test_a_wrong_delta_used_rightly_costs_once(net):
    # σ′(net_o1) is forgotten in the first answer, and all that follows is computed with it.
    slope = net["o1"].data * (1.0 - net["o1"].data)
    right = gradients(net, net_o1=1.0, w5=1.0, w6=1.0)
    wrong = gradients(net, 1.0 / slope, net_o1=1.0, w5=1.0, w6=1.0)
    assert set(verdicts(net, **right).values()) == {"right"}
    assert verdicts(net, **wrong) == {"net_o1": "WRONG", "w5": "follows", "w6": "follows"}
    student = grade(net["E"], [("Li", wrong)], decimals=6, names=net).students[0]
    assert student.points == 2.0
    assert student.answers[0].told == "the factor σ′(net_o1) = 0.186816 is missing"
    assert student.answers[1].told == "right: net_o1 is wrong, and used rightly here"


def test_it_is_followed_over_several_own_answers_and_past_blanks(net):
    both = {"w5": net["w5"].data, "w7": net["w7"].data}
    o1, o2 = 2.0 * net["net_o1"].grad, net["net_o2"].grad
    h1 = net["h1"].data * (1.0 - net["h1"].data) * (o1 * both["w5"] + o2 * both["w7"])
    own = {"net_o1": f"{o1:.6f}", "net_h1": f"{h1:.6f}", "w1": f"{h1 * 0.05:.6f}"}
    found = {"net_o1": "WRONG", "net_h1": "follows", "w1": "follows"}
    assert verdicts(net, **own) == found
    assert verdicts(net, **own | {"net_h1": ""}) == found | {"net_h1": "no answer"}
    # A second mistake of one's own costs again, and what follows from that does not.
    own |= {"net_h1": f"{3.0 * h1:.6f}", "w1": f"{3.0 * h1 * 0.05:.6f}"}
    assert verdicts(net, **own) == {"net_o1": "WRONG", "net_h1": "WRONG", "w1": "follows"}


def test_what_is_wrong_beside_the_own_delta_is_named(net):
    o1 = -net["net_o1"].grad
    own = {"net_o1": f"{o1:.6f}", "w5": f"{o1 * 0.4:.6f}"}
    answer = grade(net["E"], [("Li", own)], decimals=6, names=net).students[0].answers[1]
    told = "in place of ∂(w5·h1)/∂w5 = h1 = 0.59327 stands the other factor of the product: 0.4"
    assert (answer.verdict, answer.told, answer.explained) == ("WRONG", f"given the own net_o1: {told}", True)


@pytest.mark.parametrize("text", ["nan", "inf", "-1e400", "1/0"])
def test_what_is_no_finite_number_is_wrong_and_stops_nothing(net, text):
    found = verdicts(net, net_o1=text, **gradients(net, w5=1.0, w6=2.0))
    assert found["net_o1"] in ("WRONG", "unreadable")
    assert (found["w5"], found["w6"]) == ("right", "WRONG")


def test_a_class_is_graded_in_any_order_of_columns_and_a_long_list_of_names_is_cut(net):
    wrong = {"w5": "9", "net_o1": "8"}
    grades = grade(net["E"], [(f"s{i}", wrong) for i in range(9)], decimals=6, names=net)
    assert str(grades).splitlines()[-1].endswith("s5 (w5, net_o1), …")
    assert "s8 (w5, net_o1)" in grades.html()


def test_the_true_gradient_is_right_whatever_was_wrong_before(net):
    assert verdicts(net, net_o1="1", **gradients(net, w5=1.0)) == {"net_o1": "WRONG", "w5": "right"}


def test_a_wrong_answer_excuses_nothing_that_does_not_use_it(net):
    found = verdicts(net, net_o2="1", **gradients(net, 2.0, w5=1.0))
    assert found == {"net_o2": "WRONG", "w5": "WRONG"}


def test_own_rounded_numbers_may_be_used():
    x, w, v = Value(7.0), Value(0.4), Value(0.7)
    h = (w * x).tanh()
    loss = 0.5 * (1.0 - v * h) ** 2
    loss.backward()
    names = {"x": x, "w": w, "v": v, "h": h}
    written = {"h": f"{h.grad:.2f}"}
    exact = h.grad * (1.0 - h.data**2) * 7.0
    used = float(written["h"]) * (1.0 - h.data**2) * 7.0
    assert f"{exact:.4f}" != f"{used:.4f}"
    written["w"] = f"{used:.2f}"
    graded = grade(loss, [("Li", written)], decimals=2, names=names)
    assert graded.ok


def test_how_answers_may_be_written(net):
    found = verdicts(net, 4, w5="0,0822", w6="+8.27e-2", net_o1=" ", net_h1="abc", w1="１/3")
    assert found == {
        "w5": "right", "w6": "right", "net_o1": "no answer", "net_h1": "unreadable", "w1": "WRONG",
    }  # fmt: skip


# ------------------------------------------------------------------------------------- points, mistakes
def test_points_and_each_mistake_once(net):
    sign = gradients(net, -1.0, w5=1.0, w6=1.0)
    right = gradients(net, w5=1.0, w6=1.0)
    grades = grade(
        net["E"], [("Li", sign), ("Wang", right), ("Li", sign | {"w5": "9"})], decimals=6, names=net,
        points={"w5": 3.0},
    )  # fmt: skip
    assert [each.points for each in grades.students] == [0.0, 4.0, 0.0]
    first, unknown = grades.mistakes
    assert first.text.startswith("the sign is wrong")
    assert first.made == (("Li", "w5"), ("Li", "w6"), ("Li", "w6"))
    assert (unknown.text, unknown.made) == ("a mistake that is not known", (("Li", "w5"),))
    assert grades["Wang"].points == 4.0
    with pytest.raises(KeyError, match="there is no student 'wang1'; did you mean 'Wang'"):
        grades["wang1"]


def test_it_is_said_in_chinese(net):
    text = str(grade(net["E"], [("陈", gradients(net, -1.0, w5=1.0))], names=net, language="zh-CN"))
    assert text.startswith("1 名学生，平均 0 分，满分 1 分\n\n学生")
    assert "1 次 符号错误：它是真实梯度的 -1 倍" in text


@pytest.mark.parametrize(
    ("name", "error", "told"),
    [
        ("w55", KeyError, "nothing that the loss depends on is called 'w55'; did you mean 'w5'"),
        ("W", ValueError, r"W is an array: an answer is about one of its elements, W\[0\] or another"),
    ],
)
def test_a_name_that_is_no_value(name, error, told):
    W, w5 = microbp.array([1.0, 2.0], name="W"), Value(3.0)
    with pytest.raises(error, match=told):
        grade((W[0] * W[1] * w5).tanh(), [("Li", {name: "1"})])


def test_two_names_of_one_value_and_points_that_are_none():
    w = Value(0.4)
    delta = w * 3.0
    net = delta
    with pytest.raises(ValueError, match=r"^net and delta are one value: it is asked for once"):
        grade(net.sigmoid(), [("Li", {"net": "1", "delta": "1"})])
    for most, told in ((float("nan"), "nan"), (float("inf"), "inf"), (-1.0, "-1")):
        with pytest.raises(ValueError, match=f"^points are a number, 0 or more; those for w are {told}$"):
            grade(net.sigmoid(), [("Li", {"w": "1"})], points={"w": most})


def test_so_many_decimals_and_no_fewer_for_a_large_gradient():
    w = Value(2.0)
    loss = w * 12345.678912
    written = {"12345.6789": 1.0, "12345.6799": 0.0, "12346": 0.0}
    found = grade(loss, [(text, {"w": text}) for text in written])
    assert {each.name: each.points for each in found.students} == written


def test_own_numbers_that_are_huge_stop_nothing(net):
    found = verdicts(net, net_o1="1e308", w5="1e308", net_h1="1e308", w1="-1e308")
    assert found["net_o1"] == found["w1"] == "WRONG"


def test_a_blank_is_no_mistake_and_not_right(net):
    graded = grade(net["E"], [("Li", {"w5": ""})], names=net)
    assert str(graded).endswith("no answer is wrong")
    assert "<p>no answer is wrong</p>" in graded.html()


def test_students_may_be_a_dict_and_a_slip_in_the_options_is_told(net):
    answers = {"Li": {"w5": "0.0822"}}
    assert str(grade(net["E"], answers, names=net)) == str(grade(net["E"], [*answers.items()], names=net))
    with pytest.raises(KeyError, match="points are given for 'w55', of which no answer is; did you"):
        grade(net["E"], answers, points={"w55": 3.0})
    for decimals in (None, -1, 2.0, "4"):
        with pytest.raises(ValueError, match=r"^decimals is how many decimals were written, 0 or more, not "):
            grade(net["E"], answers, decimals=decimals)
    same = grade(net["E"], answers, decimals=np.uint8(4), names=net)
    assert str(same) == str(grade(net["E"], answers, names=net))


@pytest.mark.parametrize("answers", [{"w5": "0.0822"}, ["Li"], [("Li", "0.0822")], [("Li", {}, 3)], [None]])
def test_what_is_no_student_with_answers_is_told(net, answers):
    with pytest.raises(TypeError, match=r"^grade\(\) takes for each student a name and a mapping"):
        grade(net["E"], answers)


def test_nothing_to_grade(net):
    with pytest.raises(ValueError, match="was given no answers"):
        grade(net["E"], [])


# ------------------------------------------------------------------------------------------ the file
def test_a_null_in_a_file_of_answers_does_not_make_it_one_in_utf_16(tmp_path):
    path = tmp_path / "answers.csv"
    path.write_bytes("学生,w1\n王,3\nLi\0,4\n".encode())
    assert read_answers(path)[0] == ("王", {"w1": "3"})


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize(
    "text",
    [
        '学生,∂E/∂w5,∇w1\n陈,"0,0822",1/3\n\nLi,\n',
        "学生;w5;w1;\n陈; 0,0822 ; 1/3\n;;\nLi;;;\n",
        "学生\tw5\tw1\n陈\t0,0822\t1/3\nLi\t\t\n",
    ],
)
def test_files_as_spreadsheets_write_them(tmp_path, encoding, text):
    (tmp_path / "a.csv").write_bytes(text.encode(encoding))
    chen, li = read_answers(tmp_path / "a.csv")
    assert (chen, li) == (("陈", {"w5": "0,0822", "w1": "1/3"}), ("Li", {"w5": "", "w1": ""}))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "a.csv is empty: its first line names the columns, student and then w1, w2, …"),
        ("student\nLi\n", "a.csv has one column: behind the student stand w1, w2, …, separated by , or ;"),
        ("student,w5,w5\nLi,1,2\n", "a.csv has two columns 'w5'"),
        ('student,w5\nLi,"' + "1" * 200000 + '"\n', "a.csv, line 2: field larger than field limit (131072)…"),
        ('student;w5\n"Li;0,1\nWang;0,2\n', "a.csv, line 3: unexpected end of data; a quote begins …"),
        ("student;;\nLi;;\n", "a.csv has no column of answers: behind the student stand w1, w2, …"),
        ("student;w5;\nLi;0,1;\nWang;0,2;x\n", "a.csv, line 3: 'x' stands in a column without a name"),
        ("sep=;\n", "a.csv is empty: "),
        ("student,w5\n\n", "a.csv has columns and no student: each has a line"),
        ("student,w5\nLi,1\nWang,0,0822\n", "a.csv, line 3: 3 cells, but 2 columns. A decimal comma …"),
        ("student;w5\nLi;1;2\n", "a.csv, line 2: 3 cells, but 2 columns"),
        ("PK\3\4\24\0", "a.csv is a workbook; save it as CSV in the spreadsheet"),
    ],
)
def test_a_file_that_is_no_such_table(tmp_path, monkeypatch, text, told):
    monkeypatch.chdir(tmp_path)
    Path("a.csv").write_text(text, encoding="utf-8")
    end = "" if told.endswith(("…", " ")) else "$"
    with pytest.raises(ValueError, match=f"^{re.escape(told.removesuffix('…'))}{end}"):
        read_answers("a.csv")


def test_lines_of_excel_and_inside_of_a_cell(tmp_path):
    (tmp_path / "a.csv").write_bytes(b'sep=,\r\nstudent,w5,\r\n"Li\nFei","0,1",\r\n')
    assert read_answers(tmp_path / "a.csv") == [("Li Fei", {"w5": "0,1"})]


def test_a_spreadsheet_of_the_west_and_cells_behind_the_last_column(tmp_path):
    (tmp_path / "a.csv").write_bytes("Name;w5\r\nMüller;0,1;;\r\nPääkkönen;0,2\r\n".encode("cp1252"))
    assert read_answers(tmp_path / "a.csv") == [("Müller", {"w5": "0,1"}), ("Pääkkönen", {"w5": "0,2"})]
    (tmp_path / "a.csv").write_bytes("姓名;w5\r\n朱镕基;0,1".encode("gb18030"))  # half of 镕 is in ASCII
    assert read_answers(tmp_path / "a.csv") == [("朱镕基", {"w5": "0,1"})]


def test_two_of_one_name_are_two(tmp_path, net):
    (tmp_path / "a.csv").write_text("student;w5\n陈;0,082167\n陈;1\n;2\n", encoding="utf-8")
    found = grade(net["E"], read_answers(tmp_path / "a.csv"), decimals=6, names=net)
    assert [(each.name, each.points) for each in found.students] == [("陈", 1), ("陈 (3)", 0), ("(4)", 0)]


# ------------------------------------------------------------------------------------------ the command
ANSWERS = """\
student;mail;net_o1;w5;w1
Li;li@x;0,138499;0,082167;0,000439
陈;<b>;0,741365;0,439830;
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.py").write_text((EXAMPLES / "net.py").read_text(encoding="utf-8"), encoding="utf-8")
    (tmp_path / "answers.csv").write_text(ANSWERS, encoding="utf-8")
    return tmp_path


GRADE = ["grade", "net.py", "answers.csv", "--decimals", "6", "--skip", "mail"]


def test_grade_prints_the_class_and_writes_a_page(folder, capsys):
    assert cli.main([*GRADE, "--points", "2", "--points", "w1=1", "-o", "report.html"]) == 1
    out = capsys.readouterr().out.splitlines()
    assert out[1] == "students: 2; 3.5 of 5 points on average"
    assert out[5].split() == ["Li", "✓", "0,138499", "✓", "0,082167", "✓", "0,000439", "5"]
    assert out[6].split() == ["陈", "✗", "0,741365", "↷", "0,439830", "–", "2"]
    assert out[-3] == "1 × the factor σ′(net_o1) = 0.186816 is missing: 陈 (net_o1)"
    assert out[-1] == "Written: report.html"
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert '<td class="follows">↷ 0,439830</td>' in page
    assert "<h2>陈 <small>2 / 5</small></h2>" in page
    assert '<td class="">right: net_o1 is wrong, and used rightly here</td>' in page


def test_grade_as_json_has_nothing_else_on_stdout(folder, capsys):
    (folder / "answers.csv").write_text("student,w5\nLi,0.0822\n", encoding="utf-8")
    assert cli.main(["grade", "net.py", "answers.csv", "--json"]) == 0
    out, err = capsys.readouterr()
    read = json.loads(out)
    assert (read["command"], read["ok"], read["mistakes"]) == ("microbp grade", True, [])
    assert read["students"][0]["answers"][0]["verdict"] == "right"
    assert err.startswith("E = 0.298371109, ")  # what the script prints


def test_names_are_data_in_the_page(net):
    page = grade(net["E"], [("<script>", {"w5": "<b>"})], names=net).html()
    assert "<script>" not in page
    assert "&lt;script&gt;" in page


@pytest.mark.parametrize(
    ("call", "told"),
    [
        ("net.py answer.csv", "answer.csv: No such file or directory; did you mean 'answers.csv'?"),
        ("nte.py answers.csv", "the script nte.py: No such file or directory; did you mean 'net.py'?"),
        ("net.py answers.csv", "answers.csv: nothing that the loss depends on is called 'mail'"),
        ("net.py answers.csv --skip mial", "has no column 'mial' to skip; did you mean 'mail'?"),
        ("net.py answers.csv --points w11=2", "there is no answer 'w11'; did you mean 'w1'? There are: "),
        ("net.py answers.csv --points two", "--points two: points are a number, as in --points 2 or "),
        ("net.py answers.csv -o a.pdf", "cannot write a.pdf: the suffix is one of .html, .htm"),
        ("net.py answers.csv --skip mail --decimals -1", "decimals is how many decimals were written"),
    ],
)
@pytest.mark.usefixtures("folder")
def test_grade_called_wrongly(capsys, call, told):
    assert cli.main(["grade", *call.split()]) == 2
    assert told in capsys.readouterr().err.splitlines()[-1]


def test_a_heading_is_data_in_an_error(folder, capsys):
    (folder / "answers.csv").write_text("student;\x1b[2J\nLi;1\n", encoding="utf-8")
    for points in ("w=2", "x"):
        assert cli.main(["grade", "net.py", "answers.csv", "--points", points]) == 2
        told = capsys.readouterr().err
        assert "\\x1b[2J" in told
        assert "\x1b" not in told


def test_sheet_and_key_come_from_the_picture(folder, capsys):
    assert cli.main(["draw", "net.py", "--hide", "w1", "--hide", "w5", "-o", "sheet.dot"]) == 0
    assert cli.main(["draw", "net.py", "--hide", "w1", "--hide", "w5", "--answers", "-o", "key.dot"]) == 0
    sheet, key = ((folder / f"{name}.dot").read_text(encoding="utf-8") for name in ("sheet", "key"))
    assert "find ∇w1, ∇w5" in sheet
    assert "0.08217" not in sheet
    assert "key: ∇w1 = +4.386e−4, ∇w5 = +0.08217" in key
    assert cli.main(["draw", "net.py", "--answers"]) == 2
    assert "--answers is the key to an exercise sheet" in capsys.readouterr().err


def test_students_may_be_numbers_and_a_doubt_stays_beside_its_cause():
    w, v = Value(0.4, name="w"), Value(0.7, name="v")
    h = (w * 1.5).sigmoid()
    loss = 0.5 * (1.0 - v * h) ** 2
    graded = grade(loss, {17: {"h": "-0.4620", "w": "-0.2466"}}, names={"w": w, "v": v, "h": h})
    assert graded[17] == graded["17"]
    assert str(graded).splitlines()[4].startswith("17 ")
    told = graded[17].answers[1].told
    assert told.startswith("given the own h: ")
    assert told.endswith("numbers would be met by accident")


def test_a_mistake_of_which_one_number_leaves_a_doubt_is_told_once():
    w, v = Value(0.4, name="w"), Value(0.7, name="v")
    h = (w * 1.5).sigmoid()
    loss = 0.5 * (1.0 - v * h) ** 2
    owns = -0.4620, -0.0311, -0.0351
    answers = {str(own): {"h": f"{own}", "w": f"{1.5 * own * h.data:.4f}"} for own in owns}
    graded = grade(loss, answers, names={"w": w, "v": v, "h": h})
    doubtful = [student.answers[1].told.endswith("by accident") for student in graded.students]
    assert doubtful == [False, True, True]
    [known] = [each for each in graded.mistakes if each.text.startswith("given the own h: ")]
    assert known.made == tuple((str(own), "w") for own in owns)
    assert known.text == graded["-0.462"].answers[1].told
