"""CUDA and HIP: the kernels that TVM generates, cleaned of its prelude, behind a launcher of the original signature."""

from __future__ import annotations

import re
import struct
import tempfile
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import Any

from tvm_xpiler.core.errors import EmitError, RunError
from tvm_xpiler.core.kernels import C_TYPES, DTYPE_BYTES, Problem
from tvm_xpiler.core.platforms import PLATFORMS, Platform
from tvm_xpiler.core.rocm import compile_hip
from tvm_xpiler.core.symbols import scalar_parameters
from tvm_xpiler.core.targets import DEFAULT_ARCH, TargetSpec
from tvm_xpiler.core.tir import (
    DYNAMIC,
    IntImm,
    IRModule,
    PrimFunc,
    ScheduleError,
    Target,
    allocates,
    compile_module,
    cuda_device,
    elements,
    identical,
    lowered_allocations,
    source_only,
    tirx,
    with_exact_doubles,
)
from tvm_xpiler.core.toolchain import compile_cuda
from tvm_xpiler.emit.c_source import helpers
from tvm_xpiler.emit.code_object import MAX_THREADS, code_object
from tvm_xpiler.emit.emitted import Emitted, HostSizes, c_signature, entry_name, scheduled_by, specialization
from tvm_xpiler.emit.imperative import DevicePrinter, is_imperative, launches
from tvm_xpiler.emit.tf32 import declarable, with_tf32
from tvm_xpiler.emit.wave import with_waves
from tvm_xpiler.schedule.group_intrinsics import with_groups
from tvm_xpiler.schedule.in_place import apart
from tvm_xpiler.schedule.intermediates import as_parameters
from tvm_xpiler.schedule.plan import Plan
from tvm_xpiler.schedule.rules import rules_plan

_AXES = ("x", "y", "z")


@dataclass(frozen=True, slots=True)
class Flavour:
    """How a platform's text differs: the prefix of its host interface, its headers, and the file that its compiler makes."""

    prefix: str
    headers: tuple[str, str, str]  # runtime, half, bfloat16
    suffix: str
    binary: str


_COPY_ASYNC = """template <int Bytes, class T>
static __device__ __forceinline__ void copy_async(T* to, int at, const T* from, int from_at) {
  __pipeline_memcpy_async(to + at, from + from_at, Bytes);
}

"""

_FOUR = """// {what}, copied in one access
struct __align__(8) {name} {{ {element} x, y, z, w; }};
static __device__ __forceinline__ {name} make_{name}({element} x, {element} y, {element} z, {element} w) {{
  {name} v;
  v.x = x; v.y = y; v.z = z; v.w = w;
  return v;
}}

"""
_FOURS = (
    ("half4", "four_halves", "half", "four values of half"),
    ("nv_bfloat164", "four_bfloats", "nv_bfloat16", "four values of bfloat16"),
)
"""Vectors that TVM's prelude defines and no toolkit has: TVM's name, ours, the element, in words."""

_FLAVOURS = {
    Platform.CUDA: Flavour("cuda", ("cuda_runtime.h", "cuda_fp16.h", "cuda_bf16.h"), ".cu", "kernel.cubin"),
    Platform.HIP: Flavour(
        "hip", ("hip/hip_runtime.h", "hip/hip_fp16.h", "hip/hip_bfloat16.h"), ".hip", "kernel.hsaco"
    ),
}  # fmt: skip


def cuda_target(spec: TargetSpec) -> Target:
    """Return TVM's target for a CUDA architecture."""
    return _target(Platform.CUDA, spec.arch or DEFAULT_ARCH["cuda"])


def _target(platform: Platform, arch: str) -> Target:
    """Return the target that TVM generates text for. HIP is generated as CUDA without warp shuffles: lanes differ, barriers do not."""
    spec = PLATFORMS[platform]
    return Target(
        {
            "kind": "cuda", "arch": arch if platform is Platform.CUDA else "sm_80", "max_threads_per_block": spec.max_threads,
            "max_shared_memory_per_block": spec.shared_bytes, "thread_warp_size": spec.warp if platform is Platform.CUDA else 1,
            "host": {"kind": "llvm"},
        }
    )  # fmt: skip


