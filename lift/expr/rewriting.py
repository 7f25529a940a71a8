"""Reductions, substitution and printing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from lift.expr.integers import add, bit_and, bit_or, bit_xor, floordiv, floormod, mul, shift_left, shift_right, tdiv, tmod
from lift.expr.logic import and_, eq0, le0, not_, or_
from lift.expr.nodes import Expr, VarInfo, _memo, const, info, int_value, node, var
from lift.expr.operations import binary, cast, part, power, select, word

IDENTITY: dict[str, Callable[[str], Expr]] = {
    "add": lambda dtype: const(0, dtype),
    "mul": lambda dtype: const(1, dtype),
    "max": lambda dtype: node("limit", (), "min", dtype),
    "min": lambda dtype: node("limit", (), "max", dtype),
}


def reduce_vars(e: Expr) -> tuple[Expr, ...]:
    """Return the bound variables of a ``reduce``."""
    variables: tuple[Expr, ...] = e.attr[1]
    return variables


def reduce_kind(e: Expr) -> str:
    """Return ``add``, ``mul``, ``max`` or ``min``."""
    return str(e.attr[0])


def _depth(e: Expr, memo: dict[Expr, int]) -> int:
    found = memo.get(e)
    if found is None:
        found = max((_depth(a, memo) for a in e.args), default=0) + (1 if e.op == "reduce" else 0)
        memo[e] = found
    return found


def reduce_(kind: str, over: Iterable[Expr], body: Expr) -> Expr:
    """Return the reduction of ``body`` over the variables ``over``; bound variables get canonical names."""
    over = [v for v in over if v.op == "var"]
    if body.op == "reduce" and reduce_kind(body) == kind:
        inner, body = open_reduce(body)
        over = over + list(inner)
    if kind in {"max", "min"} and body.op == kind:
        parts = _operands(body, kind)
        fixed = [p for p in parts if not p.free & frozenset(over)]
        if fixed and len(fixed) < len(parts):  # what no iteration changes is looked at once
            rest = [p for p in parts if p.free & frozenset(over)]
            result = reduce_(kind, over, _joined(kind, rest))
            for other in fixed:
                result = binary(kind, result, other)
            return result
    unused = [v for v in over if v not in body.free]
    if unused and kind in {"max", "min"}:
        over = [v for v in over if v in body.free]
    if not over:
        return body
    depth = _depth(body, {}) + 1
    renamed = {
        v: node("var", (), VarInfo(f"r{depth}_{i}", info(v).lo, info(v).hi, "reduce", -depth * 1000 - i)) for i, v in enumerate(over)
    }
    return node("reduce", (substitute(body, renamed),), (kind, tuple(renamed.values())), body.dtype)


def _operands(e: Expr, kind: str) -> list[Expr]:
    return [p for a in e.args for p in _operands(a, kind)] if e.op == kind else [e]


def _joined(kind: str, parts: list[Expr]) -> Expr:
    result = parts[0]
    for p in parts[1:]:
        result = binary(kind, result, p)
    return result


def open_reduce(e: Expr) -> tuple[tuple[Expr, ...], Expr]:
    """Return fresh variables for the bound ones, and the body over them."""
    fresh = {v: var(info(v).name, info(v).lo, info(v).hi, "reduce") for v in reduce_vars(e)}
    return tuple(fresh.values()), substitute(e.args[0], fresh)


def rebuild(e: Expr, args: tuple[Expr, ...]) -> Expr:
    """Return ``e`` with other operands, simplified again."""
    if all(x is y for x, y in zip(args, e.args, strict=True)):
        return e
    op = e.op
    if op == "lin":
        coefs, constant = e.attr
        total: Expr = const(constant)
        for coef, arg in zip(coefs, args, strict=True):
            total = add(total, arg, coef)
        return total
    if op == "mul" and e.is_int:
        return mul(args[0], args[1])
    if op in {"floordiv", "floormod"}:
        c = int_value(args[1])
        assert c is not None
        return floordiv(args[0], c) if op == "floordiv" else floormod(args[0], c)
    simple: dict[str, Callable[..., Expr]] = {
        "tdiv": tdiv, "tmod": tmod, "shl": shift_left, "shr": shift_right, "band": bit_and, "bor": bit_or, "bxor": bit_xor,
        "le0": le0, "eq0": eq0, "not": not_, "and": and_, "or": or_, "select": select,
    }  # fmt: skip
    if op in simple:
        return simple[op](*args)
    if op == "cast":
        return cast(args[0], e.dtype)
    if op == "word":
        return word(args[0], args[1], e.dtype)
    if op == "part":
        return part(args[0], int(e.attr), e.dtype)
    if op == "call" and e.attr == "pow":
        return power(args[0], args[1], e.dtype)
    if op in {"add", "sub", "mul", "div", "max", "min", "lt", "le", "eq"}:
        return binary(op, args[0], args[1])
    return node(op, args, e.attr, e.dtype)


def transform(e: Expr, visit: Callable[[Expr], Expr | None], within: Callable[[Expr], object] | None = None) -> Expr:
    """Rewrite bottom-up: ``visit`` sees each node whose operands are done, and returns its replacement or None.

    What ``within`` finds nothing in stays as it is: opening a reduction makes a node of each of its own.
    """
    memo: dict[Expr, Expr] = {}

    def go(x: Expr) -> Expr:
        found = memo.get(x)
        if found is None and within is not None and not within(x):
            found = memo[x] = x
        if found is None:
            if x.op == "reduce":
                over, body = open_reduce(x)
                inner = transform(body, visit, within)
                done = x if inner is body else reduce_(reduce_kind(x), over, inner)
            else:
                done = rebuild(x, tuple(map(go, x.args)))
            replacement = visit(done)
            found = memo[x] = done if replacement is None else replacement
        return found

    return go(e)


def substitute(e: Expr, mapping: Mapping[Expr, Expr], memo: dict[Expr, Expr] | None = None) -> Expr:
    """Replace free variables (or other leaves) of ``e``."""
    keys = frozenset(mapping)
    only_vars = all(k.op == "var" for k in keys)
    memo = {} if memo is None else memo

    def go(x: Expr) -> Expr:
        found = memo.get(x)
        if found is not None:
            return found
        if x in mapping:
            result = mapping[x]
        elif not x.args or (only_vars and not (x.free & keys)):
            result = x
        elif x.op == "reduce":
            over, body = open_reduce(x)
            inner = substitute(body, mapping)
            result = x if inner is body else reduce_(reduce_kind(x), over, inner)
        else:
            result = rebuild(x, tuple(map(go, x.args)))
        memo[x] = result
        return result

    return go(e)


def walk(e: Expr) -> list[Expr]:
    """Return every distinct node under ``e``, operands before users."""
    seen: dict[Expr, None] = {}

    def go(x: Expr) -> None:
        if x not in seen:
            for arg in x.args:
                go(arg)
            seen[x] = None

    go(e)
    return list(seen)


def remembered(name: str, e: Expr, work: Callable[[Expr], Expr]) -> Expr:
    """Return ``work(e)``, computed once per expression and name until :func:`reset`."""
    found = _memo.get((name, e))
    if found is None:
        found = _memo[name, e] = work(e)
    return found


def reads_data(e: Expr) -> bool:
    """Say whether ``e`` depends on what memory holds, or on floating point."""
    found = _memo.get(("data", e))
    if found is None:
        found = _memo["data", e] = e.op in {"load", "elem", "local", "call", "cast", "lt", "le", "eq", "reduce"} or any(
            map(reads_data, e.args)
        )
    return bool(found)


def show(e: Expr) -> str:
    """Return a readable one-line form."""
    if e.op == "lin":
        coefs, constant = e.attr
        parts = [show(a) if c == 1 else f"{c}*{show(a)}" for a, c in zip(e.args, coefs, strict=True)]
        return (
            "(" + " + ".join(parts + ([str(constant)] if constant or not parts else [])) + ")"
            if len(parts) + bool(constant) > 1
            else (parts or [str(constant)])[0]
        )
    if e.op == "var":
        return info(e).name
    if e.op == "const":
        return str(e.attr[0])
    if e.op == "load":
        return f"{e.attr}[{show(e.args[0])}]"
    if e.op == "reduce":
        over = ", ".join(f"{info(v).name}<{info(v).hi}" for v in reduce_vars(e))
        return f"{reduce_kind(e)}({over}; {show(e.args[0])})"
    name = e.op if e.attr is None else f"{e.op}<{e.attr}>"
    return f"{name}({', '.join(map(show, e.args))})"
