"""What a batch costs: kernels a minute, memory, whether the cost of a kernel grows with their number, overhead, and how soon its page opens.

python benchmarks/batch.py examples/kernels/manifest.toml --to bang --count 60
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import subprocess
import tempfile
import time
from collections import Counter
from itertools import cycle, islice
from pathlib import Path

from tvm_xpiler.batch.collect import Job, collect
from tvm_xpiler.batch.page import page
from tvm_xpiler.batch.pool import Limits
from tvm_xpiler.batch.run import Setup, run
from tvm_xpiler.batch.store import Record
from tvm_xpiler.session import Options

_PAGE = 2000  # kernels


def measured(title: str, jobs: list[Job], setup: Setup) -> list[Record]:
    """Run a batch and print what it cost."""
    began = time.perf_counter()
    records = run(jobs, setup)
    wall, processes = time.perf_counter() - began, setup.processes or 1
    ended = [r for r in records if r["seconds"]]  # the others were killed at a limit
    spent = sum(r["seconds"] for r in ended) + setup.limits.seconds * sum(r["status"] == "timeout" for r in records)
    late = f", {len(records) - len(ended)} over a limit" if len(ended) < len(records) else ""
    print(f"{title}: {len(jobs)} kernels in {wall:.1f} s, {60 * len(jobs) / wall:.0f} a minute, {processes} at once{late}")
    statuses = Counter(f"{target} {seen['verdict']}" for r in records for target, seen in r["targets"].items())
    statuses += Counter(str(r["status"]) for r in records)
    print(f"  {', '.join(f'{count} {status}' for status, count in statuses.most_common())}")
    for record in records:
        if record["status"] not in {"verified", "liftable"}:
            print(f"    {record['name']}: {record['status']}, {'; '.join(str(f['message'])[:100] for f in record['findings'][:1])}")
    if len(ended) > 20 and wall > 1:
        seconds = sorted(r["seconds"] for r in ended)
        print(
            f"  seconds of a kernel: median {statistics.median(seconds):.2f}, 95th percentile {seconds[int(0.95 * (len(seconds) - 1))]:.2f};"
            f" peak memory: median {statistics.median(r['peak_mib'] for r in ended):.0f} MiB, most {max(r['peak_mib'] for r in ended)}"
        )
        print(f"  beside the kernels' own time: {(wall * processes - spent) / spent:.1%} (start of the batch and idle ends included)")
    return records


def flat(jobs: list[Job], folder: Path, processes: int) -> None:
    """Compare what a kernel costs in a short batch and in one that is eight times as long, of the same kernels in turn."""
    few = jobs[:8]
    for times in (1, 8):
        many = [
            Job(f"{k}-{job.name}", job.file, job.options, job.folder / str(k)) for k, job in islice(zip(range(8 * times), cycle(few)), None)
        ]
        began = time.perf_counter()
        records = run(many, Setup((), folder / f"flat{times}", processes, Limits(), True, False))
        own = statistics.mean(r["seconds"] for r in records)
        print(
            f"  {len(many)} kernels: {own:.2f} s each in their processes, {(time.perf_counter() - began) / len(many):.2f} s of wall time each"
        )


def opened(records: list[Record], folder: Path) -> None:
    """Time a headless browser on the page of many kernels, against an empty page."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        print("page: no browser here")
        return
    many = [record | {"name": f"{k}/{record['name']}"} for k, record in islice(zip(range(_PAGE), cycle(records)), None)]
    (folder / "many.html").write_text(page(many))
    (folder / "empty.html").write_text("<!doctype html><title>empty</title>")
    found = {}
    for name in ("empty", "many"):
        times = []
        for _ in range(5):
            began = time.perf_counter()
            subprocess.run(
                [browser, "--headless=new", "--no-sandbox", "--disable-gpu", "--dump-dom", (folder / f"{name}.html").as_uri()],
                capture_output=True, check=True,
            )  # fmt: skip
            times.append(time.perf_counter() - began)
        found[name] = statistics.median(times)
    size = (folder / "many.html").stat().st_size / 2**20
    print(f"page of {_PAGE} kernels ({size:.1f} MiB): {found['many']:.2f} s with the browser's start, an empty page {found['empty']:.2f} s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sources", nargs="+")
    parser.add_argument("--to", action="append", default=[], help="target; bang by default")
    parser.add_argument("--count", type=int, default=60, help="kernels that are translated, evenly drawn; all are examined")
    parser.add_argument("--jobs", type=int, default=2)
    o = parser.parse_args()
    jobs = collect(o.sources, Options())
    drawn = jobs[:: max(len(jobs) // o.count, 1)][: o.count]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        limits = Limits(120.0)
        measured("examined, cold", jobs, Setup((), folder / "examined", o.jobs, limits))
        measured("examined, known", jobs, Setup((), folder / "examined", o.jobs, limits))
        targets = tuple(o.to or ["bang"])
        records = measured(f"translated to {', '.join(targets)}, cold", drawn, Setup(targets, folder / "full", o.jobs, limits))
        measured("translated, known", drawn, Setup(targets, folder / "full", o.jobs, limits))
        print("cost as the number of kernels grows, examined:")
        flat(jobs, folder, o.jobs)
        opened(records, folder)


if __name__ == "__main__":
    main()
