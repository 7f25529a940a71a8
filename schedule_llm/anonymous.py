"""Asking about a program without saying its names: blocks become b0, b1, …, loops l0, …, buffers t0 and so on."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from schedule_llm.annotate import margins
from tvm_xpiler.core.tir import PrimFunc
from tvm_xpiler.schedule.plan import LoopOf, Name, Plan, Value, mapped


@dataclass(frozen=True, slots=True)
class Aliases:
    """Names by alias. Names that TVM derives keep what they add: ``b0_init`` is the initialization of ``b0``."""

    names: dict[str, str]

    @staticmethod
    def of(func: PrimFunc) -> Aliases:
        """Return the aliases of a function's blocks, loops and buffers."""
        blocks, loops, buffers = [], [], []
        for margin in margins(func):
            blocks.append(margin.name)
            loops += [name for name, _, _ in margin.loops]
            buffers += [a.buffer for a in margin.accesses]
        found: dict[str, str] = {}
        for letter, names in (("b", blocks), ("l", loops), ("t", buffers)):
            found |= {f"{letter}{i}": name for i, name in enumerate(dict.fromkeys(names))}
        return Aliases(found)

    def hide(self, text: str) -> str:
        """Return a card with aliases in the places of names."""
        blocks, loops, buffers = ({n: a for a, n in self.names.items() if a[0] == letter} for letter in "blt")
        lines = []
        for line in text.split("\n"):
            head = re.match(r"block (\S+): (.*)", line)
            access = re.match(r"(\s+(?:reads|writes) )(\S+)(.*)", line)
            if head:
                line = f"block {blocks[head[1]]}: {_words(head[2], loops)}"
            elif access:
                line = f"{access[1]}{buffers[access[2]]}{_words(access[3], loops)}"
            lines.append(line)
        return "\n".join(lines)

    def program(self, func: PrimFunc) -> str:
        """Return a function's TensorIR with aliases in the places of names."""
        blocks = {name: alias for alias, name in self.names.items() if alias[0] == "b"}
        others = {name: alias for alias, name in self.names.items() if alias[0] != "b"}
        others |= {f"v_{name}": f"v_{alias}" for name, alias in others.items()}
        text = re.sub(r"^# from .*\n", "", func.script(show_meta=False), flags=re.MULTILINE)
        text = re.sub(r"[A-Za-z_]\w*", lambda m: others.get(m[0], m[0]), text)
        return re.sub(r'sblock\("(\w+)"\)', lambda m: f'sblock("{blocks.get(_name(others, m[1]), m[1])}")', text)

    def show(self, plan: Plan) -> Plan:
        """Return a plan in the program's names."""
        return _renamed(plan, self.names)

    def conceal(self, plan: Plan) -> Plan:
        """Return a plan that speaks of the program by aliases."""
        return _renamed(plan, {name: alias for alias, name in self.names.items()})


def _name(aliases: dict[str, str], text: str) -> str:
    """Return the name that an alias stands for."""
    return next((name for name, alias in aliases.items() if alias == text), text)


def _renamed(plan: Plan, names: dict[str, str]) -> Plan:
    own = {name for step in plan.steps for name in step.results}
    longest = sorted(names, key=len, reverse=True)

    def named(text: str) -> str:
        found = next((n for n in longest if text == n or text.startswith(f"{n}_")), None)
        return names[found] + text[len(found) :] if found is not None and text not in own else text

    def change(value: Value) -> Value:
        if isinstance(value, Name):
            return Name(named(value.text))
        if isinstance(value, LoopOf):
            return LoopOf(Name(named(value.block.text)), named(value.key) if isinstance(value.key, str) else value.key)
        return value

    return replace(plan, steps=tuple(replace(s, args=tuple(mapped(a, change) for a in s.args)) for s in plan.steps))


def _words(text: str, names: dict[str, str]) -> str:
    return re.sub(r"[A-Za-z_]\w*(?==| by | ?$|,)|(?<=along )\w+", lambda m: names.get(m[0], m[0]), text)
