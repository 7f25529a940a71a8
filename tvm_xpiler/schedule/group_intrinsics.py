"""Products of a warp group of 128 threads as tensor intrinsics: ``wgmma.mma_async`` with both operands in shared memory, for ``sm_90a``.

Each calls a function in CUDA C that it carries with it (:mod:`~tvm_xpiler.schedule.group_text`). Tiles of operands lie in rows of 128 bytes.
How the pieces of a row are exchanged is known to these functions alone, so that TensorIR sees plain tiles.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from tvm_xpiler.core.tir import DYNAMIC
from tvm_xpiler.schedule.fragment_intrinsics import LONG
from tvm_xpiler.schedule.group_text import COMMON_TEXT, LINE, PIECE, ROWS, SLICE, GroupProduct, product_text

_LAYOUT = "(f16|bf16|s8|u8)(f32|s32)(_left)?(_trans)?"
_SYNC = re.compile(rf"wgmma_sync_64x(\d+)x\d+_{_LAYOUT}(_swapped)?_behind(\d)")
_COPY = re.compile(r"wgmma_copy_(f16|bf16|s8|u8)")
_FILL = re.compile(r"wgmma_fill_64x(\d+)_(f32|s32)")
_STORE = re.compile(rf"wgmma_store_64x(\d+)_{_LAYOUT}")
_CALL = re.compile(r"\bwgmma_sync_\w+(?=\()")
_MOST = 256  # columns


def group_source(name: str) -> tuple[str, str] | None:
    """Return description and implementation of an intrinsic as TVMScript, or None for a name that stands for none."""
    product = group_product(name)
    if product is not None:
        return _multiply(product)
    copy, fill, store = (pattern.fullmatch(name) for pattern in (_COPY, _FILL, _STORE))
    if copy is not None:
        return _copy(copy[1])
    if fill is not None:
        return _fill(int(fill[1]), fill[2])
    return _store(*store.groups()) if store is not None else None


def with_groups(kernels: str) -> str:
    """Return kernels with the functions of warp groups that they call, where they call some."""
    called = sorted(set(_CALL.findall(kernels)))
    products = [product for product in map(group_product, called) if product is not None]
    if not products:
        return kernels
    aligned = re.sub(r"(extern __shared__ __align__)\(\d+\)", rf"\1({8 * LINE})", kernels.strip())
    return "".join([COMMON_TEXT, *map(product_text, products), "\n", aligned])


def group_product(name: str) -> GroupProduct | None:
    """Return the product that an intrinsic's name stands for, or None."""
    m = _SYNC.fullmatch(name)
    found = _checked(m[1], m[2], m[3], m[4], m[5], bool(m[6]), int(m[7])) if m is not None else None
    return found if found is not None and found.name == name else None


def _checked(
    columns: str, operand: str, result: str, left: str | None, right: str | None, swapped: bool = False, behind: int = 0
) -> GroupProduct | None:
    found = GroupProduct(int(columns), operand, result, bool(left), bool(right), swapped, behind)
    whole = found.columns % (SLICE if found.right_turned else found.depth) == 0 and found.columns <= _MOST
    bytes_ = found.piece == PIECE
    return found if whole and (result == "s32") == bytes_ and not (bytes_ and (left or not right)) else None


