"""Plans as Python that runs against stock TVM, and plans from a trace's Python. The text is parsed, never executed."""

from __future__ import annotations

import ast
import re
from typing import Any

from tvm_xpiler.schedule.index_maps import in_python
from tvm_xpiler.schedule.intrinsics import own_source
from tvm_xpiler.schedule.plan import Hole, Lambda, LoopOf, Name, Plan, Step, Table, Value, leaves
from tvm_xpiler.schedule.primitives import PRIMITIVES, REQUIRED
from tvm_xpiler.schedule.text import Malformed, Wrong, arguments_of

_HEAD = '''"""The plan of this kernel; it runs against stock TVM."""

from tvm import s_tir

'''
_LOOP = '''
def loop(sch: s_tir.Schedule, block, name: str):
    """Return the loop above a block whose variable is called so."""
    return next(rv for rv in sch.get_loops(block) if sch.get(rv).loop_var.name == name)

'''


def to_python(plan: Plan) -> str:
    """Return a module with ``apply_plan(sch)``.

    Raises:
        ValueError: The plan has holes.
    """
    if plan.holes:
        raise ValueError("a plan with holes is no program")
    writer = _Writer()
    for step in plan.steps:
        writer.step(step)
    uses_loop = any(isinstance(v, LoopOf) and isinstance(v.key, str) for s in plan.steps for v in leaves(s.args))
    why = "".join(f"    # {line}\n" for line in plan.why.splitlines())
    body = "".join(f"    {line}\n" for line in writer.lines or ["return"])
    head = _head(plan)
    if "tirx.const(" in body:
        head = head.replace("import s_tir\n", "import s_tir, tirx\n", 1)
    return f"{head}{_LOOP if uses_loop else ''}\ndef apply_plan(sch: s_tir.Schedule) -> None:\n{why}{body}"


def _head(plan: Plan) -> str:
    """Return the imports, and the definitions of those intrinsics that TVM lacks."""
    used = dict.fromkeys(str(step.args[1]) for step in plan.steps if step.op == "tensorize")
    own = {name: texts for name in used for texts in [own_source(name)] if texts is not None}
    head = _HEAD
    if len(own) < len(used):
        head = head.replace("from tvm", "import tvm.s_tir.tensor_intrin  # registers them\nfrom tvm", 1)
    if own:
        head = head.replace("import s_tir\n", "import s_tir\nfrom tvm.script import from_source\n", 1)
    for name, (description, implementation) in own.items():
        head += f'_DESCRIPTION = """\n{description}"""\n_IMPLEMENTATION = """\n{implementation}"""\n'
        head += f'parts = from_source(_DESCRIPTION), from_source(_IMPLEMENTATION)\ns_tir.TensorIntrin.register("{name}", *parts, override=True)\n\n'
    return head


class _Writer:
    def __init__(self) -> None:
        self.lines: list[str] = []
        self.variables: dict[str, str] = {}

    def variable(self, name: str) -> str:
        made = re.sub(r"\W", "_", name)
        made = made if made.isidentifier() and made not in {"sch", "loop", "s_tir"} else f"_{made}"
        while made in self.variables.values():
            made += "_"
        self.variables[name] = made
        return made

    def block(self, name: Name) -> str:
        if name.text not in self.variables:
            self.lines.append(f"{self.variable(name.text)} = sch.get_sblock({name.text!r})")
        return self.variables[name.text]

    def step(self, step: Step) -> None:
        parts = []
        named = False
        for parameter, value in zip(PRIMITIVES[step.op].parameters, step.args, strict=True):
            if parameter.variadic:
                assert isinstance(value, tuple)
                parts += [self.value(v) for v in value]
                named = True
            elif parameter.default is REQUIRED or value != parameter.default:
                text = self.value(value, parameter.name == "buffer")
                parts.append(f"{parameter.name}={text}" if named else text)
            else:
                named = True
        call = f"sch.{step.op}({', '.join(parts)})"
        # The old bindings of these names are no longer meant.
        for name in step.results:
            self.variables.pop(name, None)
        many = PRIMITIVES[step.op].result.name.endswith("S")
        results = [self.variable(name) for name in step.results]
        left = f"{', '.join(results)}{',' if many and len(results) == 1 else ''} = " if results else ""
        self.lines.append(left + call)

    def value(self, value: Value, as_tuple: bool = False) -> str:
        if isinstance(value, tuple):
            inner = ", ".join(self.value(v) for v in value)
            return f"({inner})" if as_tuple else f"[{inner}]"
        if isinstance(value, Name):
            return self.block(value)
        if isinstance(value, LoopOf):
            block = self.block(value.block)
            return f"sch.get_loops({block})[{value.key}]" if isinstance(value.key, int) else f"loop(sch, {block}, {value.key!r})"
        if isinstance(value, Lambda):
            return in_python(value.text)
        if isinstance(value, Table):
            return "{" + ", ".join(f"{k!r}: {self.value(v)}" for k, v in value.items) + "}"
        assert not isinstance(value, Hole)
        return repr(value)


def from_python(lines: list[str]) -> Plan | Malformed:
    """Return the plan of a trace's lines, as ``Trace.as_python()`` prints them.

    Each statement is a call of a method of ``sch``; anything else is refused.
    """
    try:
        tree = ast.parse("\n".join(lines))
    except SyntaxError as error:
        return Malformed(error.lineno or 1, error.offset or 1, f"no Python: {error.msg}")
    steps = []
    for statement in tree.body:
        try:
            steps.append(_statement(statement))
        except Wrong as wrong:
            return Malformed(statement.lineno, statement.col_offset + 1, wrong.message)
    return Plan(tuple(steps))


def _statement(statement: ast.stmt) -> Step:
    results: tuple[str, ...] = ()
    if isinstance(statement, ast.Assign) and len(statement.targets) == 1:
        target = statement.targets[0]
        parts = target.elts if isinstance(target, ast.Tuple) else [target]
        if not all(isinstance(p, ast.Name) for p in parts):
            raise Wrong(1, "names expected on the left")
        results = tuple(p.id for p in parts if isinstance(p, ast.Name))
        call: Any = statement.value
    else:
        call = statement.value if isinstance(statement, ast.Expr) else None
    if (
        not isinstance(call, ast.Call)
        or not isinstance(call.func, ast.Attribute)
        or not isinstance(call.func.value, ast.Name)
        or call.func.value.id != "sch"
    ):
        raise Wrong(1, "a call of a method of sch expected")
    primitive = PRIMITIVES.get(call.func.attr)
    if primitive is None:
        raise Wrong(1, f"there is no primitive '{call.func.attr}'")
    keywords = {str(k.arg): _value(k.value) for k in call.keywords}
    return Step(primitive.name, arguments_of(primitive, [_value(a) for a in call.args], keywords), results)


def _value(node: ast.expr) -> Value:
    if isinstance(node, ast.Constant) and (node.value is None or isinstance(node.value, bool | int | float | str)):
        return node.value
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub) and isinstance(node.operand, ast.Constant):
        number = node.operand.value
        if isinstance(number, int | float):
            return -number
    if isinstance(node, ast.List | ast.Tuple):
        return tuple(_value(e) for e in node.elts)
    if isinstance(node, ast.Name):
        return Name(node.id)
    if isinstance(node, ast.Lambda):
        return Lambda(ast.unparse(node))
    if isinstance(node, ast.Dict):
        return Table(tuple((str(k.value), _value(v)) for k, v in zip(node.keys, node.values, strict=True) if isinstance(k, ast.Constant)))
    raise Wrong(1, f"'{ast.unparse(node)}' is no value of a plan")
