"""From text to kernels, launch sites and the host wrapper, and to the C++ text that the oracle compiles."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from lift.clang_door import CK, TK, Cursor, TranslationUnit, offset_of, parse, span_of
from lift.layout import canonical, element_type, is_onchip, is_pointer, is_vector, layout, onchip_memory
from tvm_xpiler.core.errors import LiftError
from tvm_xpiler.core.platforms import PLATFORMS, Platform
from tvm_xpiler.core.plugins import header_of
from tvm_xpiler.core.source import SourceFile


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of the entry: ``dtype`` of the value or of what it points to; ``type_text`` as in C."""

    name: str
    dtype: str
    pointer: bool
    const: bool
    type_text: str


@dataclass(frozen=True, slots=True)
class Site:
    """A launch in the file: the kernel's (instantiated) definition under the label that the oracle prints."""

    label: str
    kernel: Cursor


@dataclass(frozen=True, slots=True)
class Front:
    """A parsed file.

    Attributes:
        source: The text.
        unit: libclang's translation unit; it owns all cursors.
        entry: Name of what is called: the host wrapper, or the kernel where there is none.
        wrapper: Whether ``entry`` is a host function.
        parameters: The entry's parameters.
        sites: The launches in the file.
        kernel: The kernel, where there is no wrapper.
        runnable: The text for the host compiler: launches and dynamic shared memory in plain C++, same lines.
        platform: The dialect.
        has_device_variables: Whether blocks share file-scope variables.
        warp: Lanes of a warp.
        header: The executable header that it was read against.
    """

    source: SourceFile
    unit: TranslationUnit = field(repr=False)
    entry: str
    wrapper: bool
    parameters: tuple[Parameter, ...]
    sites: tuple[Site, ...]
    kernel: Cursor | None
    runnable: str
    platform: Platform
    has_device_variables: bool
    warp: int
    header: str

    @property
    def joined(self) -> bool:
        """Whether all clusters wait for one another, and nothing is for one cluster alone: then they are taken as one block."""
        if self.platform is not Platform.BANG:
            return False
        names: set[str] = set()
        for declared in _own(self.unit, self.source):
            for cursor in declared.walk_preorder():
                if cursor.kind == CK.CALL_EXPR:
                    names.add(cursor.spelling)
                elif cursor.kind == CK.VAR_DECL and onchip_memory(cursor) == "shared":
                    return False
        return bool(names & {"__sync_all", "__sync_all_ipu"}) and "__sync_cluster" not in names


def _own(unit: TranslationUnit, source: SourceFile) -> list[Cursor]:
    """Return the file's own declarations, those in namespaces and extern blocks included."""
    found: list[Cursor] = []

    def go(cursor: Cursor) -> None:
        for child in cursor.get_children():
            if child.location.file is None or child.location.file.name != source.name:
                continue
            if child.kind in (CK.NAMESPACE, CK.LINKAGE_SPEC, CK.UNEXPOSED_DECL):
                go(child)
            else:
                found.append(child)

    go(unit.cursor)
    return found


def _is_kernel(cursor: Cursor) -> bool:
    return any(c.kind == CK.CUDAGLOBAL_ATTR for c in cursor.get_children())


def _uncalled(functions: list[Cursor]) -> list[Cursor]:
    """Return the functions that none of the others calls: the entries of a serial file."""
    called = {
        c.referenced.spelling
        for f in functions
        for c in f.walk_preorder()
        if c.kind == CK.CALL_EXPR and c.referenced is not None and c.referenced.spelling != f.spelling
    }
    return [f for f in functions if f.spelling not in called and f.spelling != "main"]


def _has_body(cursor: Cursor) -> bool:
    return any(c.kind == CK.COMPOUND_STMT for c in cursor.get_children())


