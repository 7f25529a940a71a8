"""Timing kernels on a GPU by NVIDIA's own means, without what launching costs the host.

Launched one by one, a kernel takes at least what its launch costs, 3 to 4 us, however short it runs. In a CUDA graph kernels follow one
another without the host. With a cold L2, a memory larger than it is written before each launch, which gives the host the time to launch (as
Triton's ``do_bench`` does it).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import tvm_ffi

_CALLS = 20  # in one graph
_MOST = 10_000  # launches in one timing
_FLUSH = 256 << 20  # bytes, more than any L2 has
_NONBLOCKING, _RELAXED = 1, 2  # CUDA's flag of streams, and its mode of capture


@cache
def bindings_here() -> bool:
    """Say whether NVIDIA's Python bindings can be used, which time and compile."""
    try:
        from cuda.bindings import nvrtc, runtime  # noqa: F401
    except ImportError:
        return False
    return True


@contextmanager
def timer(call: Callable[[], object], device: Any, cold: bool = False) -> Iterator[Callable[[int], float]]:
    """Prepare the timing of a function on a GPU, and give what times it.

    Args:
        call: Launches kernels of TVM, and nothing else: what allocates cannot be captured in a graph. It must have run before.
        device: TVM's CUDA device.
        cold: Whether the L2 holds nothing of the function's before each call.

    Yields:
        A function from the milliseconds of calls that a timing takes at least to the mean seconds of one.

    Raises:
        RuntimeError: CUDA refuses; the process should not go on.
    """
    from cuda.bindings import runtime as cuda

    stream = _done(cuda.cudaStreamCreateWithFlags(_NONBLOCKING))
    begin, end = _done(cuda.cudaEventCreate()), _done(cuda.cudaEventCreate())

    def between(launched: Callable[[], object]) -> float:
        _done(cuda.cudaEventRecord(begin, stream))
        launched()
        _done(cuda.cudaEventRecord(end, stream))
        _done(cuda.cudaEventSynchronize(end))
        return float(_done(cuda.cudaEventElapsedTime(begin, end)))

    with tvm_ffi.use_raw_stream(device, int(stream)), _flushed(cuda, stream) if cold else _graph(cuda, stream, call) as launch:

        def total(times: int) -> float:
            if not cold:
                return between(lambda: [launch() for _ in range(times)])
            taken = 0.0
            for _ in range(times):
                launch()
                taken += between(call)
            return taken

        def timed(milliseconds: int) -> float:
            times = 1
            while (taken := total(times)) < milliseconds and times < _MOST:
                times = min(_MOST, max(times + 1, math.ceil(times * 1.2 * milliseconds / max(taken, 1e-3))))
            return taken / times / (1 if cold else _CALLS) * 1e-3

        total(1)
        yield timed
    for event in (begin, end):
        _done(cuda.cudaEventDestroy(event))
    _done(cuda.cudaStreamDestroy(stream))


@contextmanager
def _graph(cuda: Any, stream: Any, call: Callable[[], object]) -> Iterator[Callable[[], None]]:
    """Capture calls, and give what launches them."""
    _done(cuda.cudaStreamBeginCapture(stream, cuda.cudaStreamCaptureMode(_RELAXED)))
    for _ in range(_CALLS):
        call()
    graph = _done(cuda.cudaStreamEndCapture(stream))
    runnable = _done(cuda.cudaGraphInstantiate(graph, 0))
    yield lambda: _done(cuda.cudaGraphLaunch(runnable, stream))
    _done(cuda.cudaGraphExecDestroy(runnable))
    _done(cuda.cudaGraphDestroy(graph))


@contextmanager
def _flushed(cuda: Any, stream: Any) -> Iterator[Callable[[], None]]:
    """Take memory, and give what overwrites it."""
    memory = _done(cuda.cudaMalloc(_FLUSH))
    yield lambda: _done(cuda.cudaMemsetAsync(memory, 0, _FLUSH, stream))
    _done(cuda.cudaFree(memory))


def _done(answer: tuple[Any, ...]) -> Any:
    """Return what a call of CUDA gives.

    Raises:
        RuntimeError: It gives an error.
    """
    error, *values = answer
    if int(error) != 0:
        raise RuntimeError(f"CUDA: {error.name}")
    return values[0] if values else None
