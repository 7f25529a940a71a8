"""Tensor intrinsics, TVM's and ours, each parsed when a plan first names it.

Importing ``tvm.s_tir.tensor_intrin`` parses some 120 of them, which takes many seconds; a plan needs five. Their modules are therefore
executed with the parser held back, and what they register is parsed by name.
"""

from __future__ import annotations

import difflib
import importlib
import re
import sys
import threading
import types
from functools import cache, lru_cache
from pathlib import Path
from typing import Any
from unittest import mock

from tvm_xpiler.core.frames import without_sources
from tvm_xpiler.core.tir import TensorIntrin, parsed, s_tir, tvm_ffi, tvmscript
from tvm_xpiler.schedule.dot_intrinsics import DOT_PRODUCTS
from tvm_xpiler.schedule.fragment_intrinsics import fragment_source
from tvm_xpiler.schedule.group_intrinsics import group_source

_PACKAGE = "tvm.s_tir.tensor_intrin"
_TENSORIZE = "Tensorize"  # TVM's name of the step in a trace
_PARSING = threading.RLock()  # it holds back TVM's registry for all threads


def available(name: str) -> bool:
    """Register an intrinsic by name; say whether there is one."""
    if TensorIntrin.get(name, allow_missing=True) is not None:
        return True
    with _PARSING:
        return _registered_now(name)


def _registered_now(name: str) -> bool:
    texts = own_source(name)
    parts = None if texts is not None else _held().get(name)
    if parts is None and texts is None:
        return False
    desc, impl = map(parsed, texts) if texts is not None else (part() if callable(part) else part for part in parts or ())
    TensorIntrin.register(name, desc, impl, override=True)
    _allow_again(name)
    return True


def fitting(name: str, buffers: frozenset[tuple[str, str]]) -> list[str]:
    """Return the intrinsics that a name may have meant, the most alike first.

    Args:
        name: As it was written.
        buffers: Type and scope of what the part of the program that it was to replace reads and writes.
    """
    family = name.split("_", 1)[0]
    names = sorted({*_held(), *DOT_PRODUCTS})
    kin = [n for n in names if n.split("_", 1)[0] == family] or names
    found = [n for n in kin if _operands(n) == buffers]
    return sorted(found, key=lambda n: -difflib.SequenceMatcher(None, name, n).ratio())


@cache
def _operands(name: str) -> frozenset[tuple[str, str]]:
    """Return type and scope of what an intrinsic's description reads and writes."""
    if name in DOT_PRODUCTS:
        desc = parsed(DOT_PRODUCTS[name].source()[0])
    else:
        held = _held()[name][0]
        desc = held() if callable(held) else held
    return frozenset((str(p.ty.dtype), str(p.scope())) for p in desc.params if hasattr(p, "scope"))


def register_mentioned(text: str) -> None:
    """Register the intrinsics that a text names in quotes, as records of tuning do: TVM reads them by name alone."""
    if _TENSORIZE in text:
        for name in sorted(set(re.findall(r'"(\w+)"', text))):
            available(name)


_registered: set[str] = set()


def _allow_again(name: str) -> None:
    """Let TVM register an intrinsic that was registered here: it does when somebody imports its intrinsics, MetaSchedule among them."""
    if not _registered:
        plain = TensorIntrin.register

        def register(name: str, desc: Any, impl: Any, override: bool = False) -> Any:
            return plain(name, desc, impl, override or name in _registered)

        TensorIntrin.register = staticmethod(register)
    _registered.add(name)


def own_source(name: str) -> tuple[str, str] | None:
    """Return description and implementation of an intrinsic of ours as TVMScript; None for TVM's."""
    dot = DOT_PRODUCTS.get(name)
    return dot.source() if dot is not None else None if _theirs(name) else fragment_source(name) or group_source(name)


def _theirs(name: str) -> bool:
    """Whether an intrinsic is TVM's: one that waits to be parsed, or that TVM registered itself, when somebody imported all of them."""
    return name in _held() or (TensorIntrin.get(name, allow_missing=True) is not None and name not in _registered)


@lru_cache(maxsize=1)
def _held() -> dict[str, tuple[Any, Any]]:
    """Return description and implementation of each intrinsic, not yet parsed."""
    held: dict[str, tuple[Any, Any]] = {}

    def register(name: str, desc: Any, impl: Any, override: bool = False) -> None:
        del override
        held[name] = desc, impl

    def prim_func(function: Any = None, **options: Any) -> Any:
        if function is None:
            return lambda f: prim_func(f, **options)
        parse = parser(**{"s_tir": True, **options})  # it looks at the stack for what the function refers to
        return lru_cache(maxsize=1)(lambda: parse(function))

    parser = tvmscript.prim_func
    package = types.ModuleType(_PACKAGE)
    package.__path__ = [str(Path(s_tir.__file__ or "").parent / "tensor_intrin")]
    held_back = (
        mock.patch.object(TensorIntrin, "register", register),
        mock.patch.object(tvmscript, "prim_func", prim_func),
        mock.patch.object(tvm_ffi, "register_global_func", return_value=lambda function: function),
    )
    with held_back[0], held_back[1], held_back[2], without_sources():
        whole = _taken_out()  # where somebody has paid for the whole import already
        sys.modules[_PACKAGE] = package
        try:
            importlib.import_module(f"{_PACKAGE}.cuda")
        finally:
            _taken_out()  # TVM's own users shall find them parsed
            sys.modules.update(whole)
    return held


def _taken_out() -> dict[str, types.ModuleType]:
    """Forget the modules of TVM's intrinsics, and return them."""
    return {name: sys.modules.pop(name) for name in list(sys.modules) if name == _PACKAGE or name.startswith(f"{_PACKAGE}.")}
