"""C++ text with x86 vector intrinsics: tensorized statements always, vectorized loops where that is asked for and every operation has one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tvm_xpiler.core.ctext import C_NUMBERS
from tvm_xpiler.core.errors import EmitError
from tvm_xpiler.core.expressions import loads, mentions, replaced
from tvm_xpiler.core.tir import Analyzer, identical, intrinsic_name, tirx
from tvm_xpiler.emit.c_source import Printer
from tvm_xpiler.schedule.dot_intrinsics import BFLOAT_DOT
from tvm_xpiler.schedule.query import linear

_BITS = {"float32": 32, "float64": 64, "int32": 32, "uint32": 32, "int16": 16, "uint16": 16, "bfloat16": 16, "int8": 8, "uint8": 8}
_PREFIX = {512: "_mm512", 256: "_mm256", 128: "_mm"}
_SUFFIX = {"float32": "ps", "float64": "pd", "int32": "epi32"}  # of arithmetic
_ARITHMETIC = {"Add": "add", "Sub": "sub", "Mul": "mul", "Div": "div", "Max": "max", "Min": "min"}
_WHOLE = {"Add": "add", "Sub": "sub", "Mul": "mullo", "Max": "max", "Min": "min"}
_ORDER = {"LT": "_CMP_LT_OQ", "LE": "_CMP_LE_OQ", "GT": "_CMP_GT_OQ", "GE": "_CMP_GE_OQ", "EQ": "_CMP_EQ_OQ", "NE": "_CMP_NEQ_UQ"}
_WIDEN = {("int8", "int32"): "cvtepi8_epi32", ("uint8", "int32"): "cvtepu8_epi32"}
_CONVERT = {("int32", "float32"): "cvtepi32_ps", ("float32", "int32"): "cvttps_epi32"}
_DOTS = {"vpdpbusd": "dpbusd", "vpdpwssd": "dpwssd"}
_MOST_LANES = 16


class _NoForm(Exception):
    """An expression has no intrinsics; its loop stays a loop."""


@dataclass(frozen=True, slots=True)
class _Axis:
    """The loop that becomes a vector."""

    var: Any
    lanes: int


class IntrinsicsPrinter(Printer):
    """Prints what is a vector as intrinsics.

    Args:
        loops: Whether vectorized loops are printed so, too.
        masks: Whether the processor compares into mask registers (AVX-512).
    """

    def __init__(self, loops: bool, masks: bool) -> None:
        super().__init__()
        self.loops, self.masks = loops, masks

    def stmt(self, s: Any, depth: int) -> None:
        kind = type(s).__name__
        if kind == "BufferStore" and type(s.indices[-1] if len(s.indices) else None).__name__ == "Ramp":
            try:
                self.lines.append("  " * depth + self.store(s, None))
            except _NoForm as why:
                raise EmitError("XP401", f"C source has no form of the vector operation {why}") from None
            return
        if kind == "For" and self.loops and int(s.kind) == _VECTORIZED and type(s.extent).__name__ == "IntImm":
            axis = _Axis(s.loop_var, int(s.extent))
            stores = list(s.body.seq) if type(s.body).__name__ == "SeqStmt" else [s.body]
            try:
                if any(type(store).__name__ != "BufferStore" for store in stores) or type(s.min).__name__ != "IntImm" or int(s.min):
                    raise _NoForm("statement")
                lines = ["  " * depth + self.store(store, axis) for store in stores]
            except _NoForm:
                super().stmt(s, depth)
                return
            self.lines += lines
            return
        super().stmt(s, depth)

    def store(self, s: Any, axis: _Axis | None) -> str:
        """Return the statement that stores a vector."""
        dtype, lanes = _shape(s.value, axis)
        if axis is not None and self.step(s.buffer, s.indices, axis) != 1:
            raise _NoForm("scattered store")
        value, place = self.vector(s.value, axis), self.place(s.buffer, s.indices, axis)
        prefix, suffix = _register(dtype, lanes)
        return f"{prefix}_storeu_{suffix}({_pointer(suffix)}{place}, {value});"

    # ---- addresses ----
    def step(self, buffer: Any, indices: Any, axis: _Axis) -> float | None:
        """Return by how many elements an address moves along the axis; None where it is not affine in it."""
        terms: dict[Any, float] = {}
        hidden: list[Any] = []
        weight = 1
        for index, extent in zip(reversed(list(indices)), reversed(list(buffer.ty.shape)), strict=True):
            linear(index, weight, {}, terms, hidden)
            if type(extent).__name__ != "IntImm":
                raise _NoForm("open size")
            weight *= int(extent)
        if any(v.same_as(axis.var) for v in hidden):
            return None
        return next((c for v, c in terms.items() if v.same_as(axis.var)), 0.0)

    def place(self, buffer: Any, indices: Any, axis: _Axis | None) -> str:
        """Return the address of a vector's first element."""
        first = []
        for index in indices:
            if type(index).__name__ == "Ramp":
                if int(index.stride) != 1:
                    raise _NoForm("strided access")
                index = index.base
            first.append(index if axis is None else Analyzer().simplify(replaced(index, {axis.var: tirx.const(0, str(axis.var.ty))})))
        return f"&{self.at(buffer, first)}"

    # ---- values ----
    def vector(self, e: Any, axis: _Axis | None) -> str:
        """Return an expression of a vector register."""
        dtype, lanes = _shape(e, axis)
        kind = type(e).__name__
        prefix, suffix = _register(dtype, lanes)
        if kind == "Broadcast":
            return self.everywhere(e.value, dtype, lanes)
        if axis is not None and not mentions(e, axis.var):
            return self.everywhere(e, dtype, lanes)
        if kind == "TensorLoad":
            if axis is not None and self.step(e.source, e.indices, axis) != 1:
                raise _NoForm("gathered load")
            return f"{prefix}_loadu_{suffix}({_pointer(suffix, True)}{self.place(e.source, e.indices, axis)})"
        arithmetic = _WHOLE if dtype == "int32" else _ARITHMETIC if dtype in {"float32", "float64"} else {}
        if kind in arithmetic:
            return f"{prefix}_{arithmetic[kind]}_{_SUFFIX[dtype]}({self.vector(e.a, axis)}, {self.vector(e.b, axis)})"
        if kind == "BitwiseXor" and "int" in dtype:
            return f"{prefix}_xor_{suffix}({self.vector(e.a, axis)}, {self.vector(e.b, axis)})"
        if kind == "Cast":
            return self.cast(e, axis, dtype, lanes)
        if kind == "Select":
            return self.select(e.condition, e.true_value, e.false_value, axis, dtype, lanes)
        if kind == "Call":
            return self.vector_call(e, axis, dtype, lanes)
        raise _NoForm(kind)

    def everywhere(self, e: Any, dtype: str, lanes: int) -> str:
        """Return a register that holds one value in every lane."""
        prefix, _ = _register(dtype, lanes)
        if dtype in {"float32", "float64"}:
            return f"{prefix}_set1_{_SUFFIX[dtype]}({self.expr(e)})"
        return f"{prefix}_set1_epi{_BITS[dtype]}({'(char)' if _BITS[dtype] == 8 else ''}{self.expr(e)})"

    def cast(self, e: Any, axis: _Axis | None, dtype: str, lanes: int) -> str:
        source, _ = _shape(e.value, axis)
        prefix, _ = _register(dtype, lanes)
        if source == dtype:
            return self.vector(e.value, axis)
        if (source, dtype) in _WIDEN and lanes == _MOST_LANES:  # fewer lanes would read half of a register
            return f"{prefix}_{_WIDEN[source, dtype]}({self.vector(e.value, axis)})"
        if (source, dtype) in _CONVERT:
            return f"{prefix}_{_CONVERT[source, dtype]}({self.vector(e.value, axis)})"
        raise _NoForm(f"{source} to {dtype}")

    def select(self, condition: Any, yes: Any, no: Any, axis: _Axis | None, dtype: str, lanes: int) -> str:
        order = _ORDER.get(type(condition).__name__)
        prefix, suffix = _register(dtype, lanes)
        if order is None or not self.masks or dtype not in {"float32", "float64"} or _shape(condition.a, axis) != (dtype, lanes):
            raise _NoForm("select")
        mask = f"{prefix}_cmp_{suffix}_mask({self.vector(condition.a, axis)}, {self.vector(condition.b, axis)}, {order})"
        return f"{prefix}_mask_blend_{suffix}({mask}, {self.vector(no, axis)}, {self.vector(yes, axis)})"

    def vector_call(self, e: Any, axis: _Axis | None, dtype: str, lanes: int) -> str:
        op = str(e.op.name).split(".")[-1]
        prefix, suffix = _register(dtype, lanes)
        if op == "reinterpret" and "int" in dtype:
            return self.vector(e.args[0], axis)
        if op == "call_llvm_pure_intrin":
            instruction = intrinsic_name(e.args[0]).split(".")
            name = _DOTS.get(instruction[3]) if instruction[1] == "x86" else None
            if name is None:
                raise _NoForm(".".join(instruction))
            form = "_avx_epi32" if lanes != _MOST_LANES else "_epi32"
            return f"{prefix}_{name}{form}({', '.join(self.vector(a, axis) for a in e.args[1:])})"
        if op == "call_pure_extern" and e.args[0].value == BFLOAT_DOT.format(lanes):
            bits = 32 * lanes
            held, left, i, right, j = e.args[1:]
            pair = f"_mm{bits}_set1_epi32(*(const int32_t*)&{self.name(left.args[0])}[{self.expr(i)}])"
            pairs = f"_mm{bits}_loadu_si{bits}({_pointer(f'si{bits}', True)}&{self.name(right.args[0])}[{self.expr(j)}])"
            return f"{prefix}_dpbf16_{suffix}({self.vector(held, axis)}, (__m{bits}bh){pair}, (__m{bits}bh){pairs})"
        if op == "if_then_else":
            condition, yes, no = e.args
            seen = loads(condition)
            if any(not any(identical(load, known) for known in seen) for load in (*loads(yes), *loads(no))):
                raise _NoForm("a load under a condition")  # where it is not chosen it may lead out of its buffer
            return self.select(condition, yes, no, axis, dtype, lanes)
        if op == "sqrt" and dtype in {"float32", "float64"}:
            return f"{prefix}_sqrt_{suffix}({self.vector(e.args[0], axis)})"
        raise _NoForm(op)

    def call(self, e: Any, dtype: str) -> str:
        """Scalars: a word that is made of several elements."""
        if str(e.op.name).endswith("reinterpret") and type(e.args[0]).__name__ == "TensorLoad" and "x" in str(e.args[0].ty):
            return f"*(const {C_NUMBERS[dtype]}*){self.place(e.args[0].source, e.args[0].indices, None)}"
        return super().call(e, dtype)


_VECTORIZED = 2


def _shape(e: Any, axis: _Axis | None) -> tuple[str, int]:
    """Return element type and lanes of a vector expression."""
    dtype, _, lanes = str(e.ty).partition("x")
    return dtype, int(lanes) if lanes else axis.lanes if axis is not None else 1


def _pointer(suffix: str, const: bool = False) -> str:
    """Return the cast that an integer register's intrinsics want of an address; those of AVX-512 take any."""
    return f"({'const ' if const else ''}__m{suffix[2:]}i*)" if suffix in {"si128", "si256"} else ""


def _register(dtype: str, lanes: int) -> tuple[str, str]:
    """Return prefix and suffix of the intrinsics that move a register of such elements."""
    bits = _BITS.get(dtype, 0) * lanes
    prefix = _PREFIX.get(bits)
    if prefix is None:
        raise _NoForm(f"{dtype}x{lanes}")
    return prefix, {"float32": "ps", "float64": "pd"}.get(dtype, f"si{bits}")
