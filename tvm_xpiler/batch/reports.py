"""The records of a batch in the forms that other tools read: JSON, CSV, JUnit XML, SARIF; and which findings count."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from tvm_xpiler.batch.run import STATUSES
from tvm_xpiler.batch.store import Record
from tvm_xpiler.core.errors import CODES, ConfigError
from tvm_xpiler.core.files import write_whole
from tvm_xpiler.core.version import VERSION

SCHEMA = 1
_LONG = ("source", "lifted", "origins", "schema")
FindingKey = tuple[str, str, int]


def summary(records: Sequence[Record]) -> dict[str, Any]:
    """Return the content of a batch's ``report.json``: totals, and each kernel without its texts."""
    kernels = []
    for record in records:
        short = {name: value for name, value in record.items() if name not in _LONG}
        short["targets"] = {name: {k: v for k, v in target.items() if k != "text"} for name, target in record["targets"].items()}
        kernels.append(short)
    return {
        "schema": SCHEMA,
        "tool": f"tvm-xpiler {VERSION}",
        "totals": {
            "kernels": len(records),
            "lines": sum(r["lines"] for r in records),
            "status": _counts(r["status"] for r in records),
            "grade": _counts(r["grade"] for r in records),
            "verdicts": {
                name: _counts(r["targets"][name]["verdict"] for r in records if name in r["targets"]) for name in _targets(records)
            },
            "codes": _counts(f["code"] for r in records for f in r["findings"]),
        },
        "kernels": kernels,
    }


def _counts(values: Any) -> dict[str, int]:
    return dict(sorted(Counter(values).items()))


def _targets(records: Sequence[Record]) -> list[str]:
    return list(dict.fromkeys(name for record in records for name in record["targets"]))


def table(records: Sequence[Record]) -> str:
    """Return the records as CSV, a line each."""
    targets = _targets(records)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["kernel", "status", "grade", *targets, "code", "line", "message", "source_lines", "seconds", "peak_mib"])
    for r in records:
        first = next((f for f in r["findings"] if f["level"] == "error"), {"code": "", "line": "", "message": r["reason"]})
        verdicts = [r["targets"].get(name, {}).get("verdict", "") for name in targets]
        row = [
            r["name"],
            r["status"],
            r["grade"],
            *verdicts,
            first["code"],
            first["line"] or "",
            first["message"],
            r["lines"],
            r["seconds"],
        ]
        writer.writerow([*row, r["peak_mib"]])
    return text.getvalue()


def junit(records: Sequence[Record]) -> str:
    """Return the records as JUnit XML: a test case for each kernel; refusals and wrong results are failures, crashes and limits errors."""
    wrong = sum(r["status"] in {"failed", "refused"} for r in records)
    broken = sum(r["status"] in {"crashed", "timeout", "memory"} for r in records)
    suite = ElementTree.Element(
        "testsuite", name="tvm-xpiler", tests=str(len(records)), failures=str(wrong), errors=str(broken),
        time=f"{sum(r['seconds'] for r in records):.3f}",
    )  # fmt: skip
    for r in records:
        case = ElementTree.SubElement(suite, "testcase", classname="tvm-xpiler", name=r["name"], file=r["file"], time=f"{r['seconds']:.3f}")
        errors = [f for f in r["findings"] if f["level"] == "error"]
        if r["status"] not in {"verified", "liftable"}:
            kind = "failure" if r["status"] in {"failed", "refused"} else "error"
            message = errors[0]["message"] if errors else r["status"]
            entry = ElementTree.SubElement(case, kind, type=errors[0]["code"] if errors else r["status"], message=_printable(message))
            entry.text = _printable("\n".join(_place(r, f) for f in errors))
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(suite, encoding="unicode") + "\n"


def _place(record: Record, found: dict[str, Any]) -> str:
    where = f"{record['name']}:{found['line']}" if found["line"] else record["name"]
    return f"{where}: [{found['code']}] {found['message']}" + (f"\nhint: {found['hint']}" if found["hint"] else "")


