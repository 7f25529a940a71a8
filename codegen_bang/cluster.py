"""Contractions of a whole cluster: its cores take the same rows, each with columns of its own, and the rows come through SRAM once.

A core copies its share of the rows to SRAM; after a barrier each copies all of them to its NRAM. Two tiles lie in SRAM, so that the
next one is copied while one is computed, and one barrier a step is enough: what it overwrites was read before the barrier before.
"""

from __future__ import annotations

from math import prod

from codegen_bang.asked import Asked, Refusal
from codegen_bang.kernel import Kernel, length, signature, spread
from codegen_bang.matrix import LANES, Contraction, MatrixWriter, Tile, contraction, steps_of, together
from codegen_bang.stage import Stage
from codegen_bang.vectorize import BYTES
from tvm_xpiler.core.chips import CORES, RATES, STACK, Chip
from tvm_xpiler.core.expressions import source

_ROWS = (256, 128, 64, 32, 16, 8)
_DEPTHS = (512, 256, 128, 64, 32)


def cluster_kernel(stage: Stage, name: str, chip: Chip, asked: Asked) -> Kernel | Refusal:
    """Return a contraction's kernel for whole clusters, of those that are asked the cheapest by estimate."""
    seen = contraction(stage) if chip.address == 1 and chip.sram else None
    if seen is None or seen.column.extent % (LANES * CORES):
        why = f"block '{stage.name}' is no contraction whose columns are groups of {LANES} for each of a cluster's {CORES} cores"
        return Refusal("unit", stage.name, why)
    if (
        asked.vector
        or asked.unread(seen.row, seen.depth, seen.column)
        or asked.cut(seen.column) not in {(), (LANES,)}
        or asked.ahead is False
    ):
        why = f"tiles of block '{stage.name}' are cut once along its rows and its depth, {LANES} columns each, and copied ahead"
        return Refusal("unread", stage.name, why)
    rows, depths = asked.cut(seen.row), asked.cut(seen.depth)
    if len(rows) > 1 or len(depths) > 1:
        return Refusal("unread", stage.name, f"block '{stage.name}' is cut more than once along an axis")
    tiles = [
        Tile(m, 1, d, True)
        for m in rows or [n for n in _ROWS if n <= seen.row.extent] or [seen.row.extent]
        for d in depths or [n for n in _DEPTHS if n <= seen.depth.extent] or [seen.depth.extent]
    ]
    refusals = {tile: refusal for tile in tiles if (refusal := _unfit(seen, tile, chip)) is not None}
    if len(refusals) == len(tiles):
        return refusals[min(tiles, key=lambda t: t.rows * t.depth)]
    tile = min((t for t in tiles if t not in refusals), key=lambda t: _cost(seen, t, chip))
    return _ClusterWriter(seen, tile, name, chip).kernel()


def _unfit(c: Contraction, t: Tile, chip: Chip) -> Refusal | None:
    """Say why tiles do not fit on the chip; None where they do."""
    size, name = BYTES[c.a.dtype], c.stage.name
    nram = t.rows * t.depth * size + 2 * t.rows * LANES * 4 + (3 * t.depth * LANES * size if c.turned else 0)
    wram = (1 if c.turned else 2) * t.depth * LANES * size
    sram = 2 * t.rows * t.depth * size
    for limit, taken, room in (("nram", nram, chip.nram - STACK), ("wram", wram, chip.wram), ("sram", sram, chip.sram - STACK)):
        if taken > room:
            tiles = f"tiles of {t.rows} rows and a depth of {t.depth}"
            return Refusal(limit, name, f"block '{name}': {tiles} take {taken} bytes of {limit.upper()}; {room} are there")
    return None


