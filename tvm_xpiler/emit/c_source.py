"""C++ text of a scheduled function: readable loops with OpenMP pragmas, behind the original signature."""

from __future__ import annotations

from math import isinf, isnan
from typing import Any

from tvm_xpiler.core.errors import EmitError
from tvm_xpiler.core.kernels import Problem, ScalarSpec
from tvm_xpiler.core.tir import IRModule, s_tir_transform, tirx
from tvm_xpiler.emit.emitted import c_signature, entry_name

_PASSES = (
    "CanonicalizeLoop", "LowerInitBlock", "PlanAndUpdateBufferAllocationLocation", "ConvertBlocksToOpaque", "CompactBufferAllocation",
    "LowerMatchBuffer", "LowerOpaqueBlock",
)  # fmt: skip
_C_TYPES = {
    "bool": "bool", "int8": "int8_t", "uint8": "uint8_t", "int16": "int16_t", "uint16": "uint16_t", "int32": "int32_t", "uint32": "uint32_t",
    "int64": "int64_t", "uint64": "uint64_t", "float16": "_Float16", "bfloat16": "__bf16", "float32": "float", "float64": "double",
}  # fmt: skip
_INFIX = {
    "Add": "+",
    "Sub": "-",
    "Mul": "*",
    "Div": "/",
    "LT": "<",
    "LE": "<=",
    "GT": ">",
    "GE": ">=",
    "EQ": "==",
    "NE": "!=",
    "And": "&&",
    "Or": "||",
    "LShift": "<<",
    "RShift": ">>",
    "BitwiseAnd": "&",
    "BitwiseOr": "|",
    "BitwiseXor": "^",
    "Mod": "%",
}
_FUNCTIONS = {"abs": "fabs", "nearbyint": "nearbyint", "fabs": "fabs"}
_MATH = frozenset(
    [
        "exp",
        "exp2",
        "log",
        "log2",
        "log10",
        "log1p",
        "sqrt",
        "sin",
        "cos",
        "tan",
        "asin",
        "acos",
        "atan",
        "sinh",
        "cosh",
        "tanh",
        "erf",
        "floor",
        "ceil",
        "trunc",
        "nearbyint",
        "round",
        "pow",
        "fmod",
        "atan2",
        "copysign",
        "hypot",
    ]
)
_BITS = {"shift_left": "<<", "shift_right": ">>", "bitwise_and": "&", "bitwise_or": "|", "bitwise_xor": "^"}


def lower(module: IRModule) -> Any:
    """Return ``main`` lowered to plain loops over multi-dimensional buffers."""
    for name in _PASSES:
        module = getattr(s_tir_transform, name)()(module)
    return tirx.transform.StmtSimplify()(module)["main"]


