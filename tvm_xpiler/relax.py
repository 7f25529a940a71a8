"""Kernels in Relax models: calls of external functions become calls of the TensorIR that was lifted from them and verified."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any

from tvm_xpiler.core.errors import ConfigError
from tvm_xpiler.core.tir import IRModule, PrimFunc, relax
from tvm_xpiler.pipeline import Translation


def destination_passing(translation: Translation, target: str | None = None) -> PrimFunc:
    """Return a kernel as Relax calls it: inputs first, then outputs, in the order of its signature.

    Args:
        translation: A verified one, of fixed sizes, without tensors that are updated in place.
        target: Take the function as it was scheduled for this target; by default the normal form, which later passes may schedule.

    Raises:
        ConfigError: XP604 where it was not verified, leaves sizes open, updates a tensor in place, or was not made for the target.
    """
    name = translation.source.name
    if not translation.ok:
        raise ConfigError("XP604", f"{name} was not verified; a model cannot call it")
    tensors = translation.problem.tensors
    inplace = next((t.name for t in tensors if t.role == "inout"), None)
    if inplace is not None:
        raise ConfigError("XP604", f"'{inplace}' of {name} is updated in place; Relax passes inputs and outputs apart")
    if target is not None and target not in translation.targets:
        raise ConfigError("XP604", f"{name} was not translated for {target}", hint=f"targets: {', '.join(translation.targets)}")
    func = translation.lifted.func if target is None else translation.targets[target].emitted.module["main"]
    if len(func.params) != len(tensors):
        raise ConfigError("XP604", f"{name} leaves sizes open; a model needs them fixed")
    order = sorted(range(len(tensors)), key=lambda i: tensors[i].role == "out")
    return PrimFunc([func.params[i] for i in order], func.body).with_attrs({"tirx.noalias": True, "s_tir": True})


def replace_externs(module: IRModule, kernels: Mapping[str, Translation], target: str | None = None) -> IRModule:
    """Return a Relax module whose ``call_dps_packed`` of named external functions are ``call_tir`` of verified kernels.

    Tensors of another shape with as many elements are reshaped on the way. Calls of other names stay as they are.

    Args:
        module: The model.
        kernels: Translations by the name that the model calls them.
        target: As for :func:`destination_passing`.

    Raises:
        ConfigError: XP604 where a kernel cannot be called from Relax, or a call passes other tensors than the kernel takes.
    """
    r = relax()
    functions = {name: destination_passing(translation, target) for name, translation in kernels.items()}

    @r.expr_functor.mutator
    class Replaced(r.PyExprMutator):  # type: ignore[misc,name-defined]
        def __init__(self, mod: IRModule) -> None:
            super().__init__(mod)
            self.known: dict[str, Any] = {}
            self.refused: ConfigError | None = None  # TVM makes another error of one that is raised in here

        def visit_call_(self, call: Any) -> Any:
            call = super().visit_call_(call)
            callee = call.args[0] if getattr(call.op, "name", "") == "relax.call_dps_packed" else None
            name = str(getattr(callee, "global_symbol", ""))
            if name not in functions:
                return call
            func = functions[name]
            if name not in self.known:
                self.known[name] = self.builder_.add_func(func, name)  # private, as databases know it
            out = list(call.ty_args[0].fields) if hasattr(call.ty_args[0], "fields") else [call.ty_args[0]]
            given = list(call.args[1].fields) if hasattr(call.args[1], "fields") else [call.args[1]]
            params = list(func.params)
            self.refused = self.refused or (
                _other(name, [a.ty for a in given], params[: len(params) - len(out)]) or _other(name, out, params[len(params) - len(out) :])
            )
            if self.refused is not None:
                return call
            arguments = [_shaped(self, r, a, p) for a, p in zip(given, params, strict=False)]
            results = params[len(given) :]
            types = [r.TensorType(list(p.ty.shape), str(p.ty.dtype)) for p in results]
            made = self.builder_.emit(r.op.call_tir(self.known[name], r.Tuple(arguments), types[0] if len(types) == 1 else types))
            parts = [made] if len(types) == 1 else [self.builder_.emit(r.TupleGetItem(made, i)) for i in range(len(types))]
            shaped = [
                p if _shape(p.ty) == _shape(o) else self.builder_.emit(r.op.reshape(p, o.shape)) for p, o in zip(parts, out, strict=True)
            ]
            return shaped[0] if len(shaped) == 1 else r.Tuple(shaped)

    mutator = Replaced(module)
    for variable, function in module.functions.items():
        if isinstance(function, r.Function):
            changed = mutator.visit_expr(function)
            if mutator.refused is not None:
                raise mutator.refused
            mutator.builder_.update_func(variable, changed)
    return mutator.builder_.get()


def _shaped(mutator: Any, r: Any, argument: Any, param: Any) -> Any:
    """Return an argument in the shape that a kernel's parameter has."""
    if _shape(argument.ty) == _shape(param.ty):
        return argument
    return mutator.builder_.emit(r.op.reshape(argument, tuple(_shape(param.ty))))


def _shape(ty: Any) -> list[int]:
    return [int(n) for n in ty.shape]


def _other(name: str, given: list[Any], params: list[Any]) -> ConfigError | None:
    """Return why tensors of a call are not those that a kernel takes, or None."""
    if len(given) != len(params):
        return ConfigError("XP604", f"'{name}' takes {len(params)} tensors there, the model passes {len(given)}")
    for position, (theirs, ours) in enumerate(zip(given, params, strict=True)):
        fixed = theirs.shape is not None and all(hasattr(n, "value") for n in theirs.shape)
        if not fixed or prod(_shape(theirs)) != prod(_shape(ours.ty)) or str(theirs.dtype) != str(ours.ty.dtype):
            want = f"{'x'.join(map(str, _shape(ours.ty)))} {ours.ty.dtype}"
            return ConfigError("XP604", f"tensor {position} of '{name}' is {theirs} in the model; the kernel takes {want}")
    return None