def emit_simt(func: PrimFunc, problem: Problem, spec: TargetSpec, plan: Plan | None = None) -> Emitted:
    """Emit CUDA C or HIP for a lifted function.

    Args:
        func: The lifted function; its parameters are the problem's tensors in order.
        problem: The kernel's parameters.
        spec: ``cuda``, or ``hip``.
        plan: A plan that binds everything to GPU axes; that of the rules by default.

    Raises:
        EmitError: XP401 when no legal schedule or no code can be made.
    """
    platform, arch = Platform(spec.name), spec.arch or DEFAULT_ARCH[spec.name]
    flavour = _FLAVOURS[platform]
    if is_imperative(func):
        return _imperative(func, problem, platform, arch)
    if plan is None:
        try:
            plan = rules_plan(apart(func), spec.machine)
        except ScheduleError as error:
            raise EmitError("XP401", f"no legal GPU schedule: {str(error).splitlines()[0]}") from None
    scheduled = IRModule({"main": as_parameters(scheduled_by(plan, func)["main"])})
    try:
        declared, rounded = declarable(with_exact_doubles(scheduled["main"]))
        # CSE's variables are left behind unused, and nvcc finds the sums itself.
        with nullcontext() if platform is Platform.CUDA and not rounded and cuda_device() else source_only():
            built = compile_module(IRModule({"main": declared}), _target(platform, arch), "tirx.disable_cse_tir", "tirx.use_async_copy")
    except (RuntimeError, ValueError, TypeError) as error:
        raise EmitError("XP401", f"{platform.value} code generation failed: {str(error).strip().splitlines()[-1]}") from None
    if not built.mod.imports:
        raise EmitError("XP401", "the schedule has no GPU kernel")
    source = built.mod.imports[0].inspect_source()
    kernels = _constant(_cleaned(source, entry_name(problem)), {t.name for t in problem.tensors if t.role == "in"})
    nests = launch_extents(scheduled["main"])
    text = _document(kernels, nests, problem, scheduled, flavour, _dynamic_bytes(scheduled, len(nests)))
    binaries, notes = _binary(text, arch, flavour)
    runtime = None if rounded else built  # what TVM would compile has fragments that stand for others
    return Emitted(platform.value, text, flavour.suffix, plan, scheduled, runtime, binaries, notes, "tf32" if rounded else "tracked")


def emit_rocm(func: PrimFunc, problem: Problem, spec: TargetSpec, plan: Plan | None = None) -> Emitted:
    """Emit HIP text, and from the same scheduled module a code object by TVM's own AMDGPU code generator.

    Raises:
        EmitError: XP401 as :func:`emit_simt`, and when there is no normal form, a block has too many threads, or AMD's tools are missing.
    """
    arch = spec.arch or DEFAULT_ARCH[spec.name]
    text = emit_simt(func, problem, replace(spec, name="hip"), plan)
    if text.plan is None:
        raise EmitError("XP401", "a kernel without a normal form has no code object", hint="--to hip writes its text")
    threads = max(prod(block) for _, block in launch_extents(text.module["main"]))
    if threads > MAX_THREADS:
        raise EmitError("XP401", f"TVM's AMDGPU code generator allows {MAX_THREADS} threads a block; the plan has {threads}")
    binary = code_object(text.module, arch, spec.machine.lanes)
    note = f"kernel.hsaco for {arch} by TVM's rocm target; it was not run: the verdict is on the text of the same schedule"
    return replace(text, target="rocm", binaries=(("kernel.hsaco", binary),), notes=(note,))