@dataclass(frozen=True, slots=True)
class _Tile:
    """A buffer of an intrinsic."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    scope: str

    @property
    def region(self) -> str:
        return f"{self.name}[{', '.join(f'0:{n}' for n in self.shape)}]"

    def matched(self, *strides: str) -> str:
        """Return the statement that takes it from the caller."""
        shape = ", ".join(map(str, self.shape))
        own = f", strides=[{', '.join(strides)}]" if strides else ""
        offset = 16 if len(self.shape) > 1 else 8
        return (
            f'    {self.name} = T.match_buffer({self.name.lower()}, ({shape},), "{self.dtype}", align=64, '
            f'offset_factor={offset}, scope="{self.scope}"{own})\n'
        )


def _function(role: str, tiles: list[_Tile], strided: tuple[str, ...], reads: list[_Tile], write: _Tile, body: str) -> str:
    text = f"@T.prim_func(s_tir=True)\ndef {role}({', '.join(f'{t.name.lower()}: T.handle' for t in tiles)}) -> None:\n"
    for tile in tiles:
        strides = (f"{tile.name.lower()}_row", f"{tile.name.lower()}_one") if tile.name in strided else ()
        text += "".join(f"    {stride} = T.int32()\n" for stride in strides) + tile.matched(*strides)
    regions = ", ".join(tile.region for tile in reads)
    return f'{text}    with T.sblock("root"):\n        T.reads({regions})\n        T.writes({write.region})\n{body}'


def _both(
    tiles: list[_Tile], strided: tuple[str, ...], reads: list[_Tile], write: _Tile, description: str, implementation: str
) -> tuple[str, str]:
    return (
        _function("description", tiles, (), reads, write, description),
        _function("implementation", tiles, strided, reads, write, f"        T.evaluate({implementation})\n"),
    )


def _elementwise(shape: tuple[int, ...], statement: str) -> str:
    names = "ijk"[: len(shape)]
    grid = f"T.grid({', '.join(map(str, shape))})" if len(shape) > 1 else f"range({shape[0]})"
    loops, variables = ", ".join(names), ", ".join(f"v{n}" for n in names)
    axes = f'T.axis.remap("{"S" * len(shape)}", [{loops}])'
    return f'        for {loops} in {grid}:\n            with T.sblock("one"):\n                {variables} = {axes}\n                {statement}\n'


def _sums(columns: int, short: str) -> _Tile:
    """Return an accumulator: its columns lie in slices that are stored at once."""
    return _Tile("C", LONG[short], (columns // SLICE, ROWS, SLICE), "wmma.accumulator")


_SUM = f"C[vj // {SLICE}, vi, vj % {SLICE}]"


def _number(columns: int) -> str:
    """Return the number of the accumulator that ``C`` is, or lies in."""
    return f"C.elem_offset // {ROWS * columns}"


def _multiply(product: GroupProduct) -> tuple[str, str]:
    depth, columns, dtype, result = product.depth, product.columns, LONG[product.operand], LONG[product.result]
    left = _Tile("A", dtype, (depth, ROWS) if product.left_turned else (ROWS, depth), DYNAMIC)
    places = ["A[vk, vi]" if product.left_turned else "A[vi, vk]"]
    if product.right_turned:
        right = _Tile("B", dtype, (columns, depth), DYNAMIC)
        places.append("B[vj, vk]")
    elif columns > depth:
        right = _Tile("B", dtype, (columns // depth, depth, depth), DYNAMIC)
        places.append(f"B[vj // {depth}, vk, vj % {depth}]")
    else:
        right = _Tile("B", dtype, (depth, columns), DYNAMIC)
        places.append("B[vk, vj]")
    sums, operands = _sums(columns, product.result), [left, right]
    if product.swapped:
        operands, places = operands[::-1], places[::-1]  # TVM compares them in order
    factors = " * ".join(f'T.Cast("{result}", {place})' for place in places)
    description = (
        f'        for i, j, k in T.grid({ROWS}, {columns}, {depth}):\n            with T.sblock("product"):\n'
        f'                vi, vj, vk = T.axis.remap("SSR", [i, j, k])\n                {_SUM} = {_SUM} + {factors}\n'
    )
    source = COMMON_TEXT + product_text(product)
    call = f'T.cuda.func_call("{product.name}", C.data, {_number(columns)}, A.access_ptr("r"), B.access_ptr("r"), source_code={source!r})'
    return _both([left, right, sums], (), [sums, *operands], sums, description, call)


def _copy(short: str) -> tuple[str, str]:
    piece = PIECE * 8 // int(short.strip("bfsu"))
    tiles = [_Tile("A", LONG[short], (piece,), "global"), _Tile("B", LONG[short], (piece,), DYNAMIC)]
    at = f"B.elem_offset % {8 * piece * LINE // PIECE}"  # in eight lines, after which places repeat
    call = f'T.cuda.func_call("wgmma_copy<{piece}>", B.access_ptr("w"), {at}, A.access_ptr("r"), source_code={COMMON_TEXT!r})'
    return _both(tiles, (), tiles[:1], tiles[1], _elementwise((piece,), "B[vi] = A[vi]"), call)


def _fill(columns: int, short: str) -> tuple[str, str]:
    zero, sums = "T.float32(0)" if short == "f32" else "T.int32(0)", _sums(columns, short)
    call = f'T.tvm_fill_fragment(C.data, {ROWS}, {columns}, 16, {_number(columns)}, {zero}, dtype="void")'
    return _both([sums], (), [], sums, _elementwise((ROWS, columns), f"{_SUM} = {zero}"), call)


def _store(columns: str, operand: str, short: str, left: str | None, right: str | None) -> tuple[str, str] | None:
    product, shape = _checked(columns, operand, short, left, right), (ROWS, SLICE)
    if product is None:
        return None
    tiles = [_Tile("C", LONG[short], shape, "wmma.accumulator"), _Tile("D", LONG[short], shape, "shared")]
    first = f"C.elem_offset // {ROWS * SLICE} % {product.columns // SLICE} * {SLICE}"
    function = f"wgmma_store<{SLICE}, {product.arguments}>"
    held = f"C.data, {_number(product.columns)}, {first}"
    call = f'T.cuda.func_call("{function}", D.access_ptr("w"), d_row, {held}, source_code={COMMON_TEXT!r})'
    return _both(tiles, ("D",), tiles[:1], tiles[1], _elementwise(shape, "D[vi, vj] = C[vi, vj]"), call)
