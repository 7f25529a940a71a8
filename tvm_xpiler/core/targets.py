"""What a translation is made for: a platform, an architecture, and what a TVM target dictionary says of the machine."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tvm_xpiler.core.chips import DEFAULT_CHIP
from tvm_xpiler.core.errors import EmitError
from tvm_xpiler.core.machines import Machine, cpu_machine, gpu_machine, host_machine, mlu_machine
from tvm_xpiler.core.plugins import names, plugin
from tvm_xpiler.core.tir import Target

TARGETS = ("llvm", "cuda", "hip", "rocm", "bang")
DEFAULT_ARCH = {"cuda": "sm_90a", "hip": "gfx90a", "rocm": "gfx90a", "bang": DEFAULT_CHIP}
"""The architecture of each target where none is asked for; ``llvm`` is for the processor at hand."""

_FAMILIES = {"sm_": {"cuda"}, "gfx": {"hip", "rocm"}, "mlu": {"bang"}}
_LIMITS = ("max_threads_per_block", "max_shared_memory_per_block", "num-cores")
_OTHERS = (
    "kind",
    "tag",
    "keys",
    "arch",
    "mcpu",
    "host",
    "thread_warp_size",
    "mtriple",
    "libs",
    "max_num_threads",
    "registers_per_block",
    "l2_cache_size_bytes",
)

TargetRequest = str | Mapping[str, object]
"""A name of :data:`TARGETS`, a TVM tag such as ``nvidia/nvidia-a100``, or a TVM target dictionary, which may be JSON text."""


@dataclass(frozen=True, slots=True)
class TargetSpec:
    """One target.

    Attributes:
        name: One of :data:`TARGETS`, or a plug-in's.
        arch: Compute architecture, chip, or LLVM's name of a processor; None: that of this machine.
        limits: What a dictionary says of the machine: the fewer of these and the table's are planned for.
        intrinsics: Whether C++ text has vector intrinsics where it has vectorized loops.
        tf32: Whether products of floats may be rounded to tf32, where tensor cores have that.
    """

    name: str
    arch: str | None = None
    limits: tuple[tuple[str, int], ...] = ()
    intrinsics: bool = False
    tf32: bool = False

    @property
    def plugin(self) -> Any:
        """The plug-in that emits for it, or None.

        Raises:
            ConfigError: XP606 for one that cannot be used.
        """
        return None if self.name in TARGETS else plugin("targets", self.name)

    @property
    def planned(self) -> bool:
        """Whether its code is made from a plan; a plug-in's is not."""
        return self.name in TARGETS

    @property
    def machine(self) -> Machine:
        """The machine that plans are made for; a plug-in has none.

        Raises:
            EmitError: XP402 for an unknown architecture; XP401 for a plug-in, which makes its code without a plan.
        """
        if not self.planned:
            raise EmitError("XP401", f"code for {self.name} is made without a plan")
        limits = dict(self.limits)
        if self.name == "llvm":
            return host_machine() if self.arch is None else cpu_machine(self.arch, limits.get("num-cores"))
        if self.name == "bang":
            return mlu_machine(self.arch or DEFAULT_CHIP)
        found = gpu_machine(self.arch or DEFAULT_ARCH[self.name])
        shared = min(limits.get("max_shared_memory_per_block", found.shared), found.shared)
        features = frozenset() if self.name == "rocm" else found.features  # TVM's code generator has no fragments for it
        if self.tf32 and self.name == "cuda" and "bfloat16" in features:  # both came with sm_80
            features |= {"tf32"}
        levels = tuple((level, shared if level == "shared" else size) for level, size in found.levels)
        return replace(
            found,
            max_threads=min(limits.get("max_threads_per_block", found.max_threads), found.max_threads),
            levels=levels,
            features=features,
        )

    @property
    def runs_here(self) -> bool:
        """Whether this machine's processor has every instruction set of the target's; False for what is no CPU."""
        return self.name == "llvm" and (self.arch is None or self.machine.features <= host_machine().features)


def target_specs(
    requests: Sequence[TargetRequest], arch: str | None = None, intrinsics: bool = False, tf32: bool = False
) -> tuple[TargetSpec, ...]:
    """Return the targets that are asked for; the other arguments are for those among them that they suit.

    Raises:
        EmitError: XP402 for what names no target, or no architecture of one, and for one target twice.
    """
    specs = [replace(_spec(request), intrinsics=intrinsics, tf32=tf32) for request in requests]
    names = [spec.name for spec in specs]
    for name in names:
        if names.count(name) > 1:
            raise EmitError("XP402", f"'{name}' is asked for twice; one translation makes one text for a platform")
    if arch is None:
        return tuple(specs)
    family = next((targets for prefix, targets in _FAMILIES.items() if arch.startswith(prefix)), {"llvm"})
    if not family & set(names):
        raise EmitError("XP402", f"'{arch}' is no architecture of {', '.join(names)}", hint="for example sm_90, gfx942, mlu590, znver4")
    found = tuple(replace(spec, arch=spec.arch or arch) if spec.name in family else spec for spec in specs)
    for spec in found:
        _check(spec)
    return found


def _spec(request: TargetRequest) -> TargetSpec:
    if isinstance(request, str) and (request in TARGETS or request in names("targets")):
        return TargetSpec(request)
    said = _dictionary(request)
    kind = str(said.get("kind", ""))
    if kind not in TARGETS:
        raise EmitError(
            "XP402",
            f"unknown target '{kind or request}'",
            hint=f"known: {', '.join((*TARGETS, *names('targets')))}, or a TVM target dictionary",
        )
    unknown = [key for key in said if key not in (*_LIMITS, *_OTHERS)]
    if unknown:
        raise EmitError("XP402", f"'{unknown[0]}' of a target is not understood", hint=f"understood: {', '.join((*_OTHERS, *_LIMITS))}")
    limits = []
    for key in _LIMITS:
        value = said.get(key)
        if value is not None:
            if not isinstance(value, int) or value < 1:
                raise EmitError("XP402", f"'{key}' of a target is a positive number, not '{value}'")
            limits.append((key, value))
    arch = said.get("mcpu" if kind in {"llvm", "rocm"} and "mcpu" in said else "arch")
    spec = TargetSpec(kind, str(arch) if arch is not None else None, tuple(limits))
    _check(spec)
    return spec


def _dictionary(request: TargetRequest) -> Mapping[str, object]:
    if not isinstance(request, str):
        return request
    try:
        if request.lstrip().startswith("{"):
            said = json.loads(request)
        elif "/" in request:
            said = json.loads(str(Target(request)))
        else:
            said = {"kind": request}
    except ValueError as error:
        raise EmitError("XP402", f"'{request}' is no target: {str(error).splitlines()[0]}") from None
    return said if isinstance(said, dict) else {"kind": request}


def _check(spec: TargetSpec) -> None:
    """Refuse an architecture that nothing is known of."""
    if spec.planned:
        _ = spec.machine
