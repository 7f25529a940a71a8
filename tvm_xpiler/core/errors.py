"""Every error that a user can cause, each with a stable code, a place and a hint."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tvm_xpiler.core.source import Span


@dataclass(frozen=True, slots=True)
class Code:
    """A stable diagnostic code with the text that ``tvm-xpiler explain`` prints."""

    name: str
    title: str
    explanation: str


_CODES = (
    Code(
        "XP001",
        "file cannot be read",
        "The input is missing, empty, binary or larger than 4 MiB. Give a text file with a kernel.",
    ),
    Code(
        "XP002",
        "unknown dialect",
        "The dialect is taken from the file's ending: .cu, .hip, .mlu, .c, .cpp, or that of an installed plug-in. Rename the file.",
    ),
    Code(
        "XP100",
        "source does not parse",
        "The compiler front end (libclang) rejects the file. The message is the compiler's own. Headers other than those of"
        " the dialect must be beside the file or on an -I path.",
    ),
    Code(
        "XP101",
        "unknown builtin",
        "The kernel calls a function that has no body in the file and no meaning in the dialect's executable header"
        " (tvm_xpiler/core/semantics). Define it in the file, or extend the header: a builtin is added there, in plain C++,"
        " and neither parser, lifter nor oracle changes.",
    ),
    Code("XP102", "no kernel found", "The file has no __global__ function, or none of the name given with --entry."),
    Code("XP103", "several kernels", "The file has several __global__ functions and launches: choose one with --entry."),
    Code("XP104", "recursion", "Device functions are inlined, so a call cycle cannot be lifted. Rewrite it as a loop."),
    Code(
        "XP105",
        "inline assembly",
        "asm blocks have no meaning that can be checked. Use the builtin or plain C++ instead.",
    ),
    Code(
        "XP106",
        "unsupported construct",
        "The construct at the caret is outside what the lifter models (for example virtual calls, exceptions, goto, device-side"
        " malloc, pointers that change their buffer). The message names it.",
    ),
    Code(
        "XP110",
        "launch unknown",
        "The grid, block and sizes could not be derived: there is no host wrapper, or it needs scalar arguments. Give"
        " --arg name=value for the wrapper's scalars, or --grid, --block and --buffer name=size:role.",
    ),
    Code(
        "XP111",
        "bad launch",
        "The launch breaks a limit of the platform (threads of a block, grid sizes, shared memory).",
    ),
    Code(
        "XP113",
        "data too large",
        "The kernel is too large to run whole: its buffers exceed 4 GiB or it runs for over 20 s. Of such kernels a sample of blocks is"
        " judged, unless blocks or launches build on one another's results, as here. Give smaller sizes.",
    ),
    Code("XP112", "bad manifest", "The TOML manifest has an unknown key or a wrong value. See docs/manifest.md."),
    Code(
        "XP120",
        "cannot be lifted",
        "Neither the normal form nor the imperative form could be built. The message says which statement stopped it.",
    ),
    Code(
        "XP121",
        "no form for all sizes",
        "The normal forms at several values of the scalars that --symbolic names differ in more than numbers that are formulas of them, or the"
        " source does not run at any other value. Leave the scalar that the message names out of --symbolic.",
    ),
    Code(
        "XP122",
        "no normal form",
        "The kernel was lifted without a normal form: it is translated and verified, but as imperative blocks that no schedule reaches into, so"
        " that the result may be slow. The message says which statement stopped it.",
    ),
    Code(
        "XP123",
        "taken for granted",
        "Something that the text does not say and that lifting took for granted; the verdict was found under it.",
    ),
    Code(
        "XP201",
        "data race",
        "Two threads touch one address with no barrier between them and at least one writes. The result depends on timing,"
        " so there is no single function to translate. Add the missing __syncthreads or use an atomic.",
    ),
    Code(
        "XP202",
        "out of bounds",
        "The kernel touches memory outside of its buffers. Guard the access, or give the right sizes.",
    ),
    Code("XP203", "uninitialized read", "The kernel reads memory that nothing wrote; the value read is arbitrary."),
    Code(
        "XP204",
        "divergent barrier",
        "Threads of one block wait at different barriers of the text, because a condition sent them different ways: undefined behaviour, a"
        " hang on some chips. Threads that have returned are not waited for.",
    ),
    Code(
        "XP205",
        "kernel failed",
        "The kernel crashed, or ran past its limit of time or memory, when it was run on the CPU.",
    ),
    Code(
        "XP206",
        "misaligned",
        "An operand of a vector operation lies, or ends, where the chip does not allow it: on the MLU 200 series addresses are multiples"
        " of 64 bytes and sizes of 128. Pad the array, or name another chip with --chip.",
    ),
    Code(
        "XP207",
        "copy not waited for",
        "Memory that an asynchronous copy reads or writes is used before anything waits for the copy: the kernel may see old or half-copied"
        " data. Wait first: __sync() in BANG C, __pipeline_wait_prior() in CUDA.",
    ),
    Code(
        "XP301",
        "compiler missing",
        "A host C++ compiler is needed to run kernels on the CPU: install g++ (or clang++).",
    ),
    Code("XP302", "compiler failed", "The host or device compiler rejected the text. Its first lines are shown."),
    Code("XP401", "cannot be emitted", "No legal schedule for the target could be built or the code generator failed."),
    Code(
        "XP402",
        "unknown target",
        "The targets of this version are llvm (a CPU library and C++ text), cuda (a .cu file), hip (a .hip file), rocm (the .hip file and a code"
        " object by TVM) and bang (an .mlu file).",
    ),
    Code(
        "XP601",
        "tape cannot be used",
        "The tape of a model's answers is missing, cannot be written, or is no tape. Record one with --record FILE --model NAME, and answer from it with --replay FILE.",
    ),
    Code(
        "XP602",
        "model server cannot be used",
        "The server's address or key is missing or wrong. Set OPENAI_API_KEY and, for a server of your own, OPENAI_BASE_URL or --base-url.",
    ),
    Code(
        "XP603",
        "plan cannot be used",
        "The plan is malformed, or a step of it is refused and no legal plan near it was found. The message names the step.",
    ),
    Code(
        "XP604",
        "kernel cannot be used there",
        "A model or a framework asks for a kernel that was not verified, or in a form that it has not: tensors that are updated in place, open"
        " sizes, another target. The message says which.",
    ),
    Code(
        "XP605",
        "optional part is missing",
        "Something that is installed only where it is wanted is not there: matplotlib for drawings, Ray for clusters. The hint names the extra.",
    ),
    Code(
        "XP606",
        "plug-in cannot be used",
        "An installed package declares a dialect, a target, a proposer or a cost model that cannot be loaded, or is none. The message says why.",
    ),
    Code(
        "XP607",
        "no machine to measure on",
        "The RPC tracker does not answer, or no server has registered with it under the key. The hint names the command that starts one.",
    ),
    Code(
        "XP608",
        "no cluster to run on",
        "No Ray cluster answers at the address. Start one with 'ray start --head', or give --ray local for one on this machine.",
    ),
    Code(
        "XP701",
        "over a limit of the batch",
        "The kernel's process took more time or memory than a batch gives to one kernel, and was killed. Raise --limit or --memory, or give"
        " smaller sizes.",
    ),
    Code(
        "XP900", "internal error", "A defect of tvm-xpiler itself. Nothing was written for this kernel. Please report it with the kernel."
    ),
    Code("XP501", "not verified", "The translation's results differ from the original's, or could not be compared."),
)

CODES: dict[str, Code] = {code.name: code for code in _CODES}


class XpilerError(Exception):
    """An error about the user's input, with a code from :data:`CODES`.

    Attributes:
        code: The stable code, e.g. ``XP101``.
        message: One sentence that says what is wrong.
        span: The place in the user's text, where there is one.
        hint: What to do about it, where we know.
    """

    def __init__(self, code: str, message: str, span: Span | None = None, hint: str | None = None) -> None:
        super().__init__(message)
        self.code = CODES[code].name
        self.message = message
        self.span = span
        self.hint = hint

    def render(self) -> str:
        """Return ``file:line:col: [code] message`` with the source line, a caret and the hint."""
        place = f"{self.span.place}: " if self.span else ""
        lines = [f"{place}[{self.code}] {self.message}"]
        if self.span:
            lines += self.span.caret_lines()
        if self.hint:
            lines.append(f"hint: {self.hint}")
        return "\n".join(lines)

    def __str__(self) -> str:
        return self.render()


class LiftError(XpilerError):
    """The source could not be parsed, launched or lifted."""


class RunError(XpilerError):
    """A kernel could not be built or run."""


class EmitError(XpilerError):
    """No code could be made for a target."""


class ConfigError(XpilerError):
    """An option, a manifest or an environment is wrong."""
