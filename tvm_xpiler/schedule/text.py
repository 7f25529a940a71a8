"""Plans as text, one step to a line: ``i0, i1 = split(C.i, [None, 16])``. ``parse(print(p)) == p``."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from tvm_xpiler.schedule.plan import Hole, Lambda, LoopOf, Name, Plan, Step, Table, Value
from tvm_xpiler.schedule.primitives import PRIMITIVES, REQUIRED, Primitive

_TOKEN = re.compile(
    r"""\s*(?:(?P<string>"(?:[^"\\]|\\.)*")|(?P<number>-?(?:inf|nan|\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)(?![A-Za-z_0-9]))|(?P<quoted>`[^`\n]+`)"""
    r"""|(?P<name>[A-Za-z_]\w*)|(?P<hole>\?(?:[A-Za-z_]\w*)?)|(?P<mark>\.\.|[()\[\]{}=,.:]))"""
)
_PLAIN = re.compile(r"[A-Za-z_]\w*\Z")
_WORDS = {"None": None, "True": True, "False": False}


@dataclass(frozen=True, slots=True)
class Malformed:
    """A text that is no plan: which line (from 1), which column (from 1), and what was expected there."""

    line: int
    column: int
    message: str

    def __str__(self) -> str:
        return f"line {self.line}, column {self.column}: {self.message}"


class Wrong(Exception):
    """What is wrong with a step, and the column (from 1)."""

    def __init__(self, column: int, message: str) -> None:
        super().__init__(message)
        self.column, self.message = column, message


def print_plan(plan: Plan) -> str:
    """Return a plan's text, a line to each step."""
    why = [f"# {line}" for line in plan.why.splitlines()]
    return "\n".join([*why, *map(print_step, plan.steps)])


def print_step(step: Step) -> str:
    """Return the text of a step; arguments that have their default are left out."""
    primitive = PRIMITIVES[step.op]
    parts, named = [], False
    for parameter, value in zip(primitive.parameters, step.args, strict=True):
        if parameter.variadic:
            assert isinstance(value, tuple)
            parts += [print_value(v) for v in value]
            named = True
        elif parameter.default is not REQUIRED and type(value) is type(parameter.default) and value == parameter.default:
            named = True
        else:
            parts.append(f"{parameter.name}={print_value(value)}" if named else print_value(value))
    results = ", ".join(map(_identifier, step.results))
    return f"{results} = {step.op}({', '.join(parts)})" if results else f"{step.op}({', '.join(parts)})"


def _identifier(text: str) -> str:
    return text if _PLAIN.match(text) and text not in _WORDS and text != "lambda" and text not in {"inf", "nan"} else f"`{text}`"


def print_value(value: Value) -> str:
    if value is None or isinstance(value, bool):
        return str(value)
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str):
        return json.dumps(value)
    if isinstance(value, Name):
        return _identifier(value.text)
    if isinstance(value, LoopOf):
        block = _identifier(value.block.text)
        return f"{block}[{value.key}]" if isinstance(value.key, int) else f"{block}.{_identifier(value.key)}"
    if isinstance(value, Lambda):
        return f"lambda({json.dumps(value.text)})"
    if isinstance(value, Table):
        return "{" + ", ".join(f"{json.dumps(k)}: {print_value(v)}" for k, v in value.items) + "}"
    if isinstance(value, Hole):
        return f"?{value.name}" + (f"{{{_domain(value.domain)}}}" if value.domain else "")
    return "[" + ", ".join(map(print_value, value)) + "]"


def _domain(domain: tuple[Value, ...]) -> str:
    ints = [v for v in domain if type(v) is int]
    if len(domain) > 2 and len(ints) == len(domain) and ints == list(range(ints[0], ints[0] + len(ints))):
        return f"{ints[0]}..{ints[-1]}"
    return ", ".join(map(print_value, domain))


def parse_plan(text: str) -> Plan | Malformed:
    """Return the plan that a text says, or where it is none. Lines that begin with ``#`` say why; steps end at a line's end or ``;``."""
    steps, why = [], []
    for number, line in enumerate(text.split("\n"), 1):
        if line.lstrip().startswith("#"):
            why.append(line.strip()[1:].strip())
            continue
        at = 0
        for part in _parts(line):
            if part.strip():
                step = parse_step(part)
                if isinstance(step, Malformed):
                    return Malformed(number, at + step.column, step.message)
                steps.append(step)
            at += len(part) + 1
    return Plan(tuple(steps), "\n".join(why))


def _parts(line: str) -> list[str]:
    """Cut a line at the semicolons outside of strings."""
    parts, start, quoted, escaped = [], 0, False, False
    for i, c in enumerate(line):
        if escaped:
            escaped = False
        elif c == "\\":
            escaped = quoted
        elif c == '"':
            quoted = not quoted
        elif c == ";" and not quoted:
            parts.append(line[start:i])
            start = i + 1
    return [*parts, line[start:]]


def parse_step(text: str) -> Step | Malformed:
    """Return the step that a line says, or where it is none."""
    try:
        return _Parser(text).step()
    except Wrong as wrong:
        return Malformed(1, wrong.column, wrong.message)


