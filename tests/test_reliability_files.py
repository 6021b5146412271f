"""Files are written whole or not at all, and read as data that may be anything. Long form: ``--long``."""

from __future__ import annotations

import errno
import json
import os
import random
import re
import signal
import stat
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import microbp
import viz
from microbp import MLP, Graph, Module, NotLoaded, NotSavedWarning, Value, fit
from microbp.cli import main
from microbp.files import write_file

X, Y = [[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]], [-1.0, 1.0, 1.0, -1.0]


def net(seed: int = 1) -> MLP:
    return MLP(2, [3, 1], activation="tanh", seed=seed)


def inside(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir())


def numbers(module: Any) -> list[float]:
    return [each.data for each in module.parameters()]


def loss() -> Value:
    w, x = Value(0.5, name="w"), Value(3.0, name="x")
    y = (w * x).tanh()
    y.backward()
    return y


def trained(file: Path, **options: Any) -> Any:
    return fit(net(), X, Y, loss="hinge", epochs=3, batch_size=2, checkpoint=file, **options)


def explained(file: Path) -> None:
    script = file.parent / "net.py"
    script.write_text("from microbp import Value\nw = Value(2.0, name='w')\ny = w * w\ny.backward()\n")
    status = main(["explain", str(script), "w", "-o", str(file)])
    script.unlink()
    if status:
        raise SystemExit(status)


#: Everything that writes a file.
WRITERS: dict[str, Callable[[Path], object]] = {
    "net.npz": lambda file: net().save(file),
    "run.json": trained,
    "graph.dot": lambda file: viz.draw(loss()).save(file),
    "graph.svg": lambda file: viz.draw(loss()).save(file),
    "pass.html": lambda file: viz.page(loss()).save(file),
    "w.md": explained,
}


@pytest.mark.parametrize("name", WRITERS)
def test_a_full_disk_leaves_the_old_file_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    file, write = tmp_path / name, WRITERS[name]
    write(file)
    old = file.read_bytes()
    file.write_bytes(b"old")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    if name == "run.json":
        with pytest.warns(NotSavedWarning, match="No space left on device"):
            write(file)
    elif name == "w.md":
        with pytest.raises(SystemExit):
            write(file)
    else:
        with pytest.raises(OSError, match=re.escape(f"No space left on device: '{file}'")):
            write(file)
    monkeypatch.undo()
    assert file.read_bytes() == b"old"
    assert inside(tmp_path) == [name]
    write(file)
    assert len(file.read_bytes()) == len(old)


@pytest.mark.parametrize("name", WRITERS)
def test_links_are_followed_and_modes_kept(tmp_path: Path, name: str) -> None:
    (tmp_path / "disk").mkdir()
    file, link = tmp_path / "disk" / name, tmp_path / name
    file.write_bytes(b"old")
    file.chmod(0o640)
    link.symlink_to(Path("disk") / name)
    WRITERS[name](link)
    assert link.is_symlink()
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    assert len(file.read_bytes()) > 10
    assert inside(tmp_path / "disk") == [name]
    file.unlink()
    WRITERS[name](link)  # the link leads nowhere: a file is made there
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE(file.stat().st_mode) == 0o666 & ~umask


def test_a_link_that_leads_to_itself_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    with pytest.raises(OSError, match=re.escape(f"Too many levels of symbolic links: '{tmp_path / 'a'}'")):
        write_file(tmp_path / "a", "text")
    assert (tmp_path / "a").is_symlink()


def killed(work: Callable[[], None], after: float) -> None:
    """Do it over and over in a process of its own, which is killed after so many seconds."""
    child = os.fork()
    if child == 0:
        try:
            while True:
                work()
        finally:
            os._exit(1)
    time.sleep(after)
    os.kill(child, signal.SIGKILL)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL


def test_a_kill_leaves_a_whole_file_and_nothing_else(tmp_path: Path, long: bool) -> None:
    moments = random.Random(1)  # noqa: S311
    nets = [net(1), net(2)]
    weights, run = tmp_path / "net.npz", tmp_path / "run.json"

    def work() -> None:
        for each in nets:
            each.save(weights)
        fit(net(), X, Y, loss="hinge", epochs=2, checkpoint=run, checkpoint_every=0.0, engine="eager")

    work()
    for _ in range(200 if long else 20):
        killed(work, moments.uniform(0.0, 0.02))
        other = net(3)
        other.load(weights)
        assert numbers(other) in [numbers(each) for each in nets]
        assert fit(net(), X, Y, loss="hinge", epochs=2, resume=run, engine="eager").stopped == "epochs"
        assert len(inside(tmp_path)) <= 4  # a kill in the midst of the move leaves one name at each file,
    work()
    assert inside(tmp_path) == ["net.npz", "run.json"]  # which the next one takes away


