"""A plug-in of each kind: a dialect, a target, a proposer, a cost model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from schedule_llm.annotate import margins
from tvm_xpiler.core.platforms import Platform
from tvm_xpiler.core.plugins import Dialect
from tvm_xpiler.core.tir import IRModule
from tvm_xpiler.emit.c_source import Printer, c_text
from tvm_xpiler.emit.emitted import Emitted
from tvm_xpiler.schedule.proposal import Proposal
from tvm_xpiler.schedule.text import parse_plan

DIALECT = Dialect((".toy",), Platform.CUDA, Path(__file__).with_name("toy.h"))


class PlainC:
    """Serial C++ as the normal form says it."""

    dialect = Platform.C

    @staticmethod
    def emit(func: Any, problem: Any) -> Emitted:
        module = IRModule({"main": func})
        return Emitted("plainc", c_text(module, problem, Printer()), ".cpp", None, module, None, notes=("serial",))


class Whole:
    """Proposes threads for the first block's outermost loop."""

    def propose(self, task: Any, count: int, history: tuple[Any, ...] = ()) -> Proposal:
        del count, history
        return Proposal((parse_plan(f"parallel({margins(task.func)[0].name}[0])"),), "whole")  # type: ignore[arg-type]


class Blind:
    """Knows nothing, and says so."""

    trained = False

    def update(self, task: str, rows: Any, seconds: Any) -> None:
        del task, rows, seconds

    def scores(self, rows: Any) -> Any:
        return np.zeros(len(rows))
