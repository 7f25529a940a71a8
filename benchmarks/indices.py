"""Wrong index maps, made by rule in lifted functions and in blocks that were tensorized: how many are mended, and how fast.

python benchmarks/indices.py examples/kernels/manifest.toml --count 300
"""

from __future__ import annotations

import argparse
import itertools
import random
import statistics
import time
from collections import Counter
from math import prod
from pathlib import Path
from typing import Any

from sketch_repair.accesses import Access, accesses, rewritten
from sketch_repair.indices import Mended, compiled, mend
from tvm_xpiler import Options
from tvm_xpiler.api import lift
from tvm_xpiler.core.errors import XpilerError
from tvm_xpiler.core.source import SourceFile
from tvm_xpiler.core.tir import PrimFunc, ScheduleError, TensorIntrin, parsed
from tvm_xpiler.manifest import read_manifest
from tvm_xpiler.schedule.apply import new_schedule

LARGEST = 1 << 16  # elements of a buffer
GEMM = """
extern "C" __global__ void gemm(const float* A, const float* B, float* C, int M, int N, int K) {{
  int j = blockIdx.x * 8 + threadIdx.x, i = blockIdx.y * 8 + threadIdx.y, b = blockIdx.z;
  float sum = 0;
  for (int k = 0; k < K; k++) sum += A[b * M * K + {left}] * B[b * K * N + {right}];
  C[(b * M + {out[0]}) * {out[2]} + {out[1]}] = sum;
}}
"""
SIDE = 8
INTRINSIC = """@T.prim_func(s_tir=True)
def tile(a: T.handle, b: T.handle, c: T.handle) -> None:
    A = T.match_buffer(a, (8, 8), "float32", offset_factor=1{strides[0]})
    B = T.match_buffer(b, (8, 8), "float32", offset_factor=1{strides[1]})
    C = T.match_buffer(c, (8, 8), "float32", offset_factor=1{strides[2]})
    with T.sblock("root"):
        T.reads(C[0:8, 0:8], A[0:8, 0:8], B[0:8, 0:8])
        T.writes(C[0:8, 0:8])
        for {loops} in T.grid(8, 8, 8):
            with T.sblock("tile"):
                vi, vj, vk = T.axis.remap("SSR", [i, j, k])
                C[{out}] = C[{out}] + A[{left}] * B[{right}]
"""


