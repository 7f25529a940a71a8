"""Options that several commands have, and the pipeline's options that they make."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from tvm_xpiler.cli_plan import planning
from tvm_xpiler.core.chips import CHIPS, DEFAULT_CHIP
from tvm_xpiler.core.errors import ConfigError


def launch_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say how a kernel is launched, and what it is taken to compute."""
    for option in (
        click.option("--arg", "scalars", multiple=True, metavar="NAME=VALUE", help="A scalar argument of the entry."),
        click.option(
            "--buffer",
            "buffers",
            multiple=True,
            metavar="NAME=SIZE[:ROLE]",
            help="A buffer's elements (a number, or arithmetic over scalars) and role: in, out or inout.",
        ),
        click.option("--grid", metavar="X[,Y,Z]", help="Grid, for a kernel without host wrapper; sizes may be arithmetic over scalars."),
        click.option("--block", metavar="X[,Y,Z]", help="Block, for a kernel without host wrapper."),
        click.option("--shared", default="0", metavar="BYTES", help="Dynamic shared memory, likewise."),
        click.option("--entry", help="The host wrapper or kernel; NAME<ARGS> for a template."),
        click.option("-D", "define", multiple=True, metavar="NAME[=VALUE]", help="A macro."),
        click.option("-I", "include", multiple=True, metavar="DIR", help="A folder for #include."),
        click.option("--seed", default=1, show_default=True, help="Seed of the inputs."),
        click.option("--sets", type=click.IntRange(1, 1000), help="Number of input sets; by default as many as size allows."),
        click.option("--chip", type=click.Choice(list(CHIPS)), default=DEFAULT_CHIP, show_default=True, help="The MLU of a BANG source."),
        click.option("--warp", type=click.Choice(["32", "64"]), help="Lanes of a warp.  [default: 32; HIP 64]"),
        click.option("--single", is_flag=True, help="Compute in float what a kernel of floats computes in double (0.5 * x, tanh(x))."),
        click.option("--timeout", default=60.0, show_default=True, help="Seconds for one run of a kernel."),
    ):
        command = option(command)
    return command


symbolic_option = click.option(
    "--symbolic", multiple=True, metavar="NAME", help="A scalar that stays a parameter of the result, or all; may be repeated."
)

targets_option = click.option(
    "--to",
    "targets",
    multiple=True,
    default=("llvm",),
    show_default=True,
    help="llvm, cuda, hip, rocm, bang, or a TVM target dictionary; may be repeated.",
)
arch_option = click.option("--arch", help="Architecture, processor or chip.  [default: sm_90a, gfx90a, mlu370, this machine's]")
tf32_option = click.option(
    "--tf32", is_flag=True, help="Let tensor cores round the operands of float products to tf32 (10 bits of fraction)."
)
round_trip_option = click.option("--round-trip", is_flag=True, help="Lift the emitted texts again and compare the normal forms.")
prove_option = click.option(
    "--prove", is_flag=True, help="Run both on residues, too: equal expressions get the verdict bounded, or proved."
)
tune_option = click.option(
    "--tune",
    type=click.IntRange(1, 100_000),
    metavar="TRIALS",
    help="Search the fastest plan for each target that can be measured here, for bang by an estimate.",
)
intrinsics_option = click.option("--intrinsics", is_flag=True, help="Write C++ text with vector intrinsics instead of vectorized loops.")


def options_of(o: dict[str, Any]) -> Any:
    """Return the pipeline's options.

    Raises:
        ConfigError: XP112, or what :func:`tvm_xpiler.cli_plan.planning` raises.
    """
    from tvm_xpiler.manifest import buffer_option, extent, extents
    from tvm_xpiler.session import Options

    def pairs(items: tuple[str, ...], flag: str) -> list[tuple[str, str]]:
        result = []
        for item in items:
            name, equals, value = item.partition("=")
            if not equals:
                raise click.UsageError(f"{flag} takes NAME=VALUE, not '{item}'")
            result.append((name, value))
        return result

    def number(text: str) -> float:
        try:
            return int(text, 0)
        except ValueError:
            try:
                return float(text)
            except ValueError:
                raise click.UsageError(f"'{text}' is no number") from None

    def triple(text: str | None, flag: str) -> Any:
        if text is None:
            return None
        try:
            return extents(text.split(","))
        except ConfigError:
            raise click.UsageError(f"{flag} takes X[,Y,Z], not '{text}'") from None

    return Options(
        scalars={name: number(value) for name, value in pairs(o["scalars"], "--arg")},
        buffers={name: buffer_option(value) for name, value in pairs(o["buffers"], "--buffer")},
        grid=triple(o["grid"], "--grid"), block=triple(o["block"], "--block"), shared_bytes=extent(o["shared"]), entry=o["entry"],
        arch=o.get("arch"), intrinsics=bool(o.get("intrinsics")), tf32=bool(o.get("tf32")), include=tuple(o["include"]), define=tuple(o["define"]), seed=o["seed"], sets=o["sets"], timeout=o["timeout"],
        warp=int(o["warp"]) if o["warp"] else None, chip=o["chip"], single=o["single"], round_trip=bool(o.get("round_trip")), prove=bool(o.get("prove")), tune=o.get("tune") or 0, symbolic=tuple(o.get("symbolic") or ()), **(planning(o) if "plans" in o else {}),
    )  # fmt: skip
