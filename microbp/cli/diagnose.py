"""``microbp diagnose``: run a script, and say what is wrong with its gradients."""

from __future__ import annotations

import argparse
import sys

from microbp import NotFinite, UndefinedOperation, diagnose
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
            diagnose(error, names={})
        raise
    return 0 if diagnose(script.root(args.root), names=script.namespace).ok else 1


COMMAND = Command(
    "diagnose",
    "say what is wrong with the gradients of a script, and what to try",
    "microbp diagnose net.py                exit status 1 if there is a finding\n"
    "microbp diagnose net.py --root loss",
    _declare,
    _run,
)
