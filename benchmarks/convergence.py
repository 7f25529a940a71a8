"""For each operator of a suite that exists in several dialects: how many of its sources meet in one normal form.

Give a manifest for each dialect, ``NAME=FILE``; kernels belong together by the stem of their file, operators by its first word. Of each
operator the kernel of the smallest sizes is lifted. Element types and the order of parameters may differ.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections import defaultdict
from math import prod
from pathlib import Path

from lift.canonical import canonical_text
from lift.lifted import lift
from tvm_xpiler.core.errors import XpilerError
from tvm_xpiler.core.source import read_source
from tvm_xpiler.manifest import Entry, read_manifest
from tvm_xpiler.session import Session


def normal_form(entry: Entry) -> str:
    """Return the canonical text of a kernel, or why there is none."""
    try:
        session = Session(read_source(entry.file), None, entry.options)
        found = lift(session.front, session.problem())
    except XpilerError as error:
        return f"[{error.code}]"
    return canonical_text(found.func, dtypes=False, order=False) if found.grade == "A" else f"[grade {found.grade}]"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("manifests", nargs="+", metavar="NAME=FILE")
    args = parser.parse_args()
    dialects = {name: {e.file.stem: e for e in read_manifest(Path(file))} for name, _, file in (m.partition("=") for m in args.manifests)}
    common = set.intersection(*(set(entries) for entries in dialects.values()))
    operators: dict[str, str] = {}
    for stem in sorted(common, key=lambda s: (prod(max(int(n), 1) for n in re.findall(r"\d+", s.partition("_")[2])), s)):
        operators.setdefault(stem.partition("_")[0], stem)
    met = 0
    for operator, stem in sorted(operators.items()):
        forms: dict[str, list[str]] = defaultdict(list)
        for name, entries in dialects.items():
            forms[normal_form(entries[stem])].append(name)
        largest = max((names for form, names in forms.items() if not form.startswith("[")), key=len, default=[])
        met += len(largest) == sum(len(names) for form, names in forms.items() if not form.startswith("[")) and len(largest) > 1
        rest = [f"{'+'.join(names)} {form if form.startswith('[') else 'apart'}" for form, names in forms.items() if names != largest]
        print(f"{operator:16} {stem:40} {'+'.join(largest) or '-'}{'; ' + ', '.join(rest) if rest else ''}", flush=True)
    print(f"{met} of {len(operators)} operators: all sources that lift meet in one normal form")
    return 0


if __name__ == "__main__":
    sys.exit(main())
