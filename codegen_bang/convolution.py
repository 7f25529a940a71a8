"""Windows that slide over rows of pixels, on the matrix unit: bands of rows through NRAM, weights in WRAM, ``__bang_conv`` on them."""

from __future__ import annotations

from dataclasses import dataclass
from math import gcd, prod
from typing import Any

from codegen_bang.asked import Asked, Refusal
from codegen_bang.kernel import Kernel, frame, length, signature, spread
from codegen_bang.matrix import LANES, factors_of
from codegen_bang.stage import Axis, Stage, fastest, stride
from codegen_bang.turns import Lines, Turn, in_turn, one
from codegen_bang.vectorize import BYTES, TYPES
from tvm_xpiler.core.chips import CORES, RATES, STACK, Chip
from tvm_xpiler.core.expressions import source

_ROWS = (32, 16, 8, 4, 2, 1)  # of a band of results


@dataclass(frozen=True, slots=True)
class Convolution:
    """``out[.., y, x, o] = sum over p, q, c of a[.., y * sh + p, x * sw + q, c] * w[o, p, q, c]``.

    Attributes:
        stage: The block.
        row: ``y``; None where there is one row of results.
        pixel: ``x``; None where there is one pixel in each.
        channel: ``o``.
        taps: The reduced axes.
        window: Rows, pixels and channels of a window.
        batch: The other output axes.
        image: The load of ``a``.
        weights: The load of ``w``.
        pitch: Elements between two rows of the image.
        spacing: Elements between two pixels of the results.
        steps: ``sh`` and ``sw``.
    """

    stage: Stage
    row: Axis | None
    pixel: Axis | None
    channel: Axis
    taps: tuple[Axis, ...]
    window: tuple[int, int, int]
    batch: tuple[Axis, ...]
    image: Any
    weights: Any
    pitch: int
    spacing: int
    steps: tuple[int, int]

    @property
    def rows(self) -> int:
        """Rows of results."""
        return 1 if self.row is None else self.row.extent

    @property
    def pixels(self) -> int:
        """Pixels in a row of results."""
        return 1 if self.pixel is None else self.pixel.extent

    @property
    def width(self) -> int:
        """Pixels of a row of the image that windows cover."""
        return (self.pixels - 1) * self.steps[1] + self.window[1]

    def height(self, rows: int) -> int:
        """Return the rows of the image that so many rows of results need."""
        return (rows - 1) * self.steps[0] + self.window[0]


@dataclass(frozen=True, slots=True)
class Band:
    """How a core works: rows of results at a time, bands with the same weights, channels at a time, copied ahead or not."""

    rows: int
    bands: int
    channels: int
    ahead: bool


def convolution_kernel(stage: Stage, name: str, chip: Chip, asked: Asked) -> Kernel | Refusal:
    """Return a convolution's kernel, of those that are asked the cheapest by estimate.

    The filter is read from WRAM as it was copied, channels of results first, which is the order that ``__bang_conv`` takes; on the
    chip ``__bang_reshape_filter`` may be needed.
    """
    seen = convolution(stage) if chip.address == 1 else None
    if seen is None:
        return Refusal("unit", stage.name, f"block '{stage.name}' is no convolution as the matrix unit of {chip.name} takes them")
    read = (seen.channel,) if seen.row is None else (seen.row, seen.channel)
    if asked.vector or asked.unread(*read):
        return Refusal("unread", stage.name, f"bands of block '{stage.name}' are cut along the rows and the channels of its results")
    bands = _bands(seen, asked)
    if not bands:
        return Refusal("unread", stage.name, f"block '{stage.name}' has no such bands: channels are cut in groups of {LANES}")
    refusals = {band: refusal for band in bands if (refusal := _unfit(seen, band, chip)) is not None}
    if len(refusals) == len(bands):
        return refusals[min(bands, key=lambda b: (b.rows, b.channels))]
    band = min((b for b in bands if b not in refusals), key=lambda b: _cost(seen, b, chip))
    return _written(seen, band, name, chip)


def convolution(stage: Stage) -> Convolution | None:
    """See a stage as a convolution whose operands lie as the builtin takes them."""
    factors, channel = factors_of(stage), fastest(stage)
    if factors is None or channel is None or len(stage.reduces) > 3:
        return None
    for image, weights in (factors, factors[::-1]):
        found = _seen(stage, channel, image, weights)
        if found is not None:
            return found
    return None


