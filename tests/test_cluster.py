"""A batch on a Ray cluster of two nodes: the report of a batch on this machine, the same limits, and nothing left behind."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.test_batch import GOOD, LAUNCH, PLAIN, RACE, batch, command, report

pytest.importorskip("ray")
ENDLESS = PLAIN.replace("n < 50", "n >= 0").replace("s *= 0.5f", "s *= 1.0f").replace("n++", "n = 0")


@pytest.fixture
def address() -> Iterator[str]:
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    cluster.add_node(num_cpus=1)
    yield str(cluster.address)
    cluster.shutdown()


@pytest.fixture
def kernels(tmp_path: Path) -> Path:
    folder = tmp_path / "kernels"
    folder.mkdir()
    (folder / "twice.cu").write_text(GOOD.format("2.0f"))
    (folder / "race.cu").write_text(RACE)
    return folder


def test_it_gives_the_same_report_and_leaves_nothing_running(address: str, kernels: Path, tmp_path: Path) -> None:
    """One test, so that there is one cluster at a time."""
    common = (str(kernels), *LAUNCH, "--to", "bang")
    here, there = batch(*common, "-o", str(tmp_path / "here"), "-j", "2"), batch(*common, "-o", str(tmp_path / "there"), "--ray", address)
    assert (here.returncode, there.returncode) == (1, 1), there.stderr
    found = report(tmp_path / "there")
    assert found == report(tmp_path / "here")
    assert {k["status"] for k in found.values()} == {"verified", "refused"}
    assert (tmp_path / "there" / "twice" / "bang" / "twice.mlu").exists()
    again = batch("--resume", "-o", str(tmp_path / "there"))
    assert again.stdout.count("(known)") == 2

    (kernels / "endless.cu").write_text(ENDLESS)
    begun = subprocess.Popen(
        command(str(kernels / "endless.cu"), *LAUNCH, "--timeout", "300", "--to", "bang", "-o", str(tmp_path / "out"), "--ray", address),
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip

    def programs() -> list[psutil.Process]:
        found = []
        for raylet in (p for p in psutil.process_iter(["name"]) if p.info["name"] == "raylet"):
            for process in raylet.children(recursive=True):
                with contextlib.suppress(psutil.NoSuchProcess):
                    found += [process] if process.name() == "program" else []
        return found

    end = time.monotonic() + 240
    while not (kernel := programs()) and begun.poll() is None and time.monotonic() < end:
        time.sleep(0.2)
    begun.send_signal(signal.SIGINT)
    _, said = begun.communicate(timeout=60)
    assert kernel, said
    assert begun.returncode == 130, said
    assert "go on with: tvm-xpiler batch --resume" in said
    assert not psutil.wait_procs(kernel, timeout=20)[1]


def test_a_cluster_that_is_not_there_is_one_sentence(kernels: Path, tmp_path: Path) -> None:
    done = batch(str(kernels), *LAUNCH, "-o", str(tmp_path / "out"), "--ray", "127.0.0.1:9")
    assert done.returncode == 1
    assert done.stderr.startswith("[XP608]"), done.stderr