def read(
    source: SourceFile,
    platform: Platform,
    entry: str | None = None,
    include: tuple[str, ...] = (),
    warp: int | None = None,
    define: tuple[str, ...] = (),
    header: str | None = None,
) -> Front:
    """Parse ``source`` and choose its entry.

    Args:
        source: The kernel file.
        platform: Its dialect.
        entry: A wrapper's or kernel's name, ``name<args>`` for a template; the only one of the file by default.
        include: Folders for ``#include``.
        warp: Lanes of a warp; the platform's own by default.
        define: Macros, ``NAME`` or ``NAME=VALUE``.
        header: The executable header; the dialect's own by default.

    Raises:
        LiftError: XP100, XP101, XP102 or XP103.
    """
    header = header or header_of(platform)
    lanes = warp or PLATFORMS[platform].warp
    unit = parse(source, header, include, lanes, define)
    declared = _own(unit, source)
    functions = [c for c in declared if c.kind in (CK.FUNCTION_DECL, CK.FUNCTION_TEMPLATE) and _has_body(c)]
    serial = not PLATFORMS[platform].axes
    kernels = _uncalled(functions) if serial else [c for c in functions if _is_kernel(c)]
    if not kernels:
        what = "function" if serial else "__global__ function"
        raise LiftError("XP102", f"{source.name} has no {what}", hint="give a file with a kernel's definition")
    sites: list[Site] = []
    hosts = []
    for function in functions:
        if function in kernels:
            continue
        calls = [c for c in function.walk_preorder() if c.kind == CK.CALL_EXPR and _configuration(c) is not None]
        if calls:
            hosts.append(function)
            for call in calls:
                sites.append(Site(f"site{len(sites)}", _kernel_of(call, kernels)))
    callees = {
        c.referenced.spelling
        for h in hosts
        for c in h.walk_preorder()
        if c.kind == CK.CALL_EXPR and c.referenced is not None and c.spelling != h.spelling
    }
    wrappers = [h for h in hosts if h.kind == CK.FUNCTION_DECL and h.spelling != "main" and h.spelling not in callees]
    name = entry.split("<")[0] if entry else None
    chosen = [w for w in wrappers if name is None or w.spelling == name]
    runnable = _runnable(source, declared)
    device_variables = any(c.kind == CK.VAR_DECL and any(k.kind == CK.CUDADEVICE_ATTR for k in c.get_children()) for c in declared)
    if len(chosen) == 1:
        parameters = _parameters(chosen[0], source)
        if all(p is not None for p in parameters):
            return Front(
                source,
                unit,
                chosen[0].spelling,
                True,
                tuple(p for p in parameters if p),
                tuple(sites),
                None,
                runnable,
                platform,
                device_variables,
                lanes,
                header,
            )
    if len(chosen) > 1 and name is None:
        raise LiftError(
            "XP103",
            f"{source.name} has {len(chosen)} host functions that launch kernels: " + ", ".join(c.spelling for c in chosen),
            hint="choose one with --entry",
        )
    named = [k for k in kernels if name is None or k.spelling == name]
    if not named:
        known = ", ".join(sorted({c.spelling for c in wrappers + kernels}))
        raise LiftError("XP102", f"there is no '{entry}' in {source.name}", hint=f"it has: {known}")
    if len(named) > 1:
        raise LiftError(
            "XP103",
            f"{source.name} has {len(named)} kernels: " + ", ".join(k.spelling for k in named),
            span_of(source, named[1]),
            "choose one with --entry",
        )
    kernel = named[0]
    label = kernel.spelling
    if kernel.kind == CK.FUNCTION_TEMPLATE:
        label = entry or ""
        if "<" not in label:
            raise LiftError(
                "XP103",
                f"'{kernel.spelling}' is a template",
                span_of(source, kernel),
                f"name an instance: --entry '{kernel.spelling}<...>'",
            )
        probe = SourceFile(source.name, source.text + f"\nstatic auto xp_probe = &{label};\n")
        unit = parse(probe, header, include, lanes, define)
        references = [
            c.referenced
            for d in _own(unit, probe)
            if d.spelling == "xp_probe"
            for c in d.walk_preorder()
            if c.kind == CK.DECL_REF_EXPR and c.referenced is not None and c.referenced.spelling == kernel.spelling
        ]
        if not references:
            raise LiftError("XP102", f"'{label}' names no instance of the template", hint="spell the arguments as C++ would")
        kernel = references[0]
    parameters = _parameters(kernel, source)
    if any(p is None for p in parameters):
        raise LiftError(
            "XP106",
            f"'{kernel.spelling}' has a parameter that is neither a number nor a pointer to numbers",
            span_of(source, kernel),
        )
    return Front(
        source,
        unit,
        label,
        False,
        tuple(p for p in parameters if p),
        (Site("site0", kernel),),
        kernel,
        runnable,
        platform,
        device_variables,
        lanes,
        header,
    )


