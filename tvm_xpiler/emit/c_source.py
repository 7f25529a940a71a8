"""C++ text of a scheduled function: readable loops with OpenMP pragmas, behind the original signature."""

from __future__ import annotations

import re
from typing import Any

from tvm_xpiler.core.ctext import C_NUMBERS, Expressions, balanced
from tvm_xpiler.core.errors import EmitError
from tvm_xpiler.core.kernels import Problem
from tvm_xpiler.core.tir import IRModule, s_tir_transform, tirx
from tvm_xpiler.emit.emitted import c_signature, entry_name, specialization

_PASSES = (
    "CanonicalizeLoop", "LowerInitBlock", "PlanAndUpdateBufferAllocationLocation", "ConvertBlocksToOpaque", "CompactBufferAllocation",
    "LowerMatchBuffer", "LowerOpaqueBlock",
)  # fmt: skip


def lower(module: IRModule) -> Any:
    """Return ``main`` lowered to plain loops over multi-dimensional buffers."""
    for name in _PASSES:
        module = getattr(s_tir_transform, name)()(module)
    # Guards of symbolic sizes leave the loops that they do not depend on: g++ 12 gets masked maxima inside of vector loops wrong.
    module = s_tir_transform.HoistIfThenElse()(tirx.transform.StmtSimplify()(module))
    return module["main"]


