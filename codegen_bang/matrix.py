"""Contractions of two operands on the matrix unit: tiles through NRAM and WRAM, ``__bang_matmul`` on them."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

from codegen_bang.asked import Asked, Refusal
from codegen_bang.composites import plain
from codegen_bang.kernel import Kernel, frame, length, signature, spread
from codegen_bang.stage import Axis, Stage, fastest, stride
from codegen_bang.turns import Lines, Turn, in_turn, one
from codegen_bang.vectorize import BYTES, TYPES
from tvm_xpiler.core.chips import CORES, RATES, STACK, Chip
from tvm_xpiler.core.expressions import is_load, source

LANES = 64  # of the matrix unit: columns come in such groups
_ROWS = (128, 64, 32, 16, 8, 4, 2, 1)
_MOST_DEPTH = 512
OPERANDS = frozenset({"float32", "float16", "int8", "int16"})


@dataclass(frozen=True, slots=True)
class Operand:
    """A load of a contraction with its strides along rows (or columns) and along the reduced axis."""

    load: Any
    across: int
    along: int

    @property
    def dtype(self) -> str:
        return str(self.load.ty)


@dataclass(frozen=True, slots=True)
class Contraction:
    """``out[.., i, j] = sum over outer.., k of a[.., i, k] * b[.., k, j]``."""

    stage: Stage
    row: Axis
    column: Axis
    depth: Axis
    outer: tuple[Axis, ...]
    batch: tuple[Axis, ...]
    a: Operand
    b: Operand

    @property
    def turned(self) -> bool:
        """Whether the right operand lies with its columns together, so that it is transposed on its way to WRAM."""
        return self.b.along != 1


@dataclass(frozen=True, slots=True)
class Tile:
    """How a core works: so many rows at a time, so many row tiles with the same weights, so much of the depth at a time.

    Attributes:
        rows: Of a tile.
        tiles: Row tiles of a task; over one, the weights are loaded once for them.
        depth: Of a step.
        ahead: Whether the next tile's operands are copied while one is computed.
    """

    rows: int
    tiles: int
    depth: int
    ahead: bool


def matrix_kernel(stage: Stage, name: str, chip: Chip, asked: Asked) -> Kernel | Refusal:
    """Return a contraction's kernel, of those that are asked the cheapest by estimate.

    Weights in WRAM are read in the order in which they were copied, rows of columns first, as public kernels do; on the chip
    ``__bang_reshape_filter`` may be needed. The chips of the 200 series multiply integers alone.
    """
    seen = contraction(stage) if chip.address == 1 else None
    if seen is None:
        return Refusal("unit", stage.name, f"block '{stage.name}' is no contraction as the matrix unit of {chip.name} takes them")
    if asked.vector or asked.unread(seen.row, seen.depth, seen.column) or asked.cut(seen.column) not in {(), (LANES,)}:
        return Refusal(
            "unread",
            stage.name,
            f"tiles of block '{stage.name}' are cut along one axis of rows and one of the depth, {LANES} columns each",
        )
    tiles = _tiles(seen, asked)
    if not tiles:
        return Refusal("unread", stage.name, f"block '{stage.name}' has no such tiles: rows share weights that are loaded in one step")
    refusals = {tile: refusal for tile in tiles if (refusal := _unfit(seen, tile, chip)) is not None}
    if len(refusals) == len(tiles):
        return refusals[min(tiles, key=lambda t: t.rows * t.depth)]
    tile = min((t for t in tiles if t not in refusals), key=lambda t: _cost(seen, t, chip))
    return MatrixWriter(seen, tile, name, chip).kernel()


def factors_of(stage: Stage) -> tuple[Any, Any] | None:
    """Return the two loads whose products a stage adds up as the matrix unit does; None where it is no such stage."""
    product = stage.value
    if stage.kind != "add" or not stage.reduces or len(stage.spatial) < 2 or stage.dtype != "float32" or stage.guard is not None:
        return None
    if type(product).__name__ != "Mul":
        return None
    factors = [plain(f) for f in (product.a, product.b)]
    factors = [f.value if type(f).__name__ == "Cast" else f for f in factors]
    if not all(is_load(f) and str(f.ty) in OPERANDS for f in factors) or str(factors[0].ty) != str(factors[1].ty):
        return None
    column = fastest(stage)
    return (factors[0], factors[1]) if column is not None and column.extent % LANES == 0 else None


def contraction(stage: Stage) -> Contraction | None:
    """See a stage as a contraction whose operands lie as the matrix unit takes them."""
    factors, column = factors_of(stage), fastest(stage)
    if factors is None or column is None:
        return None
    for left, right in (factors, factors[::-1]):
        rows = [a for a in stage.spatial if a is not column and _step(left, a.var) and _step(right, a.var) == 0]
        if _step(left, column.var) != 0 or not _step(right, column.var) or not rows:
            continue
        row = max(rows, key=lambda axis: axis.extent)
        for k in sorted(stage.reduces, key=lambda axis: -axis.extent):
            a = Operand(left, _step(left, row.var) or 0, _step(left, k.var) or 0)
            b = Operand(right, _step(right, column.var) or 0, _step(right, k.var) or 0)
            whole = all(_step(load, axis.var) is not None for load in (left, right) for axis in (*stage.spatial, *stage.reduces))
            if whole and a.along == 1 and a.across > 0 and 1 in (b.across, b.along) and min(b.across, b.along) > 0:
                outer = tuple(axis for axis in stage.reduces if axis is not k)
                batch = tuple(axis for axis in stage.spatial if axis is not row and axis is not column)
                return Contraction(stage, row, column, k, outer, batch, a, b)
    return None


def _step(load: Any, v: Any) -> int | None:
    return stride(source(load), load.indices, v)


def _tiles(c: Contraction, asked: Asked) -> list[Tile]:
    """Return the tiles that are worth a look: those that are asked."""
    depths = {c.depth.extent} if c.depth.extent <= _MOST_DEPTH else set()
    depths |= {d for d in (512, 256, 128, 64) if d < c.depth.extent}
    cut = asked.cut(c.row)
    found = []
    for rows in cut[-1:] or [m for m in _ROWS if m <= c.row.extent]:
        for depth in asked.cut(c.depth)[-1:] or depths:
            steps = prod((axis.extent for axis in c.outer), start=-(-c.depth.extent // depth))
            counts = [1, *(t for t in (2, 4, 8, 16, 32) if rows * t < 2 * c.row.extent)] if steps == 1 else [1]
            if cut:
                counts = [prod(cut[:-1])] if steps == 1 or len(cut) == 1 else []
            for tiles in counts:
                both = [False, True] if tiles > 1 or steps > 1 else [False]
                found += [Tile(rows, tiles, depth, ahead) for ahead in both if asked.ahead in {None, ahead}]
    return found


def _unfit(c: Contraction, t: Tile, chip: Chip) -> Refusal | None:
    """Say why tiles do not fit on the chip; None where they do."""
    size, copies = BYTES[c.a.dtype], 2 if t.ahead else 1
    steps = steps_of(c, t)
    results = (2 if t.tiles > 1 and t.ahead else 1) + (steps > 1)
    nram = copies * t.rows * t.depth * size + results * t.rows * LANES * 4
    if c.turned:
        nram += (1 + (copies if steps > 1 else 1)) * t.depth * LANES * size
    wram = (copies if steps > 1 else 1) * t.depth * LANES * size
    name, tiles = c.stage.name, f"tiles of {t.rows} rows and a depth of {t.depth}{', twice' if t.ahead else ''}"
    for limit, taken, room in (("nram", nram, chip.nram - STACK), ("wram", wram, chip.wram)):
        if taken > room:
            return Refusal(limit, name, f"block '{name}': {tiles} take {taken} bytes of {limit.upper()}; {room} are there")
    return None


def steps_of(c: Contraction, t: Tile) -> int:
    """Return how many pieces of the depth a tile adds up."""
    return prod((axis.extent for axis in c.outer), start=-(-c.depth.extent // t.depth))


def _tasks(c: Contraction, t: Tile) -> int:
    return -(-c.row.extent // (t.rows * t.tiles)) * (c.column.extent // LANES) * prod((axis.extent for axis in c.batch), start=1)


def _cost(c: Contraction, t: Tile, chip: Chip) -> float:
    """Estimate the time of the busiest core, as :mod:`tvm_xpiler.verify.estimate` counts it."""
    size, steps = BYTES[c.a.dtype], steps_of(c, t)

    def copy(pieces: int, piece: int) -> float:
        return RATES.call + pieces * max(piece, RATES.piece) * RATES.transfer

    rows = copy(1, t.rows * t.depth * size) if together(c.a, c, t) else copy(t.rows, t.depth * size)
    if c.turned:
        weights = copy(t.depth, LANES * size) + 2 * RATES.call + t.depth * LANES * size * (1 + RATES.near)
    else:
        weights = copy(1, LANES * t.depth * size) if together(c.b, c, t) else copy(LANES, t.depth * size)
    product = RATES.call + t.rows * t.depth * LANES * RATES.product
    out = copy(1, t.rows * LANES * 4) if c.column.extent == LANES else copy(t.rows, LANES * 4)
    if steps == 1:
        moved, computed, before = rows + out, product, weights
        inner = t.tiles
    else:
        moved, computed, before = rows + weights, product + RATES.call + t.rows * LANES * 4, out + RATES.call + t.rows * LANES * 4
        inner = steps
    loop = inner * (max(moved, computed) if t.ahead else moved + computed) + (min(moved, computed) if t.ahead else 0)
    return -(-_tasks(c, t) // (chip.clusters * CORES)) * (before + loop)


def together(o: Operand, c: Contraction, t: Tile) -> bool:
    """Say whether the rows of an operand's tile lie behind one another."""
    return o.along == 1 and o.across == c.depth.extent == t.depth


