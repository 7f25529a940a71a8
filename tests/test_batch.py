"""A batch: what it collects, what it survives, what it takes over, and what its reports say."""

from __future__ import annotations

import csv
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from xml.etree import ElementTree

import psutil
import pytest

from tests.command_line import cli
from tvm_xpiler import Options
from tvm_xpiler.batch import reports
from tvm_xpiler.batch.collect import collect
from tvm_xpiler.batch.page import page
from tvm_xpiler.batch.worker import blank, finding
from tvm_xpiler.cli_batch import number_of_bytes
from tvm_xpiler.core.errors import ConfigError

RELU = Path(__file__).parent.parent / "examples" / "kernels" / "relu.cu"
GOOD = "__global__ void k(const float* x, float* y) {{ int i = blockIdx.x * 64 + threadIdx.x; y[i] = {} * x[i]; }}\n"
RACE = "__global__ void k(const float* x, float* y) { __shared__ float s[64]; s[threadIdx.x] = x[threadIdx.x]; y[threadIdx.x] = s[63 - threadIdx.x]; }\n"
PLAIN = """__global__ void k(const float* x, float* y) {
  int i = blockIdx.x * 64 + threadIdx.x; float s = x[i]; int n = 0;
  while (s > 0.5f && n < 50) { s *= 0.5f; n++; }
  y[i] = s;
}
"""
FORKS = """extern "C" int fork(void); extern "C" int system(const char*);
__global__ void k(const float* x, float* y) { y[threadIdx.x] = x[threadIdx.x]; }
extern "C" void host(float* x, float* y) {
  float *a, *b;
  for (int i = 0; i < 12; i++) { if (fork() >= 0) ((int*)0)[0] = 1; system("touch pwned"); }
  cudaMalloc(&a, 256); cudaMalloc(&b, 256);
  cudaMemcpy(a, x, 256, cudaMemcpyHostToDevice);
  k<<<1, 64>>>(a, b);
  cudaMemcpy(y, b, 256, cudaMemcpyDeviceToHost);
}
"""


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "tvm_xpiler", "batch", *arguments]


def batch(*arguments: str) -> subprocess.CompletedProcess[str]:
    return cli("batch", *arguments)


def report(out: Path) -> dict[str, dict[str, object]]:
    """Return what a batch found, without times."""
    kernels = json.loads((out / "report.json").read_text())["kernels"]
    return {k["name"]: {n: v for n, v in k.items() if n not in {"seconds", "stages", "peak_mib"}} for k in kernels}


@pytest.fixture
def kernels(tmp_path: Path) -> Path:
    folder = tmp_path / "kernels"
    (folder / "more").mkdir(parents=True)
    (folder / "twice.cu").write_text(GOOD.format("2.0f"))
    (folder / "twice.hip").write_text(GOOD.format("2.0f"))
    (folder / "more" / "thrice.cu").write_text(GOOD.format("3.0f"))
    (folder / "race.cu").write_text(RACE)
    (folder / "plain.cu").write_text(PLAIN)
    return folder


LAUNCH = ("--grid", "2", "--block", "64", "--sets", "1")


