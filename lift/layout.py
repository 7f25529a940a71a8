"""How a C type lies in memory, as elements: ``float4`` is four float32, ``int a[2][3]`` six int32."""

from __future__ import annotations

from dataclasses import dataclass

from lift.clang_door import CK, TK, Cursor, Type, dtype_of
from tvm_xpiler.core.kernels import DTYPE_BYTES

_ARRAYS = (TK.CONSTANTARRAY, TK.INCOMPLETEARRAY)
_VECTORS = (TK.VECTOR, TK.EXTVECTOR)


@dataclass(frozen=True, slots=True)
class Layout:
    """The leaves of a type in order: their dtypes; homogeneous ones can be addressed by an index."""

    leaves: tuple[str, ...]

    @property
    def dtype(self) -> str | None:
        """The one dtype of all leaves, or None."""
        return self.leaves[0] if self.leaves and all(leaf == self.leaves[0] for leaf in self.leaves) else None

    @property
    def size(self) -> int:
        return len(self.leaves)


def canonical(ctype: Type) -> Type:
    """Return the type without typedefs and references."""
    result = ctype.get_canonical()
    if result.kind in (TK.LVALUEREFERENCE, TK.RVALUEREFERENCE):
        result = result.get_pointee().get_canonical()
    return result


def is_record(ctype: Type) -> bool:
    return bool(canonical(ctype).kind == TK.RECORD)


def is_array(ctype: Type) -> bool:
    return bool(canonical(ctype).kind in _ARRAYS)


def is_vector(ctype: Type) -> bool:
    """Say whether a type is a vector of the compiler (``vector_size``): a value like a record, indexed like an array."""
    return bool(canonical(ctype).kind in _VECTORS)


def is_indexed(ctype: Type) -> bool:
    """Say whether a value's leaves are reached by an index: a vector, or a record that holds an array."""
    return is_vector(ctype) or (is_record(ctype) and any(is_array(field.type) for field in fields(ctype)))


def is_pointer(ctype: Type) -> bool:
    return bool(canonical(ctype).kind == TK.POINTER)


def fields(ctype: Type) -> list[Cursor]:
    """Return the fields of a record, those of its bases first."""
    result: list[Cursor] = []
    for child in canonical(ctype).get_declaration().get_children():
        if child.kind == CK.CXX_BASE_SPECIFIER:
            result += fields(child.type)
    return result + list(canonical(ctype).get_fields())


def layout(ctype: Type) -> Layout | None:
    """Return the layout of a type, or None when it holds pointers or is incomplete."""
    ctype = canonical(ctype)
    dtype = dtype_of(ctype)
    if dtype is not None:
        return Layout((dtype,))
    if ctype.kind == TK.CONSTANTARRAY or ctype.kind in _VECTORS:
        inner = layout(ctype.element_type)
        return None if inner is None or ctype.element_count > 1 << 22 else Layout(inner.leaves * ctype.element_count)
    if ctype.kind == TK.RECORD:
        leaves: tuple[str, ...] = ()
        for field in fields(ctype):
            inner = layout(field.type)
            if inner is None:
                return None
            leaves += inner.leaves
        return Layout(leaves)
    return None


def element_type(ctype: Type) -> Type:
    """Return what an array or pointer type holds."""
    ctype = canonical(ctype)
    return ctype.element_type if ctype.kind in _ARRAYS + _VECTORS else ctype.get_pointee()


def field_offset(ctype: Type, name: str) -> int:
    """Return how many leaves of a record lie before field ``name``."""
    offset = 0
    for field in fields(ctype):
        if field.spelling == name:
            return offset
        inner = layout(field.type)
        offset += inner.size if inner else 0
    raise KeyError(name)


def is_reference(ctype: Type) -> bool:
    """Say whether a type is a reference."""
    return ctype.get_canonical().kind in (TK.LVALUEREFERENCE, TK.RVALUEREFERENCE)


def stride(ctype: Type, dtype: str) -> int | None:
    """Return the size of a type in elements of ``dtype``, or None when it is no whole number of them."""
    inner = layout(ctype)
    if inner is None or not inner.leaves:
        return None
    size = sum(DTYPE_BYTES[leaf] for leaf in inner.leaves)
    return size // DTYPE_BYTES[dtype] if size % DTYPE_BYTES[dtype] == 0 else None


def onchip_memory(cursor: Cursor) -> str | None:
    """Return where a variable lies: ``nram``, ``wram`` or ``ldram`` of its core, ``shared`` among the threads of a block, else None."""
    for child in cursor.get_children():
        if child.kind == CK.CUDASHARED_ATTR:
            return "shared"
        if child.kind == CK.ANNOTATE_ATTR and child.spelling in {"nram", "wram", "ldram"}:
            return str(child.spelling)
    return None


def is_onchip(cursor: Cursor) -> bool:
    """Say whether a variable lies in memory of its core alone (``__nram__`` and its like)."""
    return onchip_memory(cursor) in {"nram", "wram", "ldram"}
