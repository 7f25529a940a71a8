"""One comparison: what rounding explains passes, anything else does not."""

from __future__ import annotations

import numpy as np

from tvm_xpiler.verify.compare import Match, Mismatch, compare

POISON = np.full(4, 0x7FC0DEAD, dtype=np.uint32).view(np.float32)
WANT = np.array([1.0, -2.0, 3.0, 0.0], dtype=np.float32)
TRACKED = np.array([[1.0, 1e-7], [-2.0, 1e-7], [3.0, 1e-7], [0.0, 1e-9]])


def judge(got: list[float], want: np.ndarray = WANT, tracked: np.ndarray | None = TRACKED) -> Match | Mismatch:
    return compare(
        "y",
        "float32",
        np.array(got, dtype=np.float32),
        want,
        None if tracked is None else (np.arange(len(tracked)), tracked),
        POISON,
        "random",
    )


def test_within_and_beyond_the_bound() -> None:
    assert isinstance(judge([1.0000001, -2.0, 3.0, 0.0]), Match)
    wrong = judge([1.00001, -2.0, 3.0, 0.0])
    assert isinstance(wrong, Mismatch)
    assert (wrong.index, wrong.count) == (0, 1)
    assert isinstance(judge([1.0, -2.0, 3.0, 1e-6]), Mismatch)


def test_not_a_number_and_infinity_keep_their_class() -> None:
    want = np.array([np.inf, np.nan, -np.inf, 1.0], dtype=np.float32)
    tracked = np.array([[np.inf, 0.0], [np.nan, 0.0], [-np.inf, 0.0], [1.0, 1e-7]])
    assert isinstance(judge([np.inf, np.nan, -np.inf, 1.0], want, tracked), Match)
    for got in ([1.0, np.nan, -np.inf, 1.0], [np.inf, 0.0, -np.inf, 1.0], [np.inf, np.nan, np.inf, 1.0], [np.inf, np.nan, -np.inf, np.nan]):
        assert isinstance(judge(got, want, tracked), Mismatch), got


def test_what_the_original_leaves_alone_stays_alone() -> None:
    want = WANT.copy()
    want[3] = POISON[3]
    got = want.copy()
    assert isinstance(compare("y", "float32", got, want, (np.arange(4), TRACKED), POISON, "random"), Match)
    got[3] = 0.0
    assert isinstance(compare("y", "float32", got, want, (np.arange(4), TRACKED), POISON, "random"), Mismatch)


def test_an_overflow_on_the_way_is_the_originals_own_value() -> None:
    tracked = TRACKED.copy()
    tracked[3] = [1e-6, 1e-12]  # float64 did not overflow where float32 did, and float32 gave zero
    assert isinstance(judge([1.0, -2.0, 3.0, 0.0], WANT, tracked), Match)
    assert isinstance(judge([1.0, -2.0, 3.0, 1e-6], WANT, tracked), Mismatch)


def test_integers_are_exact() -> None:
    want = np.array([1, 2], dtype=np.int32)
    poison = np.array([77, 77], dtype=np.int32)
    assert isinstance(compare("y", "int32", want.copy(), want, None, poison, "random"), Match)
    assert isinstance(compare("y", "int32", want + np.array([0, 1], dtype=np.int32), want, None, poison, "random"), Mismatch)