class _Parser:
    def __init__(self, text: str) -> None:
        self.tokens: list[tuple[str, str, int]] = []
        at, end = 0, len(text.rstrip())
        while at < end:
            found = _TOKEN.match(text, at)
            if found is None or found.lastgroup is None:
                column = at + len(text[at:]) - len(text[at:].lstrip()) + 1
                raise Wrong(column, f"'{text[column - 1]}' begins nothing that a plan has")
            self.tokens.append((found.lastgroup, found.group(found.lastgroup), found.start(found.lastgroup) + 1))
            at = found.end()
        self.tokens.append(("end", "", end + 1))
        self.at = 0

    def peek(self, *texts: str) -> bool:
        kind, text, _ = self.tokens[self.at]
        return kind == "mark" and text in texts

    def take(self, what: str) -> None:
        if not self.peek(what):
            self.fail(f"'{what}' expected")
        self.at += 1

    def fail(self, message: str) -> None:
        _, text, column = self.tokens[self.at]
        raise Wrong(column, f"{message}, found '{text}'" if text else f"{message} at the end")

    def identifier(self) -> str:
        kind, text, _ = self.tokens[self.at]
        if kind not in {"name", "quoted"}:
            self.fail("a name expected")
        self.at += 1
        return text.strip("`")

    def step(self) -> Step:
        first = self.tokens[0][2]
        names = [self.identifier()]
        while self.peek(","):
            self.at += 1
            names.append(self.identifier())
        results: tuple[str, ...] = ()
        if self.peek("="):
            self.at += 1
            results, first = tuple(names), self.tokens[self.at][2]
            op = self.identifier()
        elif len(names) == 1:
            op = names[0]
        else:
            self.fail("'=' expected")
        primitive = PRIMITIVES.get(op)
        if primitive is None:
            raise Wrong(first, f"there is no primitive '{op}'")
        self.take("(")
        positional, keywords = self.arguments()
        column = self.tokens[self.at][2]
        self.take(")")
        if self.tokens[self.at][0] != "end":
            self.fail("the end of the step expected")
        return Step(op, arguments_of(primitive, positional, keywords, column), results)

    def arguments(self) -> tuple[list[Value], dict[str, Value]]:
        positional: list[Value] = []
        keywords: dict[str, Value] = {}
        while not self.peek(")"):
            kind, text, column = self.tokens[self.at]
            if kind == "name" and self.tokens[self.at + 1][:2] == ("mark", "="):
                self.at += 2
                if text in keywords:
                    raise Wrong(column, f"'{text}' is given twice")
                keywords[text] = self.value()
            elif keywords:
                raise Wrong(column, "a positional argument after a named one")
            else:
                positional.append(self.value())
            if not self.peek(")"):
                self.take(",")
        return positional, keywords

    def listed(self, end: str) -> tuple[Value, ...]:
        self.at += 1
        values = []
        while not self.peek(end):
            values.append(self.value())
            if not self.peek(end):
                self.take(",")
        self.at += 1
        return tuple(values)

    def value(self) -> Value:
        kind, text, _ = self.tokens[self.at]
        if kind == "number":
            self.at += 1
            return float(text) if re.search(r"[.eEna]", text) else int(text)
        if kind == "string":
            return self.string()
        if kind == "hole":
            self.at += 1
            return Hole(text[1:], self.domain() if self.peek("{") else ())
        if self.peek("["):
            return self.listed("]")
        if self.peek("{"):
            return self.table()
        if kind == "name" and text in _WORDS:
            self.at += 1
            return _WORDS[text]
        if kind == "name" and text == "lambda":
            self.at += 1
            self.take("(")
            body = self.string()
            self.take(")")
            return Lambda(body)
        name = Name(self.identifier())
        if self.peek("."):
            self.at += 1
            return LoopOf(name, self.identifier())
        if self.peek("["):
            self.at += 1
            key = self.value()
            if type(key) is not int:
                self.fail("a loop's position expected")
            self.take("]")
            assert isinstance(key, int)
            return LoopOf(name, key)
        return name

    def string(self) -> str:
        kind, text, _ = self.tokens[self.at]
        if kind != "string":
            self.fail("a string expected")
        try:
            result = json.loads(text)
        except ValueError:
            self.fail("a string in JSON's spelling expected")
        self.at += 1
        return str(result)

    def domain(self) -> tuple[Value, ...]:
        low, high = self.tokens[self.at + 1], self.tokens[self.at + 3 if self.at + 3 < len(self.tokens) else -1]
        if low[0] == high[0] == "number" and self.tokens[self.at + 2][:2] == ("mark", ".."):
            if not (low[1].lstrip("-").isdigit() and high[1].lstrip("-").isdigit()) or not 0 <= int(high[1]) - int(low[1]) < 1 << 16:
                self.fail("a range of integers expected")
            self.at += 4
            self.take("}")
            return tuple(range(int(low[1]), int(high[1]) + 1))
        return self.listed("}")

    def table(self) -> Table:
        self.at += 1
        items = []
        while not self.peek("}"):
            key = self.string()
            self.take(":")
            items.append((key, self.value()))
            if not self.peek("}"):
                self.take(",")
        self.at += 1
        return Table(tuple(items))


def arguments_of(primitive: Primitive, positional: list[Value], keywords: dict[str, Value], column: int = 1) -> tuple[Value, ...]:
    """Return one value per parameter.

    Raises:
        Wrong: An argument is missing, unknown or given twice.
    """
    values: list[Value] = []
    rest, keywords = list(positional), dict(keywords)
    for parameter in primitive.parameters:
        if parameter.variadic:
            given = keywords.pop(parameter.name, None)
            values.append(tuple(rest) if given is None else given)
            rest = []
        elif rest:
            if parameter.name in keywords:
                raise Wrong(column, f"{primitive.name}: '{parameter.name}' is given twice")
            values.append(rest.pop(0))
        elif parameter.name in keywords:
            values.append(keywords.pop(parameter.name))
        elif parameter.default is not REQUIRED:
            values.append(parameter.default)  # type: ignore[arg-type]
        else:
            raise Wrong(column, f"{primitive.name} lacks '{parameter.name}'")
    if rest or keywords:
        raise Wrong(column, f"{primitive.name} takes no {'argument ' + next(iter(keywords)) if keywords else 'more arguments'}")
    return tuple(values)
