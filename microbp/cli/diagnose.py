"""``microbp diagnose``: run a script, and say what is wrong with its gradients."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from microbp import Diagnosis, Graph, NotFinite, UndefinedOperation, Value, diagnose
from microbp.cli.command import Command
from microbp.cli.script import ScriptFailed, declare_language, declare_script, run_script

__all__ = ["COMMAND"]


def _declare(parser: argparse.ArgumentParser) -> None:
    declare_script(parser)
    declare_language(parser)


def _run(args: argparse.Namespace) -> int:
    try:
        script = run_script(args.script, args.arguments)
    except ScriptFailed as failed:
        # The traceback has been shown; what microbp itself refused it can say more about.
        error = failed.__context__
        if isinstance(error, NotFinite | UndefinedOperation):
            sys.stderr.flush()
            diagnose(error, names={}, language=args.language)
        raise
    passes = script.passes
    options: dict[str, Any] = {"names": script.namespace, "language": args.language}
    if args.root is not None:
        return _told(diagnose(script.root(args.root), show=False, **options))
    # Of a loop the step that went wrong first is told of; if its gradients did, the one before the loss.
    tried: Sequence[Value | Graph] = passes.bad or [script.root()]
    for loss in tried:
        found = diagnose(loss, steps=passes.losses, show=False, **options)
        if "not finite" in {each.kind for each in found.findings}:
            break
    return _told(found)


def _told(found: Diagnosis) -> int:
    found.table().show()
    return 0 if found.ok else 1


COMMAND = Command(
    "diagnose",
    "say what is wrong with the gradients of a script, and what to try",
    "microbp diagnose net.py                exit status 1 if there is a finding\n"
    "microbp diagnose net.py --root loss",
    _declare,
    _run,
)
