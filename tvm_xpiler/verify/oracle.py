"""The oracle: the original text, compiled by the host compiler against the executable header, run in a process of its own."""

from __future__ import annotations

import copy
import math
import os
import re
import resource
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt

from tvm_xpiler.core.errors import RunError
from tvm_xpiler.core.fingerprint import SEMANTICS, cached, fingerprint, semantics_fingerprint
from tvm_xpiler.core.headers import empty_headers
from tvm_xpiler.core.includes import included
from tvm_xpiler.core.kernels import Problem, ScalarSpec, TensorSpec
from tvm_xpiler.core.source import SourceFile
from tvm_xpiler.core.toolchain import host_cxx, run_compiler, tools
from tvm_xpiler.verify.findings import Finding, finding_of

Array = npt.NDArray[Any]
MODES = ("native", "checked", "tracked", "narrow", "tf32", "algebraic", "zeroed", "probe", "counted")
SPARSE_BYTES = 4 << 30  # data beyond which a run keeps only what its blocks write
LARGE_BYTES = 256 << 20  # the same for runs that are samples anyway
SPARSE_SECONDS = 0.5
_FLAGS = {
    "native": ["-O2", "-march=native"],
    "checked": ["-O0", "-g1", "-march=native", "-DXP_CHECKED"],  # -O0: uninitialized locals hold their pattern
    "tracked": ["-O2", "-march=native", "-DXP_TRACKED"],
    "narrow": ["-O2", "-march=native", "-DXP_TRACKED", "-DXP_NARROW"],
    "tf32": ["-O2", "-march=native", "-DXP_TRACKED", "-DXP_TF32"],
    "algebraic": ["-O2", "-march=native", "-DXP_TRACKED", "-DXP_ALGEBRAIC"],
    "zeroed": ["-O0", "-march=native"],
    "probe": ["-O2", "-march=native", "-DXP_PROBE"],
    "counted": ["-O2", "-march=native", "-DXP_COUNTED_BUILD"],
}
_INSTRUMENTED = {"checked": ["-fsanitize=thread", "-fsanitize=bounds"], "probe": ["-fsanitize=thread"], "counted": ["-fsanitize=thread"]}
_RUNTIME = ["-O2", "-fno-omit-frame-pointer"]  # it is no text whose locals matter; findings walk its frames
_BASE = ["-std=c++17", "-w", "-fno-strict-aliasing", "-ffp-contract=off", "-fno-threadsafe-statics", "-fno-pie"]
_ROWS: dict[str, tuple[np.dtype[Any] | None, tuple[int, ...]]] = {
    "tracked": (np.dtype(np.float64), (2,)),
    "narrow": (np.dtype(np.float64), (2,)),
    "tf32": (np.dtype(np.float64), (2,)),
    "algebraic": (np.dtype(np.uint64), (4,)),
}


def numpy_dtype(name: str) -> np.dtype[Any]:
    """Return numpy's dtype of one of our dtype names."""
    return np.dtype(ml_dtypes.bfloat16) if name == "bfloat16" else np.dtype(name)


@dataclass(frozen=True, slots=True)
class Run:
    """What one run left.

    Attributes:
        outputs: Output tensors by name, flat; for ``tracked``, ``narrow`` and ``tf32`` floats of shape (n, 2): value and error bound; for ``algebraic``
            floats of shape (n, 4) and dtype uint64: the bits of the value, the degrees, and the two residues (see algebraic.h).
        where: For a sparse run, the ascending element positions that the rows of ``outputs`` have in their tensors; None otherwise.
        findings: What it found in the source.
        blocks_run: Blocks that ran, of ``blocks_total``; fewer when the budget of time was spent.
        seconds: Wall time in the kernels and the host function.
        launches: Kernels launched.
        atomics: Whether a block changed memory by read-modify-write.
        ambiguous: Decisions that the error bounds leave open.
        sandbox: What confined the process.
        divergent: Whether a barrier was passed by some threads alone.
        counts: For ``counted``, what the run reports of its cost, word by word; see :mod:`tvm_xpiler.verify.estimate`.
    """

    outputs: dict[str, Array]
    where: dict[str, Array] | None
    findings: tuple[Finding, ...]
    blocks_run: int
    blocks_total: int
    seconds: float
    launches: int
    atomics: bool
    ambiguous: int
    sandbox: str
    divergent: bool
    counts: tuple[tuple[str, ...], ...] = ()

    @property
    def sampled(self) -> bool:
        """Whether some blocks did not run."""
        return self.blocks_run < self.blocks_total

    @property
    def entangled(self) -> bool:
        """Whether blocks build on what others did: several launches, or atomics."""
        return self.launches > 1 or self.atomics


