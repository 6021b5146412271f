"""``python -m microbp`` in a process of its own, forked from one that has imported it: a tenth of a start.

It begins and ends as any process of Python does, with what it printed flushed at its end. Started by itself
this file is the process that is forked from.
"""

from __future__ import annotations

import gc
import json
import os
import runpy
import socket
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, NamedTuple

__all__ = ["Commands", "Ended"]


class Ended(NamedTuple):
    """What came of a process: nothing is read of an output that was given."""

    returncode: int
    stdout: str
    stderr: str


class Commands:
    """``commands(*argv)`` is ``python -m microbp`` in the current folder; its input is empty unless given."""

    def __init__(self) -> None:
        self.requests, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            started = [sys.executable, __file__, str(theirs.fileno())]
            self.process = subprocess.Popen(started, pass_fds=[theirs.fileno()])

    def __call__(self, *argv: str, stdin: Any = None, stdout: Any = None) -> Ended:
        with Path(os.devnull).open() as nothing, TemporaryFile("w+") as out, TemporaryFile("w+") as err:
            ends = stdin or nothing, stdout or out, err
            files = [end if isinstance(end, int) else end.fileno() for end in ends]
            socket.send_fds(self.requests, [json.dumps([str(Path.cwd()), *argv]).encode()], files)
            status = json.loads(self.requests.recv(64))
            out.seek(0)
            err.seek(0)
            return Ended(os.waitstatus_to_exitcode(status), out.read(), err.read())

    def close(self) -> None:
        """End the process that is forked from."""
        self.requests.close()
        self.process.wait()


def serve(requests: socket.socket) -> None:
    """Fork for each request; the child goes on as the command, until the other side has closed."""
    for heavy in ("microbp.cli", "viz", "graphviz", "rich.table"):  # what a command imports, at once or later
        import_module(heavy)

    gc.freeze()  # a child that collected what it shares would copy it
    while True:
        asked, files, *_ = socket.recv_fds(requests, 65536, 3)
        if not asked:
            return
        if not (child := os.fork()):
            break
        for file in files:
            os.close(file)
        requests.send(json.dumps(os.waitpid(child, 0)[1]).encode())
    requests.close()
    for place, file in enumerate(files):
        os.dup2(file, place)
        os.close(file)
    folder, *argv = json.loads(asked)
    os.chdir(folder)
    sys.path[0], sys.argv = folder, ["microbp", *argv]
    runpy.run_module("microbp", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