def _tasks(c: Contraction, t: Tile) -> int:
    batch = prod((axis.extent for axis in c.batch), start=1)
    return -(-c.row.extent // t.rows) * (c.column.extent // (LANES * CORES)) * batch


def _cost(c: Contraction, t: Tile, chip: Chip) -> float:
    """Estimate the time of the busiest core, as :mod:`tvm_xpiler.verify.estimate` counts it."""
    size, share = BYTES[c.a.dtype], -(-t.rows // CORES)

    def copy(pieces: int, piece: int, rate: float = RATES.transfer) -> float:
        return RATES.call + pieces * max(piece, RATES.piece) * rate

    rows = copy(1, share * t.depth * size) if together(c.a, c, t) else copy(share, t.depth * size)
    weights = copy(1, LANES * t.depth * size) if together(c.b, c, t) else copy(LANES, t.depth * size)
    turned = 0.0
    if c.turned:
        weights, turned = copy(t.depth, LANES * size), 2 * RATES.call + t.depth * LANES * size * (1 + RATES.near)
    near = copy(1, t.rows * t.depth * size, RATES.shared)
    computed = turned + 2 * RATES.call + t.rows * t.depth * LANES * RATES.product + t.rows * LANES * 4
    steps = steps_of(c, t)
    loop = steps * (near + max(rows + weights, computed)) + min(rows + weights, computed)
    out = copy(t.rows, LANES * 4) + RATES.call + t.rows * LANES * 4
    return -(-_tasks(c, t) // chip.clusters) * (loop + out)


class _ClusterWriter(MatrixWriter):
    """Writes the kernel of one contraction for clusters."""

    def kernel(self) -> Kernel:
        c, t = self.c, self.t
        tile, slab = t.rows * t.depth, t.depth * LANES
        row_tasks, columns = -(-c.row.extent // t.rows), c.column.extent // (LANES * CORES)
        held = {"rows": (self.ctype, tile), "sum": ("float", t.rows * LANES), "part": ("float", t.rows * LANES)}
        if c.turned:
            held |= {"slice": (self.ctype, 2 * slab), "turned": (self.ctype, slab)}
        self.lines.text = [
            signature(self.name, self.buffers, c.stage.buffer, self.text),
            f"  __mlu_shared__ {self.ctype} shared[{2 * tile}];",
            *(f"  __nram__ {kind} {array}[{size}];" for array, (kind, size) in held.items()),
            f"  __wram__ {self.ctype} weights[{slab if c.turned else 2 * slab}];",
            f"  for (int task = clusterId; task < {_tasks(c, t)}; task += clusterDim) {{",
        ]
        for line in spread(c.batch, f"{row_tasks} * {columns}", self.text):
            self.put(line)
        self.put(f"const int {self.j} = (task % {columns} * {CORES} + coreId) * {LANES};")
        self.put(f"const int first = task / {columns}{f' % {row_tasks}' if c.batch else ''} * {t.rows};")
        self.put(f"const int m = {length('first', t.rows, c.row.extent)};")
        self.put(f"const int share = coreId * {-(-t.rows // CORES)}, mine = smaller({-(-t.rows // CORES)}, m - share);")
        self.put(f"const int {self.i} = first + share;")
        self.put(f"__bang_write_zero(sum, m * {LANES});")
        self.steps()
        with self.lines.block():
            self.put(f"const int {self.i} = first;")
            self.store("sum", wait=True)
        self.lines.text += ["  }", "}"]
        notes = (f"{c.stage.name}: weights are copied to WRAM as they lie", f"{c.stage.name}: rows come through SRAM, once for a cluster")
        cuts = ((c.row.var, (t.rows,)), (c.column.var, (LANES,)), (c.depth.var, (t.depth,)))
        return Kernel(
            "\n".join(self.lines.text) + "\n", self.buffers, _cost(c, t, self.chip), notes, Asked("cluster", cuts=cuts, ahead=True)
        )

    def steps(self) -> None:
        c, t = self.c, self.t
        steps, cuts = steps_of(c, t), -(-c.depth.extent // t.depth)
        tile, slab = t.rows * t.depth, t.depth * LANES
        with self.lines.block():
            self.position("0", cuts)
            self.bring("0")
        self.put("__sync_cluster();")
        with self.lines.block(f"for (int step = 0, from = 0; step < {steps}; ++step, from ^= 1)"):
            self.position("step", cuts)
            self.put(f"__memcpy(rows, shared + from * {tile}, m * n * {self.size}, SRAM2NRAM);")
            if steps > 1:
                with self.lines.block(f"if (step + 1 < {steps})"):
                    self.position("(step + 1)", cuts)
                    self.bring("(from ^ 1)")
            self.turn_weights(f"slice + from * {slab}", "weights")
            weights = "weights" if c.turned else f"weights + from * {slab}"
            self.put(f"__bang_matmul(part, rows, {weights}, m, n, {LANES});")
            self.put(f"__bang_add(sum, sum, part, m * {LANES});")
            self.put("__sync_cluster();")

    def bring(self, slot: str) -> None:
        """Copy this core's share of the rows to SRAM, and its weights."""
        c, t = self.c, self.t
        a, slab = c.a, t.depth * LANES
        place = f"&{self.text.at(source(a.load), a.load.indices)}"
        target = f"shared + {slot} * {t.rows * t.depth} + share * n"
        row = f"n * {self.size}"
        with self.lines.block("if (mine > 0)"):
            self.put(f"__memcpy_async({target}, {place}, {row}, GDRAM2SRAM, {row}, {a.across} * {self.size}, mine - 1);")
        self.load_weights(f"weights + {slot} * {slab}", f"slice + {slot} * {slab}", wait=False)