def _stretches(raw: Array, dtype: np.dtype[Any], row: tuple[int, ...]) -> tuple[Array, Array]:
    """Return positions and rows of a sparse output: each stretch is its first element, its length, its elements."""
    positions, rows, at = [np.empty(0, np.int64)], [np.empty((0, *row), dtype)], 0
    while at < len(raw):
        first, count = (int(n) for n in raw[at : at + 16].view(np.int64))
        end = at + 16 + count * dtype.itemsize * math.prod(row)
        positions.append(np.arange(first, first + count))
        rows.append(np.frombuffer(raw[at + 16 : end].tobytes(), dtype).reshape(-1, *row))
        at = end
    return np.concatenate(positions), np.concatenate(rows)


@lru_cache(maxsize=8)
def _set_locals(cxx: str, value: str) -> tuple[str, ...]:
    """Return the flag that sets uninitialized locals to ``zero`` or a ``pattern``, where the compiler has it.

    g++ 12 sets memory, but not what it keeps in registers: only a build without optimization shows the pattern everywhere.
    """
    flag = f"-ftrivial-auto-var-init={value}"
    probe = subprocess.run([cxx, flag, "-x", "c++", "-fsyntax-only", "-"], input="", capture_output=True, text=True, check=False)
    return (flag,) if probe.returncode == 0 else ()


def _contents(files: Mapping[Path, bytes]) -> list[str | bytes]:
    return [part for path, content in files.items() for part in (str(path), content)]


