"""Arrays larger than memory deserves: a short array shown over and over through the page tables, copied where it is written."""

from __future__ import annotations

import ctypes
import mmap
import os
import weakref
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from tvm_xpiler.core.errors import RunError

Array = npt.NDArray[Any]
_MAPS = 1024  # a process has about 65 thousand mappings
_FIXED, _NORESERVE, _FAILED = 0x10, 0x4000, ctypes.c_void_p(-1).value


@lru_cache(maxsize=1)
def _libc() -> Any:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
    libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    return libc


def repeated(period: Array, size: int) -> Array:
    """Return a writable array of ``size`` elements that repeats ``period``; untouched pages share its memory.

    Args:
        period: Flat; its bytes fill whole pages.
        size: Elements, at least those of ``period``.

    Raises:
        RunError: XP113 when the address space is exhausted.
    """
    step, total = period.nbytes, size * period.itemsize
    if step % mmap.PAGESIZE:
        raise ValueError("a repeated array needs whole pages")
    if total > step * _MAPS:
        period = np.tile(period, -(-total // (step * _MAPS)))
        step = period.nbytes
    libc, access = _libc(), mmap.PROT_READ | mmap.PROT_WRITE
    address = libc.mmap(None, total, 0, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _NORESERVE, -1, 0)
    file = os.memfd_create("period")
    try:
        os.truncate(file, step)
        with mmap.mmap(file, step) as view:
            view.write(period.tobytes())
        for at in range(0, total, step):
            where = libc.mmap(address + at, min(step, total - at), access, mmap.MAP_PRIVATE | _FIXED | _NORESERVE, file, 0)
            if address == _FAILED or where == _FAILED:
                libc.munmap(address, total)
                raise RunError("XP113", f"cannot map {total / 2**30:.1f} GiB", hint="give smaller sizes")
    finally:
        os.close(file)
    memory = (ctypes.c_char * total).from_address(address)
    weakref.finalize(memory, libc.munmap, address, total)
    array: Array = np.ndarray(size, period.dtype, memoryview(memory))
    return array
