"""The records of a batch as one HTML page that needs nothing beside itself; each kernel's texts are packed until it is opened."""

from __future__ import annotations

import base64
import gzip
import json
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tvm_xpiler.batch.store import Record

_TEMPLATE = Path(__file__).parent / "page.html"


def page(records: Sequence[Record]) -> str:
    """Return the page."""
    data = {
        "targets": list(dict.fromkeys(name for r in records for name in r["targets"])),
        "status": dict(Counter(r["status"] for r in records)),
        "kernels": [_row(r) for r in records],
    }
    return _TEMPLATE.read_text().replace("@DATA@", json.dumps(data).replace("<", "\\u003c"))


def _row(record: Record) -> dict[str, Any]:
    first = next((f for f in record["findings"] if f["level"] != "note"), None)
    texts = [("source", record["source"]), ("TensorIR", record["lifted"])]
    texts += [(name, target["text"]) for name, target in record["targets"].items()]
    curves = [(name, target["curve"]) for name, target in record["targets"].items() if any(target.get("curve", []))]
    detail = {"facts": _facts(record), "texts": [pair for pair in texts if pair[1]], "links": _links(record), "curves": curves}
    return {
        "name": record["name"], "status": record["status"], "grade": record["grade"],
        "verdicts": {name: target["verdict"] for name, target in record["targets"].items()},
        "finding": f"{first['code']} {first['message']}" if first else record["reason"],
        "lines": record["lines"], "seconds": record["seconds"],
        "detail": base64.b64encode(gzip.compress(json.dumps(detail).encode(), mtime=0)).decode(),
    }  # fmt: skip


def _facts(record: Record) -> list[str]:
    lines = []
    for f in record["findings"]:
        lines.append(f"{'line ' + str(f['line']) + ': ' if f['line'] else ''}[{f['code']}] {f['message']}")
        lines += [f"hint: {f['hint']}"] if f["hint"] else []
    for name, target in record["targets"].items():
        lines += [f"{name}: {line}" for line in (*target["summary"], *target["proof"], *target["notes"])]
        lines += [f"{name}: lifted back: {target['round_trip']}"] if target["round_trip"] else []
    return lines


def _links(record: Record) -> list[dict[str, list[int]]]:
    """Return, for each block, its lines in each text: of the source that it came from, of TensorIR, and of the codes that write its buffer."""
    lines = record["lifted"].split("\n")
    codes = {name: target["text"].split("\n") for name, target in record["targets"].items()}
    links = []
    for block, source in record["origins"].items():
        start = next((i for i, line in enumerate(lines) if f'T.sblock("{block}")' in line), None)
        if start is None:
            continue
        indent = _indent(lines[start])
        end = next((i for i in range(start + 1, len(lines)) if lines[i].strip() and _indent(lines[i]) <= indent), len(lines))
        link = {"source": source, "TensorIR": [i + 1 for i in range(start, end) if lines[i].strip()]}
        buffers = {
            name for line in lines[start:end] if "T.writes(" in line for name in re.findall(r"(\w+)\[", line.partition("T.writes(")[2])[:1]
        }
        for name, code in codes.items():
            written = [i + 1 for i, line in enumerate(code) if any(_writes(line, buffer) for buffer in buffers)]
            link |= {name: written} if written else {}
        links.append(link)
    return links


def _writes(line: str, buffer: str) -> bool:
    """Whether a line of code stores to a buffer: by an assignment, a copy, or an instruction whose first argument is its place."""
    name = re.escape(buffer)
    return bool(
        re.search(rf"(?<![\w.]){name}\[.*\] *[-+*]?=(?!=)", line)
        or re.search(rf"\w*(?:memcpy|store)\w*\(\s*(?:\([^()]*\)\s*)?\(?&?{name}\b", line)
    )


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())