class MatrixWriter:
    """Writes the kernel of one contraction."""

    def __init__(self, c: Contraction, t: Tile, name: str, chip: Chip) -> None:
        self.c, self.t, self.name, self.chip = c, t, name, chip
        self.text, self.buffers = frame(
            c.stage, ("rows", "sum", "part", "slice", "turned", "weights", "shared", "share", "mine", "turn", "m", "from", "first", "step")
        )
        self.i, self.j, self.k = (self.text.name(axis.var) for axis in (c.row, c.column, c.depth))
        self.ctype, self.size = TYPES[c.a.dtype], f"sizeof({TYPES[c.a.dtype]})"
        self.lines = Lines()
        self.put = self.lines.put

    def kernel(self) -> Kernel:
        c, t = self.c, self.t
        steps, twice = steps_of(c, t), 2 if t.ahead else 1
        row_tasks, columns = -(-c.row.extent // (t.rows * t.tiles)), c.column.extent // LANES
        held = {"rows": (self.ctype, twice * t.rows * t.depth), "sum": ("float", (twice if t.tiles > 1 else 1) * t.rows * LANES)}
        if steps > 1:
            held["part"] = ("float", t.rows * LANES)
        if c.turned:
            held |= {"slice": (self.ctype, (twice if steps > 1 else 1) * t.depth * LANES), "turned": (self.ctype, t.depth * LANES)}
        weights = (twice if steps > 1 and not c.turned else 1) * t.depth * LANES
        self.lines.text = [
            signature(self.name, self.buffers, c.stage.buffer, self.text),
            *(f"  __nram__ {kind} {array}[{size}];" for array, (kind, size) in held.items()),
            f"  __wram__ {self.ctype} weights[{weights}];",
            f"  for (int task = taskId; task < {_tasks(c, t)}; task += taskDim) {{",
        ]
        for line in spread(c.batch, f"{row_tasks} * {columns}", self.text):
            self.put(line)
        cut = f" % {row_tasks}" if c.batch else ""
        start = f"task / {columns}{cut} * {t.rows * t.tiles}"
        self.put(f"const int {self.j} = task % {columns} * {LANES};")
        if steps == 1:
            self.rows_in_turn(start)
        else:
            self.put(f"const int {self.i} = {start};")
            self.put(f"const int m = {length(self.i, t.rows, c.row.extent)};")
            self.depth_in_turn()
        self.lines.text += ["  }", "}"]
        notes: tuple[str, ...] = (f"{c.stage.name}: weights are copied to WRAM as they lie",)
        if t.ahead:
            notes += (f"{c.stage.name}: the next tile is copied while one is computed",)
        rows = (t.tiles, t.rows) if t.tiles > 1 else (t.rows,)
        made = Asked("matrix", cuts=((c.row.var, rows), (c.column.var, (LANES,)), (c.depth.var, (t.depth,))), ahead=t.ahead)
        return Kernel("\n".join(self.lines.text) + "\n", self.buffers, _cost(c, t, self.chip), notes, made)

    # ---- one step of the depth: rows in turn ----
    def rows_in_turn(self, start: str) -> None:
        c, t = self.c, self.t
        self.put(f"const int {self.k} = 0, n = {c.depth.extent};")
        self.load_weights("weights", "slice", wait=True)
        self.turn_weights("slice", "weights")
        turn = Turn(self.load_rows, self.multiply, self.store, "rows", "sum", t.rows * t.depth, t.rows * LANES)
        if t.tiles == 1:
            self.put(f"const int {self.i} = {start};")
            self.put(f"const int m = {length(self.i, t.rows, c.row.extent)};")
            one(turn)
            return
        end = f"smaller(first + {t.rows * t.tiles}, {c.row.extent})"
        self.put(f"const int first = {start}, last = {end};")
        in_turn(self.lines, turn, self.i, t.rows, t.ahead)

    def multiply(self, result: str, rows: str) -> None:
        self.put(f"__bang_matmul({result}, {rows}, weights, m, n, {LANES});")

    # ---- several steps of the depth ----
    def depth_in_turn(self) -> None:
        c, t = self.c, self.t
        steps, cuts = steps_of(c, t), -(-c.depth.extent // t.depth)
        self.put(f"__bang_write_zero(sum, m * {LANES});")
        if t.ahead:
            with self.lines.block():
                self.position("0", cuts)
                self.load_rows("rows", wait=False)
                self.load_weights("weights", "slice", wait=False)
            self.put("__sync();")
        rows, weights = "rows", "weights"
        with self.lines.block(
            f"for (int step = 0{', from = 0' if t.ahead else ''}; step < {steps}; ++step{', from ^= 1' if t.ahead else ''})"
        ):
            if t.ahead:
                with self.lines.block(f"if (step + 1 < {steps})"):
                    self.position("(step + 1)", cuts)
                    self.load_rows(f"rows + (from ^ 1) * {t.rows * t.depth}", wait=False)
                    slot = f" + (from ^ 1) * {t.depth * LANES}"
                    self.load_weights(f"weights{slot}", f"slice{slot}", wait=False)
                rows, weights = f"rows + from * {t.rows * t.depth}", weights if c.turned else f"weights + from * {t.depth * LANES}"
            self.position("step", cuts)
            if not t.ahead:
                self.load_rows("rows", wait=True)
                self.load_weights("weights", "slice", wait=True)
            self.turn_weights(f"slice + from * {t.depth * LANES}" if t.ahead else "slice", "weights")
            self.put(f"__bang_matmul(part, {rows}, {weights}, m, n, {LANES});")
            self.put(f"__bang_add(sum, sum, part, m * {LANES});")
            if t.ahead:
                self.put("__sync();")
        self.store("sum", wait=True)

    def position(self, step: str, cuts: int) -> None:
        """Declare the reduced axes of a step."""
        below = str(cuts)
        self.put(f"const int {self.k} = {f'{step} % {cuts} * {self.t.depth}' if cuts > 1 else '0'};")
        for axis in reversed(self.c.outer):
            self.put(f"const int {self.text.name(axis.var)} = {step} / ({below}) % {axis.extent};")
            below = f"{below} * {axis.extent}"
        self.put(f"const int n = {length(self.k, self.t.depth, self.c.depth.extent)};")

    # ---- copies ----
    def load_rows(self, target: str, wait: bool) -> None:
        self.copy(target, self.c.a, "m", "GDRAM2NRAM", wait)

    def load_weights(self, target: str, slice_: str, wait: bool) -> None:
        """Copy weights to WRAM, or, where they have to be turned, a slice of them to NRAM."""
        b = self.c.b
        if not self.c.turned:
            self.copy(target, b, str(LANES), "GDRAM2WRAM", wait)
            return
        call = "__memcpy" if wait else "__memcpy_async"
        place = f"&{self.text.at(source(b.load), b.load.indices)}"
        row = f"{LANES} * {self.size}"
        self.put(f"{call}({slice_}, {place}, {row}, GDRAM2NRAM, {row}, {b.along} * {self.size}, n - 1);")

    def turn_weights(self, slice_: str, target: str) -> None:
        if self.c.turned:
            self.put(f"__bang_transpose(turned, {slice_}, n, {LANES});")
            self.put(f"__memcpy({target}, turned, n * {LANES} * {self.size}, NRAM2WRAM);")

    def copy(self, target: str, o: Operand, count: str, way: str, wait: bool) -> None:
        call = "__memcpy" if wait else "__memcpy_async"
        place = f"&{self.text.at(source(o.load), o.load.indices)}"
        if together(o, self.c, self.t):
            self.put(f"{call}({target}, {place}, {count} * n * {self.size}, {way});")
        else:
            self.put(f"{call}({target}, {place}, n * {self.size}, {way}, n * {self.size}, {o.across} * {self.size}, {count} - 1);")

    def store(self, what: str, wait: bool) -> None:
        stage = self.c.stage
        call = "__memcpy" if wait else "__memcpy_async"
        step = stride(stage.buffer, stage.indices, self.c.row.var)
        place = f"&{self.text.at(stage.buffer, stage.indices)}"
        row = f"{LANES} * sizeof(float)"
        if step == LANES:
            self.put(f"{call}({place}, {what}, m * {row}, NRAM2GDRAM);")
        else:
            self.put(f"{call}({place}, {what}, {row}, NRAM2GDRAM, {step} * sizeof(float), {row}, m - 1);")