def tensorized() -> list[tuple[str, PrimFunc]]:
    """Return contractions whose 8 x 8 x 8 tiles were replaced by an intrinsic that runs on any machine."""
    found = []
    for turned, batch, (m, n, k) in itertools.product(itertools.product((0, 1), repeat=3), (1, 3), ((16, 24, 32), (32, 16, 8))):
        left, right = ("k * M + i" if turned[0] else "i * K + k"), ("j * K + k" if turned[1] else "k * N + j")
        source = GEMM.format(left=left, right=right, out=("j", "i", "M") if turned[2] else ("i", "j", "N"))
        if turned[2]:
            source = source.replace("(b * M + j)", "(b * N + j)")
        options = Options(scalars={"M": m, "N": n, "K": k}, grid=(n // 8, m // 8, batch), block=(8, 8, 1))
        func = lift(SourceFile("gemm.cu", source), options).func
        sch = new_schedule(func)
        block = sch.get_child_blocks(sch.get_sblock("root"))[0]
        loops = list(sch.get_loops(block))
        *outer, k_loop = loops
        splits = [sch.split(loop, [None, SIDE]) for loop in (*outer[-2:], k_loop)]
        sch.reorder(*(s[0] for s in splits), *(s[1] for s in splits))
        # The normal form calls the result's axes i0 and i1, whatever the source does.
        a, b = ("vk, vi" if turned[0] else "vi, vk"), ("vj, vk" if turned[1] else "vk, vj")
        a, b = (a.replace("vi", "vj"), b.replace("vj", "vi")) if turned[2] else (a, b)
        name = f"tile_{a}_{b}".replace(", ", "")
        texts = [
            INTRINSIC.format(left=a, right=b, out="vi, vj", loops=order, strides=strides)
            for order, strides in (
                ("i, j, k", ("", "", "")),
                ("k, i, j", (', strides=["sa", 1]', ', strides=["sb", 1]', ', strides=["sc", 1]')),
            )
        ]
        TensorIntrin.register(name, *map(parsed, texts), override=True)
        sch.decompose_reduction(block, splits[2][0])
        try:
            sch.tensorize(splits[0][1], name)
        except ScheduleError as error:
            raise SystemExit(f"{name}: {error}") from None
        found.append((f"gemm {turned} x{batch} {m, n, k}", sch.mod["main"]))
    return found


def wrong(access: Access, rng: random.Random) -> tuple[str, list[list[int]]] | None:
    """Return one mistake in an access by a random rule, or None where the rule does not apply."""
    rows = [list(row) for row in access.rows]
    places = [(d, i) for d, row in enumerate(rows) for i, n in enumerate(row[:-1]) if n]
    if not places:
        return None
    d, i = rng.choice(places)
    kind = rng.choice(["offset", "lost term", "stride", "other variable", "swapped variables", "turned", "sign"])
    if kind == "offset":
        rows[d][-1] += rng.choice([-1, 1]) * rng.choice([1, access.tile[d], 2])
    elif kind == "lost term":
        rows[d][i] = 0
    elif kind == "stride":
        rows[d][i] = rows[d][i] * 2 if rng.random() < 0.5 else rows[d][i] + rng.choice([-1, 1])
    elif kind == "other variable":
        j = rng.randrange(len(rows[d]) - 1)
        rows[d][i], rows[d][j] = rows[d][j], rows[d][i]
    elif kind == "swapped variables":
        e, j = rng.choice(places)
        rows[d][i], rows[e][j], rows[d][j], rows[e][i] = rows[d][j], rows[e][i], rows[d][i], rows[e][j]
    elif kind == "turned" and len(rows) > 1:
        e = rng.randrange(len(rows))
        rows[d], rows[e] = rows[e], rows[d]
    elif kind == "sign":
        extent = access.variables[i][1]
        rows[d][-1] += rows[d][i] * (extent - 1)
        rows[d][i] = -rows[d][i]
    return None if tuple(map(tuple, rows)) == access.rows else (kind, rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    plain = []
    for entry in read_manifest(options.manifest):
        try:
            lifted = lift(entry.file, entry.options)
        except XpilerError:
            continue
        if lifted.grade == "A" and all(prod(int(n) for n in p.ty.shape) <= LARGEST for p in lifted.func.params):
            plain.append((entry.file.name, lifted.func))
    for title, pool in (("tensorized blocks", tensorized()), ("lifted functions", plain)):
        run(title, pool, options.count, random.Random(options.seed))


def run(title: str, pool: list[tuple[str, PrimFunc]], count: int, rng: random.Random) -> None:
    made: Counter[str] = Counter()
    fixed: Counter[str] = Counter()
    seconds: list[float] = []
    references: dict[str, Any] = {}
    while sum(made.values()) < count:
        name, func = rng.choice(pool)
        known = accesses(func)
        access = rng.choice([a for a in known if set(a.tile) != {1}] or known)
        mistake = wrong(access, rng)
        if mistake is None:
            continue
        kind, rows = mistake
        references[name] = references.get(name) or compiled(func)
        begin = time.perf_counter()
        done = mend(rewritten(func, {access: rows}), references[name])
        if isinstance(done, Mended) and not done.changes:
            continue  # it makes no difference
        seconds.append(time.perf_counter() - begin)
        made[kind] += 1
        fixed[kind] += isinstance(done, Mended)
        if not isinstance(done, Mended):
            print(f"LOST {name}, {kind}: {access} became {rows}: {done.reason} ({done.runs} runs, {done.seconds:.1f} s)")
    print(f"{title}: {len(pool)} functions")
    for kind, number in sorted(made.items()):
        print(f"  {kind:20} {fixed[kind]:4} of {number:4}")
    total, ordered = sum(made.values()), sorted(seconds)
    print(f"  mended {sum(fixed.values())} of {total} ({sum(fixed.values()) / total:.1%})")
    print(f"  seconds: median {statistics.median(seconds):.2f}, 95th percentile {ordered[int(0.95 * (total - 1))]:.2f}")


if __name__ == "__main__":
    main()