def test_of_several_writers_one_is_last_and_all_are_whole(tmp_path: Path) -> None:
    file = tmp_path / "two"
    texts = ["a" * 100_000, "b" * 50_000, "c" * 10]
    children = []
    for text in texts:
        children.append(os.fork())
        if children[-1] == 0:
            try:
                for _ in range(50):
                    write_file(file, text)
                os._exit(0)
            finally:
                os._exit(1)
    seen = set()
    while len(children) > 0:
        if file.exists():
            seen.add(file.read_text())
        if os.waitpid(children[-1], os.WNOHANG)[0]:
            children.pop()
    assert seen <= set(texts)
    assert file.read_text() in texts
    assert inside(tmp_path) == ["two"]


def test_a_new_file_that_another_writer_takes_away_is_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, taken, move = tmp_path / "file", [], Path.replace

    def replace(source: Path, target: Path) -> Path:
        if not taken:
            taken.append(source)
            source.unlink()  # as who finds it there does
        return move(source, target)

    monkeypatch.setattr(Path, "replace", replace)
    write_file(file, "text")
    assert (file.read_text(), len(taken), inside(tmp_path)) == ("text", 1, ["file"])


def test_what_is_no_ordinary_file_is_written_to(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    write_file(pipe, "text")
    assert os.read(reader, 10) == b"text"
    os.close(reader)
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    write_file("/dev/null", "text")
    with pytest.raises(IsADirectoryError):
        write_file(tmp_path, "text")
    with pytest.raises(FileNotFoundError, match=re.escape(f"'{tmp_path / 'no' / 'file'}'")):
        write_file(tmp_path / "no" / "file", "text")


# ------------------------------------------------------------------------------------------ names
class Anything(Module):
    """Parameters of any names."""

    def __init__(self, *names: str) -> None:
        for place, name in enumerate(names):
            vars(self)[name] = Value(float(place))


NAMES = [
    "file", "allow_pickle", "args", "kwds", "x", "x.npy", "x.npy.npy", "../../x", "/etc/passwd", "C:\\x",
    "\x00", "a\x00b", "\ud800", "\x1b[2J", "%2f;", "%", "权重", "a b", "é", "e\u0301", ".npy", "w" * 10_000,
]  # fmt: skip


def test_names_are_data(tmp_path: Path) -> None:
    module, other = Anything(*NAMES), Anything(*NAMES)
    module.save(tmp_path / "net.npz")
    for value in other.parameters():
        value.data = -1.0
    other.load(tmp_path / "net.npz")
    assert numbers(other) == numbers(module) == [*map(float, range(len(NAMES)))]
    assert inside(tmp_path) == ["net.npz"]
    with zipfile.ZipFile(tmp_path / "net.npz") as archive:
        members = archive.namelist()
    assert not any(set(each) & set("/\\:\x00") for each in members)
    before = (tmp_path / "net.npz").read_bytes()
    with pytest.raises(
        ValueError, match=r"^w{100}…w{99} is too long a name for a file: 60,000 bytes"
    ):
        Anything("w" * 1_000_000).save(tmp_path / "net.npz")
    assert (tmp_path / "net.npz").read_bytes() == before


# ----------------------------------------------------------------------------------- damaged files
def test_a_file_that_inflates_is_not_read(tmp_path: Path) -> None:
    file = tmp_path / "large.npz"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("zz.npy", "w") as member:
        np.lib.format.write_array_header_1_0(
            member, {"descr": "<f8", "fortran_order": False, "shape": (1 << 40,)}
        )
        for _ in range(20):
            member.write(bytes(1 << 20))
    with pytest.raises(NotLoaded, match="zz is not a parameter here"):
        Anything("w").load(file)
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("w.npy", "w") as member:
        np.lib.format.write_array_header_1_0(member, {"descr": "<f8", "fortran_order": False, "shape": ()})
        for _ in range(20):
            member.write(bytes(1 << 20))
    with pytest.raises(NotLoaded, match=re.escape("at w.npy: not the 8 bytes of an array of shape ()")):
        Anything("w").load(file)


def test_a_damaged_file_of_parameters_is_refused_and_nothing_is_touched(tmp_path: Path, long: bool) -> None:
    file, module = tmp_path / "net.npz", net()
    module.save(file)
    whole, before = file.read_bytes(), numbers(module)
    random_bytes = random.Random(2)  # noqa: S311
    damaged = [whole[:length] for length in range(0, len(whole), 7 if long else 97)]
    for _ in range(2000 if long else 200):
        place = random_bytes.randrange(len(whole))
        damaged.append(whole[:place] + bytes([random_bytes.randrange(256)]) + whole[place + 1 :])
    damaged += [b"text", b"\x80\x04N.", b"PK\x03\x04", b"\x93NUMPY", b"PK\x05\x06" + bytes(18)]
    refused = loaded = 0
    for content in damaged:
        file.write_bytes(content)
        try:
            module.load(file)
            loaded += 1  # what was changed says nothing, such as a date
        except NotLoaded as error:
            refused += str(error).startswith(str(file)) and error.path == str(file)
        assert numbers(module) == before
    assert refused + loaded == len(damaged)
    assert refused > len(damaged) / 2


DAMAGE: list[tuple[str, Any]] = [
    ("format", 1), ("digest", None), ("settings", None), ("optimiser", {}), ("generator", {}), ("best", None),
    ("cost", [0.5]), ("step_cost", [float("nan")] * 6), ("learning_rate", [10**400] * 6), ("parameters", []),
    ("aside", 5), ("validation_cost", {}),
]  # fmt: skip


@pytest.mark.parametrize(("field", "damage"), DAMAGE, ids=str)
def test_a_damaged_checkpoint_is_refused_and_nothing_is_touched(
    tmp_path: Path, field: str, damage: Any
) -> None:
    file = tmp_path / "run.json"
    trained(file)
    state = json.loads(file.read_text())
    assert field in state
    for change in ({**state, field: damage}, {key: each for key, each in state.items() if key != field}):
        file.write_text(json.dumps(change))
        module = net()
        before = numbers(module)
        told = "is no checkpoint of fit" if field == "format" else "is damaged: it does not hold what fit"
        with pytest.raises(NotLoaded, match=f"^{re.escape(f'fit: {file} {told}')}"):
            fit(module, X, Y, loss="hinge", epochs=3, batch_size=2, resume=file)
        assert numbers(module) == before


def test_one_digit_of_a_checkpoint_is_damage_too(tmp_path: Path) -> None:
    file = tmp_path / "run.json"
    trained(file)
    text = file.read_text()
    for place in range(len(text) // 2, len(text), 97):
        file.write_text(text[:place] + ("7" if text[place] != "7" else "8") + text[place + 1 :])
        with pytest.raises(NotLoaded, match=r"is (damaged|no checkpoint)"):
            fit(net(), X, Y, loss="hinge", epochs=3, batch_size=2, resume=file)


def test_a_nested_checkpoint_and_a_cut_one_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "run.json"
    trained(file)
    for text in ("[" * 100_000, file.read_text()[:-10], '{"format": ' + "9" * 5000 + "}"):
        file.write_text(text)
        with pytest.raises(NotLoaded, match="is no checkpoint of fit"):
            fit(net(), X, Y, loss="hinge", epochs=3, resume=file)


# ------------------------------------------------------------------------ a checkpoint that cannot be
def test_a_place_for_no_checkpoint_is_noticed_before_the_first_step(tmp_path: Path) -> None:
    for place, error in ((tmp_path, IsADirectoryError), (tmp_path / "no" / "run.json", FileNotFoundError)):
        module = net()
        before = numbers(module)
        with pytest.raises(
            error, match=f"^fit: checkpoint={re.escape(repr(str(place)))} cannot be written: "
        ):
            fit(module, X, Y, loss="hinge", checkpoint=place)
        assert numbers(module) == before
    assert inside(tmp_path) == []


def test_a_folder_that_vanishes_costs_neither_history_nor_parameters(tmp_path: Path) -> None:
    folder = tmp_path / "disk"
    folder.mkdir()

    class Net(MLP):
        calls = 0

        def __call__(self, x: Any) -> Any:
            Net.calls += 1
            if Net.calls == 6 and folder.exists():
                for each in folder.iterdir():
                    each.unlink()
                folder.rmdir()
            if Net.calls == back:
                folder.mkdir()
            return super().__call__(x)

    for back in (0, 20):
        folder.mkdir(exist_ok=True)
        Net.calls = 0
        module = Net(2, [3, 1], activation="tanh", seed=1)
        options: dict[str, Any] = {"loss": "hinge", "epochs": 9, "keep": "best", "engine": "eager"}
        with pytest.warns(NotSavedWarning, match="No such file or directory") as caught:
            history = fit(module, X, Y, **options, checkpoint=folder / "run.json", checkpoint_every=0.0)
        assert len(caught) == 1
        twin = net()
        undisturbed = fit(twin, X, Y, **options)
        assert (history.cost, numbers(module)) == (undisturbed.cost, numbers(twin))
        assert (folder / "run.json").exists() == (back == 20)
        told = " The last checkpoint is not written: No such file or directory."
        assert str(history) == str(undisturbed) + told * (back == 0)


# --------------------------------------------------------------------------------- a graph from a file
def places(held: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where anything stands in a JSON document."""
    inside = held.items() if isinstance(held, dict) else enumerate(held) if isinstance(held, list) else ()
    return [each for key, one in inside for each in ((*path, key), *places(one, (*path, key)))]


@pytest.mark.parametrize("wrong", [None, "x", -5, 1e9, [], {}, [None], True], ids=str)
def test_a_graph_or_pass_of_a_damaged_file_is_refused_or_can_be_read(wrong: Any, long: bool) -> None:
    for kind, made in ((Graph, Graph(loss(), {})), (microbp.Trace, microbp.trace(loss(), {}))):
        whole = made.to_json()
        for path in places(json.loads(whole))[:: 1 if long else 7]:
            damaged = json.loads(whole)
            held = damaged
            for key in path[:-1]:
                held = held[key]
            held[path[-1]] = wrong
            try:
                read = kind.from_json(json.dumps(damaged))
            except ValueError:
                continue
            assert str(read)
            assert repr(read)
