"""The command line: ``tvm-xpiler translate|lift|verify|doctor|explain``. Results to stdout, facts to stderr."""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from tqdm import tqdm

from tvm_xpiler.cli_batch import batch_options, exit_code, kernel_line, remembered, run_batch, totals
from tvm_xpiler.cli_options import (
    arch_option,
    intrinsics_option,
    launch_options,
    options_of,
    prove_option,
    round_trip_option,
    symbolic_option,
    targets_option,
    tf32_option,
    tune_option,
)  # fmt: skip
from tvm_xpiler.cli_plan import explained, plan_options, planning, read_plan, run_apply, shown
from tvm_xpiler.cli_tune import become, cost_model, duration, run_train, run_tune, save_model, tracker, tune_options
from tvm_xpiler.core.errors import CODES, EmitError, XpilerError
from tvm_xpiler.core.source import read_source
from tvm_xpiler.core.version import VERSION

DONE, DIAGNOSTIC, USAGE, NOT_VERIFIED = 0, 1, 2, 3
_out = Console(highlight=False, soft_wrap=True)
_err = Console(stderr=True, highlight=False, soft_wrap=True)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(VERSION)
def app() -> None:
    """Translate tensor kernels between platforms, verified.

    Exit codes: 0 done and verified, 1 a diagnostic about the input, 2 usage, 3 not verified.
    """


@app.command()
@click.argument("kernels", nargs=-1, type=click.Path(path_type=Path))
@targets_option
@click.option("-o", "--out", type=click.Path(path_type=Path), help="Folder for the bundle.")
@arch_option
@click.option("--manifest", type=click.Path(path_type=Path), help="A TOML file with many kernels.")
@round_trip_option
@prove_option
@symbolic_option
@intrinsics_option
@tf32_option
@tune_option
@click.option("--json", "as_json", is_flag=True, help="Print the reports as JSON lines.")
@plan_options
@launch_options
def translate(
    kernels: tuple[Path, ...],
    targets: tuple[str, ...],
    out: Path | None,
    manifest: Path | None,
    as_json: bool,
    **o: Any,
) -> None:
    """Translate KERNELS and verify the results."""
    from tvm_xpiler.manifest import Entry, read_manifest

    if bool(kernels) == (manifest is not None):
        raise click.UsageError("give kernel files, or --manifest")
    if o["tune"] and o["plan_file"]:
        raise click.UsageError("a plan of your own is not searched for: give --plan or --tune")
    entries = [Entry(path, options_of(o)) for path in kernels]
    if manifest:
        common = {**planning(o), "prove": o["prove"], "round_trip": o["round_trip"], "tune": o["tune"] or 0}
        entries = [
            Entry(
                e.file,
                replace(
                    e.options,
                    arch=o["arch"] or e.options.arch,
                    intrinsics=o["intrinsics"],
                    tf32=o["tf32"],
                    single=o["single"],
                    symbolic=o["symbolic"] or e.options.symbolic,
                    **common,
                ),
            )
            for e in read_manifest(manifest)
        ]
    if len(entries) == 1:
        sys.exit(_translate_one(entries[0], targets, out, as_json))
    sys.exit(_translate_many(entries, targets, out, as_json))


def _translate_one(entry: Any, targets: tuple[str, ...], out: Path | None, as_json: bool) -> int:
    from tvm_xpiler import bundle, show, symbolic

    source = read_source(entry.file)
    with tqdm(desc=entry.file.name, bar_format="{desc}: {postfix} {elapsed}", delay=1, leave=False, disable=None) as bar:
        result = symbolic.translate(source, targets, None, entry.options, on_stage=lambda stage: bar.set_postfix_str(stage))
    if as_json:
        _out.print_json(json.dumps(bundle.report(result)))
    elif out is None:
        for target in result.targets.values():
            click.echo(target.emitted.text)
    for line in show.summary(result):
        _err.print(line, markup=False, style="red" if ": failed" in line else None)
    if out is not None:
        _err.print(f"written: {bundle.write(result, out)}", markup=False)
    return DONE if result.ok else NOT_VERIFIED


