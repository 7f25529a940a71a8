"""Run emitted CUDA, or HIP through a thin layer on CUDA, on a real GPU.

`prepare` writes kernels, inputs and the oracle's answers; `run` needs nvcc and numpy alone.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

import numpy as np

# The functions of HIP's host interface that emitted texts use, on CUDA. Emitted HIP exchanges nothing between lanes, so that warps of 32 do.
_SHIM = {
    "hip_runtime.h": "#pragma once\n#include <cuda_runtime.h>\n"
    + "".join(
        f"#define hip{name} cuda{name}\n"
        for name in ("Malloc", "Memcpy", "Memset", "Free", "MemcpyHostToDevice", "MemcpyDeviceToHost", "DeviceSynchronize")
    ),
    "hip_fp16.h": "#include <cuda_fp16.h>\n",
    "hip_bf16.h": "#include <cuda_bf16.h>\n",
}


def prepare(manifest: Path, out: Path, arch: str, target: str, suffix: str) -> int:
    """Translate the kernels of a manifest, those of one file ending or all, and write what checking them elsewhere needs."""
    from dataclasses import replace

    from tvm_xpiler import translate
    from tvm_xpiler.core.errors import XpilerError
    from tvm_xpiler.core.kernels import TensorSpec
    from tvm_xpiler.emit.emitted import c_signature, entry_name
    from tvm_xpiler.manifest import read_manifest
    from tvm_xpiler.session import Session
    from tvm_xpiler.verify.inputs import make, poisoned

    (out / "hip").mkdir(parents=True, exist_ok=True)
    for name, text in _SHIM.items():
        (out / "hip" / name).write_text(text)
    for entry in read_manifest(manifest):
        if suffix and entry.file.suffix != suffix:
            continue
        try:
            result = translate(entry.file, target, replace(entry.options, arch=arch if target == "cuda" else None))
        except XpilerError as error:
            print(f"{entry.file.name}: {error.code} {error.message}")
            continue
        folder = out / f"{target}_{entry.file.name.replace('.', '_')}"
        folder.mkdir(parents=True, exist_ok=True)
        problem = result.problem
        session = Session(result.source, None, entry.options)
        data = make(problem, "random", 7, result.examination.int_range)
        fill = poisoned(problem)
        native = session.oracle.run("native", problem, data.arrays, fill)
        tracked = (
            session.oracle.run("tracked", problem, data.arrays, fill)
            if session.oracle.available("tracked") and not result.lifted.punned
            else None
        )
        arguments, lines = [], []
        described = []
        for index, param in enumerate(problem.params):
            if isinstance(param, TensorSpec):
                array = fill[param.name] if param.role == "out" else data.arrays[param.name]
                array.tofile(folder / f"in{index}")
                lines.append(f'  std::vector<char> b{index} = load("in{index}");')
                arguments.append(f"(void*)b{index}.data()")
                if param.role != "in":
                    native.outputs[param.name].tofile(folder / f"want{index}")
                    if tracked is not None and "float" in param.dtype:
                        tracked.outputs[param.name].tofile(folder / f"bound{index}")
                    described.append({"index": index, "name": param.name, "dtype": param.dtype})
            else:
                arguments.append(repr(param.value))
        text = result.targets[target].emitted.text
        call = ", ".join(f"(decltype(arg<{i}>({entry_name(problem)}))){a}" for i, a in enumerate(arguments))
        stores = "\n".join(f'  store("out{d["index"]}", b{d["index"]});' for d in described)
        (folder / "main.cu").write_text(
            text
            + "\n#include <cstdio>\n#include <fstream>\n#include <iterator>\n#include <string>\n#include <tuple>\n#include <vector>\n"
            + "template <int I, class... P> typename std::tuple_element<I, std::tuple<P...>>::type arg(void (*)(P...));\n"
            + "static std::vector<char> load(const char* p) { std::ifstream f(p, std::ios::binary); return std::vector<char>((std::istreambuf_iterator<char>(f)), {}); }\n"
            + "static void store(const char* p, const std::vector<char>& b) { std::ofstream(p, std::ios::binary).write(b.data(), b.size()); }\n"
            + "int main() {\n" + "\n".join(lines) + f"\n  {entry_name(problem)}({call});\n  cudaError_t e = cudaDeviceSynchronize();\n"
            + '  if (e != cudaSuccess) { std::printf("%s\\n", cudaGetErrorString(e)); return 1; }\n' + stores + "\n  return 0;\n}\n"
        )  # fmt: skip
        (folder / "spec.json").write_text(json.dumps({"outputs": described, "arch": arch, "signature": c_signature(problem)}))
        print(f"{entry.file.name}: prepared, verified in the oracle: {result.ok}")
    return 0


def run(out: Path) -> int:
    """Compile and run all prepared kernels and compare with the oracle's answers within their error bounds."""
    bad = 0
    for folder in sorted(p.parent for p in out.glob("*/spec.json")):
        spec = json.loads((folder / "spec.json").read_text())
        built = subprocess.run(
            ["nvcc", f"-arch={spec['arch']}", "-I", "..", "-o", "main", "main.cu"],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
        if built.returncode:
            print(f"{folder.name:24} does not compile: {built.stderr.splitlines()[:2]}")
            bad += 1
            continue
        done = subprocess.run(["./main"], cwd=folder, capture_output=True, text=True, check=False)
        if done.returncode:
            print(f"{folder.name:24} failed: {done.stdout.strip()}")
            bad += 1
            continue
        for o in spec["outputs"]:
            dtype = np.dtype(o["dtype"])
            got, want = (
                np.fromfile(folder / f"out{o['index']}", dtype),
                np.fromfile(folder / f"want{o['index']}", dtype),
            )
            bound_file = folder / f"bound{o['index']}"
            if bound_file.exists():
                tracked = np.fromfile(bound_file).reshape(-1, 2)
                unit = {"float16": 2.0**-11, "float32": 2.0**-24, "float64": 2.0**-53}[o["dtype"]]
                bound = 4 * tracked[:, 1] + unit * np.abs(tracked[:, 0]) + 1e-37
                share = float(np.max(np.abs(got.astype(np.float64) - tracked[:, 0]) / bound))
                right = share <= 1
                print(
                    f"{folder.name:24} {o['name']:8} {len(got):7} elements, worst error {share:6.1%} of its bound: {'agrees' if right else 'DIFFERS'}"
                )
            else:
                right = bool(np.array_equal(got, want))
                print(f"{folder.name:24} {o['name']:8} {len(got):7} elements, {'agrees' if right else 'DIFFERS'} exactly")
            bad += not right
    print(f"{bad} wrong")
    return int(bad > 0)


def main() -> int:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    first = commands.add_parser("prepare")
    first.add_argument("manifest", type=Path)
    first.add_argument("out", type=Path)
    first.add_argument("--arch", default="sm_90a", help="what runs the kernels")
    first.add_argument("--to", choices=("cuda", "hip"), default="cuda")
    first.add_argument("--only", default="", help="a file ending of the sources")
    second = commands.add_parser("run")
    second.add_argument("out", type=Path)
    args = parser.parse_args()
    return prepare(args.manifest, args.out, args.arch, args.to, args.only) if args.command == "prepare" else run(args.out)


if __name__ == "__main__":
    sys.exit(main())
