"""A verified kernel as a function of PyTorch tensors, which share their memory with it (DLPack)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tvm_xpiler.core.errors import ConfigError

if TYPE_CHECKING:
    from tvm_xpiler.pipeline import Translation

_DEVICES = {"llvm": "cpu", "cuda": "cuda"}


def as_torch(translation: Translation, target: str = "llvm") -> Callable[..., Any]:
    """Return a function that takes a kernel's ``in`` and ``inout`` tensors in order and returns its ``out`` tensors, one or a tuple.

    Tensors have the kernel's dtypes and sizes, in any shape, and lie contiguously on the target's device; ``inout`` tensors are written in
    place. Results have the shapes of the lifted function.

    Args:
        translation: A verified one of fixed sizes.
        target: ``llvm`` for tensors of the CPU, ``cuda`` for those of a GPU, where TVM's CUDA runtime is.

    Raises:
        ConfigError: XP604 where the target was not verified or has no library, sizes are open, or PyTorch is not installed.
    """
    name = translation.source.name
    made = translation.targets.get(target)
    if made is None or not made.ok or target not in _DEVICES or made.emitted.runtime is None:
        raise ConfigError(
            "XP604", f"{name} has no verified library for {target} that PyTorch could call", hint="translate it for llvm or cuda"
        )
    try:
        import torch
    except ImportError:
        raise ConfigError("XP604", "PyTorch is not installed", hint="pip install torch") from None
    tensors, params = translation.problem.tensors, list(made.emitted.module["main"].params)
    shapes = [
        [int(n) for n in p.ty.shape] if all(hasattr(n, "value") for n in p.ty.shape) else None for p in params if hasattr(p.ty, "shape")
    ]
    if len(shapes) < len(tensors) or None in shapes:
        raise ConfigError("XP604", f"{name} leaves sizes open; PyTorch needs them fixed")
    kinds = [getattr(torch, str(p.ty.dtype)) for p in params[: len(shapes)]]
    device = torch.device(_DEVICES[target])
    given = [i for i, t in enumerate(tensors) if t.role != "out"]
    function = made.emitted.runtime.jit()["main"] if target == "llvm" else made.emitted.runtime["main"]

    def call(*inputs: Any) -> Any:
        """Run the kernel on tensors; raises TypeError or ValueError for others than it takes."""
        if len(inputs) != len(given):
            raise TypeError(f"{name} takes {len(given)} tensors: {', '.join(tensors[i].name for i in given)}")
        views: list[Any] = [None] * len(shapes)
        for i, tensor in zip(given, inputs, strict=True):
            if tensor.dtype != kinds[i] or tensor.device.type != device.type:
                raise TypeError(f"'{tensors[i].name}' is {tensor.dtype} on {tensor.device}, not {kinds[i]} on {device}")
            if tensor.numel() != tensors[i].size or not tensor.is_contiguous():
                raise ValueError(f"'{tensors[i].name}' must be contiguous and hold {tensors[i].size} elements")
            views[i] = tensor.detach().view(shapes[i])
        for i, view in enumerate(views):  # outputs, and what a GPU keeps between kernels
            if view is None:
                views[i] = torch.empty(shapes[i], dtype=kinds[i], device=inputs[0].device if inputs else device)
        function(*views)
        results = tuple(views[i] for i, t in enumerate(tensors) if t.role == "out")
        return results[0] if len(results) == 1 else results

    return call