def _imperative(func: PrimFunc, problem: Problem, platform: Platform, arch: str) -> Emitted:
    """Emit a function without a normal form: the source's blocks, and its threads where no barrier ties them together."""
    flavour, kernels, nests, buffers = _FLAVOURS[platform], [], [], []
    for position, launch in enumerate(launches(func)):
        printer = DevicePrinter()
        printer.used |= {"blockIdx", "gridDim", "threadIdx", "blockDim"}
        lane = ("threadIdx.x", "blockDim.x")
        blocks, threads = launch.write(printer, "blockIdx.x", "gridDim.x", "blockIdx.x == 0", lane)
        buffers = list(launch.buffers)
        parameters = ", ".join(f"{C_TYPES[str(b.ty.dtype)]}* {printer.name(b)}" for b in buffers)
        kernels += [f"__global__ void {entry_name(problem)}_kernel_{position}({parameters}) {{", *printer.lines, "}", ""]
        nests.append(((blocks, 1, 1), (threads, 1, 1)))
    body = "\n".join(kernels)
    whole = IRModule({"main": PrimFunc([*func.params, *buffers[len(problem.tensors) :]], func.body)})
    text = _document(helpers(body, "__device__ ") + body, nests, problem, whole, flavour)
    binaries, notes = _binary(text, arch, flavour)
    note = "no normal form: the blocks of the source, their threads one after the other where barriers tie them together"
    return Emitted(platform.value, text, flavour.suffix, None, IRModule({"main": func}), None, binaries, (note, *notes))


def _cleaned(source: str, entry: str) -> str:
    """Return TVM's kernels without its prelude, with readable literals and names."""
    start = source.index('extern "C" __global__')
    kernels = re.sub(r'^extern "C" __global__[^{;]*;\n', "", source[start:], flags=re.MULTILINE)
    kernels = re.sub(r"-?0x[0-9a-f.]+p[+-]\d+f/\*([^*]*)\*/", lambda m: _literal(m.group(0)), kernels)
    kernels = re.sub(
        r"__longlong_as_double\(\(int64_t\)(-?\d+)\)", lambda m: repr(struct.unpack(">d", struct.pack(">q", int(m[1])))[0]), kernels
    )
    kernels = re.sub(r"\bmain_kernel\b", f"{entry}_kernel", kernels)
    kernels = re.sub(r"\bmain_kernel_(\d+)\b", rf"{entry}_kernel_\1", kernels)
    kernels = re.sub(r"\b([A-Za-z_]\w*)_ptr\b", r"\1", kernels).replace('extern "C" __global__', "__global__")
    kernels = re.sub(r"__shared__ alignas\((\d+)\)", r"__shared__ __align__(\1)", kernels)
    kernels = re.sub(r"alignas\(\d+\) (\w+ \w+\[1\];)", r"\1", kernels)
    kernels = _with_dynamic(kernels)
    kernels = re.sub(r"\bptx_cp_async_legacy_c[ag]_(\d+)_\d+_\d+\(", r"copy_async<\1>(", kernels)
    kernels = re.sub(r"\btvm_builtin_ptx_cp_async_commit_group_\w+\(\)", "__pipeline_commit()", kernels)
    kernels = re.sub(r"\btvm_builtin_ptx_cp_async_wait_group_\w*?(\d+)\(\)", r"__pipeline_wait_prior(\1)", kernels)
    for name, spelled in (
        ("CUDART_INF_F", "INFINITY"),
        ("CUDART_INF", "(double)INFINITY"),
        ("CUDART_NAN_F", "NAN"),
        ("CUDART_NAN", "(double)NAN"),
        ("make_half2", "__halves2half2"),  # which older toolkits have, and HIP
    ):
        kernels = re.sub(rf"\b{name}\b", spelled, kernels)
    for short, spelled in (("uint", "unsigned"), ("uchar", "unsigned char"), ("ushort", "unsigned short")):
        kernels = re.sub(rf"\b{short}\b", spelled, kernels)
    return kernels


def _with_dynamic(kernels: str) -> str:
    """Give the shared memory that a launch gives the type of its elements; TVM declares bytes and casts."""
    found = re.search(r"\(\((\w+)\*\)buf_dyn_shmem\)", kernels)
    if found is None:
        return kernels
    kernels = re.sub(r"\buchar buf_dyn_shmem\[\]", f"{found[1]} operands[]", kernels).replace(found[0], "operands")
    return re.sub(r"\bbuf_dyn_shmem\b", "operands", kernels)