class Oracle:
    """One source file, built up to nine ways.

    ``native``; ``checked``: every access looked up, locals start with a pattern; ``zeroed``: they start at zero; ``tracked``: error bounds;
    ``narrow``: the same for float in place of double; ``tf32``: the same for products of floats that are rounded to tf32 first; ``probe``: how far it reaches; ``counted``: what it costs by estimate.
    """

    def __init__(
        self,
        source: SourceFile,
        runnable: str,
        header: str,
        entry: str,
        types: Sequence[str | None],
        launch: str | None,
        serial: bool = False,
        timeout: float = 60.0,
        defines: Sequence[str] = (),
        include: Sequence[str] = (),
    ) -> None:
        """Args:
        source: The user's file, for places in findings.
        runnable: Its text as plain C++.
        header: The dialect's executable header.
        entry: The host wrapper or kernel to call.
        types: C type of each scalar parameter, None for pointers.
        launch: ``dim3(..), dim3(..), bytes`` where ``entry`` is a kernel.
        serial: Keep all blocks in one process (the source has device variables).
        timeout: Seconds for one run.
        defines: Macros, ``NAME=VALUE``.
        include: Folders for ``#include``, after the source's own.
        """
        self.defines = tuple(f"-D{define}" for define in defines)
        self.include = tuple(str(Path(folder).resolve()) for folder in include)
        self.source = source
        self.serial = serial
        self.timeout = timeout
        arguments = [f"xp::any({i})" if t is None else f"xp::scalar<{t}>({i})" for i, t in enumerate(types)]
        call = (
            f"{entry}({', '.join(arguments)});"
            if launch is None
            else f'xp::run(xp::configure("site0", {launch}), {", ".join([entry, *arguments])});'
        )
        lines = runnable.split("\n")
        includes = [line for line in lines if re.match(r"\s*#\s*include\s*<", line)]
        body = "\n".join("" if re.match(r"\s*#\s*include\s*<", line) else line for line in lines)
        self.header = SEMANTICS / header
        self.text = "\n".join(
            [f'#include "{self.header}"', *includes, "#ifdef XP_TRACKED", "#define float xp_f32", "#define double xp_f64", "#define _Float16 half", "#endif",
             '#line 1 "kernel.cu"', body, '#line 1 "entry"', f"void xp_entry() {{ {call} }}", ""]
        )  # fmt: skip
        self._builds: dict[str, Future[Path]] = {}
        self._withheld: frozenset[str] = frozenset()
        self._pool = ThreadPoolExecutor(max_workers=2)

    def with_prologue(self, prologue: str, defines: Sequence[str]) -> Oracle:
        """Return an oracle of the same text with more macros, and with text after the executable header."""
        other = copy.copy(self)
        first, _, rest = self.text.partition("\n")
        other.text = "\n".join([first, prologue, rest])
        other.defines = (*self.defines, *(f"-D{define}" for define in defines))
        other._builds = {}
        return other

    def start(self, *modes: str) -> None:
        """Begin to build ``modes`` in the background."""
        for mode in modes:
            if mode not in self._builds:
                self._builds[mode] = self._pool.submit(self._build, mode)

    def withhold(self, *modes: str) -> None:
        """Keep the text from being run in modes that would not compute what it says."""
        self._withheld |= frozenset(modes)

    def program(self, mode: str) -> Path:
        """Return the executable of ``mode``, built at need.

        Raises:
            RunError: XP301 or XP302.
        """
        self.start(mode)
        return self._builds[mode].result()

    def available(self, mode: str) -> bool:
        """Say whether the text compiles in ``mode``, and may be run so."""
        if mode in self._withheld:
            return False
        try:
            self.program(mode)
        except RunError as error:
            if error.code == "XP302":
                return False
            raise
        return True

    def _build(self, mode: str) -> Path:
        cxx = host_cxx()
        ours = [define for define in self.defines if define.startswith("-DXP_")]  # the headers' macros; the others are the kernel's
        locals_ = _set_locals(cxx, "zero" if mode == "zeroed" else "pattern")
        flags = [*_BASE, *ours, *locals_, *_FLAGS[mode], f"-I{empty_headers(True)}"]
        instrumented = [*flags, *_INSTRUMENTED.get(mode, [])]
        folder = Path(self.source.name).resolve().parent
        search = [f"-I{path}" for path in (folder, *self.include, SEMANTICS.parent)]  # a plug-in's header includes "semantics/cuda.h"
        files = included(self.text, folder, self.include)
        basis = (mode, tools()["g++"].version or cxx, *flags, *_RUNTIME, semantics_fingerprint())

        def runtime(work: Path) -> None:
            run_compiler([cxx, *flags, *_RUNTIME, "-c", str(SEMANTICS / "runtime.cpp"), "-o", "runtime.o"], work)

        def precompiled(work: Path) -> None:
            (work / "semantics.h").write_text(f'#include "{self.header}"\n')
            run_compiler([cxx, *instrumented, f"-I{SEMANTICS.parent}", "-x", "c++-header", "semantics.h", "-o", "semantics.h.gch"], work)

        def unit(work: Path) -> None:
            (work / "unit.cpp").write_text(self.text)
            first = ["-include", str(header / "semantics.h")]  # read as text where a macro of the kernel's touches it
            run_compiler([cxx, *instrumented, *self.defines, *search, *first, "-c", "unit.cpp", "-o", "unit.o"], work)
            run_compiler([cxx, "-no-pie", "unit.o", str(library / "runtime.o"), "-o", "program"], work)

        library = cached(fingerprint("runtime", *basis), runtime)
        header = cached(fingerprint("header", *_contents(included(f'#include "{self.header}"', folder)), *basis), precompiled)
        return cached(fingerprint("unit", *self.defines, *basis, self.text, *_contents(files)), unit) / "program"

    # ---- running ----
    def record(self, parameters: Sequence[tuple[str, float | None]], timeout: float = 20.0) -> list[list[str]]:
        """Run the wrapper dry and return what it allocated, copied and launched.

        Args:
            parameters: Per parameter its dtype, and its value where it is a scalar.
            timeout: In seconds.
        """
        plan = ["record"]
        for dtype, value in parameters:
            plan.append(f"tensor {dtype} 0 in - -" if value is None else f"scalar {dtype} {value!r}")
        with tempfile.TemporaryDirectory(prefix="xpiler-") as folder:
            lines = self._execute("native", plan, Path(folder), timeout)
        return [line.split() for line in lines if line.split()[0] in {"malloc", "copy", "set", "symbol", "launch", "allow"}]

    def probe(self, parameters: Sequence[tuple[str, float | None]], timeout: float = 30.0) -> list[tuple[int, bool, bool]]:
        """Run the entry on zeros and return, per pointer, the elements it reaches, whether it reads them first, whether it writes.

        Args:
            parameters: Per parameter its dtype, and its value where it is a scalar.
            timeout: In seconds.
        """
        plan = [f"tensor {dtype} 1 in - -" if value is None else f"scalar {dtype} {value!r}" for dtype, value in parameters]
        with tempfile.TemporaryDirectory(prefix="xpiler-") as folder:
            lines = self._execute("probe", plan, Path(folder), timeout)
        found = [line.split() for line in lines if line.startswith("reach ")]
        return [(int(words[2]), words[3] == "1", words[4] == "1") for words in found]

    def run(
        self,
        mode: str,
        problem: Problem,
        inputs: Mapping[str, Array],
        poison: Mapping[str, Array],
        *,
        order: int = 0,
        budget: float | None = None,
        timeout: float | None = None,
        filling: int | None = None,
        draw: int | None = None,
    ) -> Run:
        """Run the kernel on ``inputs``.

        Args:
            mode: One of :data:`MODES`.
            problem: The kernel's parameters.
            inputs: Flat arrays of the ``in`` and ``inout`` tensors; one that is shorter than its tensor repeats.
            poison: What ``out`` tensors hold before the run, likewise.
            order: 0 threads in order, 1 backwards, n > 1 shuffled by seed n.
            budget: Stop after so many seconds with the blocks done by then; None runs all.
            timeout: Kill the process after so many seconds; the oracle's own by default.
            filling: The 32-bit word that device and on-chip memory holds before anything writes it.
            draw: For ``algebraic``, which random residues the inputs have; 0 gives them those of their values.

        Raises:
            RunError: XP205 on a crash or timeout; XP301, XP302.
        """
        with tempfile.TemporaryDirectory(prefix="xpiler-") as name:
            folder = Path(name)
            sparse = problem.nbytes > (SPARSE_BYTES if mode == "native" else LARGE_BYTES)
            workers = 1 if self.serial or mode in {"checked", "counted"} or sparse else len(os.sched_getaffinity(0))
            plan = [f"workers {workers}", f"order {order}"]
            if budget is not None:
                plan.append(f"budget {min(budget, SPARSE_SECONDS) if sparse else budget}")
            if sparse:
                plan.append("sparse")
            if filling is not None:
                plan.append(f"filling {filling}")
            if draw is not None:
                plan.append(f"draw {draw}")
            for index, param in enumerate(problem.params):
                match param:
                    case ScalarSpec(_, dtype, value):
                        plan.append(f"scalar {dtype} {value!r}")
                    case TensorSpec(tensor, dtype, size, role):
                        data = inputs[tensor] if role != "out" else poison[tensor]
                        data.tofile(folder / f"in{index}")
                        plan.append(f"tensor {dtype} {size} {role} {folder}/in{index} {folder}/out{index}")
            lines = self._execute(mode, plan, folder, timeout or self.timeout)
            outputs: dict[str, Array] = {}
            where: dict[str, Array] = {}
            for index, param in enumerate(problem.params):
                if isinstance(param, TensorSpec) and param.role != "in":
                    kind, row = _ROWS.get(mode, (None, ())) if "float" in param.dtype else (None, ())
                    kind = kind or numpy_dtype(param.dtype)
                    raw = np.fromfile(folder / f"out{index}", dtype=np.uint8)
                    if sparse:
                        where[param.name], outputs[param.name] = _stretches(raw, kind, row)
                    else:
                        outputs[param.name] = raw.view(kind).reshape(-1, *row)
        return self._result(mode, lines, outputs, where if sparse else None, problem)

    def _execute(self, mode: str, plan: list[str], folder: Path, timeout: float) -> list[str]:
        program = self.program(mode)
        (folder / "plan").write_text("\n".join(plan) + "\n")

        def limit() -> None:
            resource.setrlimit(resource.RLIMIT_CPU, (int(timeout * 4) + 1, int(timeout * 4) + 2))
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            resource.setrlimit(resource.RLIMIT_FSIZE, (32 << 30, 32 << 30))
            resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))
            os.setsid()

        process = subprocess.Popen(
            [program, folder / "plan"],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            preexec_fn=limit,
            env={},
        )
        try:
            text, _ = process.communicate(timeout=timeout)
        except (subprocess.TimeoutExpired, KeyboardInterrupt) as stop:
            os.killpg(process.pid, 9)
            process.communicate()
            if isinstance(stop, KeyboardInterrupt):
                raise
            raise RunError(
                "XP205",
                f"the kernel ran for over {timeout:.0f} s on the CPU",
                hint="raise --timeout, or give smaller sizes",
            ) from None
        lines = [line for line in text.splitlines() if line.strip()]
        if lines and lines[-1] == "end":
            return lines
        known = [line for line in lines if line.startswith(("error ", "crash "))]
        if mode == "checked" and any(line.startswith(("finding ", "bounds ")) for line in lines):
            return lines  # it crashed after it said why
        if known and known[0].startswith("crash "):
            _, signal, where, offset = known[0].split()
            buffer = f" near argument {where} at byte {offset}" if int(where) >= 0 else ""
            raise RunError("XP205", f"the kernel crashed with signal {signal}{buffer}")
        raise RunError("XP205", known[0][6:] if known else f"the kernel ended with status {process.returncode}")

    def _result(self, mode: str, lines: list[str], outputs: dict[str, Array], where: dict[str, Array] | None, problem: Problem) -> Run:
        ran, total, seconds, launches, atomics, ambiguous, sandbox = 0, 0, 0.0, 0, False, 0, "none"
        raw: list[list[str]] = []
        for line in lines:
            words = line.split()
            if words[0] == "ran":
                ran, total, seconds = int(words[1]), int(words[2]), float(words[3])
            elif words[0] == "launches":
                launches = int(words[1])
            elif words[0] == "atomics":
                atomics = words[1] != "0"
            elif words[0] == "ambiguous":
                ambiguous = int(words[1])
            elif words[0] == "sandbox":
                sandbox = words[1]
            elif words[0] in {"finding", "bounds"}:
                raw.append(words)
        places = self._lines([pc for words in raw if words[0] == "finding" for pc in words[2].split(",")], mode)
        findings = tuple(finding_of(words, places, problem) for words in raw)
        counts = tuple(tuple(line.split()) for line in lines if line.startswith(("estimate ", "moved ")))
        return Run(
            outputs, where, tuple(findings), ran, total, seconds, launches, atomics, ambiguous, sandbox, "divergent" in lines, counts
        )

    def _lines(self, addresses: list[str], mode: str) -> dict[str, int]:
        """Return the source line of each code address, inlined calls followed outwards to the user's file."""
        tool = tools()["addr2line"].path
        if not addresses or tool is None:
            return {}
        done = subprocess.run([tool, "-i", "-a", "-e", str(self.program(mode)), *addresses], capture_output=True, text=True, check=False)
        result: dict[str, int] = {}
        current = ""
        for line in done.stdout.splitlines():
            if line.startswith("0x"):
                current = f"{int(line, 16):x}"
            else:
                name, _, number = line.partition(" ")[0].rpartition(":")
                if name.endswith(("kernel.cu", "unit.cpp")) and current not in result and number.isdigit():
                    result[current] = int(number)
        return result