class Printer:
    """Prints statements and expressions of lowered TIR as C++."""

    def __init__(self) -> None:
        self.names: dict[Any, str] = {}
        self.used: set[str] = set()
        self.lines: list[str] = []

    def name(self, v: Any) -> str:
        found = self.names.get(v)
        if found is None:
            base = "".join(c if c.isalnum() else "_" for c in str(v.name))
            found, count = base, 1
            while found in self.used:
                found, count = f"{base}_{count}", count + 1
            self.used.add(found)
            self.names[v] = found
        return found

    # ---- expressions ----
    def at(self, buffer: Any, indices: Any) -> str:
        flat: Any = None
        for index, extent in zip(indices, buffer.ty.shape, strict=True):
            flat = index if flat is None else flat * extent + index
        text = self.expr(flat) if flat is not None else "0"
        return f"{self.name(buffer)}[{text[1:-1] if text.startswith('(') and _balanced(text[1:-1]) else text}]"

    def expr(self, e: Any) -> str:
        kind = type(e).__name__
        dtype = str(e.ty)
        if kind == "IntImm":
            value = int(e.value)
            return ("true" if value else "false") if dtype == "bool" else f"{value}" + ("ll" if abs(value) >= 2**31 else "")
        if kind == "FloatImm":
            return _number(float(e.value), dtype)
        if kind == "Var":
            return self.name(e)
        if kind in {"TensorLoad", "BufferLoad"}:
            return self.at(getattr(e, "source", None) if kind == "TensorLoad" else e.buffer, e.indices)
        if kind == "Cast":
            return f"({_C_TYPES[dtype]}){self.expr(e.value)}"
        if kind in _INFIX:
            return f"({self.expr(e.a)} {_INFIX[kind]} {self.expr(e.b)})"
        if kind in {"Max", "Min"}:
            return f"{'xp_max' if kind == 'Max' else 'xp_min'}({self.expr(e.a)}, {self.expr(e.b)})"
        if kind == "FloorDiv":
            return f"xp_floordiv({self.expr(e.a)}, {self.expr(e.b)})" if _may_be_negative(e.a) else f"({self.expr(e.a)} / {self.expr(e.b)})"
        if kind == "FloorMod":
            return f"xp_floormod({self.expr(e.a)}, {self.expr(e.b)})" if _may_be_negative(e.a) else f"({self.expr(e.a)} % {self.expr(e.b)})"
        if kind == "Not":
            return f"!({self.expr(e.a)})"
        if kind == "Select":
            return f"({self.expr(e.condition)} ? {self.expr(e.true_value)} : {self.expr(e.false_value)})"
        if kind == "Call":
            return self.call(e, dtype)
        raise EmitError("XP401", f"C source has no form of TIR's {kind}")

    def call(self, e: Any, dtype: str) -> str:
        op = str(e.op.name).split(".")[-1]
        args = [self.expr(a) for a in e.args]
        if op == "if_then_else":
            return f"({args[0]} ? {args[1]} : {args[2]})"
        if op in _BITS:
            return f"({args[0]} {_BITS[op]} {args[1]})"
        if op in {"call_pure_extern", "call_extern"}:
            return f"{e.args[0].value}({', '.join(args[1:])})"
        if op == "reinterpret":
            return f"xp_bits<{_C_TYPES[dtype]}>({args[0]})"
        if op in {"isnan", "isinf"}:
            return f"std::{op}({args[0]})"
        if op == "rsqrt":
            return f"(1 / std::sqrt({args[0]}))"
        if op in {"abs", "fabs"}:
            return f"std::abs({args[0]})"
        if op in _MATH:
            if dtype in {"float16", "bfloat16"}:
                return f"({_C_TYPES[dtype]})std::{op}({', '.join(f'(float){a}' for a in args)})"
            return f"std::{op}({', '.join(args)})"
        raise EmitError("XP401", f"C source has no form of TIR's call to {op}")

    # ---- statements ----
    def stmt(self, s: Any, depth: int) -> None:
        pad = "  " * depth
        kind = type(s).__name__
        if kind == "SeqStmt":
            for child in s.seq:
                self.stmt(child, depth)
        elif kind == "For":
            v = self.name(s.loop_var)
            loop_kind = int(s.kind)
            if loop_kind == 1:
                self.lines.append(f"{pad}#pragma omp parallel for")
            elif loop_kind == 2:
                self.lines.append(f"{pad}#pragma omp simd")
            elif loop_kind == 3:
                self.lines.append(f"{pad}#pragma GCC unroll {int(s.extent)}")
            low = self.expr(s.min)
            high = self.expr(s.min + s.extent) if low != "0" else self.expr(s.extent)
            self.lines.append(f"{pad}for ({_C_TYPES[str(s.loop_var.ty)]} {v} = {low}; {v} < {high}; ++{v}) {{")
            self.stmt(s.body, depth + 1)
            self.lines.append(pad + "}")
        elif kind == "BufferStore":
            value = self.expr(s.value)
            if value.startswith("(") and _balanced(value[1:-1]) and not value.startswith("(float)"):
                value = value[1:-1]
            self.lines.append(f"{pad}{self.at(s.buffer, s.indices)} = {value};")
        elif kind == "IfThenElse":
            self.lines.append(f"{pad}if ({self.expr(s.condition)}) {{")
            self.stmt(s.then_case, depth + 1)
            if s.else_case is not None:
                self.lines.append(pad + "} else {")
                self.stmt(s.else_case, depth + 1)
            self.lines.append(pad + "}")
        elif kind == "AllocBuffer":
            size = 1
            for extent in s.buffer.ty.shape:
                size *= int(extent)
            ctype = _C_TYPES[str(s.buffer.ty.dtype)]
            v = self.name(s.buffer)
            if size * 8 > 1 << 14:
                self.lines.append(f"{pad}std::unique_ptr<{ctype}[]> {v}_memory(new {ctype}[{size}]);")
                self.lines.append(f"{pad}{ctype}* {v} = {v}_memory.get();")
            else:
                self.lines.append(f"{pad}{ctype} {v}[{size}];")
        elif kind == "While":
            self.lines.append(f"{pad}while ({self.expr(s.condition)}) {{")
            self.stmt(s.body, depth + 1)
            self.lines.append(pad + "}")
        elif kind in {"AttrStmt", "DeclBuffer"} and getattr(s, "body", None) is not None:
            self.stmt(s.body, depth)
        elif kind == "Bind":
            self.lines.append(f"{pad}const {_C_TYPES[str(s.var.ty)]} {self.name(s.var)} = {self.expr(s.value)};")
        elif kind == "Evaluate":
            return
        else:
            raise EmitError("XP401", f"C source has no form of TIR's {kind}")


