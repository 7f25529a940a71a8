"""What the measuring process and its workers say to each other: pickled values with their length in front."""

from __future__ import annotations

import pickle
import struct
from dataclasses import dataclass
from typing import IO, Any


@dataclass(frozen=True, slots=True)
class Expect:
    """What a function makes of random inputs is to be computed, on this processor.

    Attributes:
        original: The unscheduled module.
        folder: Where the results are to be written, a file for each output.
    """

    original: Any
    folder: str


@dataclass(frozen=True, slots=True)
class Expected:
    """The results are there: the parameters that the function writes."""

    outputs: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Build:
    """One candidate, to be built. What was built is kept until a candidate of another group comes.

    Attributes:
        group: Of the candidates that are timed together.
        number: Of the candidate in its group.
        module: The scheduled module; its function takes the tensors in order.
        target: A TVM target as JSON.
        folder: Where the results of the unscheduled function lie.
        outputs: The parameters that it writes.
        here: Whether it will run on this machine, whose device is made ready meanwhile.
    """

    group: int
    number: int
    module: Any
    target: str
    folder: str
    outputs: tuple[int, ...]
    here: bool


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
    """A candidate of the last group that was built is to be checked and timed.

    Attributes:
        number: Of the candidate in its group.
        repeats: Timings to take.
        milliseconds: Of one timing, at least.
        cutoff: A candidate of which a run takes longer, in seconds, is timed once: by that run where it is long, else by one short timing.
        cold: Whether a GPU's L2 is flushed before each run.
        tracker: Who lends the machine; None: this one.
    """

    number: int
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
    """Why a candidate has no time: ``build``, ``wrong``, ``crash``, ``timeout``, ``server`` where a remote machine was lost, or ``expect``
    where the unscheduled function itself gives no results; and a sentence.
    """

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
