"""What each example kernel computes, said in numpy and independent of everything else here."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Arguments = Mapping[str, Any]


def _softmax(x: Array) -> Array:
    e = np.exp(x - x.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def _layer_norm(a: Arguments) -> Array:
    x = a["x"].reshape(a["rows"], a["cols"])
    return (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + 1e-5) * a["gamma"] + a["beta"]


def _rms_norm(a: Arguments) -> Array:
    x = a["x"].reshape(-1, a["cols"])
    return x / np.sqrt((x * x).mean(1, keepdims=True) + a["eps"]) * a["weight"]


def _conv2d(a: Arguments) -> Array:
    x, w = a["x"].reshape(2, a["C"], a["H"], a["W"]), a["w"].reshape(a["O"], a["C"], a["R"], a["R"])
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (a["R"], a["R"]), axis=(2, 3))
    return np.einsum("nchwrs,ocrs->nohw", windows, w)


def _depthwise(a: Arguments) -> Array:
    x, w = a["x"].reshape(a["H"], a["W"], a["C"]), a["w"].reshape(a["R"], a["R"], a["C"])
    return np.einsum("hwcrs,rsc->hwc", np.lib.stride_tricks.sliding_window_view(x, (a["R"], a["R"]), axis=(0, 1)), w)


def _max_pool(a: Arguments) -> Array:
    x = a["x"].reshape(-1, a["C"], a["H"], a["W"])
    windows = np.lib.stride_tricks.sliding_window_view(x, (a["R"], a["R"]), axis=(2, 3))[:, :, :: a["stride"], :: a["stride"]]
    return windows.max(axis=(4, 5))


def _complex(a: Arguments) -> Array:
    x, y = (a[n].reshape(-1, 2) for n in "ab")
    z = (x[:, 0] + 1j * x[:, 1]) * (y[:, 0] + 1j * y[:, 1])
    return np.stack([z.real, z.imag], axis=1)


def _int8(a: Arguments) -> Array:
    x, y = a["A"].view(np.int8).reshape(-1, 4 * a["K4"]), a["B"].view(np.int8).reshape(-1, 4 * a["K4"])
    return x.astype(np.int32) @ y.astype(np.int32).T


def _vnni(a: Arguments) -> Array:
    x = a["A"].reshape(a["M"], a["K"]).astype(np.int32)
    packed = a["B"].reshape(a["K"] // 4, a["N"], 4).astype(np.int32)
    return x @ packed.transpose(0, 2, 1).reshape(a["K"], a["N"])


def _attention(a: Arguments) -> Array:
    q, k, v = (a[n].reshape(-1, a["length"], 32) for n in "qkv")
    return np.stack([_softmax(a["scale"] * x @ y.T) @ z for x, y, z in zip(q, k, v, strict=True)])


def _depthwise_same(a: Arguments) -> Array:
    padded = np.pad(a["x"].reshape(a["H"], a["W"], a["C"]), ((1, 1), (1, 1), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(0, 1))
    return np.einsum("hwcrs,rsc->hwc", windows, a["w"].reshape(3, 3, a["C"]))


def _top1(a: Arguments) -> dict[str, Array]:
    x = a["x"].reshape(a["rows"], a["cols"])
    return {"position": x.argmax(1), "value": x.max(1)}


def _requantized(a: Arguments) -> Array:
    x, w = a["x"].astype(np.int64).reshape(a["H"], a["W"], a["C"]), a["w"].astype(np.int64).reshape(a["O"], a["R"], a["R"], a["C"])
    windows = np.lib.stride_tricks.sliding_window_view(x, (a["R"], a["R"]), axis=(0, 1))
    sums = (np.einsum("hwcrs,orsc->hwo", windows, w) + a["bias"]).astype(np.float32)
    return np.clip(np.rint(sums * a["scale"].astype(np.float32)), -128, 127)


def _rotary(a: Arguments) -> Array:
    x = a["x"].reshape(-1, a["heads"], 2, a["dim"] // 2)
    c, s = (a[n].reshape(-1, 1, a["dim"] // 2) for n in ("cosines", "sines"))
    return np.stack([x[:, :, 0] * c - x[:, :, 1] * s, x[:, :, 1] * c + x[:, :, 0] * s], axis=2)


def _group_norm(a: Arguments) -> Array:
    x = a["x"].reshape(-1, a["groups"], a["channels"] // a["groups"] * a["pixels"])
    normal = (x - x.mean(2, keepdims=True)) / np.sqrt(x.var(2, keepdims=True) + a["eps"])
    return normal.reshape(-1, a["channels"], a["pixels"]) * a["gamma"][:, None] + a["beta"][:, None]


def _cross_entropy(a: Arguments) -> Array:
    x = a["x"].reshape(-1, a["classes"])
    best = x.max(1)
    return np.log(np.exp(x - best[:, None]).sum(1)) + best - x[np.arange(len(x)), a["label"]]


def _embedding(a: Arguments) -> Array:
    width = 4 * a["width4"]
    positions = a["positions"].reshape(a["length"], width)[np.arange(len(a["tokens"])) % a["length"]]
    return a["table"].reshape(-1, width)[a["tokens"]] + positions


def _gemm(a: Arguments) -> Array:
    product = a["A"].reshape(a["M"], a["K"]) @ a["B"].reshape(a["K"], a["N"])
    return a["alpha"] * product + a["beta"] * a["C"].reshape(a["M"], a["N"])


def _star(a: Arguments) -> Array:
    u = a["u"].reshape(a["nz"], a["ny"], a["nx"])
    inner = tuple(slice(2, n - 2) for n in u.shape)
    total = -6 * u[inner]
    for axis, r, sign in ((axis, r, sign) for axis in range(3) for r in (1, 2) for sign in (-1, 1)):
        total = total + np.roll(u, sign * r, axis)[inner] / r
    result = np.zeros_like(u)
    result[inner] = total
    return result


REFERENCES: dict[str, Callable[[Arguments], Array | dict[str, Array]]] = {
    "relu": lambda a: np.maximum(a["x"], 0),
    "add_float4": lambda a: a["a"] + a["b"],
    "axpy_grid_stride": lambda a: a["a"] * a["x"] + a["y"],
    "gelu_device_function": lambda a: 0.5 * a["x"] * (1 + np.tanh(0.7978845608028654 * (a["x"] + 0.044715 * a["x"] ** 3))),
    "silu_half2": lambda a: a["x"] / (1 + np.exp(-a["x"])),
    "bias_broadcast": lambda a: a["x"].reshape(a["rows"], a["cols"]) + a["bias"],
    "transpose_tiled": lambda a: a["in"].reshape(a["height"], a["width"]).T,
    "row_sum_tree": lambda a: a["x"].reshape(-1, a["cols"]).sum(1),
    "row_max_shuffle": lambda a: a["x"].reshape(a["rows"], a["cols"]).max(1),
    "row_mean_two_level": lambda a: a["x"].reshape(-1, a["cols"]).mean(1),
    "softmax_shared": lambda a: _softmax(a["x"].reshape(a["rows"], a["cols"])),
    "softmax_warp": lambda a: _softmax(a["x"].reshape(-1, 256)),
    "layer_norm": _layer_norm,
    "rms_norm_block": _rms_norm,
    "gemm_naive": _gemm,
    "gemm_float4": _gemm,
    "stencil_star": _star,
    "gemm_tiled": lambda a: a["A"].reshape(a["M"], a["K"]) @ a["B"].reshape(a["K"], a["N"]),
    "gemm_wmma": lambda a: a["A"].reshape(a["M"], a["K"]) @ a["B"].reshape(a["K"], a["N"]),
    "gemm_register_tile": lambda a: a["A"].reshape(a["M"], a["K"]) @ a["B"].reshape(a["K"], a["N"]),
    "gemv_warp": lambda a: a["A"].reshape(a["rows"], a["cols"]) @ a["x"],
    "batched_gemm": lambda a: a["A"].reshape(-1, a["M"], a["K"]) @ a["B"].reshape(-1, a["N"], a["K"]).transpose(0, 2, 1),
    "conv2d_padded": _conv2d,
    "depthwise_conv": _depthwise,
    "max_pool": _max_pool,
    "avg_pool_template": lambda a: a["x"].reshape(4, 2, 6, 2, 32).mean(axis=(1, 3)),
    "gemm_int8_dp4a": _int8,
    "dot_atomic": lambda a: a["out"] + (a["x"] * a["y"]).sum(),
    "complex_multiply": _complex,
    "gemm_mfma": lambda a: a["A"].reshape(a["M"], a["K"]) @ a["B"].reshape(a["K"], a["N"]),
    "row_sum_wave64": lambda a: a["x"].reshape(-1, a["cols"]).sum(1),
    "gemm_vnni": _vnni,
    "rms_norm_avx512": _rms_norm,
    "dot_avx2": lambda a: a["A"].reshape(a["rows"], a["cols"]) @ a["x"],
    "layer_norm_serial": _layer_norm,
    "silu_bang": lambda a: a["x"] / (1 + np.exp(-a["x"])),
    "softmax_bang": lambda a: _softmax(a["x"].reshape(a["rows"], 128)),
    "gemm_bang": lambda a: a["A"].reshape(a["M"], 64) @ a["B"].reshape(64, 64).T,
    "newton_sqrt": lambda a: np.sqrt(np.abs(a["x"])),
    "flash_attention": _attention,
    "gemm_double_buffer": lambda a: a["A"].reshape(-1, a["K"]) @ a["B"].reshape(a["K"], a["N"]),
    "gemm_split_k": lambda a: a["C"].reshape(a["M"], a["N"]) + a["A"].reshape(a["M"], a["K"]) @ a["B"].reshape(a["K"], a["N"]),
    "warp_specialized_sum": lambda a: a["x"].reshape(-1, a["cols"]).sum(1),
    "depthwise_conv_shared": _depthwise_same,
    "top1_batched": _top1,
    "conv_int8_requant": _requantized,
    "rotary_embedding": _rotary,
    "group_norm_welford": _group_norm,
    "cross_entropy": _cross_entropy,
    "embedding_gather": _embedding,
    "histogram": lambda a: a["counts"] + np.bincount(a["x"], minlength=256),
}


def _windows(x: Array, r: int, stride: int = 1) -> Array:
    return np.lib.stride_tricks.sliding_window_view(x, (r, r), axis=(0, 1))[::stride, ::stride]


def _heads(a: Arguments) -> Array:
    q, k, v = (a[n].reshape(2, 64, 32) for n in "qkv")
    return np.stack([_softmax(0.176776695 * x @ y.T) @ z for x, y, z in zip(q, k, v, strict=True)])


def _erf(x: Array) -> Array:
    return np.vectorize(math.erf)(x)


def _rows(x: Array) -> Array:
    return x.reshape(32, 128)


# The kernels of examples/kernels/operators, whose sizes stand in their text.
OPERATORS: dict[str, Callable[[Arguments], Array]] = {
    "relu": lambda a: np.maximum(a["x"], 0),
    "sigmoid": lambda a: 1 / (1 + np.exp(-a["x"])),
    "gelu": lambda a: 0.5 * a["x"] * (1 + _erf(a["x"] / np.sqrt(2))),
    "silu": lambda a: a["x"] / (1 + np.exp(-a["x"])),
    "sign": lambda a: np.where(a["x"] >= 0, 1.0, -1.0),
    "add": lambda a: a["a"] + a["b"],
    "axpby": lambda a: 2.5 * a["a"] + 0.75 * a["b"],
    "bias_relu": lambda a: np.maximum(_rows(a["x"]) + a["bias"], 0),
    "row_sum": lambda a: _rows(a["x"]).sum(1),
    "row_max": lambda a: _rows(a["x"]).max(1),
    "softmax": lambda a: _softmax(_rows(a["x"])),
    "l2_normalize": lambda a: _rows(a["x"]) / np.sqrt((_rows(a["x"]) ** 2).sum(1, keepdims=True) + 1e-6),
    "rms_norm": lambda a: _rms_norm({**a, "cols": 128, "eps": 1e-5, "weight": a["gamma"]}),
    "layer_norm": lambda a: _layer_norm({**a, "rows": 32, "cols": 128}),
    "gemm": lambda a: a["a"].reshape(64, 64) @ a["b"].reshape(64, 64).T,
    "batched_gemm": lambda a: a["a"].reshape(4, 16, 32) @ a["b"].reshape(4, 64, 32).transpose(0, 2, 1),
    "gemv": lambda a: a["a"].reshape(128, 64) @ a["x"],
    "conv1d": lambda a: np.correlate(a["x"], a["w"], "valid"),
    "conv2d": lambda a: np.einsum("hwcrs,orsc->hwo", _windows(a["x"].reshape(10, 12, 16), 3), a["w"].reshape(64, 3, 3, 16)),
    "depthwise_conv": lambda a: np.einsum("hwcrs,rsc->hwc", _windows(a["x"].reshape(10, 12, 64), 3), a["w"].reshape(3, 3, 64)),
    "max_pool": lambda a: _windows(a["x"].reshape(13, 15, 64), 3, 2).max((3, 4)),
    "avg_pool": lambda a: _windows(a["x"].reshape(13, 15, 64), 3, 2).mean((3, 4)),
    "transpose": lambda a: a["x"].reshape(64, 96).T,
    "attention": _heads,
}