def _balanced(text: str) -> bool:
    depth = 0
    for c in text:
        depth += (c == "(") - (c == ")")
        if depth < 0:
            return False
    return depth == 0


def _number(value: float, dtype: str) -> str:
    if isinf(value) or isnan(value):
        text = "NAN" if isnan(value) else "INFINITY" if value > 0 else "-INFINITY"
        return f"({_C_TYPES[dtype]}){text}"
    text = repr(value) if dtype == "float64" else f"{value:.9g}"
    text += "" if any(c in text for c in ".en") else ".0"
    return text if dtype == "float64" else f"{text}f" if dtype == "float32" else f"({_C_TYPES[dtype]}){text}f"


def _may_be_negative(e: Any) -> bool:
    kind = type(e).__name__
    if kind == "IntImm":
        return int(e.value) < 0
    if kind == "Var":
        return False
    if kind in {"Add", "Mul", "FloorDiv", "FloorMod"}:
        return _may_be_negative(e.a) or _may_be_negative(e.b)
    return True


def c_text(module: IRModule, problem: Problem) -> str:
    """Return a C++ file with the host function of the original signature.

    Raises:
        EmitError: XP401 for TIR that C has no form for.
    """
    func = lower(module)
    printer = Printer()
    for tensor, param in zip(problem.tensors, func.params, strict=True):
        printer.names[param] = tensor.name
        printer.used.add(tensor.name)
    printer.used |= {p.name for p in problem.params}
    printer.stmt(func.body, 1)
    signature = c_signature(problem).replace("half*", "_Float16*").replace("__nv_bfloat16*", "__bf16*")
    scalars = [f"{p.name} = {p.value}" for p in problem.params if isinstance(p, ScalarSpec)]
    body = "\n".join(printer.lines)
    helpers = []
    if "xp_max(" in body or "xp_min(" in body:
        helpers += [
            "template <class T> static inline T xp_max(T a, T b) { return a > b ? a : b; }",
            "template <class T> static inline T xp_min(T a, T b) { return a < b ? a : b; }",
        ]
    if "xp_floordiv(" in body or "xp_floormod(" in body:
        helpers += [
            "template <class T, class U> static inline auto xp_floordiv(T a, U b) { return a / b - (a % b != 0 && (a < 0) != (b < 0)); }",
            "template <class T, class U> static inline auto xp_floormod(T a, U b) { return a - b * xp_floordiv(a, b); }",
        ]
    if "xp_bits<" in body:
        helpers.append("template <class T, class S> static inline T xp_bits(S s) { T t; std::memcpy(&t, &s, sizeof t); return t; }")
    head = ["#include <cmath>", "#include <cstdint>", "#include <cstring>", "#include <memory>", ""]
    note = [f"// Specialized to {', '.join(scalars)}."] if scalars else []
    return "\n".join(
        [
            *head,
            *helpers,
            *([""] if helpers else []),
            *note,
            f'extern "C" void {entry_name(problem)}({signature}) {{',
            body,
            "}",
            "",
        ]
    )
