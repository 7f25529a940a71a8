"""C text of TIR expressions, for every printer of ours."""

from __future__ import annotations

from math import isinf, isnan, prod
from typing import Any

from tvm_xpiler.core.errors import EmitError
from tvm_xpiler.core.expressions import address

C_NUMBERS = {
    "bool": "bool", "int8": "int8_t", "uint8": "uint8_t", "int16": "int16_t", "uint16": "uint16_t", "int32": "int32_t", "uint32": "uint32_t",
    "int64": "int64_t", "uint64": "uint64_t", "float16": "_Float16", "bfloat16": "xp_bfloat16", "float32": "float", "float64": "double",
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


class Expressions:
    """Prints expressions as C++; buffers are flat arrays."""

    def __init__(self) -> None:
        self.names: dict[Any, str] = {}
        self.used: set[str] = set()

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

    def count(self, buffer: Any) -> str:
        """Return the number of elements of a buffer: a number, or a product that is worked out in 64 bits."""
        known = prod((int(n) for n in buffer.ty.shape if type(n).__name__ == "IntImm"), start=1)
        rest = [self.expr(n) for n in buffer.ty.shape if type(n).__name__ != "IntImm"]
        return " * ".join([f"(size_t){rest[0]}", *rest[1:], *([str(known)] if known != 1 else [])]) if rest else str(known)

    # ---- expressions ----
    def at(self, buffer: Any, indices: Any) -> str:
        flat = address(buffer, indices)
        text = self.expr(flat) if flat is not None else "0"
        return f"{self.name(buffer)}[{text[1:-1] if text.startswith('(') and balanced(text[1:-1]) else text}]"

    def expr(self, e: Any) -> str:
        kind = type(e).__name__
        dtype = str(e.ty)
        if kind == "IntImm":
            value = int(e.value)
            return ("true" if value else "false") if dtype == "bool" else f"{value}" + ("ll" if abs(value) >= 2**31 else "")
        if kind == "FloatImm":
            return number(float(e.value), dtype)
        if kind == "Var":
            return self.name(e)
        if kind in {"TensorLoad", "BufferLoad"}:
            return self.at(getattr(e, "source", None) if kind == "TensorLoad" else e.buffer, e.indices)
        if kind == "Cast":
            return f"({C_NUMBERS[dtype]}){self.expr(e.value)}"
        if kind == "LShift" and type(e.a).__name__ == "IntImm" and dtype != "int32":  # a literal has 32 bits
            return f"(({C_NUMBERS[dtype]}){self.expr(e.a)} << {self.expr(e.b)})"
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
        if op in {"call_pure_extern", "call_extern"}:
            return f"{e.args[0].value}({', '.join(self.expr(a) for a in e.args[1:])})"
        args = [self.expr(a) for a in e.args]
        if op == "if_then_else":
            return f"({args[0]} ? {args[1]} : {args[2]})"
        if op in _BITS:
            return f"({args[0]} {_BITS[op]} {args[1]})"
        if op == "reinterpret" and "int" in dtype and "int" in str(e.args[0].ty):
            return f"({C_NUMBERS[dtype]}){args[0]}"
        if op == "reinterpret":
            return f"xp_bits<{C_NUMBERS[dtype]}>({args[0]})"
        if op in {"isnan", "isinf"}:
            return f"std::{op}({args[0]})"
        if op == "rsqrt":
            return f"(1 / {self.math('sqrt', args, dtype)})"
        if op == "sigmoid":
            return f"(1 / (1 + {self.math('exp', [f'-({args[0]})'], dtype)}))"
        if op in {"abs", "fabs"}:
            return self.math("abs", args, dtype)
        if op in _MATH:
            return self.math(op, args, dtype)
        raise EmitError("XP401", f"C source has no form of TIR's call to {op}")

    def math(self, op: str, args: list[str], dtype: str) -> str:
        """Return the call of a function of the mathematical library."""
        if dtype in {"float16", "bfloat16"}:
            return f"({C_NUMBERS[dtype]})std::{op}({', '.join(f'(float){a}' for a in args)})"
        return f"std::{op}({', '.join(args)})"


def balanced(text: str) -> bool:
    depth = 0
    for c in text:
        depth += (c == "(") - (c == ")")
        if depth < 0:
            return False
    return depth == 0


def number(value: float, dtype: str) -> str:
    if isinf(value) or isnan(value):
        text = "NAN" if isnan(value) else "INFINITY" if value > 0 else "-INFINITY"
        return f"({C_NUMBERS[dtype]}){text}"
    text = repr(value) if dtype == "float64" else f"{value:.9g}"
    text += "" if any(c in text for c in ".en") else ".0"
    return text if dtype == "float64" else f"{text}f" if dtype == "float32" else f"({C_NUMBERS[dtype]}){text}f"


def _may_be_negative(e: Any) -> bool:
    kind = type(e).__name__
    if kind == "IntImm":
        return int(e.value) < 0
    if kind == "Var":
        return False
    if kind in {"Add", "Mul", "FloorDiv", "FloorMod"}:
        return _may_be_negative(e.a) or _may_be_negative(e.b)
    return True