def _dynamic_bytes(module: IRModule, launches: int) -> list[int]:
    """Return how much shared memory each launch of a scheduled module gives; TVM lays the buffers of a kernel one behind the other."""
    if not allocates(module, DYNAMIC):
        return [0] * launches
    held = [[b for b in buffers if b.scope() == DYNAMIC] for _, buffers in lowered_allocations(module)]
    if len(held) != launches or any(len({str(b.ty.dtype) for b in buffers}) > 1 for buffers in held):
        raise EmitError(
            "XP401", "shared memory whose size a launch gives holds elements of one type, in kernels that are nests of their own"
        )
    return [sum(elements(b) * DTYPE_BYTES[str(b.ty.dtype)] for b in buffers) for buffers in held]


def _constant(kernels: str, names: set[str]) -> str:
    """Mark the parameters that no kernel writes, so that the compiler may keep what it loaded."""

    def mark(m: re.Match[str]) -> str:
        return f"{m[1]}const {m[2]}* __restrict__ {m[3]}" if m[3] in names else m[0]

    return re.sub(r"([(,]\s*)([A-Za-z_][\w ]*)\* __restrict__ (\w+)", mark, kernels)


Extents = tuple[tuple[Any, Any, Any], tuple[Any, Any, Any]]


def _document(
    kernels: str, nests: list[Extents], problem: Problem, module: IRModule, flavour: Flavour, dynamic: Sequence[int] | None = None
) -> str:
    """Return the kernels and a launcher that allocates, copies and launches; ``module`` has the temporaries among its parameters.

    ``dynamic`` are the bytes of shared memory that each launch gives.
    """
    entry = entry_name(problem)
    signatures = re.findall(r"__global__ void (?:__launch_bounds__\(\d+\) )?(\w+)\(([^)]*)\)", kernels)
    if len(nests) != len(signatures):
        raise EmitError("XP401", f"{len(signatures)} kernels were generated for {len(nests)} scheduled nests")
    func, api = module["main"], flavour.prefix
    sizes = HostSizes(func)
    buffers = {re.sub(r"\W", "_", str(b.name)): (C_TYPES[str(b.ty.dtype)], sizes.count(b)) for b in func.params if tirx.is_buffer_var(b)}
    scalars = {str(v.name) for v in scalar_parameters(func)}
    inputs = {t.name for t in problem.tensors}
    lines = [f'extern "C" void {entry}({c_signature(problem)}) {{']
    used = {word.split()[-1].lstrip("*") for _, arguments in signatures for word in arguments.split(",") if word.strip()}
    unknown = used - set(buffers) - scalars
    if unknown:
        raise EmitError("XP401", f"a kernel takes '{min(unknown)}', which the host does not know")
    for name, (ctype, size) in buffers.items():
        if name in used:
            lines += [f"  {ctype}* d_{name};", f"  {api}Malloc(&d_{name}, {size} * sizeof({ctype}));"]
            if name in inputs:
                lines += [f"  {api}Memcpy(d_{name}, {name}, {size} * sizeof({ctype}), {api}MemcpyHostToDevice);"]
    for (name, arguments), (grid, block), shared in zip(signatures, nests, dynamic or [0] * len(nests), strict=True):
        names = [word.split()[-1].lstrip("*") for word in arguments.split(",") if word.strip()]
        passed = ", ".join(n if n in scalars else f"d_{n}" for n in names)
        blocks, threads = (", ".join(map(sizes.extent, extents)) for extents in (grid, block))
        if shared and api == "cuda":  # HIP gives what there is
            lines.append(f"  {api}FuncSetAttribute({name}, {api}FuncAttributeMaxDynamicSharedMemorySize, {shared});")
        lines.append(f"  {name}<<<dim3({blocks}), dim3({threads}){f', {shared}' if shared else ''}>>>({passed});")
    for t in problem.outputs:
        if t.name in used:
            ctype, size = buffers[t.name]
            lines.append(f"  {api}Memcpy({t.name}, d_{t.name}, {size} * sizeof({ctype}), {api}MemcpyDeviceToHost);")
    lines += [f"  {api}Free(d_{name});" for name in buffers if name in used]
    lines += ["}", ""]
    runtime, half, bfloat = flavour.headers
    head = [f"#include <{runtime}>", "#include <cstdint>"]
    if "half" in kernels:
        head.append(f"#include <{half}>")
    if "bfloat16" in kernels:
        head.append(f"#include <{bfloat}>")
    if api == "hip":
        kernels, *lines = (re.sub(r"\b(__)?nv_bfloat16\b", "hip_bfloat16", text) for text in (kernels, *lines))
    if "wmma::" in kernels and api == "hip":
        kernels = with_waves(kernels)
    elif "wmma::" in kernels:
        head.append("#include <mma.h>")
        kernels = with_groups(with_tf32(kernels))
    for theirs, name, element, what in _FOURS:
        if re.search(rf"\b(make_)?{theirs}\b", kernels):
            vector = _FOUR.format(name=name, element=element if api == "cuda" or element == "half" else "hip_bfloat16", what=what)
            kernels = vector + re.sub(rf"\b(make_)?{theirs}\b", rf"\1{name}", kernels).strip()
    if "copy_async<" in kernels:
        head.append("#include <cuda_pipeline.h>")
        kernels = _COPY_ASYNC + kernels.strip()
    note = specialization(module, problem)
    head += ["", *note] if note else []
    return "\n".join([*head, "", kernels.strip(), "", *lines])