def _translate_many(entries: list[Any], targets: tuple[str, ...], out: Path | None, as_json: bool) -> int:
    """Translate one kernel after the other in this process, where a model's client and tape can be shared."""
    from tvm_xpiler import bundle
    from tvm_xpiler.batch.collect import named
    from tvm_xpiler.batch.worker import translated
    from tvm_xpiler.core.targets import target_specs

    names = tuple(spec.name for spec in target_specs(targets))

    def report(result: Any) -> None:
        if as_json:
            tqdm.write(json.dumps(bundle.report(result)))

    records = []
    for job in tqdm(named(entries), unit="kernel", disable=None):
        begin = time.perf_counter()
        records.append(translated(job, targets, out, report) | {"seconds": time.perf_counter() - begin})
        if not as_json:
            tqdm.write(kernel_line(records[-1], False), file=_out.file)
    (_err if as_json else _out).print(totals(records, names))
    return exit_code(records)


def _internal(error: Exception) -> XpilerError:
    """Return the diagnostic of a defect of ours; with XPILER_DEBUG set, the exception itself is raised."""
    if os.environ.get("XPILER_DEBUG"):
        raise error
    frame = traceback.extract_tb(error.__traceback__)[-1]
    text = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''} ({Path(frame.filename).name}:{frame.lineno})"
    return XpilerError("XP900", text, hint="please report it with the kernel; XPILER_DEBUG=1 shows where")


@app.command()
@click.argument("sources", nargs=-1)
@targets_option
@click.option("-o", "--out", type=click.Path(path_type=Path), required=True, help="Folder for bundles and reports.")
@arch_option
@round_trip_option
@prove_option
@batch_options
@symbolic_option
@intrinsics_option
@tf32_option
@tune_option
@launch_options
def batch(sources: tuple[str, ...], out: Path, **o: Any) -> None:
    """Translate many kernels: SOURCES are files, folders, patterns, manifests or compile_commands.json.

    Results are kept by content: what has not changed is not done again.
    """
    kept = ("targets", "examine", "arch", "intrinsics", "tf32", "single", "round_trip", "prove", "tune", "symbolic", "scalars", "buffers", "grid", "block", "shared", "entry",
            "define", "include", "seed", "sets", "chip", "warp", "timeout")  # fmt: skip
    sources, settings = remembered(out, sources, {name: o[name] for name in kept}, o["resume"])
    o |= settings
    targets = () if o["examine"] else tuple(o["targets"])
    sys.exit(run_batch(sources, targets, out, options_of(o), o, (_out, _err)))


@app.command()
@click.argument("kernel", type=click.Path(path_type=Path))
@symbolic_option
@launch_options
def lift(kernel: Path, **o: Any) -> None:
    """Print KERNEL as TensorIR, each block under the source lines that it came from."""
    from tvm_xpiler import api, show

    source = read_source(kernel)
    lifted = api.lift(source, options_of(o))
    click.echo(show.with_source(lifted, source))
    for note in lifted.assumed:
        _err.print(f"note: {note}", markup=False)
    _err.print(f"grade {lifted.grade}" + (f": {lifted.reason}" if lifted.reason else ""), markup=False)


@app.command()
@click.argument("kernel", type=click.Path(path_type=Path))
@click.option("--to", "target", default="llvm", show_default=True, help="llvm, cuda, hip, rocm, bang, or a TVM target dictionary.")
@arch_option
@intrinsics_option
@tf32_option
@launch_options
def emit(kernel: Path, target: str, **o: Any) -> None:
    """Print the code for KERNEL without verifying it (exit code 3 says so)."""
    from tvm_xpiler.artifacts import emit_for
    from tvm_xpiler.session import Session

    options = options_of(o)
    (spec,) = options.specs([target])
    session = Session(read_source(kernel), None, options)
    problem = session.problem()
    func = session.lift(problem).func
    click.echo(emit_for(spec, func, problem).text)
    _err.print("not verified: use translate")
    sys.exit(NOT_VERIFIED)


