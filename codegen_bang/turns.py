"""Lines of a kernel with their margin, and tiles that a core works through in turn, the next one copied while one is computed where that is asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass(slots=True)
class Lines:
    """Lines that are being written.

    Attributes:
        text: Those so far.
        pad: The margin of the next.
    """

    text: list[str] = field(default_factory=list)
    pad: str = "    "

    def put(self, line: str) -> None:
        """Add a line."""
        self.text.append(self.pad + line)

    @contextmanager
    def block(self, head: str = "") -> Iterator[None]:
        """Add a head with a brace, what is added within, and the brace that closes it."""
        self.put(f"{head} {{" if head else "{")
        self.pad += "  "
        yield
        self.pad = self.pad[:-2]
        self.put("}")


@dataclass(frozen=True, slots=True)
class Turn:
    """How one tile is computed: three parts that write their lines.

    Attributes:
        load: Copies the tile at the position into an array; told whether to wait for it.
        compute: Computes from an array into another.
        store: Copies results back; told whether to wait.
        operand: The array that ``load`` fills.
        result: The array that ``compute`` fills.
        taken: Elements of a tile in the first.
        made: Elements of a tile in the second.
    """

    load: Callable[[str, bool], None]
    compute: Callable[[str, str], None]
    store: Callable[[str, bool], None]
    operand: str
    result: str
    taken: int
    made: int


def one(turn: Turn) -> None:
    """Write the steps of a single tile."""
    turn.load(turn.operand, True)
    turn.compute(turn.result, turn.operand)
    turn.store(turn.result, True)


def in_turn(lines: Lines, turn: Turn, position: str, size: int, ahead: bool) -> None:
    """Write the loop over tiles of ``size`` from ``first`` to ``last``; ``position`` and the length ``m`` are declared for each."""
    if not ahead:
        with lines.block(f"for (int {position} = first; {position} < last; {position} += {size})"):
            lines.put(f"const int m = smaller({size}, last - {position});")
            one(turn)
        return
    with lines.block():
        lines.put(f"const int {position} = first, m = smaller({size}, last - first);")
        turn.load(turn.operand, False)
    lines.put("__sync();")
    with lines.block(f"for (int step = first, from = 0; step < last; step += {size}, from ^= 1)"):
        with lines.block(f"if (step + {size} < last)"):
            lines.put(f"const int {position} = step + {size}, m = smaller({size}, last - {position});")
            turn.load(f"{turn.operand} + (from ^ 1) * {turn.taken}", False)
        lines.put(f"const int {position} = step, m = smaller({size}, last - step);")
        result = f"{turn.result} + from * {turn.made}"
        turn.compute(result, f"{turn.operand} + from * {turn.taken}")
        lines.put("__sync();")
        turn.store(result, False)
    lines.put("__sync();")