def _literal(exact: str) -> str:
    """Return a decimal literal that is exactly the value of TVM's hexadecimal one."""
    value = float.fromhex(exact.split("f/*")[0])
    short = repr(value)
    for digits in range(6, 18):
        candidate = f"{value:.{digits}g}"
        if struct.pack("f", float(candidate)) == struct.pack("f", value):
            short = candidate
            break
    return short + ("f" if any(c in short for c in ".e") else ".0f")


def launch_extents(func: PrimFunc) -> list[Extents]:
    """Return grid and block of each kernel, in order, from the thread bindings of the scheduled nests."""
    body = func.body.block.body
    nests = list(body.seq) if type(body).__name__ == "SeqStmt" else [body]
    result = []
    for nest in nests:
        extents: dict[str, Any] = {}
        _bindings(nest, extents)
        if not any(tag.startswith(("blockIdx", "threadIdx")) for tag in extents):
            continue
        grid = tuple(extents.get(f"blockIdx.{a}", 1) for a in _AXES)
        block = tuple(extents.get(f"threadIdx.{a}", 1) for a in _AXES)
        result.append(((grid[0], grid[1], grid[2]), (block[0], block[1], block[2])))
    return result


def _bindings(stmt: Any, extents: dict[str, Any]) -> None:
    kind = type(stmt).__name__
    if kind == "For":
        if stmt.thread_binding is not None:
            tag = str(stmt.thread_binding.thread_tag)
            known = extents.get(tag)
            if not isinstance(stmt.extent, IntImm):
                if known is not None and not identical(known, stmt.extent):
                    raise EmitError("XP401", f"{tag} has two extents: {known} and {stmt.extent}")
                extents[tag] = stmt.extent
            elif isinstance(known, int | None):
                extents[tag] = max(known or 0, int(stmt.extent))
        _bindings(stmt.body, extents)
    elif kind == "SeqStmt":
        for child in stmt.seq:
            _bindings(child, extents)
    elif kind == "SBlockRealize":
        _bindings(stmt.block.body, extents)
    elif kind == "IfThenElse":
        _bindings(stmt.then_case, extents)


def _binary(text: str, arch: str, flavour: Flavour) -> tuple[tuple[tuple[str, bytes], ...], tuple[str, ...]]:
    """Compile the text where the platform's compiler is here."""
    with tempfile.TemporaryDirectory(prefix="xpiler-") as name:
        folder, file = Path(name), f"kernel{flavour.suffix}"
        (folder / file).write_text(text)
        try:
            if flavour.prefix == "hip":
                compiler = compile_hip(folder, file, arch, flavour.binary)
            else:
                compiler = compile_cuda(folder, file, arch, flavour.binary)
        except RunError as error:
            if error.code == "XP301":
                return (), (f"no {flavour.binary}: {error.message}",)
            raise EmitError("XP401", f"the emitted text is rejected: {error.message}") from None
        return ((flavour.binary, (folder / flavour.binary).read_bytes()),), (f"{flavour.binary} for {arch} by {compiler}",)
