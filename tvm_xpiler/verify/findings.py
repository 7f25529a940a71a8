"""What a run says of a defect of the source: its code, what happened, and where."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tvm_xpiler.core.kernels import Problem
from tvm_xpiler.core.source import SourceFile, Span

_KINDS = {
    "w": ("XP201", "two threads write this address with no barrier between them"),
    "r": ("XP201", "a read and a write of this address with no barrier between them"),
    "a": ("XP201", "a plain read of this address beside atomic updates"),
    "o": ("XP202", "reads outside of its buffer"),
    "O": ("XP202", "writes outside of its buffer"),
    "u": ("XP203", "reads memory that nothing wrote"),
    "m": ("XP206", "a vector operand whose address or size breaks the chip's rule"),
    "y": ("XP207", "memory of an asynchronous copy is used before anything waits for the copy"),
    "d": ("XP204", "a barrier that not all threads of the block reach: thread {other} waits at another one"),
}


@dataclass(frozen=True, slots=True)
class Finding:
    """A defect of the source that a run proved: its code, what happened, where, and to which block and thread.

    ``argument`` is the position of the parameter whose memory it concerns, None for any other memory.
    """

    code: str
    message: str
    line: int
    block: tuple[int, int, int]
    thread: tuple[int, int, int]
    argument: int | None = None

    def span(self, source: SourceFile) -> Span | None:
        """Return the place in the user's text."""
        if not 1 <= self.line <= source.text.count("\n") + 1:
            return None
        text = source.line_text(self.line)
        start = source.offset(self.line, len(text) - len(text.lstrip()) + 1)
        return Span(source, start, start + max(len(text.strip()), 1))


def finding_of(words: Sequence[str], places: Mapping[str, int], problem: Problem) -> Finding:
    """Return the finding that a line of a run's report says.

    Args:
        words: The line.
        places: The source line of each code address.
        problem: The kernel's parameters.
    """
    numbers = tuple(map(int, words[-7:-1] if words[0] == "finding" else words[3:9]))
    block, thread = (numbers[0], numbers[1], numbers[2]), (numbers[3], numbers[4], numbers[5])
    if words[0] == "bounds":
        return Finding("XP202", "an array index is outside of its extent", int(words[1]), block, thread)
    code, message = _KINDS[words[1]]
    tensor, other = int(words[3]), int(words[-1])
    names = [param.name for param in problem.params]
    if 0 <= tensor < len(names):
        what = f"'{names[tensor]}'"
    else:
        what = "on-chip memory" if tensor >= 200 else "device memory" if tensor >= 100 else "shared memory"
    with_thread = f", the other by thread {other} of its block" if code == "XP201" and other >= 0 else ""
    where = "" if code == "XP204" else f" ({what}, byte {words[4]}{with_thread})"
    line = next((places[pc] for pc in words[2].split(",") if pc in places), 0)
    return Finding(code, message.format(other=other) + where, line, block, thread, tensor if 0 <= tensor < len(names) else None)