def _printable(text: str) -> str:
    """Return ``text`` without the characters that XML has no form of."""
    return "".join(c if c in "\t\n" or " " <= c < "\ud800" or "\ue000" <= c < "\ufffe" or c >= "\U00010000" else "\ufffd" for c in text)


def sarif(records: Sequence[Record], known: frozenset[FindingKey] | None = None) -> str:
    """Return the findings as SARIF 2.1.0, at their lines; with a baseline (``known``) each says whether it is new."""
    used = sorted({f["code"] for r in records for f in r["findings"]})
    rules = [
        {
            "id": code,
            "name": "".join(word.capitalize() for word in CODES[code].title.split()),
            "shortDescription": {"text": CODES[code].title},
            "fullDescription": {"text": CODES[code].explanation},
        }
        for code in used
    ]
    results = []
    for r in records:
        for f in r["findings"]:
            region = {"startLine": f["line"]} | ({"startColumn": f["column"]} if f["column"] else {}) if f["line"] else None
            place: dict[str, Any] = {"artifactLocation": {"uri": Path(r["file"]).as_uri()}} | ({"region": region} if region else {})
            text = f["message"] + (f" (hint: {f['hint']})" if f["hint"] else "")
            result = {"ruleId": f["code"], "level": f["level"], "message": {"text": text}, "locations": [{"physicalLocation": place}]}
            if known is not None:
                result["baselineState"] = "unchanged" if finding_key(r, f) in known else "new"
            results.append(result)
    driver = {"name": "tvm-xpiler", "version": VERSION, "rules": rules}
    log = {
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": results}],
    }
    return json.dumps(log, indent=1) + "\n"


def finding_key(record: Record, found: dict[str, Any]) -> FindingKey:
    """Return what makes two findings the same one in two runs: the kernel, the code, and which of its findings of that code it is."""
    alike = [f for f in record["findings"] if f["code"] == found["code"]]
    return record["name"], found["code"], next(i for i, f in enumerate(alike) if f is found)


def baseline(path: Path) -> frozenset[FindingKey]:
    """Return the findings of an earlier batch's ``report.json``.

    Raises:
        ConfigError: XP001 or XP112.
    """
    try:
        kernels = json.loads(path.read_text())["kernels"]
        return frozenset(finding_key(record, f) for record in kernels for f in record["findings"])
    except OSError as error:
        raise ConfigError("XP001", f"{path}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError("XP112", f"{path}: not the report.json of a batch: {error}") from None


def counting(records: Sequence[Record], warnings: bool, known: frozenset[FindingKey] = frozenset()) -> list[tuple[Record, dict[str, Any]]]:
    """Return the findings that make a batch fail: errors, with ``warnings`` these too, but none of the baseline's (``known``)."""
    levels = {"error", "warning"} if warnings else {"error"}
    return [(r, f) for r in records for f in r["findings"] if f["level"] in levels and finding_key(r, f) not in known]


def write_all(records: Sequence[Record], out: Path, known: frozenset[FindingKey] | None = None) -> None:
    """Write report.json, report.csv, junit.xml, report.sarif and report.html to ``out``.

    Raises:
        ConfigError: XP001.
    """
    from tvm_xpiler.batch.page import page

    write_whole(out / "report.json", json.dumps(summary(records), indent=1) + "\n")
    write_whole(out / "report.csv", table(records))
    write_whole(out / "junit.xml", junit(records))
    write_whole(out / "report.sarif", sarif(records, known))
    write_whole(out / "report.html", page(records))


def counts(records: Sequence[Record]) -> str:
    """Return the number of kernels by status, for a line on the console."""
    found = Counter(r["status"] for r in records)
    return ", ".join(f"{found[status]} {status}" for status in STATUSES if found[status])
