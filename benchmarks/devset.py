"""Write a manifest for a checkout of the development suite: sizes stand in its file names, their meaning stands here."""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

# Per operator: how the numbers of a file's name fill the scalar parameters of its host wrapper.
_SCALARS = {
    "size": lambda n: {"size": _product(n)},
    "softmax": lambda n: {"size1": _product(n[:-1]), "size2": n[-1]},
    "pool": lambda n: {"batch_size": n[0], "channels": n[3], "input_H": n[1], "kernel_size": n[4], "stride": n[6]},
    "bmm": lambda n: {"b": n[0], "m": n[1], "k": n[2], "n": n[3]},
    "gemm": lambda n: {"m": n[0], "k": n[1], "n": n[2]},
    "gemv": lambda n: {"m": n[0], "n": n[1]},
    "conv1d": lambda n: {"input_size": n[1], "output_size": n[0]},
    "conv2d": lambda n: {
        "batch_size": n[0],
        "input_height": n[1],
        "input_channels": n[3],
        "output_channels": n[4],
        "kernel_height": n[5],
        "stride": n[8],
    },
    "conv2dnchw": lambda n: {
        "batch_size": n[0],
        "input_height": n[2],
        "input_channels": n[1],
        "output_channels": n[4],
        "kernel_height": n[6],
        "stride": n[8],
    },
    "depthwiseconv": lambda n: {"input_height": n[0], "kernel_size": n[1], "input_channels": n[2]},
    "layernorm": lambda n: {"batch_size": n[0], "seq_length": n[1], "d_model": n[2]},
    "rmsnorm": lambda n: {"size_1": n[0], "size_2": n[1], "size1": n[0], "size2": n[1]},
    "mha": lambda n: {"batch_size": n[0], "seq_len": n[1], "num_heads": n[2], "head_dim": n[3]},
    "deformable": lambda n: {},
}


def _product(numbers: list[int]) -> int:
    result = 1
    for n in numbers:
        result *= n
    return result


def scalars(name: str, parameters: list[str]) -> dict[str, int]:
    """Return values for a wrapper's scalar parameters from a file's name."""
    operator, *rest = name.split("_")
    numbers = [int(n) for n in rest]
    for key in (operator, "pool" if operator.endswith("pool") else "size"):
        if key in _SCALARS:
            values = _SCALARS[key](numbers)
            if all(p in values for p in parameters):
                return {p: values[p] for p in parameters}
    raise KeyError(f"{name}: no rule fills {parameters}")


def main() -> int:
    """Print or write the manifest."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="a folder of kernels, e.g. benchmark/data/cuda_code_test")
    parser.add_argument("-o", "--out", type=Path, default=None)
    args = parser.parse_args()
    lines = []
    for path in sorted(p for p in args.folder.iterdir() if p.suffix in {".cu", ".hip", ".mlu", ".c", ".cpp"}):
        signature = re.search(r'extern "C" void \w+\(([^)]*)\)', path.read_text())
        wrapped = path.suffix in {".cu", ".hip"}  # the others have their sizes in the text
        parameters = [p.split()[-1] for p in signature.group(1).split(",") if "*" not in p] if signature and wrapped else []
        try:
            values = scalars(path.stem, parameters)
        except (KeyError, IndexError) as error:
            print(f"skipped {path.name}: {error}", file=sys.stderr)
            continue
        lines += [
            "[[kernel]]",
            f'file = "{path.resolve()}"',
            "scalars = { " + ", ".join(f"{k} = {v}" for k, v in values.items()) + " }",
            *(["grid = 16"] if path.suffix == ".mlu" else []),  # a union task of four clusters
            "",
        ]
    text = "\n".join(lines)
    if args.out:
        args.out.write_text(text)
    else:
        print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
