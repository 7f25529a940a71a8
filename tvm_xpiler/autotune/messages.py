"""What the measuring process and its workers say to each other: pickled values with their length in front."""

from __future__ import annotations

import pickle
import struct
from dataclasses import dataclass
from typing import IO, Any


@dataclass(frozen=True, slots=True)
class Build:
    """One candidate, to be built.

    Attributes:
        module: The scheduled module; its function takes the tensors in order.
        original: Key of the unscheduled module, whose results are expected; its text comes with the first candidate.
        reference: The unscheduled module, or None where the worker knows it.
        target: A TVM target as JSON.
    """

    module: Any
    original: str
    reference: Any
    target: str


@dataclass(frozen=True, slots=True)
class Built:
    """The candidate was built and waits for :class:`Run`."""


@dataclass(frozen=True, slots=True)
class Tracker:
    """Where machines that measure are asked for: TVM's RPC tracker, and the key that they registered under."""

    host: str
    port: int
    key: str


@dataclass(frozen=True, slots=True)
class Run:
    """The candidate that was built is to be checked and timed.

    Attributes:
        repeats: Timings to take.
        milliseconds: Of one timing, at least.
        cutoff: A candidate whose first run takes longer, in seconds, is not timed again.
        cold: Whether a GPU's L2 is flushed before each run.
        tracker: Who lends the machine; None: this one.
    """

    repeats: int
    milliseconds: int
    cutoff: float
    cold: bool = False
    tracker: Tracker | None = None


@dataclass(frozen=True, slots=True)
class Times:
    """Seconds of one run each."""

    seconds: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Unfit:
    """Why a candidate has no time: ``build``, ``wrong``, ``crash``, ``timeout``, or ``server`` where a remote machine was lost; and a sentence."""

    kind: str
    message: str


def send(stream: IO[bytes], value: object) -> None:
    """Write one value."""
    data = pickle.dumps(value)
    stream.write(struct.pack("<Q", len(data)) + data)
    stream.flush()


def receive(stream: IO[bytes]) -> Any:
    """Read one value.

    Raises:
        EOFError: The other side is gone.
    """
    head = stream.read(8)
    if len(head) < 8:
        raise EOFError
    return pickle.loads(stream.read(struct.unpack("<Q", head)[0]))
