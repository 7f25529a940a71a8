"""The command line, called in this process: importing TVM anew takes seconds."""

from __future__ import annotations

import io
import sys
from contextlib import redirect_stderr, redirect_stdout
from subprocess import CompletedProcess
from unittest import mock

from tvm_xpiler.cli import main


def cli(*arguments: str) -> CompletedProcess[str]:
    """Run one command; return its exit code and what it printed."""
    out, err, code = io.StringIO(), io.StringIO(), 0
    with mock.patch.object(sys, "argv", ["tvm-xpiler", *arguments]), redirect_stdout(out), redirect_stderr(err):
        try:
            main()
        except SystemExit as done:
            code = done.code if isinstance(done.code, int) else int(done.code is not None)
    return CompletedProcess(list(arguments), code, out.getvalue(), err.getvalue())
