"""Tuned kernels on a GPU against PyTorch: each tuned alone, then both captured in CUDA graphs and timed in turns.

python benchmarks/gpu.py MANIFEST [--trials 64] [--each 1] [--part I N] [--single] [--records FOLDER] [--only WORD]
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable
from typing import Any

from peers import milliseconds, peer
from timing import shown
from tuned import Tuned, Tuner, arguments, drawn, mean

from tvm_xpiler.artifacts import emit_for
from tvm_xpiler.core.errors import XpilerError
from tvm_xpiler.core.targets import target_specs


def ours(made: Tuned) -> Callable[[], Any]:
    """Return a call of a kernel on tensors of PyTorch."""
    import torch

    (spec,) = target_specs(["cuda"])
    code = emit_for(spec, made.func, made.problem, made.plan)
    tensors = []
    for param in code.module["main"].params:  # what lies between kernels, too
        shape, kind = [int(n) for n in param.ty.shape], getattr(torch, str(param.ty.dtype))
        random = torch.randn(shape, device="cuda") if kind.is_floating_point else torch.randint(0, 2, shape, device="cuda")
        tensors.append(random.to(kind))
    function = code.runtime["main"]
    return lambda: function(*tensors)


def main() -> int:
    """Tune and time what was drawn; print a row for each kernel and the mean."""
    options = arguments(__doc__).parse_args()
    import torch

    print(f"{torch.cuda.get_device_name(0)}, {options.trials} trials, seed {options.seed}")
    ratios: list[float] = []
    tuner = Tuner(options, "cuda")
    for entry in drawn(options):
        made = tuner.tuned(entry)
        if made is None:
            continue
        try:
            call = ours(made)
            mine = milliseconds(call)
        except (XpilerError, RuntimeError) as error:
            print(f"  {type(error).__name__}: {str(error).splitlines()[-1][:160]}", flush=True)
            continue
        theirs = peer(entry.file.stem, made.problem.tensors[0].dtype)
        if theirs is None:
            print(f"  ours {shown(mine)}", flush=True)
            continue
        other = milliseconds(theirs)
        mine += milliseconds(call)
        ratios.append(statistics.median(other) / statistics.median(mine))
        print(f"  ours {shown(mine)}  torch {shown(other)} {ratios[-1]:.2f}x", flush=True)
    print(f"against torch: {mean(ratios)}")
    tuner.summary()
    tuner.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
