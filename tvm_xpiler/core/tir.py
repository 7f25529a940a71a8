"""The door to TVM 0.27: every module of ours that needs TVM takes it from here."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from math import isfinite, prod
from threading import RLock
from typing import Any

os.environ.setdefault("TVM_NUM_THREADS", str(len(os.sched_getaffinity(0))))  # TVM counts physical cores, which a small machine has one of
if len(os.sched_getaffinity(0)) < (os.cpu_count() or 1):
    os.environ.setdefault("TVM_BIND_THREADS", "0")  # TVM binds its threads to the first cores, even where the process may use others alone
os.environ.setdefault("TVM_CUDA_NVCC_NO_FAST_MATH", "1")

import tvm
import tvm_ffi
from tvm import runtime, s_tir, tirx
from tvm.error import InternalError
from tvm.ir import IRModule, Range
from tvm.ir.expr import Call, TensorLoad, TensorRegion
from tvm.ir.transform import PassContext
from tvm.ir.utils import derived_object
from tvm.s_tir import SBlock, SBlockRealize, Schedule, ScheduleError, TensorIntrin
from tvm.s_tir import analysis as s_tir_analysis
from tvm.s_tir import transform as s_tir_transform
from tvm.s_tir.schedule import _type_checker
from tvm.script import from_source
from tvm.script import tirx as tvmscript
from tvm.sym import Analyzer
from tvm.target import Target
from tvm.target.codegen import (
    llvm_get_cpu_features,
    llvm_get_intrinsic_name,
    llvm_get_system_cpu,
    llvm_get_system_triple,
    llvm_is_valid_cpu,
)
from tvm.tirx import FloatImm, IntImm, PrimFunc
from tvm.tirx.op import register_intrin_lowering

from tvm_xpiler.core.frames import without_sources

__all__ = [
    "DYNAMIC", "LOOP_KINDS", "REFUSED", "Analyzer", "Call", "IRModule", "IntImm", "PrimFunc", "Range", "SBlock", "SBlockRealize",
    "Schedule", "ScheduleError", "Target", "TensorIntrin", "TensorLoad", "TensorRegion", "allocates", "compile_module", "cpu_features", "cuda_device",
    "derived_object", "elements", "host_target", "identical", "intrinsic_name", "llvm_get_system_cpu", "loops_of", "lowered_allocations",
    "meta_schedule", "parsed", "register_global_function", "register_intrin_lowering", "relax", "rpc_tracker", "runtime", "s_tir",
    "s_tir_analysis", "s_tir_transform", "source_only", "statement_of", "structural_hash", "structurally_equal", "tirx", "tvm_ffi", "tvmscript",
]  # fmt: skip

# Schedules check the types of all arguments, which keeps them from crashing; what a type hint means is worked out anew at each call.
_type_checker._dispatcher = cache(_type_checker._dispatcher)

statement_of: Callable[[Schedule, Any], Any] = Schedule.get.__wrapped__
"""``Schedule.get`` without that check, which takes ten times as long as the look itself."""

loops_of: Callable[[Schedule, Any], Any] = Schedule.get_loops.__wrapped__
"""``Schedule.get_loops``, likewise."""

_COMPILER = RLock()  # TVM has one, for all threads

REFUSED = (ScheduleError, InternalError)
"""What a primitive raises where it cannot be done: a refusal, or a check inside TVM that fails."""

DYNAMIC = "shared.dyn"
"""The scope of shared memory whose size is given at a kernel's launch."""

LOOP_KINDS = ("serial", "parallel", "vector", "unrolled", "thread")
"""What the numbers in ``For.kind`` mean."""


def compile_module(module: Any, target: Target, *options: str) -> Any:
    """Build ``module`` with ``options`` of the pass context switched on.

    Without NarrowDataType, which takes int64(uint32(x)) for a number of 32 signed bits; and where fragments are stored to shared
    memory, without StorageRewrite, which lets them share the operands' memory and then finds that it is of another type.
    """
    rewritten = ("tirx.disable_storage_rewrite",) if _fragments_beside_others(module) else ()
    passes = PassContext(config=dict.fromkeys((*options, *rewritten), True), disabled_pass=["tirx.NarrowDataType"])
    with passes, target:  # TVM asks the target in scope for its architecture, or else a GPU that happens to be here
        return tvm.compile(module, target=target)


