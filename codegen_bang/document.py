"""The BANG C file of a lifted function: a kernel for each stage, and a launcher of the original signature on the CNRT interface."""

from __future__ import annotations

from math import prod

from codegen_bang.imperative import imperative_kernels
from codegen_bang.kernel import Kernel, scalar_kernel
from codegen_bang.matrix import matrix_kernel
from codegen_bang.stage import Stage, stages
from codegen_bang.transpose import transpose_kernel
from codegen_bang.vectorize import TYPES
from codegen_bang.vectors import vector_kernel
from tvm_xpiler.core.chips import CHIPS, CORES, DEFAULT_CHIP, Chip
from tvm_xpiler.core.errors import EmitError
from tvm_xpiler.core.kernels import Problem, ScalarSpec
from tvm_xpiler.core.tir import IRModule, PrimFunc
from tvm_xpiler.emit.emitted import Emitted, c_signature, entry_name

_HELPERS = """__mlu_func__ int larger(int a, int b) { return a > b ? a : b; }
__mlu_func__ int smaller(int a, int b) { return a < b ? a : b; }
"""
_WHOLE = """// Operands of vector operations are whole pieces of 128 elements.
__mlu_func__ int whole(int n) { return (n + 127) / 128 * 128; }
"""
_MACROS = {
    "xp_max(": "#define xp_max(a, b) ((a) > (b) ? (a) : (b))",
    "xp_min(": "#define xp_min(a, b) ((a) < (b) ? (a) : (b))",
    "xp_floordiv(": "#define xp_floordiv(a, b) ((a) / (b) - ((a) % (b) != 0 && ((a) < 0) != ((b) < 0)))",
    "xp_bits<": "template <class T, class S> __mlu_func__ T xp_bits(S s) { return *(T*)&s; }",
    "xp_floormod(": "#define xp_floormod(a, b) (((a) % (b) + (b)) % (b))",
}


def emit_bang(func: PrimFunc, problem: Problem, arch: str | None = None) -> Emitted:
    """Emit BANG C for a lifted function.

    Args:
        func: The function; its parameters are the problem's tensors in order.
        problem: The kernel's parameters.
        arch: One of :data:`tvm_xpiler.core.chips.CHIPS`.

    Raises:
        EmitError: XP401 where there is no form; XP402 for an unknown chip.
    """
    chip = CHIPS.get(arch or DEFAULT_CHIP)
    if chip is None:
        raise EmitError("XP402", f"unknown chip '{arch}'", hint=f"known: {', '.join(CHIPS)}")
    found = stages(func)
    if any(t.dtype == "float64" for t in problem.tensors):
        raise EmitError("XP401", "BANG has no double, and a parameter points to doubles")
    entry = entry_name(problem)
    if found is None:
        kernels, notes = imperative_kernels(func, entry, chip), []
    else:
        kernels = [(f"{entry}_{stage.name}", best(stage, f"{entry}_{stage.name}", chip)) for stage in found]
        cost = sum(kernel.cost for _, kernel in kernels)
        notes = [f"estimate: {cost:.3g} bytes of vector work per core on {chip.name}; no chip was used"]
    text = _document(kernels, problem, func, chip)
    notes += [note for _, kernel in kernels for note in kernel.notes]
    return Emitted(
        "bang", text, ".mlu", None, IRModule({"main": func}), None, (), tuple(notes), "narrow" if "float64" in func.script() else "tracked"
    )


def best(stage: Stage, name: str, chip: Chip) -> Kernel:
    """Return the kernel of a stage that our estimate prefers."""
    candidates = [
        matrix_kernel(stage, name, chip),
        transpose_kernel(stage, name, chip),
        vector_kernel(stage, name, chip, "spatial"),
        vector_kernel(stage, name, chip, "reduction"),
        scalar_kernel(stage, name, chip),
    ]
    return min((kernel for kernel in candidates if kernel is not None), key=lambda kernel: kernel.cost)


def _document(kernels: list[tuple[str, Kernel]], problem: Problem, func: PrimFunc, chip: Chip) -> str:
    body = "\n".join(kernel.text for _, kernel in kernels)
    head = ["#include <bang.h>", "#include <cnrt.h>", ""]
    head += [macro for used, macro in _MACROS.items() if used in body]
    if "larger(" in body or "smaller(" in body:
        head += [_HELPERS]
    if "whole(" in body:
        head += [_WHOLE]
    names = {param: tensor.name for param, tensor in zip(func.params, problem.tensors, strict=True)}
    temporaries = list(func.body.block.alloc_buffers)
    names |= {buffer: str(buffer.name) for buffer in temporaries}
    taken = {p.name for p in problem.params}
    queue, dim = (next(n for n in (base, f"cnrt_{base}", f"cnrt_{base}_") if n not in taken) for base in ("queue", "dim"))
    used = {names[b] for _, kernel in kernels for b in kernel.buffers}
    scalars = [f"{p.name} = {p.value}" for p in problem.params if isinstance(p, ScalarSpec)]
    host = [f"// Specialized to {', '.join(scalars)}."] if scalars else []
    signature = c_signature(problem).replace("__nv_bfloat16*", "bfloat16_t*")
    host += [f'extern "C" void {entry_name(problem)}({signature}) {{', f"  cnrtQueue_t {queue};", f"  cnrtQueueCreate(&{queue});"]
    sizes: dict[str, tuple[str, int]] = {t.name: (TYPES[t.dtype], t.size) for t in problem.tensors}
    sizes |= {str(b.name): (TYPES[str(b.ty.dtype)], prod((int(n) for n in b.ty.shape), start=1)) for b in temporaries}
    given = {t.name for t in problem.tensors}
    for name, (ctype, size) in sizes.items():
        if name in used:
            host += [f"  {ctype}* d_{name};", f"  cnrtMalloc((void**)&d_{name}, {size} * sizeof({ctype}));"]
            if name in given:
                host.append(f"  cnrtMemcpy(d_{name}, (void*){name}, {size} * sizeof({ctype}), CNRT_MEM_TRANS_DIR_HOST2DEV);")
    host.append(f"  cnrtDim3_t {dim} = {{{chip.clusters * CORES}, 1, 1}};")
    for name, kernel in kernels:
        arguments = ", ".join(f"d_{names[b]}" for b in kernel.buffers)
        host.append(f"  {name}<<<{dim}, CNRT_FUNC_TYPE_UNION1, {queue}>>>({arguments});")
    host.append(f"  cnrtQueueSync({queue});")
    for t in problem.outputs:
        if t.name in used:
            ctype = TYPES[t.dtype]
            host.append(f"  cnrtMemcpy({t.name}, d_{t.name}, {t.size} * sizeof({ctype}), CNRT_MEM_TRANS_DIR_DEV2HOST);")
    host += [f"  cnrtFree(d_{name});" for name in sizes if name in used]
    host += [f"  cnrtQueueDestroy({queue});", "}", ""]
    return "\n".join([*head, body, *host])
