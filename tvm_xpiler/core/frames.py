"""What decorated functions of TVM see of their callers, without reading anybody's source.

TVM's script decorators take ``inspect.stack()``, which looks up the source lines around each frame and, for that, walks all modules. The
lines are only used to tell whether a function is a method. Importing TVM's tensor intrinsics takes eight seconds so in place of seventy.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock


@contextmanager
def without_sources() -> Iterator[None]:
    """Let ``inspect.stack`` give frames without source lines for a while."""
    with mock.patch.object(inspect, "stack", _frames):
        yield


def _frames(context: int = 1) -> list[inspect.FrameInfo]:
    del context
    found = []
    frame = inspect.currentframe()
    while frame is not None and frame.f_back is not None:
        frame = frame.f_back
        found.append(inspect.FrameInfo(frame, frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name, None, None))
    return found