class Printer(Expressions):
    """Prints statements and expressions of lowered TIR as C++."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self.heap: list[str] = []  # arrays of this scope that are to be freed

    def pragma(self, s: Any, pad: str) -> None:
        """Print what the schedule says of a loop."""
        text = {1: "omp parallel for", 2: "omp simd", 3: f"GCC unroll {s.extent}"}.get(int(s.kind))
        if text is not None:
            self.lines.append(f"{pad}#pragma {text}")

    def declare(self, buffer: Any, pad: str) -> None:
        """Print the declaration of an array; large ones lie on the heap."""
        ctype, v, size = C_NUMBERS[str(buffer.ty.dtype)], self.name(buffer), self.count(buffer)
        if not size.isdigit() or int(size) * 8 > 1 << 14:
            self.lines.append(f"{pad}{ctype}* {v} = ({ctype}*)malloc({size} * sizeof({ctype}));")
            self.heap.append(v)
        else:
            self.lines.append(f"{pad}{ctype} {v}[{size}];")

    def scope(self, s: Any, depth: int) -> None:
        """Print a statement whose arrays live no longer than it."""
        outer, self.heap = self.heap, []
        self.stmt(s, depth)
        self.lines += [f"{'  ' * depth}free({v});" for v in reversed(self.heap)]
        self.heap = outer

    # ---- statements ----
    def stmt(self, s: Any, depth: int) -> None:
        pad = "  " * depth
        kind = type(s).__name__
        if kind == "SeqStmt":
            for child in s.seq:
                self.stmt(child, depth)
        elif kind == "For":
            v = self.name(s.loop_var)
            self.pragma(s, pad)
            low = self.expr(s.min)
            high = self.expr(s.min + s.extent) if low != "0" else self.expr(s.extent)
            self.lines.append(f"{pad}for ({C_NUMBERS[str(s.loop_var.ty)]} {v} = {low}; {v} < {high}; ++{v}) {{")
            self.scope(s.body, depth + 1)
            self.lines.append(pad + "}")
        elif kind == "BufferStore":
            value = self.expr(s.value)
            if value.startswith("(") and balanced(value[1:-1]) and not value.startswith("(float)"):
                value = value[1:-1]
            self.lines.append(f"{pad}{self.at(s.buffer, s.indices)} = {value};")
        elif kind == "IfThenElse":
            self.lines.append(f"{pad}if ({self.expr(s.condition)}) {{")
            self.scope(s.then_case, depth + 1)
            if s.else_case is not None:
                self.lines.append(pad + "} else {")
                self.scope(s.else_case, depth + 1)
            self.lines.append(pad + "}")
        elif kind == "AllocBuffer":
            self.declare(s.buffer, pad)
        elif kind == "While":
            self.lines.append(f"{pad}while ({self.expr(s.condition)}) {{")
            self.scope(s.body, depth + 1)
            self.lines.append(pad + "}")
        elif kind in {"AttrStmt", "DeclBuffer"} and getattr(s, "body", None) is not None:
            self.stmt(s.body, depth)
        elif kind == "Bind":
            self.lines.append(f"{pad}const {C_NUMBERS[str(s.var.ty)]} {self.name(s.var)} = {self.expr(s.value)};")
        elif kind == "Evaluate":
            return
        else:
            raise EmitError("XP401", f"C source has no form of TIR's {kind}")


_BFLOAT16 = """struct xp_bfloat16 {{  // g++ has none before version 13
  uint16_t bits;
  xp_bfloat16() = default;
  xp_bfloat16(float x) {{
    uint32_t u;
    memcpy(&u, &x, 4);
    bits = x != x ? 0x7fc0 : (uint16_t)((u + 0x7fff + (u >> 16 & 1)) >> 16);
  }}
  operator float() const {{
    uint32_t u = (uint32_t)bits << 16;
    float x;
    memcpy(&x, &u, 4);
    return x;
  }}
}};"""
_HELPERS = {
    "xp_bfloat16": _BFLOAT16,
    "xp_max(": "template <class A, class B> {}auto xp_max(A a, B b) {{ return a > b ? a : b; }}",
    "xp_min(": "template <class A, class B> {}auto xp_min(A a, B b) {{ return a < b ? a : b; }}",
    "xp_floor": "template <class T, class U> {}auto xp_floordiv(T a, U b) {{ return a / b - (a % b != 0 && (a < 0) != (b < 0)); }}",
    "xp_floormod(": "template <class T, class U> {}auto xp_floormod(T a, U b) {{ return a - b * xp_floordiv(a, b); }}",
    "xp_bits<": "template <class T, class S> {}T xp_bits(S s) {{ T t; memcpy(&t, &s, sizeof t); return t; }}",
}


_ON_DEVICE = {"xp_bits<": "template <class T, class S> {}T xp_bits(S s) {{ union {{ S from; T to; }} u; u.from = s; return u.to; }}"}


def helpers(body: str, prefix: str) -> str:
    """Return the definitions of the functions that a printed body calls, each behind ``prefix``."""
    held = _HELPERS | _ON_DEVICE if prefix.startswith("__device__") else _HELPERS
    lines = [text.format(prefix) for used, text in held.items() if used in body]
    return "\n".join([*lines, "", ""]) if lines else ""


def c_text(module: IRModule, problem: Problem, printer: Printer) -> str:
    """Return a C++ file with the host function of the original signature.

    Raises:
        EmitError: XP401 for TIR that C has no form for.
    """
    func = lower(module)
    for param in func.params:  # the tensors, then scalars, by the names of the problem
        printer.names[param] = str(param.name)
        printer.used.add(str(param.name))
    printer.used |= {p.name for p in problem.params}
    printer.scope(func.body, 1)
    signature = c_signature(problem).replace("half*", "_Float16*").replace("__nv_bfloat16*", f"{C_NUMBERS['bfloat16']}*")
    body = "\n".join(printer.lines)
    support = helpers(signature + body, "static inline ")
    head = [
        "#include <cmath>",
        "#include <cstdint>",
        "#include <cstring>",
        "#include <cstdlib>",
        *(["#include <immintrin.h>"] if re.search(r"\b_mm\d*_", body) else []),
        "",
    ]
    note = specialization(module, problem)
    return "\n".join(
        [
            *head,
            *([support] if support else []),
            *note,
            f'extern "C" void {entry_name(problem)}({signature}) {{',
            body,
            "}",
            "",
        ]
    )
