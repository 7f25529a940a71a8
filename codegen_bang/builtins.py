"""Which builtin computes which TIR operation: the table that vector code is made from.

Public sources: the declarations of CNCC 3.x and the BANG C developer guide; what each builtin computes is written in
``tvm_xpiler/core/semantics/bang.h``, and a test runs every entry of this table there.
"""

from __future__ import annotations

# TIR node -> (vector and vector, vector and scalar)
BINARY: dict[str, tuple[str, str | None]] = {
    "Add": ("__bang_add", "__bang_add_scalar"),
    "Sub": ("__bang_sub", "__bang_sub_scalar"),
    "Mul": ("__bang_mul", "__bang_mul_scalar"),
    "Div": ("__bang_div", None),
    "Max": ("__bang_maxequal", "__bang_maxeq_scalar"),
    "Min": ("__bang_minequal", "__bang_mineq_scalar"),
}
COMMUTES = frozenset({"Add", "Mul", "Max", "Min"})

# TIR call -> builtin; the hp forms are the precise ones
UNARY: dict[str, str] = {
    "exp": "__bang_active_exphp",
    "log": "__bang_active_loghp",
    "sqrt": "__bang_sqrt",
    "rsqrt": "__bang_rsqrt",
    "exp2": "__bang_pow2",
    "tanh": "__bang_active_tanh",
    "sin": "__bang_sin",
    "cos": "__bang_cos",
    "fabs": "__bang_abs",
    "abs": "__bang_abs",
}

RECIPROCAL = "__bang_recip"
DIVISION = "__bang_div"

# What the public declarations say of architectures: the first that has a builtin, those after it that lack it, and what stands for it
# on earlier ones. The activations of the 200 series are tables of limited range.
SINCE: dict[str, int] = {
    **dict.fromkeys(
        ("__bang_sqrt", "__bang_rsqrt", "__bang_recip", "__bang_pow2", "__bang_sin", "__bang_cos", "__bang_abs", "__bang_div"), 322
    ),
    **dict.fromkeys(("__bang_maxeq_scalar", "__bang_mineq_scalar", "__bang_float2half_rn"), 322),
    **dict.fromkeys((f"__bang_{test}_scalar" for test in ("lt", "le", "gt", "ge", "eq", "ne")), 322),
}
ABSENT: dict[str, frozenset[int]] = {"__bang_div": frozenset({372})}
EARLIER: dict[str, str] = {
    "__bang_sqrt": "__bang_active_sqrthp",
    "__bang_rsqrt": "__bang_active_rsqrthp",
    "__bang_abs": "__bang_active_abs",
}
FLOAT_ONLY = frozenset({"__bang_sqrt", "__bang_rsqrt", "__bang_recip", "__bang_pow2", "__bang_sin", "__bang_cos"})


def has(builtin: str, arch: int) -> bool:
    """Say whether an architecture has a builtin itself."""
    return SINCE.get(builtin, 0) <= arch and arch not in ABSENT.get(builtin, ())


# (from, to) -> builtin: dst, src, count
CASTS: dict[tuple[str, str], str] = {
    ("float32", "float16"): "__bang_float2half_rn",
    ("float16", "float32"): "__bang_half2float",
    ("int8", "float32"): "__bang_int82float",
    ("int16", "float32"): "__bang_int162float",
    ("int32", "float32"): "__bang_int322float",
    ("int8", "float16"): "__bang_int82half",
    ("int16", "float16"): "__bang_int162half",
    ("int32", "float16"): "__bang_int322half",
}

# reduction -> a pool over one channel that reduces a whole vector: dst, src, 1, 1, n, 1, n, 1, 1
POOLS: dict[str, str] = {"add": "__bang_sumpool", "max": "__bang_maxpool", "min": "__bang_minpool"}

# reduction -> TIR node that joins two partial results
JOINS: dict[str, str] = {"add": "Add", "mul": "Mul", "max": "Max", "min": "Min"}

VECTOR_TYPES = frozenset({"float32", "float16"})
