"""Source files and places in them."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from pathlib import Path

from tvm_xpiler.core.errors import ConfigError

MAX_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A text with a name; offsets count characters of ``text``."""

    name: str
    text: str
    _starts: tuple[int, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        starts = [0]
        for index, char in enumerate(self.text):
            if char == "\n":
                starts.append(index + 1)
        object.__setattr__(self, "_starts", tuple(starts))

    def position(self, offset: int) -> tuple[int, int]:
        """Return line and column of ``offset``, both from 1."""
        line = bisect_right(self._starts, offset)
        return line, offset - self._starts[line - 1] + 1

    def offset(self, line: int, column: int) -> int:
        """Return the offset of ``line`` and ``column`` (both from 1), kept inside the text."""
        if not 1 <= line <= len(self._starts):
            return len(self.text)
        return min(self._starts[line - 1] + max(column, 1) - 1, len(self.text))

    def line_text(self, line: int) -> str:
        """Return line ``line`` (from 1) without its line end."""
        end = self._starts[line] - 1 if line < len(self._starts) else len(self.text)
        return self.text[self._starts[line - 1] : end].rstrip("\r")


@dataclass(frozen=True, slots=True)
class Span:
    """A half-open range of characters of a file."""

    file: SourceFile
    start: int
    end: int

    @property
    def line(self) -> int:
        return self.file.position(self.start)[0]

    @property
    def column(self) -> int:
        return self.file.position(self.start)[1]

    @property
    def place(self) -> str:
        """``file:line:column``."""
        line, column = self.file.position(self.start)
        return f"{self.file.name}:{line}:{column}"

    def caret_lines(self) -> list[str]:
        """Return the source line and a line of carets under the span."""
        line, column = self.file.position(self.start)
        text = self.file.line_text(line)
        width = max(1, min(self.end - self.start, len(text) - column + 1))
        number = f"{line} | "
        indent = "".join(char if char == "\t" else " " for char in text[: column - 1])
        return [number + text, " " * len(number) + indent + "^" * width]


def read_source(path: str | Path) -> SourceFile:
    """Read a kernel file.

    Raises:
        ConfigError: XP001 when it is missing, empty, binary or over 4 MiB.
    """
    path = Path(path)
    try:
        if not path.is_file():
            raise ConfigError("XP001", f"{path}: no such file" if not path.exists() else f"{path}: not a regular file")
        if path.stat().st_size > MAX_BYTES:
            raise ConfigError("XP001", f"{path}: larger than {MAX_BYTES >> 20} MiB")
        text = path.read_bytes().decode("utf-8")
    except UnicodeDecodeError:
        raise ConfigError("XP001", f"{path}: not UTF-8 text") from None
    except OSError as error:
        raise ConfigError("XP001", f"{path}: {error.strerror}") from None
    if not text.strip() or "\0" in text:
        raise ConfigError("XP001", f"{path}: {'binary' if chr(0) in text else 'empty'} file")
    return SourceFile(str(path), text)


def as_source(kernel: str | Path | SourceFile) -> SourceFile:
    """Take a path, a :class:`SourceFile`, or the text of a kernel (any string with a line break).

    Raises:
        ConfigError: As :func:`read_source`.
    """
    if isinstance(kernel, SourceFile):
        return kernel
    if isinstance(kernel, str) and "\n" in kernel:
        return SourceFile("kernel.cu", kernel)
    return read_source(kernel)
