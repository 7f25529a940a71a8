"""The launch: from a dry run of the host wrapper, or from options, to grids, shapes and roles. Nothing is guessed silently."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from lift.front import Front
from tvm_xpiler.core.chips import CORES
from tvm_xpiler.core.errors import LiftError
from tvm_xpiler.core.kernels import DTYPE_BYTES, Launch, Param, Problem, Role, ScalarSpec, TensorSpec
from tvm_xpiler.core.platforms import PLATFORMS, Platform


@dataclass(frozen=True, slots=True)
class Given:
    """What is known of a kernel before it runs.

    Attributes:
        scalars: Values by parameter.
        buffers: Size in elements and role (or "") by parameter.
        grid: Blocks, where there is no wrapper.
        block: Threads of a block, where there is no wrapper.
        shared_bytes: Dynamic shared memory, where there is no wrapper.
        probed: The buffers whose size and role a run told.
    """

    scalars: Mapping[str, float]
    buffers: Mapping[str, tuple[int, str]]
    grid: tuple[int, int, int] | None = None
    block: tuple[int, int, int] | None = None
    shared_bytes: int = 0
    probed: tuple[str, ...] = ()


def missing_scalars(front: Front, given: Given) -> list[str]:
    """Return the entry's scalar parameters that have no value yet."""
    return [p.name for p in front.parameters if not p.pointer and p.name not in given.scalars]


def check_given(front: Front, given: Given) -> None:
    """Raise XP110 where the options leave something open or name what is not there."""
    known = {p.name for p in front.parameters}
    for name in [*given.scalars, *given.buffers]:
        if name not in known:
            raise LiftError(
                "XP110",
                f"'{front.entry}' has no parameter '{name}'",
                hint="its parameters: " + ", ".join(p.name for p in front.parameters),
            )
    open_scalars = missing_scalars(front, given)
    if open_scalars:
        raise LiftError(
            "XP110",
            f"'{front.entry}' needs values for: {', '.join(open_scalars)}",
            hint=" ".join(f"--arg {name}=N" for name in open_scalars),
        )
    if not front.wrapper:
        if given.grid is None or given.block is None:  # a serial function is given one thread by the caller
            raise LiftError(
                "XP110",
                f"{front.source.name} has no host wrapper that launches '{front.entry}'",
                hint="give --grid x,y,z --block x,y,z (BANG: the task dimension as --grid)",
            )


