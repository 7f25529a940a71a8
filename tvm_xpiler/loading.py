"""Calling a bundle: the library that a translation to llvm left, on numpy arrays or anything that speaks DLPack."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tvm_xpiler.core.arithmetic import Extent, evaluate
from tvm_xpiler.core.errors import ConfigError
from tvm_xpiler.core.tir import runtime

_ALIGNMENT = 64  # bytes that generated code expects; other arrays are copied


@dataclass(frozen=True, slots=True)
class Loaded:
    """A verified kernel.

    Attributes:
        entry: The function's name in its source.
        tensors: Name, dtype, shape and role (``in``, ``out``, ``inout``) of each tensor, in order; a size is a number, or arithmetic over
            the scalars.
        module: TVM's module.
        scalars: The scalar arguments, where the translation is for all values of them.
    """

    entry: str
    tensors: tuple[tuple[str, str, tuple[Extent, ...], str], ...]
    module: Any
    scalars: tuple[str, ...] = ()

    def __call__(self, *arrays: Any, **named: Any) -> None:
        """Run the kernel; ``out`` and ``inout`` tensors are written in place.

        Args:
            *arrays: The tensors in order: C-contiguous numpy arrays, or DLPack tensors in host memory, of the right dtype and size, in any
                shape.
            **named: The same by name, and the scalars that the translation leaves open; the others are part of it.

        Raises:
            TypeError: A tensor is missing or unknown, or has another dtype.
            ValueError: A tensor has another size or is not contiguous.
        """
        names = [name for name, *_ in self.tensors]
        if len(arrays) > len(names) or set(named) - set(names[len(arrays) :]) - set(self.scalars):
            raise TypeError(f"{self.entry} takes {', '.join([*names, *self.scalars])}")
        missing = [name for name in self.scalars if name not in named]
        if missing:
            raise TypeError(f"{self.entry} needs '{missing[0]}'")
        given = {**dict(zip(names, arrays, strict=False)), **named}
        views, copied = [], []
        for name, dtype, extents, role in self.tensors:
            shape = tuple(evaluate(extent, named) for extent in extents)
            if name not in given:
                raise TypeError(f"{self.entry} needs '{name}'")
            array = given[name] if isinstance(given[name], np.ndarray) else np.from_dlpack(given[name])
            if str(array.dtype) != dtype:
                raise TypeError(f"'{name}' has dtype {array.dtype}, not {dtype}")
            if array.size != np.prod(shape, dtype=np.int64) or not array.flags.c_contiguous:
                raise ValueError(f"'{name}' must be contiguous and hold {'x'.join(map(str, shape))} elements")
            if array.ctypes.data % _ALIGNMENT == 0 and array.dtype.isbuiltin and array.flags.writeable:
                views.append(runtime.from_dlpack(array.reshape(shape)))
                continue
            views.append(runtime.tensor(array.reshape(shape)))
            if role != "in":
                copied.append((array, views[-1]))
        self.module["main"](*views, *(named[name] for name in self.scalars))
        for array, view in copied:
            array[...] = view.numpy().reshape(array.shape)


def load(bundle: str | Path) -> Loaded:
    """Load the library of a bundle that ``translate --to llvm -o`` wrote.

    Raises:
        ConfigError: XP001 where the folder holds no verified library.
    """
    folder = Path(bundle)
    library = folder / "llvm" / "module.so"
    try:
        report = json.loads((folder / "report.json").read_text())
        shapes = report["targets"]["llvm"]["shapes"]
    except (OSError, ValueError, KeyError):
        raise ConfigError("XP001", f"{folder} is no bundle with a library for llvm", hint="make one: translate --to llvm -o DIR") from None
    if not library.is_file():
        raise ConfigError("XP001", f"{library} is not there: the translation was not verified")
    tensors = [p for p in report["parameters"] if p["kind"] == "tensor"]
    described = tuple((p["name"], p["dtype"], tuple(shape), p["role"]) for p, shape in zip(tensors, shapes, strict=True))
    scalars = tuple(report["targets"]["llvm"].get("scalars", ()))
    return Loaded(report["entry"], described, runtime.load_module(str(library)), scalars)
