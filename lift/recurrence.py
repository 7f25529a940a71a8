"""What a loop leaves behind: each carried scalar and cell as a closed form in the loop variable."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from lift import expr as E
from lift.expr import Expr
from lift.fold import combine, fold
from lift.online import Maximum, rescaled, running_mean, squared_deviations
from lift.pieces import Array, NotNormal, Piece, known, push, read, solve, tidy


def peel(u: Expr, c: Expr) -> tuple[str | None, Expr | None] | None:
    """Write ``u`` as ``c kind e`` with ``e`` free of ``c``; kind None when ``u`` is ``c`` itself.

    Returns:
        (kind, e), or None where ``u`` has no such form.
    """
    if u is c:
        return None, None
    if not _holds(u, c):
        return None
    if u.op == "lin":
        terms, _ = E.linear(u)
        rest = E.sub(u, c)
        return ("add", rest) if terms.get(c) == 1 and not _holds(rest, c) else None
    if u.op in {"add", "mul", "max", "min", "sub"}:
        a, b = u.args
        kind = "add" if u.op == "sub" else u.op
        if _holds(a, c) and _holds(b, c):
            return None
        inside, other = (a, b) if _holds(a, c) else (b, a)
        if u.op == "sub":
            if inside is b:
                return None
            other = E.binary("sub", E.const(0, other.dtype), other)
        found = peel(inside, c)
        if found is None or found[0] not in {None, kind}:
            return None
        return kind, other if found[1] is None else E.binary(kind, found[1], other)
    if u.op == "cast" and u.dtype == c.dtype:
        inner = u.args[0]
        wide = E.node("cast", (c,), dtype=inner.dtype)
        if _holds(inner, wide):
            stand_in = E.node("carry", (), ("wide", id(c)), inner.dtype)
            found = peel(E.substitute(inner, {wide: stand_in}), stand_in)
            if found is not None and found[1] is not None and not _holds(found[1], c):
                return found[0], E.cast(found[1], u.dtype)
        return None
    if u.op == "select":
        condition, a, b = u.args
        if _holds(condition, c):
            return None
        left = (None, None) if a is c else peel(a, c)
        right = (None, None) if b is c else peel(b, c)
        if left is None or right is None:
            return None
        kind2 = left[0] or right[0]
        if kind2 is None or (left[0] and right[0] and left[0] != right[0]):
            return None
        neutral = E.IDENTITY[kind2](u.dtype)
        return kind2, E.select(condition, left[1] if left[1] is not None else neutral, right[1] if right[1] is not None else neutral)
    return None


def _holds(e: Expr, part: Expr) -> bool:
    return part in _nodes(e)


def _selects(e: Expr) -> set[Expr]:
    """Return the choices under ``e`` that hold carried state."""
    if not _nodes(e):
        return set()
    below = {n for a in e.args for n in _selects(a)}
    return below | {e} if e.op == "select" else below


_memo: dict[Expr, frozenset[Expr]] = {}


def _nodes(e: Expr) -> frozenset[Expr]:
    """Return the carried leaves (and their casts) under ``e``."""
    found = _memo.get(e)
    if found is None:
        below = frozenset[Expr]().union(*(_nodes(a) for a in e.args)) if e.args else frozenset[Expr]()
        if e.op in {"carry", "carryload"} or (e.op == "cast" and e.args[0].op in {"carry", "carryload"}):
            below |= {e}
        found = _memo[e] = below
    return found


def reset() -> None:
    """Forget what was computed for expressions of an earlier kernel."""
    _memo.clear()


def carried(e: Expr, loop: int) -> list[Expr]:
    """Return the leaves of ``e`` that stand for the state at the start of an iteration of ``loop``."""
    return [n for n in _nodes(e) if n.op in {"carry", "carryload"} and n.attr[0] == loop]


@dataclass
class Loop:
    """One evaluated iteration: ``scalars`` and ``arrays`` hold the state at its end, in terms of the carried state."""

    ident: int
    k: Expr
    count: int
    exact: bool  # every thread runs ``count`` iterations
    own: tuple[Expr, ...]  # the coordinates of the thread whose state is carried
    entry_scalars: dict[str, Expr]
    entry_arrays: dict[str, Array]
    scalars: dict[str, Expr]
    arrays: dict[str, Array]
    facts: Expr
    private: frozenset[str] = frozenset()  # arrays of one thread or block, which nobody may ever read again
    maxima: dict[Expr, Maximum] = field(default_factory=dict)

    def close(self) -> tuple[dict[str, Expr], dict[str, Array]]:
        """Return the scalars and arrays after the loop.

        Raises:
            NotNormal: Some carried state that matters has no closed form.
        """
        names = list(self.scalars)
        carry = {s: E.node("carry", self.own, (self.ident, s), self.scalars[s].dtype) for s in names}
        carry |= {
            s: c
            for s in names
            for e in [*self.scalars.values(), *self._piece_exprs()]
            for c in carried(e, self.ident)
            if c.op == "carry" and c.attr[1] == s and c.args == self.own
        }
        final: dict[str, Expr] = {}
        resolved: dict[Expr, Expr] = {}
        updates = dict(self.scalars)
        arrays = dict(self.arrays)
        for _ in range(len(names) + len(arrays) + 2):
            progress = False
            for s in names:
                if s in final:
                    continue
                closed = self._closed_form(carry[s], updates[s], self.entry_scalars.get(s))
                if closed is not None:
                    resolved[carry[s]], final[s] = closed
                    progress = True
            if resolved:

                def close(x: Expr, known: dict[Expr, Expr] = resolved) -> Expr | None:
                    """Return the closed form of a carried scalar, in the coordinates of the thread whose it is."""
                    if x.op != "carry" or x.attr[0] != self.ident:
                        return None
                    form = known.get(E.node("carry", self.own, x.attr, x.dtype))
                    return None if form is None else E.substitute(form, dict(zip(self.own, x.args, strict=True)))

                updates = {s: E.transform(u, close, _nodes) for s, u in updates.items()}
                arrays = {n: self._transform_array(a, close) for n, a in arrays.items()}
            contents: dict[Expr, Expr | None] = {}

            def move(x: Expr, arrays: dict[str, Array] = arrays, contents: dict[Expr, Expr | None] = contents) -> Expr | None:
                if x.op != "carryload" or x.attr[0] != self.ident:
                    return None
                if x not in contents:
                    contents[x] = self._content_before(arrays, x)
                return contents[x]

            # Each load is looked at where it stands: a reduction renames its variables whenever it is opened.
            if any(c.op == "carryload" for e in [*updates.values(), *self._piece_exprs(arrays)] for c in carried(e, self.ident)):
                updates = {s: E.transform(u, move, _nodes) for s, u in updates.items()}
                moved = {n: self._transform_array(a, move) for n, a in arrays.items()}
                progress = progress or any(value is not None for value in contents.values())
                arrays = moved
            if not progress:
                break
        uses: dict[Expr, set[str]] = {}
        for s, u in updates.items():
            for c in carried(u, self.ident):
                uses.setdefault(c, set()).add(s)
        for s in names:
            if s in final:
                continue
            c = carry[s]
            u = updates[s]
            wraps = u.op == "cast" and u.is_int and u.args[0].is_int  # a sum modulo 2**n: the whole sum may be cut once
            u, first = self._started(u.args[0] if wraps else u, c)
            form = peel(u, c)
            if form is not None and wraps and form[0] != "add":
                continue
            if form is None or form[0] is None or form[1] is None or carried(form[1], self.ident):
                continue
            start = first or self.entry_scalars.get(s)
            if start is None:
                continue
            total = combine(form[0], start, self._reduce(form[0], form[1])) if start.op != "undef" else E.undef(start.dtype)
            final[s] = E.cast(total, updates[s].dtype) if wraps else total
            if form[0] == "max":
                self.maxima[carry[s]] = Maximum(u, start, total)
        self._close_together(names, carry, updates, final)
        for s in names:  # what only repeats another scalar's update, or cannot be known and may never be asked for
            if s not in final:
                same = next((o for o in names if o in final and updates[o] is updates[s]), None)
                final[s] = final[same] if same else E.node("opaque", (), (self.ident, s), updates[s].dtype)
        return final, {n: self._close_or_lose(n, a) for n, a in arrays.items()}

    # ---- scalars ----
    def _close_together(self, names: list[str], carry: dict[str, Expr], updates: dict[str, Expr], final: dict[str, Expr]) -> None:
        """Close what depends on another carried scalar in one of the ways of :mod:`lift.online`; ``final`` is filled in."""
        means: dict[str, tuple[Expr, Expr]] = {}
        for s in names:
            start = self.entry_scalars.get(s)
            if s in final or start is None:
                continue
            form = rescaled(updates[s], carry[s], self.k, self.maxima)
            x = running_mean(updates[s], carry[s], self.k)
            if form is not None and set(carried(form.growth, self.ident)) <= {form.new}:
                final[s] = form.total(start, self.k)
            elif x is not None and self.exact and E.const_value(start) == 0 and not carried(x, self.ident):
                total = E.binary("div", self._reduce("add", x), E.const(self.count, x.dtype))
                final[s], means[s] = total, (carry[s], x)
        for s in names:
            start = self.entry_scalars.get(s)
            for mean, (before, x) in means.items():
                if s not in final and start is not None and squared_deviations(updates[s], carry[s], before, updates[mean]) is x:
                    gap = E.binary("sub", x, final[mean])
                    final[s] = combine("add", start, self._reduce("add", E.binary("mul", gap, gap)))

    def _closed_form(self, c: Expr, u: Expr, start: Expr | None) -> tuple[Expr, Expr] | None:
        """Return the value at the start of iteration k, and after the loop."""
        start = E.undef(u.dtype) if start is None else start
        if u is c:
            return start, start
        if not carried(u, self.ident):
            if not self.exact:
                return None
            before = E.substitute(u, {self.k: E.sub(self.k, E.const(1))})
            last = E.substitute(u, {self.k: E.const(self.count - 1)})
            return E.select(E.eq0(self.k), start, before), last
        if c.is_int and u.op == "lin":
            step = E.sub(u, c)
            if not carried(step, self.ident) and self.k not in step.free:
                return E.add(start, E.mul(step, self.k)), E.add(start, E.scale(step, self.count)) if self.exact else E.node(
                    "opaque", (), (self.ident, "induction"), u.dtype
                )
        return None

    def _started(self, u: Expr, c: Expr) -> tuple[Expr, Expr | None]:
        """Take out of an update that the first iteration sets the carried value; return the update, and what it is set to.

        ``if (k == 0) v = a; v += x`` is ``v = a`` before a loop that adds.
        """
        found = [n for n in _selects(u) if n.args[0] is E.eq0(self.k) and n.args[2] is c and not carried(n.args[1], self.ident)]
        if len(found) != 1 or not self.exact:
            return u, None
        return E.substitute(u, {found[0]: c}), E.substitute(found[0].args[1], {self.k: E.const(0)})

    def _reduce(self, kind: str, body: Expr) -> Expr:
        if body.is_int and kind not in {"max", "min"} and self.k not in body.free:
            return E.scale(body, self.count) if kind == "add" else E.reduce_(kind, [self.k], body)
        if kind == "add" and self.k not in body.free and not body.is_int:
            return E.binary("mul", body, E.const(self.count, body.dtype))
        return E.reduce_(kind, [self.k], body)

    # ---- arrays ----
    def _piece_exprs(self, arrays: dict[str, Array] | None = None) -> list[Expr]:
        return [e for a in (arrays or self.arrays).values() for p in a.pieces for e in (p.guard, p.index, p.value)]

    @staticmethod
    def _transform_array(array: Array, visit: Callable[[Expr], Expr | None]) -> Array:
        def done(e: Expr) -> Expr:
            return E.transform(e, visit, _nodes)

        return replace(array, pieces=tuple(Piece(p.vars, done(p.guard), done(p.index), done(p.value)) for p in array.pieces))

    def _content_before(self, arrays: dict[str, Array], load: Expr) -> Expr | None:
        """Return what a cell holds when iteration k begins, where no earlier iteration's write to it depends on what it held."""
        array = arrays[load.attr[1]]
        index, *whose = load.args
        if carried(index, self.ident):
            return None
        if tuple(whose) != array.of:  # another thread's: what this one has, in that one's coordinates
            if any(v.op != "var" for v in whose) or any(v in index.free and v not in whose for v in array.of):
                return None
            here = E.node("carryload", (E.substitute(index, dict(zip(whose, array.of, strict=True))), *array.of), load.attr, load.dtype)
            content = self._content_before(arrays, here)
            return None if content is None else E.substitute(content, dict(zip(array.of, whose, strict=True)))
        entry = self.entry_arrays[array.name]
        earlier = E.var("earlier", 0, self.count, "loop")
        if self.count < 2:
            return read(entry, index, self.facts)
        layers: list[tuple[Expr, Expr]] = []
        for piece in reversed(array.pieces):
            if carried(piece.index, self.ident) or carried(piece.guard, self.ident):
                return None
            fresh = {v: E.var(E.info(v).name, 0, E.info(v).hi, E.info(v).kind) for v in piece.vars}
            own = Piece(tuple(fresh.values()), piece.guard, piece.index, piece.value).map(fresh) if fresh else piece
            (low, high), (first, last) = E.bounds(own.index), E.bounds(index)
            if last < low or high < first:
                continue
            always = self._held_before(own.guard)
            if self.k not in piece.index.free and always is not None:  # rewritten in every iteration
                found = solve(Piece(own.vars, always, own.index, own.value), index)
                if found is None:
                    return None
                values, condition = found
                condition = E.and_(condition, E.not_(E.eq0(self.k)))
                value = E.substitute(E.substitute(own.value, {self.k: E.sub(self.k, E.const(1))}), values)
            else:
                shifted = own.map({self.k: earlier})
                quantified = Piece(
                    (*own.vars, earlier),
                    E.and_(shifted.guard, E.le0(E.add(E.sub(earlier, self.k), E.const(1)))),
                    shifted.index,
                    shifted.value,
                )
                found = solve(quantified, index)
                if found is None:
                    return None
                values, condition = found
                value = E.substitute(quantified.value, values)
            condition = known(condition, self.facts)
            if E.int_value(condition) == 0:
                continue
            if carried(value, self.ident):
                return None
            layers.append((condition, value))
            if E.int_value(condition) == 1:
                break
        result = read(entry, index, self.facts)
        later = E.not_(E.eq0(self.k))
        for condition, value in reversed(layers):
            if condition is later and E.substitute(value, {self.k: E.const(0)}) is result:
                result = value  # what a prologue put there is what the loop would have
            else:
                result = E.select(condition, value, result)
        return result

    def _held_before(self, guard: Expr) -> Expr | None:
        """Return the part of ``guard`` that does not depend on k, where the rest holds in all iterations that have a successor."""
        parts = guard.args if guard.op == "and" else (guard,)
        varying = [p for p in parts if self.k in p.free]
        earlier = E.var("earlier", 0, self.count - 1, "loop")
        if any(E.int_value(E.substitute(p, {self.k: earlier})) != 1 for p in varying):
            return None
        return E.and_(*(p for p in parts if self.k not in p.free))

    def _close_or_lose(self, name: str, array: Array) -> Array:
        if array.base == "lost":  # in a loop inside of this one
            return replace(array, base="lost", loop=self.ident, pieces=())
        try:
            return self._close_array(name, array)
        except NotNormal as reason:
            if name not in self.private:
                raise
            return replace(array, base="lost", loop=self.ident, pieces=(), reason=str(reason))

    def _close_array(self, name: str, array: Array) -> Array:
        entry = self.entry_arrays[name]
        pieces: list[Piece] = []
        for piece in array.pieces:
            leaves = [c for e in (piece.guard, piece.index, piece.value) for c in carried(e, self.ident)]
            if leaves:
                pieces.append(self._reduced(name, piece, entry, leaves))
            elif self.k in piece.index.free or self.k in piece.guard.free:
                if self.k not in piece.index.free:
                    raise NotNormal(f"'{name}' is overwritten in iterations that a condition chooses")
                pieces.append(tidy(Piece((*piece.vars, self.k), piece.guard, piece.index, piece.value)))
            else:
                if not self.exact:
                    raise NotNormal(f"'{name}' is overwritten in a loop whose length differs between threads")
                pieces.append(piece.map({self.k: E.const(self.count - 1)}))
        for older, p in enumerate(array.pieces):
            for q in array.pieces[older + 1 :]:
                self._check_order(name, p, q)
        for piece in pieces:
            entry = push(entry, replace(piece, value=fold(piece.value)))
        return entry

    def _check_order(self, name: str, older: Piece, newer: Piece) -> None:
        """The newer piece stays on top only if it never meets an older one's later iteration."""
        if self.k not in older.index.free and self.k not in newer.index.free:
            return
        earlier = E.var("earlier", 0, self.count, "loop")
        fresh = {v: E.var(E.info(v).name, 0, E.info(v).hi, E.info(v).kind) for v in newer.vars}
        shifted = newer.map({**fresh, self.k: earlier})
        found = solve(Piece((*fresh.values(), earlier), shifted.guard, shifted.index, E.const(0)), older.index)
        if found is None:
            raise NotNormal(f"two writes to '{name}' in a loop may meet")
        values, condition = found
        if E.int_value(E.and_(condition, older.guard)) == 0 or earlier not in values:
            return
        if values[earlier] is not self.k and E.int_value(E.le0(E.sub(self.k, values[earlier]))) != 1:
            raise NotNormal(f"two writes to '{name}' in a loop meet in different iterations")

    def _reduced(self, name: str, piece: Piece, entry: Array, leaves: list[Expr]) -> Piece:
        own = E.node("carryload", (piece.index, *self.arrays[name].of), (self.ident, name), entry.dtype)
        together = rescaled(piece.value, own, self.k, self.maxima) if self.k not in piece.index.free | piece.guard.free else None
        if together is not None and set(carried(together.growth, self.ident)) <= {together.new}:
            start = read(entry, piece.index, E.and_(self.facts, piece.guard))
            return Piece(piece.vars, piece.guard, piece.index, together.total(start, self.k))
        if any(leaf is not own for leaf in leaves) or self.k in piece.index.free:
            raise NotNormal(f"'{name}' depends on earlier iterations in a way that is no reduction")
        value, first = self._started(piece.value, own)
        form = peel(value, own)
        if form is None or form[0] is None or form[1] is None or carried(form[1], self.ident):
            raise NotNormal(f"the update of '{name}' is no reduction")
        kind, body = form[0], form[1]
        guard = piece.guard
        if self.k in guard.free:
            parts = guard.args if guard.op == "and" else (guard,)
            varying = E.and_(*(p for p in parts if self.k in p.free))
            guard = E.and_(*(p for p in parts if self.k not in p.free))
            body = E.select(varying, body, E.IDENTITY[kind](body.dtype))
        facts = E.and_(self.facts, guard)
        start = first or read(entry, piece.index, facts)
        return Piece(piece.vars, guard, piece.index, combine(kind, start, self._reduce(kind, body)))
