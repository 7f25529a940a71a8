"""Variables that live outside of a thread: shared memory, and what stands at file scope."""

from __future__ import annotations

from lift import expr as E
from lift import ir
from lift.clang_door import CK, TK, Cursor, constant, dtype_of
from lift.convert_places import PlaceConverter
from lift.layout import canonical, element_type, is_array, is_onchip, layout, onchip_memory
from lift.values import Memory, Place
from tvm_xpiler.core.kernels import DTYPE_BYTES, Launch, Problem


class GlobalConverter(PlaceConverter):
    """Declares shared memory, and finds the places of file-scope variables."""

    launch: Launch
    problem: Problem

    def shared(self, cursor: Cursor) -> Place:
        if canonical(cursor.type).kind == TK.INCOMPLETEARRAY:
            inner = element_type(cursor.type)
            dtype = dtype_of(canonical(inner))
            found = layout(inner)
            unit = dtype or (found.dtype if found else None)
            if unit is None:
                raise self.refuse(cursor, f"dynamic shared memory of '{inner.spelling}' is not modelled")
            name = "dynamic_shared"
            if name not in self.buffers:
                self.buffers[name] = ir.Buffer(name, unit, "shared", max(self.launch.shared_bytes // DTYPE_BYTES[unit], 1))
            return Memory(name, E.const(0), cursor.type)
        dtype = dtype_of(canonical(cursor.type))
        if dtype is not None:
            unique = self.unique(cursor.spelling)
            self.buffers[unique] = ir.Buffer(unique, dtype, "shared", 1)
            return Memory(unique, E.const(0), cursor.type)
        return self.memory(cursor.spelling, cursor.type, "shared", cursor)

    def global_variable(self, declared: Cursor, cursor: Cursor) -> Place:
        """Return the place of a file-scope or ``constexpr`` variable."""
        number = constant(cursor)
        dtype = dtype_of(canonical(declared.type))
        if number is not None and dtype:
            place = self.fresh(declared.spelling, dtype)
            self.out.append(ir.Assign(place.name, E.const(number, dtype), self.at))
            return place
        if declared.kind == CK.VAR_DECL and onchip_memory(declared) == "shared":
            self.globals[declared.hash] = self.shared(declared)
            return self.globals[declared.hash]
        if declared.kind == CK.VAR_DECL and is_onchip(declared):
            self.globals[declared.hash] = self.declare(declared.spelling, declared.type, declared)
            return self.globals[declared.hash]
        filled = next(((tensor, at) for name, tensor, at in self.launch.symbols if name == declared.spelling), None)
        if declared.kind == CK.VAR_DECL and filled is not None:
            tensor = self.problem.tensor(filled[0])
            self.buffers.setdefault(tensor.name, ir.Buffer(tensor.name, tensor.dtype, "global", tensor.size))
            self.globals[declared.hash] = Memory(tensor.name, E.const(filled[1]), declared.type)
            return self.globals[declared.hash]
        if declared.kind == CK.VAR_DECL and is_array(declared.type):
            numbers = self.initial_numbers(declared)
            found = layout(declared.type)
            if numbers is not None and found is not None and found.dtype:
                unique = self.unique(declared.spelling)
                numbers += [0.0] * (found.size - len(numbers))
                self.buffers[unique] = ir.Buffer(unique, found.dtype, "constant", found.size, tuple(numbers))
                self.globals[declared.hash] = Memory(unique, E.const(0), declared.type)
                return self.globals[declared.hash]
        raise self.refuse(cursor, f"'{cursor.spelling}' lives outside the kernel and its value is not known")

    def initial_numbers(self, declared: Cursor) -> list[float] | None:
        for child in declared.get_children():
            if child.kind == CK.INIT_LIST_EXPR:
                return self.flatten(child)
        return None

    def flatten(self, cursor: Cursor) -> list[float] | None:
        result: list[float] = []
        for child in cursor.get_children():
            if child.kind == CK.INIT_LIST_EXPR:
                inner = self.flatten(child)
                if inner is None:
                    return None
                result += inner
            else:
                number = constant(child)
                if number is None:
                    return None
                result.append(number)
        return result
