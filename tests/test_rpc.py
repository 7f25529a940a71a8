"""Searches that measure on the machines of a tracker, which come and go."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tvm_xpiler import Options, TuneOptions, lift, tune
from tvm_xpiler.autotune.messages import Tracker
from tvm_xpiler.core.errors import ConfigError
from tvm_xpiler.core.source import SourceFile
from tvm_xpiler.core.tir import rpc_tracker

DENSE = """
void dense(const float* x, const float* w, float* y, int n) {
  for (int i = 0; i < n; i++)
    for (int j = 0; j < n; j++) {
      float sum = 0;
      for (int r = 0; r < n; r++) sum += x[i * n + r] * w[r * n + j];
      y[i * n + j] = sum;
    }
}
"""
Started = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def start() -> Iterator[Started]:
    running: list[subprocess.Popen[bytes]] = []

    def run(*arguments: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "tvm_xpiler", *arguments]
        running.append(subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True))
        return running[-1]

    yield run
    for process in running:
        _stop(process)


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Kill a command and whatever it started."""
    import os
    import signal

    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    process.wait()


def _port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def _machines(port: int, count: int) -> None:
    """Wait until a tracker knows so many machines."""
    for _ in range(120):
        try:
            if str(rpc_tracker("127.0.0.1", port).summary()["server_info"]).count("server:xpiler") >= count:
                return
        except (RuntimeError, OSError):
            pass
        time.sleep(0.5)
    raise AssertionError(f"{count} machines did not register")


def test_a_server_that_dies_costs_no_candidate(start: Started, tmp_path: Path) -> None:
    port = _port()
    start("tracker", "--port", str(port))
    servers = [start("serve", "--tracker", f"127.0.0.1:{port}") for _ in range(2)]
    _machines(port, 2)
    func = lift(SourceFile("dense.c", DENSE), Options(scalars={"n": 64})).func
    seen = []

    def on_trial(trial: object, best: float) -> None:
        seen.append(trial)
        if len(seen) == 3:
            _stop(servers[0])

    options = TuneOptions(trials=10, workers=2, records=tmp_path, tracker=Tracker("127.0.0.1", port, "xpiler"))
    found = tune(func, options, on_trial)
    assert found.best is not None
    assert len(seen) == len(found.trials) >= 8
    assert not [t for t in found.trials if t.problem.startswith(("crash", "server"))], [t.problem for t in found.trials]
    assert len((tmp_path / "database_tuning_record.json").read_text().splitlines()) == len(found.trials)


def test_a_tracker_that_is_not_there(start: Started) -> None:
    port = _port()
    func = lift(SourceFile("dense.c", DENSE), Options(scalars={"n": 32})).func
    with pytest.raises(ConfigError, match="no tracker answers"):
        tune(func, TuneOptions(trials=2, tracker=Tracker("127.0.0.1", port, "xpiler")))
    start("tracker", "--port", str(port))
    for _ in range(60):
        try:
            rpc_tracker("127.0.0.1", port)
            break
        except (RuntimeError, OSError):
            time.sleep(0.5)
    with pytest.raises(ConfigError, match="knows no machine 'gpu'"):
        tune(func, TuneOptions(trials=2, tracker=Tracker("127.0.0.1", port, "gpu")))