@app.command()
@click.argument("kernel", type=click.Path(path_type=Path))
@click.option("--to", "target", default="llvm", show_default=True, help="llvm, cuda, hip, rocm, bang, or a TVM target dictionary.")
@click.option("--arch", help="Architecture or processor.  [default: sm_90a, gfx90a, mlu370, this machine's]")
@click.option("--form", type=click.Choice(["text", "json", "python"]), default="text", show_default=True, help="How the plan is printed.")
@click.option("--facts", is_flag=True, help="Print what is noted of the program instead: operators, strides, bottlenecks.")
@click.option("--explain", is_flag=True, help="Print every plan that was considered, with why and what became of it.")
@plan_options
@launch_options
def plan(kernel: Path, target: str, form: str, facts: bool, explain: bool, **o: Any) -> None:
    """Print the plan for KERNEL: the rules', a model's, or your own, repaired where it must be."""
    from schedule_llm.annotate import card
    from tvm_xpiler import api, show
    from tvm_xpiler.pipeline import plan_for
    from tvm_xpiler.planning import choose
    from tvm_xpiler.schedule.proposal import Task

    options = options_of(o)
    lifted = api.lift(read_source(kernel), options)
    if lifted.grade != "A":
        raise EmitError("XP401", f"only a normal form has a plan; this kernel has grade {lifted.grade}: {lifted.reason}")
    (spec,) = options.specs([target])
    task = Task.of(lifted.func, spec)
    if facts:
        click.echo(card(task))
        return
    planned = plan_for(spec, lifted, options) or choose(task, (), o["plans"] or 1)
    for line in explained(planned) if explain else show.plan_lines(planned):
        _err.print(line, markup=False)
    if planned.plan is None:
        raise EmitError("XP401", "no plan could be made")
    click.echo(shown(planned.plan, form))


@app.command()
@click.argument("kernel", type=click.Path(path_type=Path))
@click.argument("plan_file", metavar="PLAN", type=click.Path(path_type=Path))
@click.option("--to", "target", default="llvm", show_default=True, help="llvm, cuda, hip, rocm, bang, or a TVM target dictionary.")
@arch_option
@click.option("--form", type=click.Choice(["tir", "text", "json", "python"]), default="tir", show_default=True, help="What is printed.")
@launch_options
def apply(kernel: Path, plan_file: Path, target: str, form: str, **o: Any) -> None:
    """Apply PLAN (text, or JSON in a .json file) to KERNEL as it stands, and print the scheduled TensorIR.

    A plan that is refused says why, and where (exit code 3); the nearest legal plan is printed in its place.
    """
    from tvm_xpiler import api
    from tvm_xpiler.schedule.proposal import Task

    options = options_of(o)
    given = read_plan(plan_file)
    lifted = api.lift(read_source(kernel), options)
    if lifted.grade != "A":
        raise EmitError("XP401", f"only a normal form takes a plan; this kernel has grade {lifted.grade}: {lifted.reason}")
    text, said, legal = run_apply(lifted, Task.of(lifted.func, options.specs([target])[0]), given, form)
    click.echo(text)
    _err.print(said, markup=False)
    sys.exit(DONE if legal else NOT_VERIFIED)


@app.command()
@click.argument("kernel", type=click.Path(path_type=Path))
@click.option("--form", type=click.Choice(["text", "json", "python"]), default="text", show_default=True, help="How the plan is printed.")
@click.option("-o", "--out", type=click.Path(path_type=Path), help="Folder for the bundle.")
@arch_option
@tune_options
@plan_options
@launch_options
def tune(kernel: Path, form: str, out: Path | None, trials: int, limit: str | None, **o: Any) -> None:
    """Search the fastest plan for KERNEL on this machine, or those of a tracker, and verify what it makes.

    Ctrl-C ends the search; the best plan so far is printed. With --records a later run continues.
    """
    from tvm_xpiler.tuning import TuneOptions

    options = options_of(o)
    tuning = TuneOptions(
        trials, duration(limit), o["records"], options.seed, options.proposers, options.plans, None,
        o["target"], options.arch, o["workers"], o["cold"], tracker(o["tracker"]),
    )  # fmt: skip
    ranker = cost_model(o["cost_model"], tuning.spec.machine.kind)
    tuning = replace(tuning, ranker=ranker)
    code = run_tune(read_source(kernel), replace(options, proposers=()), tuning, form, out, _err)
    if o["save_model"] is not None:
        save_model(ranker, o["save_model"])
    sys.exit(code)


@app.command()
@click.argument("databases", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--to", "target", type=click.Choice(["llvm", "cuda", "bang"]), default="llvm", show_default=True, help="Whose records are used."
)
@arch_option
@click.option("-o", "--out", type=click.Path(path_type=Path), help="File for the cost model.")
def train(databases: tuple[Path, ...], target: str, arch: str | None, out: Path | None) -> None:
    """Train a cost model on DATABASES that tune --records wrote; --cost-model takes it."""
    run_train(databases, target, arch, out, _err)


@app.command("tracker")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen at.")
@click.option("--port", default=9190, show_default=True, help="Port to listen at.")
def start_tracker(host: str, port: int) -> None:
    """Start TVM's RPC tracker, which lends machines to searches; it runs until it is interrupted."""
    become("tvm.exec.rpc_tracker", "--host", host, "--port", str(port), "--port-end", str(port + 1))


