"""What PyTorch has for the development operators, by the names and sizes of their files; for timing beside ours, never for translation.

As a program (``peers.py NAME DTYPE THREADS``) it times a call on the CPU each time a line comes, in a process of its own: threads of two
runtimes in one process wait for each other.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable
from typing import Any

import timing

_REPEATS, _ROUNDS = 20, 5


def peer(name: str, dtype: str, device: str = "cuda") -> Callable[[], Any] | None:
    """Return a call of PyTorch for a kernel such as ``gemm_64_128_128``; None where it has no single one.

    Args:
        name: Operator and sizes.
        dtype: Of the kernel's first tensor.
        device: ``cuda`` or ``cpu``.
    """
    import torch
    import torch.nn.functional as F

    operator, *numbers = name.split("_")
    sizes = [int(n) for n in numbers if n.isdigit()]
    kind = {"float16": torch.float16, "int8": torch.float16}.get(dtype, torch.float32)  # PyTorch multiplies no bytes on the GPU

    def data(*shape: int) -> Any:
        return torch.randn(*shape, device=device).to(kind)

    def image(n: int, h: int, w: int, c: int) -> Any:
        return data(n, c, h, w).to(memory_format=torch.channels_last)

    elementwise = {"relu": torch.relu, "sigmoid": torch.sigmoid, "sign": torch.sign, "gelu": F.gelu}
    if operator in elementwise:
        x = data(*sizes)
        return lambda: elementwise[operator](x)
    if operator == "add":
        x, y = data(*sizes), data(*sizes)
        return lambda: torch.add(x, y)
    if operator == "softmax":
        x = data(*sizes)
        return lambda: torch.softmax(x, -1)
    if operator in {"layernorm", "rmsnorm"}:
        x, w, b = data(*sizes), data(sizes[-1]), data(sizes[-1])
        if operator == "layernorm":
            return lambda: F.layer_norm(x, (sizes[-1],), w, b)
        return lambda: F.rms_norm(x, (sizes[-1],), w)
    if operator == "gemm":
        x, y = data(sizes[0], sizes[1]), data(sizes[1], sizes[2])
        return lambda: x @ y
    if operator == "gemv":
        x, y = data(sizes[0], sizes[1]), data(sizes[1])
        return lambda: x @ y
    if operator == "bmm":
        x, y = data(sizes[0], sizes[1], sizes[2]), data(sizes[0], sizes[2], sizes[3])
        return lambda: torch.bmm(x, y)
    if operator == "mha":  # each position attends over its heads
        q, k, v = data(*sizes), data(*sizes), data(*sizes)
        return lambda: F.scaled_dot_product_attention(q, k, v)
    if operator in {"avgpool", "sumpool", "maxpool", "minpool"}:
        x, window, step = image(*sizes[:4]), (sizes[4], sizes[5]), (sizes[6], sizes[7])
        if operator in {"maxpool", "minpool"}:
            return lambda: F.max_pool2d(x, window, step)
        return lambda: F.avg_pool2d(x, window, step)
    if operator == "conv1d":
        x, w = data(1, 1, sizes[1]), data(1, 1, sizes[1] - sizes[0] + 1)
        return lambda: F.conv1d(x, w)
    if operator == "depthwiseconv":
        height, k, c = sizes
        x, w = image(1, height, height, c), data(c, 1, k, k)
        return lambda: F.conv2d(x, w, groups=c)
    if operator == "conv2d":
        n, h, w_, c, o, kh, kw, _, step, pad = sizes
        x, w = image(n, h, w_, c), data(o, c, kh, kw).to(memory_format=torch.channels_last)
        return lambda: F.conv2d(x, w, stride=step, padding=pad)
    if operator == "conv2dnchw":
        n, c, h, w_, o, _, kh, kw, step, pad = sizes
        x, w = data(n, c, h, w_), data(o, c, kh, kw)
        return lambda: F.conv2d(x, w, stride=step, padding=pad)
    return None


def milliseconds(call: Callable[[], Any]) -> list[float]:
    """Return the time of one call, in several rounds: captured in a CUDA graph, so that no Python lies between the kernels."""
    import torch
    import tvm_ffi

    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    stream = torch.cuda.Stream()
    with tvm_ffi.use_torch_stream(torch.cuda.stream(stream)):  # kernels of TVM go the same way
        for _ in range(3):
            call()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with tvm_ffi.use_torch_stream(torch.cuda.graph(graph)):
        for _ in range(_REPEATS):
            call()
    times = []
    for _ in range(_ROUNDS):
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        graph.replay()
        begin.record()
        graph.replay()
        end.record()
        torch.cuda.synchronize()
        times.append(begin.elapsed_time(end) / _REPEATS)
    return [min(times), statistics.median(times), max(times)]


def main(name: str, dtype: str, threads: str) -> None:
    """Answer each line of standard input with the milliseconds of a call; end at once where there is none."""
    import torch

    torch.set_num_threads(int(threads))
    call = peer(name, dtype, "cpu")
    if call is None:
        return
    with torch.inference_mode():
        for _ in range(3):
            call()
        print("ready", flush=True)
        for _ in sys.stdin:
            print(timing.milliseconds(call), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