def _fragments_beside_others(module: Any) -> bool:
    """Say whether a kernel has fragments, and arrays of several types in shared memory."""
    for func in module.functions.values():
        held: set[tuple[str, str]] = set()

        def visit(block: Any, held: set[tuple[str, str]] = held) -> None:
            held.update((b.scope(), str(b.ty.dtype)) for b in block.alloc_buffers)

        tvm_ffi.structural_walk(func.body, (SBlock, visit))
        if any(scope == "wmma.accumulator" for scope, _ in held) and sum(scope == "shared" for scope, _ in held) > 1:
            return True
    return False


def is_matched(func: PrimFunc, buffer: Any) -> bool:
    """Say whether a block of a function takes a region of ``buffer`` as a buffer of its own, as tensorized blocks do."""
    found: list[bool] = []

    def visit(block: Any) -> None:
        found.extend(match.source.source.same_as(buffer) for match in block.match_buffers)

    tvm_ffi.structural_walk(func.body, (SBlock, visit))
    return any(found)


def accessed(nest: Any) -> list[tuple[str, Any]]:
    """Return the names of the blocks of a nest, each with every buffer that it says it reads or writes."""
    found: list[tuple[str, Any]] = []

    def visit(block: Any) -> None:
        found.extend((str(block.name_hint), region.source) for region in (*block.reads, *block.writes))

    tvm_ffi.structural_walk(nest, (SBlock, visit))
    return found


def cpu_features(name: str) -> frozenset[str] | None:
    """Return what LLVM says a processor has; None where it does not know the name."""
    if not llvm_is_valid_cpu(name, llvm_get_system_triple()):
        return None
    return frozenset(map(str, llvm_get_cpu_features(Target({"kind": "llvm", "mcpu": name}))))


def intrinsic_name(number: Any) -> str:
    """Return the name of an intrinsic of LLVM's."""
    return str(llvm_get_intrinsic_name(int(number)))


def parsed(text: str) -> Any:
    """Return the function that a piece of TVMScript of ours defines."""
    with without_sources():
        return from_source(text)


def identical(a: object, b: object) -> bool:
    """Return whether two expressions are equal, over the same variables and buffers."""
    return bool(tvm_ffi.structural_equal(a, b, map_free_vars=False))


def structurally_equal(a: object, b: object) -> bool:
    """Return whether two pieces of IR are equal up to names."""
    return bool(tvm_ffi.structural_equal(a, b, map_free_vars=True))


def host_target() -> Target:
    """Return TVM's target for this machine's processor."""
    return Target({"kind": "llvm", "mcpu": llvm_get_system_cpu(), "num-cores": len(os.sched_getaffinity(0))})


def cuda_device() -> bool:
    """Say whether TVM finds a CUDA device."""
    return bool(runtime.cuda(0).exist)


def rpc_tracker(host: str, port: int) -> Any:
    """Connect to TVM's RPC tracker.

    Raises:
        OSError: Nothing answers there. TVM itself would try for five minutes.
        RuntimeError: It is no tracker.
    """
    import socket

    socket.create_connection((host, port), timeout=5.0).close()
    from tvm.rpc import connect_tracker

    return connect_tracker(host, port)


def relax() -> Any:
    """Return TVM's Relax, which is imported when it is first asked for."""
    from tvm import relax as module

    return module


def meta_schedule(search: bool = False) -> Any:
    """Return ``tvm.s_tir.meta_schedule``; for a search with TVM's tensor intrinsics, which it would take a minute to import itself."""
    with without_sources():
        from tvm.s_tir import meta_schedule as module

        if search:
            import tvm.s_tir.tensor_intrin  # noqa: F401
    return module


def structural_hash(a: object) -> int:
    """Return a number that structurally equal pieces of IR share."""
    return int(tvm_ffi.structural_hash(a, map_free_vars=True))


def with_buffers(func: PrimFunc, renewed: Callable[[Any], Any]) -> PrimFunc:
    """Return a function in which each buffer is what ``renewed`` makes of it; it is asked once for each and may return its argument."""
    seen: list[tuple[Any, Any]] = []

    def mapped(v: Any) -> Any:
        if not tirx.is_buffer_var(v):
            return v
        for old, new in seen:
            if old.same_as(v):
                return new
        seen.append((v, renewed(v)))
        return seen[-1][1]

    return tvm_ffi.structural_map(func, (type(func.params[0]), mapped)) if len(func.params) else func