def _configuration(call: Cursor) -> Cursor | None:
    children = list(call.get_children())
    if len(children) > 1 and children[1].kind == CK.CALL_EXPR and children[1].spelling == "__cudaPushCallConfiguration":
        return children[1]
    return None


def _kernel_of(call: Cursor, kernels: list[Cursor]) -> Cursor:
    referenced = call.referenced
    if referenced is not None and _has_body(referenced):
        return referenced
    if referenced is not None and referenced.get_definition() is not None:
        return referenced.get_definition()
    callee = next(iter(call.get_children()))
    names = {c.spelling for c in callee.walk_preorder()}
    return next((k for k in kernels if k.spelling in names), kernels[0])


def _parameters(function: Cursor, source: SourceFile) -> list[Parameter | None]:
    result: list[Parameter | None] = []
    for position, child in enumerate(c for c in function.get_children() if c.kind == CK.PARM_DECL):
        name = child.spelling or f"arg{position}"
        ctype = canonical(child.type)
        if is_pointer(ctype):
            pointee = element_type(ctype)
            if canonical(pointee).kind == TK.VOID:
                result.append(None)
                continue
            found = layout(pointee)
            result.append(
                Parameter(name, found.dtype, True, pointee.is_const_qualified(), child.type.spelling) if found and found.dtype else None
            )
        else:
            found = layout(ctype)
            result.append(
                Parameter(name, found.dtype, False, False, child.type.spelling) if found and found.dtype and found.size == 1 else None
            )
    return result


def _marker(line: str) -> int:
    """Return where the storage marker of the last declaration of a line stands."""
    return max((line.rfind(word) for word in ("__nram__", "__wram__", "__ldram__")), default=0)


def _onchip(source: SourceFile, variable: Cursor, at_file_scope: bool, numbers: Iterator[int]) -> str:
    """Return a declaration that the host compiler takes of a variable in a core's own memory, without its semicolon."""
    if canonical(variable.type).kind != TK.CONSTANTARRAY:
        text = source.text[offset_of(source, variable.location) : offset_of(source, variable.extent.end)]
        return f"{variable.type.spelling} {text}"
    held = f"xp_onchip_array<{variable.type.spelling}>({next(numbers)})"
    if at_file_scope:  # an array at file scope is another one for each core: its name stands for a call
        return f'\n#define {variable.spelling} {held}\n#line {variable.extent.end.line} "kernel.cu"\n'
    return f"auto& {variable.spelling} = {held}"


_BUILT_IN = frozenset({TK.FLOAT, TK.DOUBLE, TK.HALF, TK.BOOL, TK.CHAR_S, TK.SCHAR, TK.UCHAR, TK.SHORT, TK.USHORT, TK.INT, TK.UINT, TK.LONG, TK.ULONG, TK.LONGLONG, TK.ULONGLONG})  # fmt: skip


def _constructed(variable: Cursor) -> bool:
    """Say whether a variable is an array of what may be a class, which g++ guards where it is static, even if nothing is constructed."""
    element = canonical(variable.type)
    if element.kind not in {TK.CONSTANTARRAY, TK.DEPENDENTSIZEDARRAY}:
        return False
    while element.kind in {TK.CONSTANTARRAY, TK.DEPENDENTSIZEDARRAY}:
        element = canonical(element.element_type)
    return element.kind not in _BUILT_IN


_BEFORE_TYPE = re.compile(r"\b(?:__shared__|static|volatile)\b|\b(?:__align__|alignas)\s*\([^()]*\)")


def _shared(source: SourceFile, variables: list[Cursor]) -> tuple[tuple[int, int], str]:
    """Return where the types and names of a declaration stand, and what to put there: memory for the arrays, without constructors."""
    name, end = offset_of(source, variables[0].location), offset_of(source, variables[-1].extent.end)
    line = source.text.rfind("\n", 0, name) + 1
    start = max((line + m.end() for m in _BEFORE_TYPE.finditer(source.text[line:name])), default=name)
    parts = [f"xp_memory<{v.type.spelling}> xp_{v.spelling}; auto& {v.spelling} = xp_{v.spelling}.array()" for v in variables]
    return (start, end), " " + "; __shared__ ".join(parts)