def _seen(stage: Stage, channel: Axis, image: Any, weights: Any) -> Convolution | None:
    axes = (*stage.spatial, *stage.reduces)
    a, w, out = (
        {axis.var: step for axis in axes for step in [stride(buffer, indices, axis.var)] if step is not None}
        for buffer, indices in (
            *((source(load), load.indices) for load in (image, weights)), (stage.buffer, stage.indices),
        )
    )  # fmt: skip
    if not len(a) == len(w) == len(out) == len(axes) or a[channel.var]:
        return None
    deep = [axis for axis in stage.reduces if a[axis.var] == w[axis.var] == 1]
    spatial = [axis for axis in stage.spatial if not w[axis.var]]
    if len(deep) != 1 or len(spatial) != len(stage.spatial) - 1:
        return None
    line = deep[0].extent
    others = sorted((axis for axis in stage.reduces if axis is not deep[0]), key=lambda axis: -a[axis.var])
    wide = next((axis for axis in others if a[axis.var] == w[axis.var] == line), None)
    high = next((axis for axis in others if axis is not wide), None)
    line *= 1 if wide is None else wide.extent
    if len(others) != (wide is not None) + (high is not None) or (high is not None and w[high.var] != line):
        return None
    if w[channel.var] != (1 if high is None else high.extent) * line:
        return None
    pitch = None if high is None else a[high.var]
    moving = sorted((axis for axis in spatial if a[axis.var]), key=lambda axis: a[axis.var])
    row = next((axis for axis in moving if pitch and a[axis.var] % pitch == 0), None)
    pixel = next((axis for axis in moving if axis is not row and (not pitch or a[axis.var] < pitch)), None)
    depth = deep[0].extent if pixel is None else gcd(deep[0].extent, a[pixel.var])  # pixels of a window may be one axis with their channels
    batch = tuple(axis for axis in spatial if axis is not row and axis is not pixel)
    steps = (1 if row is None or not pitch else a[row.var] // pitch, 1 if pixel is None else a[pixel.var] // depth)
    near = pixel or row
    spacing = channel.extent if near is None else out[near.var]
    together = row is None or pixel is None or out[row.var] == pixel.extent * out[pixel.var]
    covered = line if pixel is None else (pixel.extent - 1) * a[pixel.var] + line
    taps = tuple(axis for axis in (high, wide, deep[0]) if axis is not None)
    window = (1 if high is None else high.extent, line // depth, depth)
    found = Convolution(stage, row, pixel, channel, taps, window, batch, image, weights, pitch or covered, spacing, steps)
    return found if window[:2] != (1, 1) and together and found.pitch % depth == 0 and covered <= found.pitch else None


def _bands(c: Convolution, asked: Asked) -> list[Band]:
    """Return the bands that are worth a look: those that are asked."""
    cut = asked.cut(c.row) if c.row is not None else ()
    groups = asked.cut(c.channel)
    if len(groups) > 1 or any(n % LANES for n in groups):
        return []
    channels = [n for n in range(LANES, c.channel.extent + 1, LANES) if c.channel.extent % n == 0]
    found = []
    for rows in cut[-1:] or [n for n in _ROWS if n <= c.rows]:
        counts = [prod(cut[:-1])] if cut else [1, *(n for n in (2, 4, 8, 16, 32) if rows * n < 2 * c.rows)]
        for bands in counts:
            aheads = [False, True] if bands > 1 else [False]
            found += [Band(rows, bands, n, ahead) for n in groups or channels for ahead in aheads if asked.ahead in {None, ahead}]
    return found


def _sizes(c: Convolution, b: Band) -> tuple[int, int, int]:
    """Return the elements of a band of the image, of its results, and of the weights."""
    return c.height(b.rows) * c.width * c.window[2], b.rows * c.pixels * b.channels, b.channels * prod(c.window)


def _unfit(c: Convolution, b: Band, chip: Chip) -> Refusal | None:
    """Say why bands do not fit on the chip; None where they do."""
    image, results, weights = _sizes(c, b)
    size, copies, name = BYTES[str(c.image.ty)], 2 if b.ahead else 1, c.stage.name
    bands = f"bands of {b.rows} rows and {b.channels} channels{', twice' if b.ahead else ''}"
    for limit, taken, room in (
        ("nram", copies * (image * size + results * 4), chip.nram - STACK), ("wram", weights * size, chip.wram),
    ):  # fmt: skip
        if taken > room:
            return Refusal(limit, name, f"block '{name}': {bands} take {taken} bytes of {limit.upper()}; {room} are there")
    return None


def _tasks(c: Convolution, b: Band) -> int:
    return -(-c.rows // (b.rows * b.bands)) * (c.channel.extent // b.channels) * prod((axis.extent for axis in c.batch), start=1)


def _cost(c: Convolution, b: Band, chip: Chip) -> float:
    """Estimate the time of the busiest core, as :mod:`tvm_xpiler.verify.estimate` counts it."""
    size, (image, results, weights) = BYTES[str(c.image.ty)], _sizes(c, b)

    def copy(pieces: int, piece: int) -> float:
        return RATES.call + pieces * max(piece, RATES.piece) * RATES.transfer

    whole = c.width * c.window[2] == c.pitch
    moved = copy(1, image * size) if whole else copy(c.height(b.rows), c.width * c.window[2] * size)
    moved += copy(1, results * 4) if b.channels == c.spacing else copy(b.rows * c.pixels, b.channels * 4)
    computed = RATES.call + results * prod(c.window) * RATES.product
    loop = b.bands * (max(moved, computed) if b.ahead else moved + computed) + (min(moved, computed) if b.ahead else 0)
    return -(-_tasks(c, b) // (chip.clusters * CORES)) * (copy(1, weights * size) + loop)


def _written(c: Convolution, b: Band, name: str, chip: Chip) -> Kernel:
    stage, (image, results, weights) = c.stage, _sizes(c, b)
    text, buffers = frame(stage, ("window", "sum", "weights", "m", "from", "first", "last", "step"))
    ctype, twice, (high, wide, deep) = TYPES[str(c.image.ty)], 2 if b.ahead else 1, c.window
    y = "y" if c.row is None else text.name(c.row.var)
    lines = Lines()
    lines.text = [
        signature(name, buffers, stage.buffer, text),
        f"  __nram__ {ctype} window[{twice * image}];",
        f"  __nram__ float sum[{twice * results}];",
        f"  __wram__ {ctype} weights[{weights}];",
        f"  for (int task = taskId; task < {_tasks(c, b)}; task += taskDim) {{",
    ]
    groups, parts = c.channel.extent // b.channels, -(-c.rows // (b.rows * b.bands))
    for line in spread(c.batch, f"{groups} * {parts}", text):
        lines.put(line)
    zero = [*c.taps, *([c.pixel] if c.pixel is not None else [])]
    lines.put(f"const int {', '.join(f'{text.name(axis.var)} = 0' for axis in zero)};")
    lines.put(f"const int {text.name(c.channel.var)} = task % {groups} * {b.channels};")
    lines.put(f"__memcpy(weights, &{text.at(source(c.weights), c.weights.indices)}, {weights} * sizeof({ctype}), GDRAM2WRAM);")
    covered = c.width * deep

    height = f"m + {high - 1}" if c.steps[0] == 1 else f"(m - 1) * {c.steps[0]} + {high}"

    def load(target: str, wait: bool) -> None:
        place, rows = f"&{text.at(source(c.image), c.image.indices)}", f"({height})"
        copy = "__memcpy" if wait else "__memcpy_async"
        if covered == c.pitch:
            lines.put(f"{copy}({target}, {place}, {rows} * {covered} * sizeof({ctype}), GDRAM2NRAM);")
        else:
            row = f"{covered} * sizeof({ctype})"
            lines.put(f"{copy}({target}, {place}, {row}, GDRAM2NRAM, {row}, {c.pitch} * sizeof({ctype}), {rows} - 1);")

    def compute(result: str, operand: str) -> None:
        sizes = f"{deep}, {height}, {c.width}, {high}, {wide}, {c.steps[1]}, {c.steps[0]}, {b.channels}"
        lines.put(f"__bang_conv({result}, {operand}, weights, {sizes});")

    def store(what: str, wait: bool) -> None:
        copy, place = "__memcpy" if wait else "__memcpy_async", f"&{text.at(stage.buffer, stage.indices)}"
        if b.channels == c.spacing:
            lines.put(f"{copy}({place}, {what}, m * {c.pixels * b.channels} * sizeof(float), NRAM2GDRAM);")
        else:
            row = f"{b.channels} * sizeof(float)"
            lines.put(f"{copy}({place}, {what}, {row}, NRAM2GDRAM, {c.spacing} * sizeof(float), {row}, m * {c.pixels} - 1);")

    turn = Turn(load, compute, store, "window", "sum", image, results)
    start = f"task / {groups}{f' % {parts}' if c.batch else ''} * {b.rows * b.bands}"
    if b.bands == 1:
        if c.row is not None:
            lines.put(f"const int {y} = {start};")
        lines.put(f"const int m = {length(y, b.rows, c.rows)};")
        one(turn)
    else:
        lines.put(f"const int first = {start}, last = smaller(first + {b.rows * b.bands}, {c.rows});")
        in_turn(lines, turn, y, b.rows, b.ahead)
    lines.text += ["  }", "}"]
    notes: tuple[str, ...] = (f"{stage.name}: weights are copied to WRAM as they lie",)
    if b.ahead:
        notes += (f"{stage.name}: the next band is copied while one is computed",)
    rows = (b.bands, b.rows) if b.bands > 1 else (b.rows,)
    cuts = ((c.channel.var, (b.channels,)), *(((c.row.var, rows),) if c.row is not None else ()))
    return Kernel("\n".join(lines.text) + "\n", buffers, _cost(c, b, chip), notes, Asked("convolution", cuts=cuts, ahead=b.ahead))