@app.command("serve")
@click.option(
    "--tracker", "where", metavar="HOST:PORT[/KEY]", default="127.0.0.1:9190", show_default=True, help="The tracker to register with."
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address that the tracker's clients reach this machine at.")
def start_server(where: str, host: str) -> None:
    """Let searches measure on this machine, through a tracker; it runs until it is interrupted."""
    named = tracker(where)
    become("tvm.exec.rpc_server", "--tracker", f"{named.host}:{named.port}", "--key", named.key, "--host", host)


@app.command()
@click.argument("original", type=click.Path(path_type=Path))
@click.argument("translated", type=click.Path(path_type=Path))
@prove_option
@launch_options
def verify(original: Path, translated: Path, **o: Any) -> None:
    """Judge TRANSLATED, written by anyone, against ORIGINAL: both are run on the same inputs."""
    from tvm_xpiler import api, show

    verdict = api.judge(read_source(original), read_source(translated), options_of(o))
    click.echo(show.verdict_line(verdict))
    if verdict.proof:
        click.echo(verdict.proof)
    sys.exit(DONE if verdict.ok else NOT_VERIFIED)


@app.command()
@click.argument("first", type=click.Path(path_type=Path))
@click.argument("second", type=click.Path(path_type=Path))
@click.option("--any-dtype", is_flag=True, help="Element types may differ.")
@click.option("--any-order", is_flag=True, help="Parameters may stand in another order.")
@launch_options
def same(first: Path, second: Path, any_dtype: bool, any_order: bool, **o: Any) -> None:
    """Say whether FIRST and SECOND, in any dialects, have one normal form; show where they part (exit code 3)."""
    from tvm_xpiler.same import compare

    found = compare(read_source(first), read_source(second), options_of(o), not any_dtype, not any_order)
    if found.same:
        click.echo(f"one normal form, grade {found.first.grade}")
        sys.exit(DONE)
    click.echo("\n".join(found.difference))
    sys.exit(NOT_VERIFIED)


@app.command()
def doctor() -> None:
    """Say what of the environment works, and how to get what is missing."""
    from importlib.metadata import PackageNotFoundError, version

    from tvm_xpiler.core.rocm import GET, rocm
    from tvm_xpiler.core.toolchain import tools

    table = Table("part", "state", "for")
    broken = False
    for package in ("apache-tvm", "apache-tvm-ffi", "libclang", "numpy", "xgboost-cpu", "z3-solver", "openai"):
        try:
            state = version(package)
        except PackageNotFoundError:
            state, broken = "missing: pip install -e .", True
        if package == "apache-tvm-ffi" and state.startswith("0.1.15"):
            state, broken = f"{state}: crashes MetaSchedule, install 0.1.14.post1", True
        table.add_row(package, state, "")
    found = tools()
    amd = rocm()
    hip = amd.hipcc or (amd.clang if amd.headers and amd.bitcode and amd.lld else None)
    table.add_row("HIP compiler", hip or f"missing: {GET}", "compiles emitted HIP")
    table.add_row(
        "AMD device libraries, lld", str(amd.bitcode) if amd.bitcode and amd.lld else f"missing: {GET}", "code objects by --to rocm"
    )
    for tool in found.values():
        table.add_row(tool.name, tool.version if tool.path else f"missing: {tool.get}", tool.purpose)
    _out.print(table)
    sys.exit(DIAGNOSTIC if broken or not (found["g++"].path or found["clang++"].path) else DONE)


@app.command()
@click.argument("code")
def explain(code: str) -> None:
    """Print what an error code means."""
    found = CODES.get(code.upper())
    if found is None:
        raise click.UsageError(f"there is no code {code}; known: {', '.join(CODES)}")
    click.echo(f"{found.name}: {found.title}\n\n{found.explanation}")


def main() -> None:
    """Run the command line; a diagnostic becomes one clear message and an exit code."""
    try:
        app(standalone_mode=False)
    except click.exceptions.Abort:
        _err.print("interrupted")
        sys.exit(130)
    except KeyboardInterrupt:
        _err.print("interrupted")
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(USAGE)
    except XpilerError as error:
        _err.print(error.render(), markup=False)
        sys.exit(USAGE if error.code in {"XP112", "XP402"} else DIAGNOSTIC)
    except Exception as error:  # noqa: BLE001 - the user gets one sentence
        _err.print(_internal(error).render(), markup=False)
        sys.exit(DIAGNOSTIC)
