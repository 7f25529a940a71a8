"""Lift legacy tensor kernels into TVM TensorIR and give them back, verified, for other platforms."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tvm_xpiler.core.version import VERSION

if TYPE_CHECKING:
    from tvm_xpiler.api import Explorer as Explorer
    from tvm_xpiler.api import Lifted as Lifted
    from tvm_xpiler.api import Options as Options
    from tvm_xpiler.api import Translation as Translation
    from tvm_xpiler.api import TuneOptions as TuneOptions
    from tvm_xpiler.api import Verdict as Verdict
    from tvm_xpiler.api import explore as explore
    from tvm_xpiler.api import judge as judge
    from tvm_xpiler.api import lift as lift
    from tvm_xpiler.api import load as load
    from tvm_xpiler.api import mend as mend
    from tvm_xpiler.api import replace_externs as replace_externs
    from tvm_xpiler.api import translate as translate
    from tvm_xpiler.api import tune as tune

__version__ = VERSION
__all__ = [
    "Explorer",
    "Lifted",
    "Options",
    "Translation",
    "TuneOptions",
    "Verdict",
    "explore",
    "judge",
    "lift",
    "load",
    "mend",
    "replace_externs",
    "translate",
    "tune",
]


def __getattr__(name: str) -> object:
    # Lazy (PEP 562): lift imports tvm_xpiler.core, so an eager facade would import itself.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from tvm_xpiler import api

    return getattr(api, name)
