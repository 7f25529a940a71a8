"""The door to libclang: parse options, the entry points that its Python binding lacks, operators, constants, types."""

from __future__ import annotations

import ctypes
import threading
from functools import lru_cache
from typing import Any

from clang import cindex
from clang.cindex import Cursor, CursorKind, Index, TranslationUnit, Type, TypeKind

from tvm_xpiler.core.errors import LiftError
from tvm_xpiler.core.fingerprint import SEMANTICS
from tvm_xpiler.core.headers import empty_headers
from tvm_xpiler.core.source import SourceFile, Span

CK, TK = CursorKind, TypeKind
for _number in (32, 39, 176):  # _Float16, __bf16 and ext_vector_type, which the binding of 18.1.1 does not list
    if _number >= len(TypeKind._kinds) or TypeKind._kinds[_number] is None:
        TypeKind(_number)
__all__ = [
    "CK",
    "TK",
    "Cursor",
    "TranslationUnit",
    "Type",
    "binary_operator",
    "constant",
    "dtype_of",
    "parse",
    "span_of",
    "unary_operator",
]

_BINARY = [
    "?",
    "->*",
    ".*",
    "*",
    "/",
    "%",
    "+",
    "-",
    "<<",
    ">>",
    "<=>",
    "<",
    ">",
    "<=",
    ">=",
    "==",
    "!=",
    "&",
    "^",
    "|",
    "&&",
    "||",
    "=",
    "*=",
    "/=",
    "%=",
    "+=",
    "-=",
    "<<=",
    ">>=",
    "&=",
    "^=",
    "|=",
    ",",
]
_UNARY = ["?", "++post", "--post", "++", "--", "&", "*", "+", "-", "~", "!"]

_DTYPES = {
    TK.BOOL: "bool", TK.CHAR_S: "int8", TK.SCHAR: "int8", TK.CHAR_U: "uint8", TK.UCHAR: "uint8", TK.SHORT: "int16", TK.USHORT: "uint16",
    TK.INT: "int32", TK.UINT: "uint32", TK.LONG: "int64", TK.ULONG: "uint64", TK.LONGLONG: "int64", TK.ULONGLONG: "uint64",
    TK.FLOAT: "float32", TK.DOUBLE: "float64", TK.HALF: "float16", TK.ENUM: "int32",
}  # fmt: skip
_SPELLED = {"_Float16": "float16", "__bf16": "bfloat16"}
_lock = threading.Lock()


@lru_cache(maxsize=1)
def _library() -> Any:
    library = cindex.conf.lib
    for name in ("clang_getCursorBinaryOperatorKind", "clang_getCursorUnaryOperatorKind"):
        function = getattr(library, name)
        function.argtypes, function.restype = [Cursor], ctypes.c_int
    library.clang_Cursor_Evaluate.argtypes, library.clang_Cursor_Evaluate.restype = [Cursor], ctypes.c_void_p
    for name, result in (
        ("getKind", ctypes.c_int),
        ("getAsLongLong", ctypes.c_longlong),
        ("getAsDouble", ctypes.c_double),
        ("dispose", None),
    ):
        function = getattr(library, f"clang_EvalResult_{name}")
        function.argtypes, function.restype = [ctypes.c_void_p], result
    return library


def parse(source: SourceFile, header: str, include: tuple[str, ...] = (), warp: int = 32, define: tuple[str, ...] = ()) -> TranslationUnit:
    """Parse CUDA-like text against an executable header.

    Raises:
        LiftError: XP100 with the compiler's message and place; XP101 for an undeclared function.
    """
    options = [
        "-x", "cuda", "-nocudainc", "-nocudalib", "--cuda-host-only", "-nostdinc", "-nostdinc++", "-std=c++17", "-DXP_PARSE", f"-DXP_WARP={warp}", "-fno-builtin",
        "-Wno-everything", f"-I{empty_headers(False)}", *(f"-I{path}" for path in (*include, SEMANTICS.parent)), *(f"-D{macro}" for macro in define), "-include", str(SEMANTICS / header),
    ]  # fmt: skip
    with _lock:
        unit = Index.create().parse(source.name, args=options, unsaved_files=[(source.name, source.text)])
    for diagnostic in unit.diagnostics:
        if diagnostic.severity >= cindex.Diagnostic.Error:
            span = _span(source, diagnostic.location)
            text = diagnostic.spelling
            if "undeclared identifier" in text or "no matching function" in text:
                name = text.split("'")[1] if "'" in text else "?"
                raise LiftError(
                    "XP101",
                    f"unknown builtin '{name}': {text}",
                    span,
                    f"define it in the file, or add it to {header} in tvm_xpiler/core/semantics",
                )
            raise LiftError("XP100", text, span)
    return unit


def _span(source: SourceFile, location: Any) -> Span | None:
    if location.file is None or location.file.name != source.name:
        return None
    start = source.offset(location.line, 1) + _columns(source, location.line, location.column)
    end = start
    while end < len(source.text) and (source.text[end].isalnum() or source.text[end] == "_"):
        end += 1
    return Span(source, start, max(end, start + 1))


def _columns(source: SourceFile, line: int, column: int) -> int:
    """Clang counts bytes; we count characters."""
    return len(source.line_text(line).encode()[: column - 1].decode(errors="ignore"))


def offset_of(source: SourceFile, location: Any) -> int:
    """Return the character offset of a libclang location."""
    return source.offset(location.line, 1) + _columns(source, location.line, location.column)


def span_of(source: SourceFile, cursor: Cursor) -> Span | None:
    """Return where ``cursor`` stands in ``source``, or None when it comes from a header."""
    start, end = cursor.extent.start, cursor.extent.end
    if start.file is None or start.file.name != source.name:
        return None
    return Span(source, offset_of(source, start), max(offset_of(source, end), offset_of(source, start) + 1))


def binary_operator(cursor: Cursor) -> str:
    """Return the operator's spelling, e.g. ``+=``."""
    return str(_BINARY[_library().clang_getCursorBinaryOperatorKind(cursor)])


def unary_operator(cursor: Cursor) -> str:
    """Return the operator's spelling, ``++post`` for the postfix forms."""
    kind = _library().clang_getCursorUnaryOperatorKind(cursor)
    return str(_UNARY[kind]) if kind < len(_UNARY) else "?"


def constant(cursor: Cursor) -> int | float | None:
    """Return the value of a constant expression, or None."""
    library = _library()
    result = library.clang_Cursor_Evaluate(cursor)
    if not result:
        return None
    try:
        kind = library.clang_EvalResult_getKind(result)
        if kind == 1:
            return int(library.clang_EvalResult_getAsLongLong(result))
        if kind == 2:
            return float(library.clang_EvalResult_getAsDouble(result))
        return None
    finally:
        library.clang_EvalResult_dispose(result)


def dtype_of(ctype: Type) -> str | None:
    """Return the element type's name of an arithmetic type, or None."""
    canonical = ctype.get_canonical()
    try:
        found = _DTYPES.get(canonical.kind)
    except ValueError:  # a kind that the binding does not list
        found = None
    spelled: str | None = found or _SPELLED.get(canonical.spelling.replace("const ", "").replace("volatile ", "").strip())
    return spelled