def launched(front: Front, given: Given) -> Given:
    """Return what is given with the launch as grid and block.

    A serial function is one thread. Of BANG's task dimension, a cluster is a block and its cores are threads; tasks that fill no
    cluster run alone, and clusters that wait for one another are one block.
    """
    platform = front.platform
    if not PLATFORMS[platform].axes:
        return replace(given, grid=(1, 1, 1), block=(1, 1, 1))
    if platform is Platform.BANG and given.grid is not None and given.block is None and front.joined:
        return replace(given, grid=(1, *given.grid[1:]), block=(given.grid[0], 1, 1))
    if platform is not Platform.BANG or given.grid is None or given.block is not None:
        return given
    x, y, z = given.grid
    return replace(given, grid=(x // CORES, y, z), block=(CORES, 1, 1)) if x % CORES == 0 else replace(given, block=(1, 1, 1))


def missing_buffers(front: Front, given: Given) -> list[str]:
    """Return the entry's pointers whose size is not given."""
    return [p.name for p in front.parameters if p.pointer and p.name not in given.buffers]


def with_reach(front: Front, given: Given, reach: list[tuple[int, bool, bool]]) -> Given:
    """Fill in the sizes and roles that are not given from what a run touched.

    Args:
        front: The parsed file.
        given: What the user says.
        reach: Per pointer parameter: elements, whether they are read before they are written, whether they are written.
    """
    buffers = dict(given.buffers)
    for p, (size, reads, writes) in zip((p for p in front.parameters if p.pointer), reach, strict=True):
        role = "inout" if reads and writes else "out" if writes else "in"
        buffers.setdefault(p.name, (max(size, 1), role))
    return replace(given, buffers=buffers, probed=tuple(missing_buffers(front, given)))


def check_limits(launch: Launch, platform: Platform) -> None:
    """Raise XP111 where a launch breaks a limit of its platform."""
    spec = PLATFORMS[platform]
    if launch.threads > spec.max_threads or launch.threads < 1:
        raise LiftError(
            "XP111",
            f"a block of {launch.block} has {launch.threads} threads; {platform.value} allows 1 to {spec.max_threads}",
        )
    for axis, extent, limit in zip("xyz", launch.block, spec.max_block, strict=True):
        if extent > limit:
            raise LiftError("XP111", f"block.{axis} is {extent}; {platform.value} allows {limit}")
    for axis, extent, limit in zip("xyz", launch.grid, spec.max_grid, strict=True):
        if not 1 <= extent <= limit:
            raise LiftError("XP111", f"grid.{axis} is {extent}; {platform.value} allows 1 to {limit}")


def from_options(front: Front, given: Given, platform: Platform) -> Problem:
    """Return the problem of a kernel that has no wrapper."""
    check_given(front, given)
    assert given.grid is not None
    assert given.block is not None
    params: list[Param] = []
    args: list[str | int | float] = []
    for p in front.parameters:
        if p.pointer:
            size, role = given.buffers[p.name]
            params.append(TensorSpec(p.name, p.dtype, size, _role(role or ("in" if p.const else "inout"))))
            args.append(p.name)
        else:
            value = given.scalars[p.name]
            number: int | float = float(value) if p.dtype.startswith("float") else int(value)
            params.append(ScalarSpec(p.name, p.dtype, number))
            args.append(number)
    launch = Launch("site0", given.grid, given.block, given.shared_bytes, tuple(args))
    check_limits(launch, platform)
    inferred = ["launch and sizes: from the options"] if len(given.probed) < len(given.buffers) else []
    if given.probed:
        inferred.append(
            f"sizes and roles of {', '.join(given.probed)}: what the kernel touches; an access beyond what was meant is not seen"
        )
    return Problem(front.entry, tuple(params), (launch,), not PLATFORMS[platform].axes, tuple(inferred))


def _role(text: str) -> Role:
    if text == "in":
        return "in"
    if text == "out":
        return "out"
    if text == "inout":
        return "inout"
    raise LiftError("XP110", f"a buffer's role is in, out or inout, not '{text}'")


def from_record(front: Front, given: Given, events: list[list[str]], platform: Platform) -> Problem:
    """Return the problem of a wrapper from what it did when it ran dry.

    Args:
        front: The parsed file.
        given: The scalars that it was run with, and roles or sizes that override what it did.
        events: The oracle's record, a list of words per event.
        platform: The dialect.
    """
    sizes: dict[int, int] = {}  # bytes by object: 1 + argument index, or 100 + allocation
    twin: dict[int, int] = {}  # device allocation -> argument
    read: set[int] = set()
    written: set[int] = set()
    cleared: set[int] = set()
    launched_yet = False
    allowed = PLATFORMS[platform].shared_bytes  # bytes that a launch may give; kernels of CUDA may have more where they are told
    alloc: dict[int, int] = {}
    symbols: dict[str, tuple[int, int]] = {}  # file-scope variable -> object and byte that it begins with
    for event in events:
        if event[0] == "malloc":
            alloc[int(event[1])] = int(event[2])
        elif event[0] == "copy":
            to, to_at, source, source_at, count = map(int, event[1:])
            if to >= 100 and source < 100:
                twin.setdefault(to, source)
                read.add(source)
                sizes[source] = max(sizes.get(source, 0), source_at + count)
            elif to < 100 and source >= 100:
                twin.setdefault(source, to)
                written.add(to)
                sizes[to] = max(sizes.get(to, 0), to_at + count)
        elif event[0] == "symbol":
            name, (to_at, source, source_at, count) = event[1], map(int, event[2:])
            if source >= 100 or source_at < to_at or symbols.setdefault(name, (source, source_at - to_at)) != (source, source_at - to_at):
                raise LiftError("XP106", f"'{front.entry}' fills '{name}' with more than one piece of one argument")
            read.add(source)
            sizes[source] = max(sizes.get(source, 0), source_at + count)
        elif event[0] == "set" and int(event[1]) >= 100:
            if int(event[2]) or launched_yet:
                what = "between launches" if launched_yet else f"to {event[2]}"
                raise LiftError(
                    "XP106", f"'{front.entry}' sets device memory {what}: only setting it to zero before the first launch is modelled"
                )
            cleared.add(int(event[1]))
        elif event[0] == "allow":  # for a kernel, which is not told apart from others
            allowed = max(allowed, int(event[1]))
        elif event[0] == "launch":
            launched_yet = True
            if platform is Platform.CUDA and int(event[8]) > allowed:
                raise LiftError(
                    "XP111",
                    f"a launch gives {event[8]} bytes of shared memory, where {allowed} are allowed",
                    hint="cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes) before it",
                )
    launches = [event for event in events if event[0] == "launch"]
    if not launches:
        raise LiftError("XP110", f"'{front.entry}' launches nothing with these arguments")
    direct = {int(a.split(":")[1]) for event in launches for a in event[9:] if a.startswith("p:")}
    params: list[Param] = []
    names: dict[int, str] = {}
    inferred = [f"launch: from a dry run of {front.entry}"]
    for index, p in enumerate(front.parameters, start=1):
        if not p.pointer:
            value = given.scalars[p.name]
            params.append(ScalarSpec(p.name, p.dtype, float(value) if p.dtype.startswith(("float", "bfloat")) else int(value)))
            continue
        override = given.buffers.get(p.name)
        nbytes = sizes.get(index)
        if override is None and nbytes is None:
            if index in direct:
                raise LiftError(
                    "XP110",
                    f"the size of '{p.name}' is not known: '{front.entry}' passes it on as device memory",
                    hint=f"--buffer {p.name}=SIZE:in|out|inout",
                )
            nbytes = 0
        role: Role = "inout" if index in read and index in written else "out" if index in written else "in"
        if override is not None:
            role = _role(override[1]) if override[1] else ("in" if p.const else "inout")
        size = override[0] if override is not None else (nbytes or 0) // DTYPE_BYTES[p.dtype]
        params.append(TensorSpec(p.name, p.dtype, size, role, role == "out" and any(twin.get(d) == index for d in cleared)))
        names[index] = p.name
        inferred.append(f"{p.name}: {p.dtype}[{size}] {role}, from {'the options' if override else 'the copies of ' + front.entry}")
    scratch: list[TensorSpec] = []
    by_label = {site.label: site for site in front.sites}
    result: list[Launch] = []
    for event in launches:
        label = event[1]
        g, b, shared = tuple(map(int, event[2:5])), tuple(map(int, event[5:8])), int(event[8])
        args: list[str | int | float | tuple[int | float, ...]] = []
        for position, text in enumerate(event[9:]):
            kind, _, rest = text.partition(":")
            if kind == "i":
                args.append(int(rest))
            elif kind == "f":
                args.append(float(rest))
            elif kind == "s":
                args.append(_leaves(by_label[label], position, bytes.fromhex(rest)))
            else:
                place, offset, width = map(int, rest.split(":"))
                argument = twin.get(place, place)
                if argument in names:
                    tensor = next(t for t in [*params, *scratch] if isinstance(t, TensorSpec) and t.name == names[argument])
                    dtype = tensor.dtype
                    device = alloc.get(place, 0) // DTYPE_BYTES[dtype]
                    if place >= 100 and device > tensor.size:
                        inferred.append(f"{tensor.name}: the device copy has {device} elements, {tensor.size} are copied")
                elif place in alloc:
                    dtype = _pointee_dtype(by_label[label], position) or {
                        1: "int8",
                        2: "float16",
                        4: "float32",
                        8: "float64",
                    }.get(width, "float32")
                    names[place] = f"scratch{place - 100}"
                    scratch.append(
                        TensorSpec(
                            names[place],
                            dtype,
                            alloc[place] // DTYPE_BYTES[dtype],
                            "out",
                            place in cleared,
                        )
                    )
                    argument = place
                else:
                    raise LiftError("XP110", f"argument {position} of a launch points to memory that the wrapper did not allocate")
                at = offset // DTYPE_BYTES[dtype]
                args.append(names[argument] + (f"+{at}" if at else ""))
        filled = tuple((s, names[i], at // DTYPE_BYTES[front.parameters[i - 1].dtype]) for s, (i, at) in symbols.items() if i in names)
        launch = Launch(label, (g[0], g[1], g[2]), (b[0], b[1], b[2]), shared, tuple(args), filled)
        check_limits(launch, platform)
        result.append(launch)
    return Problem(front.entry, tuple(params), tuple(result), True, tuple(inferred), tuple(scratch))


def _leaves(site: object, position: int, data: bytes) -> tuple[int | float, ...]:
    """Return the numbers in a struct argument.

    Raises:
        LiftError: XP106 where it holds anything else.
    """
    from lift.clang_door import CK
    from lift.front import Site
    from lift.layout import layout

    assert isinstance(site, Site)
    ctype = [c for c in site.kernel.get_children() if c.kind == CK.PARM_DECL][position].type
    found = layout(ctype)
    if found is None:
        raise LiftError("XP106", f"argument {position} of '{site.kernel.spelling}' is a struct that holds more than numbers")
    values: list[int | float] = []
    at = 0
    for leaf in found.leaves:
        size = DTYPE_BYTES[leaf]
        at = -(-at // size) * size  # C aligns each field to its size
        number = np.frombuffer(data, dtype=np.dtype(leaf), count=1, offset=at)[0]
        values.append(float(number) if leaf.startswith("float") else int(number))
        at += size
    return tuple(values)


def _pointee_dtype(site: object, position: int) -> str | None:
    from lift.clang_door import CK
    from lift.front import Site
    from lift.layout import element_type, layout

    assert isinstance(site, Site)
    parameters = [c for c in site.kernel.get_children() if c.kind == CK.PARM_DECL]
    found = layout(element_type(parameters[position].type))
    return found.dtype if found else None
