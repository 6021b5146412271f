"""``microbp step``, ``explain`` and ``diagnose``: run a script, and look into its backward pass."""

from __future__ import annotations

import argparse
import math
import shutil
import sys
from collections.abc import Sequence
from typing import Any

import microbp
from microbp import Diagnosis, Graph, NotFinite, UndefinedOperation, Value
from microbp.cli.command import Arguments, CommandError, Result, command, destination, nearest, writing
from microbp.cli.script import Script, ScriptFailed, of_script, run_script
from microbp.files import write_file
from microbp.text import language, write


def _language(word: str) -> str:
    try:
        return language(word)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


LANGUAGE: Arguments = {"--language": {
    "type": _language, "default": "en", "metavar": "LANGUAGE",
    "help": "English or Chinese: en or zh (default: en)",
}}  # fmt: skip


def _rate(text: str) -> float:
    try:
        rate = float(text)
    except ValueError:
        rate = 0.0
    if not 0.0 < rate < math.inf:
        raise argparse.ArgumentTypeError(f"a learning rate is a number above 0, not {text!r}")
    return rate


def _columns(most: int) -> int:
    """How wide a text may be: as wide as the terminal, if it goes to one."""
    terminal = sys.stdout is not None and sys.stdout.isatty()  # None where it was closed by the shell
    return min(most, shutil.get_terminal_size((most, 24)).columns) if terminal else most


# --------------------------------------------------------------------------------------------- step
@command({
    **of_script(),
    "-c --command": {
        "action": "append", "default": [], "metavar": "COMMAND",
        "help": "a command of the shell to begin with; may be given several times",
    },
})  # fmt: skip
def step(args: argparse.Namespace) -> Result:
    """Step through a backward pass in the terminal, forwards and back.

    microbp step net.py                            run net.py, then step
    microbp step net.py --root loss -c 'watch w1'  from loss, with a watch set
    microbp step net.py -- --seed 3                with an option of net.py itself
    microbp step net.py < commands.txt             exit status 1 if one was refused
    """
    script = run_script(args.script, args.arguments)
    refused = microbp.step(script.root(args.root), script.namespace, commands=args.command)
    return Result(1 if refused else 0)


# ------------------------------------------------------------------------------------------ explain
@command({
    **of_script(
        output="write it into this file", name="the value whose gradient is explained, such as w5"
    ),
    **LANGUAGE,
    "--rate": {"type": _rate, "metavar": "RATE", "help": "show the update step, too"},
    "--markdown": {
        "action": "store_true",
        "help": "Markdown with LaTeX instead of plain text (a file that ends in .md gets it anyway)",
    },
}, gives="the derivation")  # fmt: skip
def explain(args: argparse.Namespace) -> Result:
    """Derive one gradient by the chain rule, in symbols and numbers.

    microbp explain net.py w5                      how w5 acts on the loss
    microbp explain net.py w1 --root E --rate 0.5  and the update step
    microbp explain net.py w1 --language zh -o w1.md
    microbp explain net.py w5 --json               its lines and their values
    """
    if args.output is not None:
        destination(args, ())
    script = run_script(args.script, args.arguments)
    graph = script.graph(args.root)
    known = [node.name for node in graph if node.named]
    alike = [each for each in known if each.partition("#")[0] == args.name]
    if len(alike) > 1:
        told = f"{len(alike)} values are called {args.name}: {', '.join(alike)}; this is about the first"
        print(f"microbp: {told}", file=sys.stderr)
    for each in filter(known.__contains__, args.arguments):
        told = f"{each} went to the script as an argument of its own; one value is explained at a time"
        print(f"microbp: {told}", file=sys.stderr)
    try:
        options = {"names": script.namespace, "language": args.language, "rate": args.rate}
        found = microbp.explain(graph, args.name, **options)
    except KeyError:
        raise CommandError(f"{args.script}: {nearest('value', args.name, known)}") from None
    except ValueError as error:
        raise CommandError(str(error)) from None
    markdown = args.markdown or (args.output is not None and args.output.suffix == ".md")
    if args.output is None:
        write(found.markdown.rstrip("\n") if markdown else found.text(_columns(90)))
    else:
        with writing(args.output):
            write_file(args.output, found.markdown if markdown else f"{found}\n")
        write(f"Written: {args.output}")
    lines = [
        {"kind": row.kind, "line": " = ".join([row.label.text, *(each.text for each in row.pieces())]),
         "value": row.value}
        for row in found.rows
    ]  # fmt: skip
    record = {"title": found.title.text, "lines": lines, "faults": found.faults, "markdown": found.markdown}
    return Result(0 if found.ok else 1, record)


# ----------------------------------------------------------------------------------------- diagnose
@command({**of_script(), **LANGUAGE}, gives="the findings")
def diagnose(args: argparse.Namespace) -> Result:
    """Say what is wrong with the gradients of a script, and what to try.

    microbp diagnose net.py                exit status 1 if there is a finding
    microbp diagnose net.py --root loss --language zh
    microbp diagnose net.py --json         findings as data
    """
    try:
        script = run_script(args.script, args.arguments)
    except ScriptFailed as failed:
        # The traceback has been shown; what microbp itself refused it can say more about.
        error = failed.__context__
        if isinstance(error, NotFinite | UndefinedOperation):
            sys.stderr.flush()
            microbp.diagnose(error, steps=failed.losses, names={}, language=args.language)
        raise
    found = _found(script, args.root, {"names": script.namespace, "language": args.language, "show": False})
    found.table(_columns(100)).show()
    names = ("findings", "layers", "remarks", "looked_at")
    return Result(0 if found.ok else 1, {name: getattr(found, name) for name in names})


def _found(script: Script, root: str | None, options: dict[str, Any]) -> Diagnosis:
    """Of a loop the step that went wrong first is told of; if its gradients did, the one before the loss."""
    if root is not None:
        return microbp.diagnose(script.root(root), **options)
    tried: Sequence[Value | Graph] = script.passes.bad or [script.root()]
    for loss in tried:
        found = microbp.diagnose(loss, steps=script.passes.losses, **options)
        if "not finite" in {each.kind for each in found.findings}:
            break
    return found
