"""What makes emitted code drop into a build: a header with the original signature, and a CMakeLists that builds it."""

from __future__ import annotations

from tvm_xpiler.core.chips import CHIPS, DEFAULT_CHIP
from tvm_xpiler.core.kernels import Problem
from tvm_xpiler.core.targets import DEFAULT_ARCH
from tvm_xpiler.emit.emitted import Emitted, c_signature, entry_name


def header(problem: Problem) -> str:
    """Return a C and C++ header that declares the entry; pointers are to host memory."""
    name = entry_name(problem)
    shapes = [f"//   {t.name}: {t.size} elements, {t.role}" for t in problem.tensors]
    half = any(t.dtype == "float16" for t in problem.tensors)
    return "\n".join(
        [
            "#pragma once",
            "",
            "#include <stdint.h>",
            *(["#ifdef __CUDACC__", "#include <cuda_fp16.h>", "#elif defined(__HIP__)", "#include <hip/hip_fp16.h>", "#else", "typedef _Float16 half;", "#endif"] if half else []),
            "",
            *shapes,
            "#ifdef __cplusplus",
            'extern "C"',
            "#endif",
            f"void {name}({c_signature(problem)});",
            "",
        ]
    )  # fmt: skip


def cmake(stem: str, emitted: Emitted, arch: str | None) -> str:
    """Return a CMakeLists that builds the emitted text into a library called ``stem``."""
    file = f"{stem}{emitted.suffix}"
    head = ["cmake_minimum_required(VERSION 3.21)"]
    if emitted.target == "llvm":
        body = [
            f"project({stem} LANGUAGES CXX)", f"add_library({stem} {file})", f"target_compile_features({stem} PUBLIC cxx_std_17)",
            f"target_compile_options({stem} PRIVATE -O2 -march={arch or 'native'})", "find_package(OpenMP)",
            f"if(OpenMP_CXX_FOUND)\n  target_link_libraries({stem} PRIVATE OpenMP::OpenMP_CXX)\nendif()",
        ]  # fmt: skip
    elif emitted.target == "cuda":
        number = (arch or DEFAULT_ARCH["cuda"]).removeprefix("sm_")
        body = [
            f"project({stem} LANGUAGES CXX CUDA)",
            f"add_library({stem} {file})",
            f"set_target_properties({stem} PROPERTIES CUDA_ARCHITECTURES {number})",
        ]
    elif emitted.target in {"hip", "rocm"}:
        body = [
            f"project({stem} LANGUAGES CXX HIP)",
            f"add_library({stem} {file})",
            f"set_target_properties({stem} PROPERTIES HIP_ARCHITECTURES {arch or DEFAULT_ARCH['hip']})",
        ]
    elif emitted.target != "bang":  # a plug-in's
        body = [f"project({stem} LANGUAGES C CXX)", f"add_library({stem} {file})"]
    else:
        chip = f"mtp_{CHIPS[arch or DEFAULT_CHIP].arch}"
        body = [
            f"project({stem} LANGUAGES CXX)", "# cncc is Cambricon's compiler; NEUWARE_HOME is where its toolkit is.",
            f"add_custom_command(OUTPUT {stem}.o COMMAND cncc -O3 --bang-mlu-arch={chip} -c ${{CMAKE_CURRENT_SOURCE_DIR}}/{file} -o {stem}.o DEPENDS {file})",
            f"add_library({stem} {stem}.o)", f"set_target_properties({stem} PROPERTIES LINKER_LANGUAGE CXX)",
            f"target_link_libraries({stem} PUBLIC $ENV{{NEUWARE_HOME}}/lib64/libcnrt.so)",
        ]  # fmt: skip
    return "\n".join([*head, *body, f"target_include_directories({stem} PUBLIC ${{CMAKE_CURRENT_SOURCE_DIR}})", ""])