def with_exact_doubles(func: PrimFunc) -> PrimFunc:
    """Return a function whose float64 constants are calls of CUDA's ``__longlong_as_double``: TVM's CUDA text rounds them to 15 decimals."""

    def changed(e: Any) -> Any:
        value = float(e.value)
        if str(e.ty) != "float64" or not isfinite(value) or float(f"{value:.15f}") == value:
            return e
        bits = int.from_bytes(struct.pack(">d", value), "big", signed=True)
        return tirx.call_pure_extern("float64", "__longlong_as_double", IntImm("int64", bits))

    return tvm_ffi.structural_map(func, (FloatImm, changed))


def with_reciprocals(func: PrimFunc) -> PrimFunc:
    """Return a function that multiplies by reciprocals where it divides fractions by what is no constant."""

    def changed(e: Any) -> Any:
        one = type(e.a).__name__ == "FloatImm" and float(e.a.value) == 1.0
        if one or "float" not in str(e.ty) or type(e.b).__name__ == "FloatImm":
            return e
        return tirx.Mul(e.a, tirx.Div(tirx.const(1.0, str(e.ty)), e.b))

    return tvm_ffi.structural_map(func, (tirx.Div, changed))


def elements(buffer: Any) -> int:
    """Return how many elements an allocated buffer takes, its padding included."""
    if buffer.ty.strides:
        return int(buffer.ty.shape[0]) * int(buffer.ty.strides[0])
    return prod((int(n) for n in buffer.ty.shape), start=1)


def allocates(module: IRModule, scope: str) -> bool:
    """Say whether a block of the scheduled ``main`` allocates a buffer in a scope."""
    found: list[bool] = []

    def visit(block: Any) -> None:
        found.extend(b.scope() == scope for b in block.alloc_buffers)

    tvm_ffi.structural_walk(module["main"].body, (SBlock, visit))
    return any(found)


def is_noted(module: IRModule, note: str) -> bool:
    """Whether a loop of a module's function carries a note of this name."""
    found: list[bool] = []

    def visit(loop: Any) -> None:
        found.append(note in loop.annotations)

    tvm_ffi.structural_walk(module["main"].body, (tirx.For, visit))
    return any(found)


_PIPELINING = (
    s_tir_transform.UnifyThreadBinding(),
    s_tir_transform.LowerMatchBuffer(),
    s_tir_transform.StmtSimplify(),
    s_tir_transform.InjectSoftwarePipeline(),
)


def lowered_allocations(module: IRModule) -> list[tuple[str, list[Any]]]:
    """Return, for each nest of the scheduled ``main``, the name of a block in it and the buffers that it allocates.

    They are cut to what is touched, and have the dimension of the tiles that a pipeline holds at once.

    Raises:
        RuntimeError: The module cannot be lowered so far.
    """
    for transform in (
        s_tir_transform.LowerCrossThreadReduction(),
        s_tir_transform.LowerInitBlock(),
        s_tir_transform.PlanAndUpdateBufferAllocationLocation(),
        s_tir_transform.ConvertBlocksToOpaque(),
        s_tir_transform.LiftThreadBinding(),
        s_tir_transform.CompactBufferAllocation(),
        *(_PIPELINING if is_noted(module, "software_pipeline_stage") else ()),
    ):
        module = transform(module)
    body = module["main"].body.block.body
    result = []
    for nest in list(body.seq) if type(body).__name__ == "SeqStmt" else [body]:
        names: list[str] = []
        held: list[Any] = []

        def visit(node: Any, names: list[str] = names, held: list[Any] = held) -> None:
            kind = type(node).__name__
            if kind == "SBlockRealize":
                if node.block.name_hint:
                    names.append(str(node.block.name_hint))
                held.extend(node.block.alloc_buffers)
                visit(node.block.body)
            elif kind == "For":
                visit(node.body)
            elif kind == "SeqStmt":
                for child in node.seq:
                    visit(child)
            elif kind == "IfThenElse":
                visit(node.then_case)
            elif kind == "AttrStmt":
                visit(node.body)

        visit(nest)
        result.append((names[0] if names else "root", held))
    return result


@contextmanager
def source_only() -> Iterator[None]:
    """Let TVM generate CUDA text without compiling it, which it does at once where there is a GPU; one thread after the other."""
    name = "tvm_callback_cuda_compile"
    with _COMPILER:
        kept = global_function(name)
        register_global_function(name, lambda code, *_: code.encode())
        try:
            yield
        finally:
            register_global_function(name, kept)


def global_function(name: str) -> Any:
    """Return the function that TVM has by a name, there from its import."""
    return tvm_ffi.get_global_func(name)


def register_global_function(name: str, function: Any) -> None:
    """Give TVM a function by name, in the place of one that it has."""
    tvm_ffi.register_global_func(name, function, override=True)
