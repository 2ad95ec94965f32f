"""Tests of differences from made-up sums."""

import numpy as np
import pytest

from socialgraph.backtest import summary

pytest.importorskip("arch", reason="needs the package arch (extra backtest)")


def test_a_fold_is_tested_on_its_own_days():
    """A long swing over all folds says nothing of how alike the days of one are."""
    rng = np.random.default_rng(0)
    days, folds = 120, 3
    own, other = np.zeros((2, 5, days, folds))
    for fold in range(folds):
        rows = slice(40 * fold, 40 * fold + 40)
        apart = (-1.0, 0.0, 1.0)[fold] + rng.normal(0, 0.2, 40)
        own[0, rows, fold], other[0, rows, fold], own[3, rows, fold] = 100 + apart, 100, 10
    results = summary._test_folds(own, other)
    assert [result["days"] for result in results] == [40, 40, 40]
    assert [result["real"] for result in results] == [True, False, True]
    assert results[0]["difference"] == pytest.approx(-0.1, abs=0.02)
    alone, block, _ = summary._test_all(own[:, :40, :1], other[:, :40, :1])
    assert results[0] == {**alone, "block_days": round(block, 2)}
    whole, longer, weights = summary._test_all(own, other)
    assert longer > 3 * block
    assert not whole["real"]
    assert weights.shape == (2000, days)


def test_a_fold_without_a_reading_has_no_test():
    own = np.zeros((5, 10, 2))
    own[[0, 3], :, 0] = 1.0
    first, second = summary._test_folds(own, own)
    assert (first["days"], first["real"]) == (10, False)
    assert (second["days"], second["interval"], second["real"]) == (0, None, None)
