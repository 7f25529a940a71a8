"""Whole suites from each platform to the three others: verdicts, grades beyond testing, and what proving takes.

python benchmarks/directions.py cuda.toml hip.toml bang.toml vnni.toml --jobs 8 [--json records.json]
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from tvm_xpiler.batch.collect import collect
from tvm_xpiler.batch.pool import Limits
from tvm_xpiler.batch.run import Setup, run
from tvm_xpiler.batch.store import Record
from tvm_xpiler.batch.worker import RANK
from tvm_xpiler.core.platforms import dialect_of
from tvm_xpiler.session import Options

_TARGETS = ("cuda", "hip", "llvm", "bang")
_SOURCE = {"c": "llvm"}


def best(target: dict[str, Any]) -> str:
    """Return the grade of a target's text: a library is run, but only texts are proved."""
    if target["verdict"] == "failed":
        return "failed"
    return max((line.partition(":")[0] for line in target["summary"]), key=RANK.index)


def direction(source: str, target: str, records: list[Record]) -> str:
    """Return a row of the table."""
    seen = Counter(best(r["targets"][target]) for r in records if target in r["targets"])
    right = seen["tested"] + seen["bounded"] + seen["proved"]
    missing = Counter(r["status"] for r in records if target not in r["targets"])
    share = f"{(seen['bounded'] + seen['proved']) / right:6.1%} {seen['proved'] / right:6.1%}" if right else ""
    return f"{source:6} {target:6} {right:9} {seen['failed']:7} {missing['refused']:8} {sum(missing.values()) - missing['refused']:6}   {share}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("manifests", nargs="+")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=120.0, help="limit of one kernel")
    parser.add_argument("--memory", type=float, default=8.0, help="limit of one kernel, in GiB")
    parser.add_argument("--json", type=Path, help="where the records go, without texts")
    o = parser.parse_args()
    kept, late = [], []
    for manifest in o.manifests:
        jobs = collect([manifest], Options(prove=True))
        dialect = dialect_of(jobs[0].file.suffix)
        source = _SOURCE.get(dialect.value, dialect.value) if dialect else "?"
        targets = tuple(t for t in _TARGETS if t != source)
        with tempfile.TemporaryDirectory() as folder:
            began = time.perf_counter()
            records = run(jobs, Setup(targets, Path(folder), o.jobs, Limits(o.seconds, int(o.memory * 2**30)), bundles=False))
            wall = time.perf_counter() - began
        proving = [r["stages"].get("prove", 0.0) + r["stages"].get("lift back", 0.0) for r in records if r["targets"]]
        quick = f"proving to three targets: median {statistics.median(proving):.2f} s, most {max(proving):.1f} s" if proving else ""
        print(f"{source}: {len(jobs)} kernels in {wall:.0f} s, {o.jobs} at once; {quick}", flush=True)
        print(f"{'from':6} {'to':6} {'verified':>9} {'failed':>7} {'refused':>8} {'others':>6}   bounded proved")
        print("\n".join(direction(source, target, records) for target in targets), flush=True)
        late += [(source, r) for r in records if r["status"] != "verified"]
        kept += [{k: v for k, v in r.items() if k not in {"source", "lifted", "origins"}} | {"from": source} for r in records]
        for r in kept:
            for target in r["targets"].values():
                target.pop("text", None)
        if o.json:
            o.json.write_text(json.dumps(kept))
    for source, r in late:
        print(
            f"  {source} {r['name']}: {r['status']}, {'; '.join(str(f['message'])[:110] for f in r['findings'] if f['level'] == 'error')}"
        )


if __name__ == "__main__":
    main()
