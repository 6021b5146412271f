"""``microbp explain``: run a script, and derive one gradient of it by the chain rule."""

from __future__ import annotations

import argparse
import sys

from microbp import Explanation, explain
from microbp.cli.command import Command, CommandError, destination, nearest, writing
from microbp.cli.script import Script, declare_language, declare_script, run_script
from microbp.demo.report import write
from microbp.errors import NoGradientError
from microbp.files import write_file

__all__ = ["COMMAND"]


def _declare(parser: argparse.ArgumentParser) -> None:
    declare_script(
        parser, output="write it into this file", name="the value whose gradient is explained, such as w5"
    )
    declare_language(parser)
    parser.add_argument("--rate", type=float, metavar="RATE", help="show the update step, too")
    parser.add_argument(
        "--markdown", action="store_true",
        help="Markdown with LaTeX instead of plain text (a file that ends in .md gets it anyway)",
    )  # fmt: skip


def _run(args: argparse.Namespace) -> int:
    if args.output is not None:
        destination(args, ())
    script = run_script(args.script, args.arguments)
    told = _explained(script, args)
    markdown = args.markdown or (args.output is not None and args.output.suffix == ".md")
    text = told.markdown.rstrip("\n") if markdown else str(told)
    if args.output is None:
        write(text)
    else:
        with writing(args.output):
            write_file(args.output, text + "\n")
        write(f"Written: {args.output}")
    return 0 if told.ok else 1


def _explained(script: Script, args: argparse.Namespace) -> Explanation:
    graph = script.graph(args.root)
    known = [node.name for node in graph if node.named]
    alike = [each for each in known if each.partition("#")[0] == args.name]
    if len(alike) > 1:
        told = f"{len(alike)} values are called {args.name}: {', '.join(alike)}; this is about the first"
        print(f"microbp: {told}", file=sys.stderr)
    try:
        return explain(graph, args.name, names=script.namespace, language=args.language, rate=args.rate)
    except KeyError:
        raise CommandError(f"{args.script}: {nearest('value', args.name, known)}") from None
    except NoGradientError as error:
        raise CommandError(f"{error}; name another value with --root") from None


COMMAND = Command(
    "explain",
    "derive one gradient by the chain rule, in symbols and numbers",
    "microbp explain net.py w5                      how w5 acts on the loss\n"
    "microbp explain net.py w1 --root E --rate 0.5  and the update step\n"
    "microbp explain net.py w1 --language zh -o w1.md",
    _declare,
    _run,
)