def test_a_batch_reports_takes_over_and_counts(kernels: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = batch(str(kernels), *LAUNCH, "--to", "bang", "-o", str(out), "-j", "2")
    assert done.returncode == 1, done.stderr  # the race
    found = report(out)
    assert {name: k["status"] for name, k in found.items()} == {
        "more/thrice.cu": "verified", "plain.cu": "verified", "race.cu": "refused", "twice.cu": "verified", "twice.hip": "verified",
    }  # fmt: skip
    assert found["plain.cu"]["grade"] == "B"
    assert "3.0" in (out / "more" / "thrice" / "bang" / "thrice.mlu").read_text()
    assert (out / "twice.hip" / "bang" / "twice.mlu").exists()
    assert (out / "twice.cu" / "bang" / "twice.mlu").exists()

    rows = list(csv.DictReader((out / "report.csv").read_text().splitlines()))
    assert [r["code"] for r in rows if r["kernel"] == "race.cu"] == ["XP201"]
    suite = ElementTree.fromstring((out / "junit.xml").read_text())
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("5", "1", "0")
    results = json.loads((out / "report.sarif").read_text())["runs"][0]["results"]
    race = next(r for r in results if r["ruleId"] == "XP201")
    assert race["locations"][0]["physicalLocation"]["region"]["startLine"] == 1
    assert race["level"] == "error"
    assert {r["level"] for r in results if r["ruleId"] == "XP122"} == {"warning"}

    (kernels / "twice.cu").write_text(GOOD.format("2.5f"))
    (kernels / "race.cu").write_text(RACE.replace("y[threadIdx.x] =", "__syncthreads(); y[threadIdx.x] ="))
    again = batch(str(kernels), *LAUNCH, "--to", "bang", "-o", str(out), "-j", "2")
    assert again.returncode == 0, again.stdout
    assert again.stdout.count("(known)") == 3
    assert report(out)["race.cu"]["status"] == "verified"
    assert batch("--resume", "-o", str(out)).stdout.count("(known)") == 5
    assert batch("--resume", "-o", str(out), "--werror").returncode == 1  # no normal form
    assert batch("--resume", "-o", str(out), "--werror", "--baseline", str(out / "report.json")).returncode == 0


def test_examining_only_lifts(kernels: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = batch(str(kernels / "*.cu"), *LAUNCH, "--examine", "-o", str(out), "-j", "2")
    assert done.returncode == 0, done.stdout + done.stderr  # the race shows when it runs
    assert {k["status"] for k in report(out).values()} == {"liftable"}
    assert "estimate of a port" in done.stdout
    assert not list(out.glob("*/report.json"))


def test_hostile_files_cost_one_finding_each(tmp_path: Path) -> None:
    folder = tmp_path / "kernels"
    folder.mkdir()
    (folder / "binary.cu").write_bytes(bytes(range(256)) * 8)
    (folder / "empty.cu").write_text("")
    (folder / "large.cu").write_bytes(b"x" * (5 << 20))
    (folder / "loop").symlink_to(folder)
    (folder / "self.cu").write_text('#include "self.cu"\n')
    doubled = "".join(f"#define A{k} A{k - 1} + A{k - 1} + A{k - 1} + A{k - 1}\n" for k in range(1, 14))
    (folder / "macro.cu").write_text("#define A0 x[i]\n" + doubled + GOOD.format("A13 + 2.0f"))
    (folder / "endless.cu").write_text(PLAIN.replace("n < 50", "n >= 0").replace("s *= 0.5f", "s *= 1.0f").replace("n++", "n = 0"))
    (folder / "forks.cu").write_text(FORKS)
    for name in ("...cu", "-o.cu", "a b;c$HOME.cu", "new\nline.cu", "<script>.cu"):
        (folder / name).write_text(GOOD.format("2.0f"))
    before = {p for p in tmp_path.rglob("*") if "kernels" not in p.parts}
    out = tmp_path / "out"
    done = batch(str(folder), *LAUNCH, "--to", "bang", "-o", str(out), "-j", "2", "--limit", "25", "--memory", "1G", "--timeout", "3")
    found = report(out)
    assert done.returncode == 1
    assert len(found) == 12
    good = {name for name, k in found.items() if k["status"] == "verified"}
    assert good == {"...cu", "-o.cu", "a b;c$HOME.cu", "new\nline.cu", "<script>.cu", "forks.cu"}, found
    for name, k in found.items():
        errors = [f for f in k["findings"] if f["level"] == "error"]  # type: ignore[attr-defined]
        assert len(errors) == (0 if name in good else 1), k
    assert found["macro.cu"]["status"] in {"memory", "timeout", "refused"}
    touched = {p for p in tmp_path.rglob("*") if "kernels" not in p.parts and out not in p.parents} - before
    assert touched == {out}
    assert not list(tmp_path.rglob("pwned"))


def test_a_batch_that_is_killed_goes_on(tmp_path: Path) -> None:
    folder, out, whole = tmp_path / "kernels", tmp_path / "out", tmp_path / "whole"
    folder.mkdir()
    for i in range(8):
        (folder / f"k{i}.cu").write_text(GOOD.format(f"{i}.25f"))
    batch(str(folder), *LAUNCH, "--to", "bang", "-o", str(whole), "-j", "2")
    dice = random.Random(3)

    def known() -> int:
        return len([p for p in (out / ".batch").glob("*.json") if p.name != "command.json"])

    for number in range(3):
        begun = subprocess.Popen(
            command(str(folder), *LAUNCH, "--to", "bang", "-o", str(out), "-j", "2"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        before, end = known(), time.monotonic() + 60
        while known() == before and time.monotonic() < end:
            time.sleep(0.05 * dice.random())
        workers = psutil.Process(begun.pid).children(recursive=True)
        begun.send_signal(signal.SIGINT if number == 0 else signal.SIGKILL)
        code = begun.wait(timeout=60)
        assert code == (130 if number == 0 else -signal.SIGKILL) or (code == 0 and known() == 8)  # it may have been done before
        assert not psutil.wait_procs(workers, timeout=20)[1]  # nothing is left running
    assert batch("--resume", "-o", str(out)).returncode == 0
    assert report(out) == report(whole)


def test_what_a_batch_collects(kernels: Path, tmp_path: Path) -> None:
    (kernels / ".hidden").mkdir()
    (kernels / ".hidden" / "no.cu").write_text("")
    (kernels / "notes.txt").write_text("")
    jobs = collect([str(kernels)], Options())
    assert [j.name for j in jobs] == ["more/thrice.cu", "plain.cu", "race.cu", "twice.cu", "twice.hip"]
    assert len({j.folder for j in jobs}) == 5
    assert len(collect([str(kernels), str(kernels / "plain.cu")], Options())) == 5
    assert [j.name for j in collect([str(kernels / "**" / "t*.cu")], Options())] == ["more/thrice.cu", "twice.cu"]
    assert [j.name for j in collect([str(kernels)], Options(), kernels / "more")] == ["plain.cu", "race.cu", "twice.cu", "twice.hip"]
    database = tmp_path / "compile_commands.json"
    entry = {"directory": "kernels", "file": "plain.cu", "command": "nvcc -Iinc -DTILE=32 -D FAST -isystem /opt/x -c plain.cu"}
    database.write_text(json.dumps([entry, {"directory": "kernels", "file": "main.py", "arguments": []}]))
    (job,) = collect([str(database)], Options(define=("A",)))
    assert job.options.define == ("A", "TILE=32", "FAST")
    assert job.options.include == (str(tmp_path / "kernels" / "inc"), "/opt/x")
    for wrong in ([str(tmp_path / "none")], [str(kernels / "*.mlu")]):
        with pytest.raises(ConfigError):
            collect(wrong, Options())
    database.write_text("{")
    with pytest.raises(ConfigError):
        collect([str(database)], Options())


def test_reports_of_nasty_texts_stay_well_formed(tmp_path: Path) -> None:
    (job,) = collect([str(RELU)], Options())
    nasty = "</script><img src=x onerror=alert(1)>\x00\x1b[31m]]>&\ud800"
    record = blank(job, "refused") | {"findings": [finding("XP100", "error", nasty, 3, 1, nasty)], "source": nasty, "reason": nasty}
    html = page([record])
    assert html.count("</script>") == 2
    assert "<img" not in html
    ElementTree.fromstring(reports.junit([record]))
    json.loads(reports.sarif([record], frozenset()))
    first = reports.baseline
    (tmp_path / "report.json").write_text(json.dumps(reports.summary([record])))
    assert reports.counting([record], warnings=False, known=first(tmp_path / "report.json")) == []
    (tmp_path / "report.json").write_text("[]")
    with pytest.raises(ConfigError):
        first(tmp_path / "report.json")


@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs a browser: install chromium")
def test_the_page_opens_in_a_browser(tmp_path: Path) -> None:
    (job,) = collect([str(RELU)], Options())
    text = "for (int i = 0; i < n; i++)\n  y[i] = x[i] < 0 ? 0 : x[i]; // </script>\n"
    record = blank(job, "verified") | {
        "source": text,
        "lifted": 'for i:\n  with T.sblock("y"):\n    T.writes(y[i])\n    y[i] = 0\n',
        "origins": {"y": [2]},
    }
    code = "void relu() {\n  y[i] = max(x[i], 0);\n  memcpy(y, d_y, n);\n  z = cast(y[i]);\n}\n"
    told = {"summary": ["tested: all"], "proof": [], "notes": [], "round_trip": "", "text": code, "curve": [None, 3e-6, 2e-6, 2e-6]}
    record["targets"] = {"cuda": {"verdict": "tested", **told}}
    (tmp_path / "page.html").write_text(page([record | {"name": f"{i} & <b>.cu"} for i in range(2000)]))
    url = (tmp_path / "page.html").as_uri() + "#7%20%26%20%3Cb%3E.cu"
    browser = ["chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=4000", "--dump-dom", url]
    dom = subprocess.run(browser, capture_output=True, text=True, check=True, timeout=60).stdout
    assert dom.count('<tr class="kernel"') == 2000
    assert dom.count('<tr class="detail"') == 1
    assert "7 &amp; &lt;b&gt;.cu" in dom
    assert dom.count('class="linked"') == 6  # three lines of TensorIR, one of the source, two of the code
    assert "cuda: best time after each of 4 trials, from 3.0 to 2.0 us" in dom
    assert "tested: all" in dom


def test_sizes_of_memory() -> None:
    assert number_of_bytes("8G") == 8 << 30
    assert number_of_bytes("1.5 MiB") == 3 << 19
    assert number_of_bytes("512") == 512


def test_an_unwritable_folder_is_one_sentence(kernels: Path) -> None:
    done = batch(str(kernels / "twice.cu"), *LAUNCH, "-o", "/proc/nowhere")
    assert done.returncode == 1
    assert done.stderr.startswith("[XP001]")
    assert done.stderr.count("\n") == 1
    assert batch("--resume", "-o", str(kernels)).returncode == 1
    assert os.listdir(kernels / "more") == ["thrice.cu"]


def test_a_batch_tunes_what_can_be_measured(kernels: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = batch(str(kernels / "twice.cu"), *LAUNCH, "--to", "llvm", "--to", "bang", "--to", "hip", "--tune", "3", "-o", str(out))
    assert done.returncode == 0, done.stdout + done.stderr
    (kernel,) = report(out).values()
    curve = kernel["targets"]["llvm"]["curve"]  # type: ignore[index]
    assert len(curve) == 3
    assert curve == sorted(curve, reverse=True)
    assert kernel["targets"]["hip"]["curve"] == []  # type: ignore[index]
    assert 0 < len(kernel["targets"]["bang"]["curve"]) <= 3  # type: ignore[index]
    written = json.loads((out / "twice" / "report.json").read_text())["targets"]["bang"]
    assert "times are estimates" in json.dumps(written)
    assert json.loads((out / "twice" / "report.json").read_text())["targets"]["llvm"]["search"] == curve
    refused = batch(str(kernels / "twice.cu"), *LAUNCH, "--symbolic", "all", "--tune", "3", "-o", str(tmp_path / "other"))
    assert refused.returncode == 1
