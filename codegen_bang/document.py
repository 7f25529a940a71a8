"""The BANG C file of a lifted function: a kernel for each stage, and a launcher of the original signature on the CNRT interface."""

from __future__ import annotations

from math import prod

from codegen_bang.asked import Refusal
from codegen_bang.imperative import imperative_kernels
from codegen_bang.kernel import Kernel
from codegen_bang.plans import bang_plan, kernels_of
from codegen_bang.stage import stages
from codegen_bang.vectorize import TYPES
from tvm_xpiler.core.chips import CHIPS, CORES, Chip
from tvm_xpiler.core.errors import EmitError
from tvm_xpiler.core.kernels import Problem, ScalarSpec
from tvm_xpiler.core.targets import TargetSpec
from tvm_xpiler.core.tir import IRModule, PrimFunc
from tvm_xpiler.emit.emitted import Emitted, c_signature, entry_name, scheduled_by
from tvm_xpiler.schedule.plan import Plan

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


def emit_bang(func: PrimFunc, problem: Problem, spec: TargetSpec, plan: Plan | None = None) -> Emitted:
    """Emit BANG C for a lifted function.

    Args:
        func: The function; its parameters are the problem's tensors in order.
        problem: The kernel's parameters.
        spec: ``bang``; its architecture is one of :data:`tvm_xpiler.core.chips.CHIPS`.
        plan: What the kernels are asked; that of the rules by default.

    Raises:
        EmitError: XP401 where there is no form, or the plan is refused; XP402 for an unknown chip.
    """
    chip = CHIPS[spec.machine.name]
    if any(t.dtype == "float64" for t in problem.tensors):
        raise EmitError("XP401", "BANG has no double, and a parameter points to doubles")
    entry = entry_name(problem)
    module, notes = IRModule({"main": func}), []
    if stages(func) is None:
        kernels = imperative_kernels(func, entry, chip)
    else:
        plan = bang_plan(func, spec.machine) if plan is None else plan
        module = scheduled_by(plan, func)
        made = kernels_of(module, func, chip, f"{entry}_")
        if isinstance(made, Refusal):
            raise EmitError("XP401", f"the plan cannot be used: {made.message}")
        kernels = made
        cost = sum(kernel.cost for _, kernel in kernels)
        notes = [f"estimate: {cost:.3g} bytes of vector work per core on {chip.name}; no chip was used"]
    text = _document(kernels, problem, module["main"], chip)
    notes += [note for _, kernel in kernels for note in kernel.notes]
    rounding = "narrow" if "float64" in func.script() else "tracked"
    return Emitted("bang", text, ".mlu", plan, module, None, (), tuple(notes), rounding)


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
