"""Plans as JSON, with a JSON Schema that is made from the table of primitives."""

from __future__ import annotations

from typing import Any

from tvm_xpiler.schedule.plan import Hole, Lambda, LoopOf, Name, Plan, Step, Table, Value
from tvm_xpiler.schedule.primitives import PRIMITIVES, REQUIRED, Kind
from tvm_xpiler.schedule.text import Malformed, Wrong, arguments_of, parse_step, print_value

_REFERS = {Kind.BLOCK, Kind.LOOP, Kind.BLOCK_OR_LOOP, Kind.LOOPS, Kind.LOOP_OR_BLOCKS, Kind.BLOCKS}


def to_json(plan: Plan) -> dict[str, Any]:
    """Return a plan as JSON data that :func:`from_json` reads back equal. References are texts such as ``C.i``."""
    return {"why": plan.why, "steps": [_step(step) for step in plan.steps]}


def _step(step: Step) -> dict[str, Any]:
    args = {}
    for parameter, value in zip(PRIMITIVES[step.op].parameters, step.args, strict=True):
        if parameter.default is REQUIRED or type(value) is not type(parameter.default) or value != parameter.default:
            args[parameter.name] = _out(value, parameter.kind in _REFERS)
    return {"op": step.op, "args": args, "results": list(step.results)}


def _out(value: Value, refers: bool) -> Any:
    if isinstance(value, tuple):
        return [_out(v, refers) for v in value]
    if isinstance(value, Name | LoopOf):
        return print_value(value) if refers else {"ref": print_value(value)}
    if isinstance(value, Hole):
        return {"hole": value.name, "domain": [_out(v, refers) for v in value.domain]}
    if isinstance(value, Lambda):
        return {"lambda": value.text}
    if isinstance(value, Table):
        return {"table": {key: _out(v, refers) for key, v in value.items}}
    return value


def from_json(data: Any) -> Plan | Malformed:
    """Return the plan that JSON data says, or what is wrong with it; ``line`` counts the steps from 1."""
    if not isinstance(data, dict) or not isinstance(data.get("steps"), list):
        return Malformed(1, 1, "an object with a list of steps expected")
    steps = []
    for number, item in enumerate(data["steps"], 1):
        try:
            steps.append(_read_step(item))
        except Wrong as wrong:
            return Malformed(number, 1, wrong.message)
    why = data.get("why")
    return Plan(tuple(steps), why if isinstance(why, str) else "")


def _read_step(item: Any) -> Step:
    if not isinstance(item, dict) or not isinstance(item.get("op"), str) or not isinstance(item.get("args"), dict):
        raise Wrong(1, "an object with 'op' and 'args' expected")
    primitive = PRIMITIVES.get(item["op"])
    if primitive is None:
        raise Wrong(1, f"there is no primitive '{item['op'][:40]}'")
    kinds = {p.name: p.kind for p in primitive.parameters}
    results = item.get("results") or []
    if not isinstance(results, list) or not all(isinstance(r, str) and r and "`" not in r and "\n" not in r for r in results):
        raise Wrong(1, "'results' takes names")
    args = {str(name): _in(value, kinds.get(name) in _REFERS) for name, value in item["args"].items()}
    return Step(primitive.name, arguments_of(primitive, [], args), tuple(results))


def _in(value: Any, refers: bool) -> Value:
    if isinstance(value, list):
        return tuple(_in(v, refers) for v in value)
    if isinstance(value, str):
        return _reference(value) if refers else value
    if isinstance(value, dict):
        if isinstance(value.get("ref"), str):
            return _reference(value["ref"])
        if isinstance(value.get("hole"), str):
            domain = value.get("domain") or []
            if not isinstance(domain, list):
                raise Wrong(1, "a hole's domain is a list")
            return Hole(value["hole"], tuple(_in(v, refers) for v in domain))
        if isinstance(value.get("lambda"), str):
            return Lambda(value["lambda"])
        if isinstance(value.get("table"), dict):
            return Table(tuple((str(k), _in(v, refers)) for k, v in value["table"].items()))
        raise Wrong(1, "an object here is a ref, a hole, a lambda or a table")
    if value is None or isinstance(value, bool | int | float):
        return value
    raise Wrong(1, f"{type(value).__name__} is no value of a plan")


def _reference(text: str) -> Name | LoopOf:
    step = parse_step(f"unroll({text})")
    if isinstance(step, Malformed) or not isinstance(step.args[0], Name | LoopOf):
        raise Wrong(1, f"'{text[:60]}' names no block and no loop")
    return step.args[0]


_REF = {"type": "string", "description": "a block (C), a loop of a block (C.i or C[0]), or a result of an earlier step"}
_HOLE = {
    "type": "object",
    "properties": {"hole": {"type": "string"}, "domain": {"type": "array"}},
    "required": ["hole"],
    "additionalProperties": False,
}
_LAMBDA = {"type": "object", "properties": {"lambda": {"type": "string"}}, "required": ["lambda"], "additionalProperties": False}
_NUMBER_RESULT = {"type": "object", "properties": {"ref": {"type": "string"}}, "required": ["ref"], "additionalProperties": False}
_INT = {"anyOf": [{"type": "integer"}, _HOLE, _NUMBER_RESULT]}


def _list(item: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": item}


_KINDS: dict[Kind, dict[str, Any]] = {
    Kind.BLOCK: {"anyOf": [_REF, _HOLE]},
    Kind.LOOP: {"anyOf": [_REF, _HOLE]},
    Kind.BLOCK_OR_LOOP: {"anyOf": [_REF, _HOLE]},
    Kind.LOOPS: _list({"anyOf": [_REF, _HOLE]}),
    Kind.LOOP_OR_BLOCKS: {"anyOf": [_REF, _HOLE, _list({"anyOf": [_REF, _HOLE]})]},
    Kind.BLOCKS: {"anyOf": [_list({"anyOf": [_REF, _HOLE]}), {"type": "null"}]},
    Kind.FACTORS: _list({"anyOf": [{"type": "integer", "minimum": 1}, {"type": "null"}, _HOLE, _NUMBER_RESULT]}),
    Kind.BUFFER: {"anyOf": [{"type": "integer", "minimum": 0}, {"type": "string"}, _HOLE, {"type": "array"}]},
    Kind.INT: {"anyOf": [*_INT["anyOf"], {"type": "null"}]},
    Kind.INTS: {"anyOf": [_list(_INT), {"type": "null"}]},
    Kind.NUMBERS: _list({"type": "number"}),
    Kind.BOOL: {"type": "boolean"},
    Kind.STR: {"anyOf": [{"type": "string"}, _HOLE]},
    Kind.INDEX_MAP: _LAMBDA,
    Kind.PAD: {"anyOf": [{"type": "number"}, _LAMBDA, {"type": "null"}]},
    Kind.ANY: {},
}


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of plans: one object form per primitive."""
    forms = []
    for primitive in PRIMITIVES.values():
        required = [p.name for p in primitive.parameters if p.default is REQUIRED]
        args = {
            "type": "object",
            "properties": {p.name: _KINDS[p.kind] for p in primitive.parameters},
            "required": required,
            "additionalProperties": False,
        }
        forms.append(
            {
                "type": "object",
                "description": primitive.rule,
                "properties": {"op": {"const": primitive.name}, "args": args, "results": _list({"type": "string"})},
                "required": ["op", "args"],
                "additionalProperties": False,
            }
        )
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Plan",
        "type": "object",
        "properties": {"why": {"type": "string"}, "steps": _list({"anyOf": forms})},
        "required": ["steps"],
        "additionalProperties": False,
    }
