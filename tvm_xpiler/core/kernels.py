"""What a kernel takes and how it is launched: the data that all stages share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Role = Literal["in", "out", "inout"]

DTYPE_BYTES: dict[str, int] = {
    "bool": 1, "int8": 1, "uint8": 1, "int16": 2, "uint16": 2, "int32": 4, "uint32": 4, "int64": 8, "uint64": 8,
    "float16": 2, "bfloat16": 2, "float32": 4, "float64": 8,
}  # fmt: skip

C_TYPES: dict[str, str] = {
    "bool": "bool", "int8": "int8_t", "uint8": "uint8_t", "int16": "int16_t", "uint16": "uint16_t",
    "int32": "int", "uint32": "unsigned", "int64": "int64_t", "uint64": "uint64_t",
    "float16": "half", "bfloat16": "__nv_bfloat16", "float32": "float", "float64": "double",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """A buffer argument: ``size`` elements of ``dtype``, flat. ``zeroed``: the host sets the device's copy to zero before it launches."""

    name: str
    dtype: str
    size: int
    role: Role
    zeroed: bool = False

    @property
    def nbytes(self) -> int:
        return self.size * DTYPE_BYTES[self.dtype]


@dataclass(frozen=True, slots=True)
class ScalarSpec:
    """A scalar argument with the value that the translation is specialized to."""

    name: str
    dtype: str
    value: int | float


Param = TensorSpec | ScalarSpec


@dataclass(frozen=True, slots=True)
class Launch:
    """One kernel launch; ``args`` has, per kernel parameter, a tensor's name, a scalar's value, or the leaves of a struct.

    ``symbols`` has, per file-scope variable that the host fills, its name, the tensor that it is copied from, and the element that it starts at.
    """

    kernel: str
    grid: tuple[int, int, int]
    block: tuple[int, int, int]
    shared_bytes: int
    args: tuple[str | int | float | tuple[int | float, ...], ...]
    symbols: tuple[tuple[str, str, int], ...] = ()

    @property
    def threads(self) -> int:
        return self.block[0] * self.block[1] * self.block[2]

    @property
    def blocks(self) -> int:
        return self.grid[0] * self.grid[1] * self.grid[2]


@dataclass(frozen=True, slots=True)
class Problem:
    """A kernel with all that running it needs: the entry, its parameters in order, and its launches.

    ``entry`` is the host wrapper's name where the file has one, else the kernel's; ``inferred`` says in words where each
    fact came from. ``scratch`` are device buffers that the wrapper allocates and that are none of its parameters.
    """

    entry: str
    params: tuple[Param, ...]
    launches: tuple[Launch, ...]
    has_wrapper: bool
    inferred: tuple[str, ...] = ()
    scratch: tuple[TensorSpec, ...] = ()

    @property
    def tensors(self) -> tuple[TensorSpec, ...]:
        return tuple(param for param in self.params if isinstance(param, TensorSpec))

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        return tuple(tensor for tensor in self.tensors if tensor.role != "out")

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        return tuple(tensor for tensor in self.tensors if tensor.role != "in")

    @property
    def nbytes(self) -> int:
        """Bytes of all buffers."""
        return sum(tensor.nbytes for tensor in self.tensors + self.scratch)

    def tensor(self, name: str) -> TensorSpec:
        """Return the tensor or scratch buffer called ``name``."""
        return next(tensor for tensor in self.tensors + self.scratch if tensor.name == name)