def _runnable(source: SourceFile, declared: list[Cursor]) -> str:
    """Rewrite what g++ cannot parse at exactly the places that libclang names; no line moves."""
    edits: dict[tuple[int, int], str] = {}
    text = source.text
    labels, arrays = iter(range(1 << 20)), iter(range(1 << 20))
    onchip: list[list[Cursor]] = []  # the variables of each declaration in a function
    at_file_scope: list[list[Cursor]] = []  # and of those outside
    for function in declared:
        for cursor in function.walk_preorder():
            if cursor.kind == CK.CALL_EXPR and _configuration(cursor) is not None:
                label = f"site{next(labels)}"
                start, end = offset_of(source, cursor.extent.start), offset_of(source, cursor.extent.end)
                if text.startswith("hipLaunchKernelGGL", start):
                    edits[start, text.index("(", start) + 1] = f'XP_LAUNCH("{label}", '
                    continue
                opening = text.find("<<<", start, end)
                closing = text.find(">>>", opening, end)
                paren = text.find("(", closing, end)
                if -1 in (opening, closing, paren):
                    raise LiftError("XP106", "a launch that comes from a macro", span_of(source, cursor))
                edits[start, start] = f'xp::run(xp::configure("{label}", '
                edits[start, paren + 1] = (
                    text[opening + 3 : closing] + "), " + text[start:opening] + (", " if text[paren + 1 : end - 1].strip() else "")
                )
            if cursor.kind == CK.VAR_DECL and onchip_memory(cursor) == "shared":  # which is static without saying so
                start, end = offset_of(source, cursor.extent.start), offset_of(source, cursor.location)
                line = text.rfind("\n", 0, start) + 1
                for word in re.finditer(r"\bstatic\b", text[line:end]):
                    edits[line + word.start(), line + word.end()] = ""
            if cursor.kind == CK.DECL_STMT:
                onchip.append([c for c in cursor.get_children() if c.kind == CK.VAR_DECL])
                if onchip[-1] and all(onchip_memory(v) == "shared" and _constructed(v) for v in onchip[-1]):
                    place, replacement = _shared(source, onchip[-1])
                    edits[place] = replacement
            if cursor.kind == CK.VAR_DECL and function is cursor:
                start = offset_of(source, cursor.extent.start)
                if at_file_scope and offset_of(source, at_file_scope[-1][0].extent.start) == start:
                    at_file_scope[-1].append(cursor)
                else:
                    at_file_scope.append([cursor])
            if cursor.kind in (CK.TYPE_ALIAS_DECL, CK.TYPEDEF_DECL) and is_vector(cursor.type):
                start, end = offset_of(source, cursor.extent.start), offset_of(source, cursor.extent.end)
                vector = canonical(cursor.type)
                edits[start, end] = f"using {cursor.spelling} = xp_vector<{vector.element_type.spelling}, {vector.element_count}>"
            if (
                cursor.kind == CK.VAR_DECL
                and cursor.type.kind in (TK.INCOMPLETEARRAY,)
                and any(c.kind == CK.CUDASHARED_ATTR for c in cursor.get_children())
            ):
                start, end = offset_of(source, cursor.extent.start), offset_of(source, cursor.extent.end)
                if cursor.location.file is None or "__shared__" not in text[start:end]:
                    continue
                inner = cursor.type.element_type.spelling
                static = "static " if function is cursor else ""
                edits[start, end] = (
                    f"{static}{inner}* const {cursor.spelling} = reinterpret_cast<{inner}*>(xp_dynamic_shared())"
                    + "\n" * text[start:end].count("\n")
                )
    for variables in [*onchip, *at_file_scope]:
        if any(is_onchip(v) and canonical(v.type).kind == TK.CONSTANTARRAY for v in variables):
            start, end = offset_of(source, variables[0].extent.start), offset_of(source, variables[-1].extent.end)
            start = text.rfind("\n", 0, start) + 1 + _marker(text[text.rfind("\n", 0, start) + 1 : end])
            edits[start, end] = "; ".join(_onchip(source, v, variables in at_file_scope, arrays) for v in variables)
    # An opening edit and the edit that begins at the same place are applied as one.
    for (start, end), replacement in sorted(edits.items(), reverse=True):
        if start == end:
            continue
        prefix = edits.get((start, start), "")
        lines = text[start:end].count("\n") - (prefix + replacement).count("\n")
        text = text[:start] + prefix + replacement + "\n" * max(lines, 0) + text[end:]
    return text
