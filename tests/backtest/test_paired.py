"""Paired tests over days."""

import numpy as np
import pytest

from socialgraph.backtest.paired import block_length, compare_sums, day_weights

bootstrap = pytest.importorskip("arch.bootstrap", reason="needs the package arch")


def made(days=40, groups=3, seed=0):
    rng = np.random.default_rng(seed)
    count = rng.integers(50, 100, (days, groups)).astype(float)
    own, other = (count * rng.gamma(4, 1, (days, groups)) for _ in range(2))
    return own, other + 0.5 * count, count


def test_the_interval_is_that_of_the_package():
    own, other, count = made()
    weights = day_weights(40, 3.0, draws=500, seed=7)
    found = compare_sums(own, other, count, weights)
    for group in range(3):
        sums = np.stack([own[:, group], other[:, group], count[:, group]], axis=1)
        reference = bootstrap.StationaryBootstrap(3.0, sums, seed=7)

        def difference(s):
            return (s[:, 0].sum() - s[:, 1].sum()) / s[:, 2].sum()

        low, high = reference.conf_int(difference, 500, method="percentile").ravel()
        assert found[group]["interval"] == pytest.approx([low, high], rel=1e-9)
        assert found[group]["difference"] == pytest.approx(difference(sums))
        assert found[group]["real"] == (low > 0 or high < 0)


def test_equal_errors_differ_by_nothing_and_a_steady_gain_is_real():
    own, _, count = made()
    weights = day_weights(40, 2.0, draws=200)
    for test in compare_sums(own, own, count, weights):
        assert (test["difference"], test["interval"], test["real"]) == (0, [0, 0], False)
    for test in compare_sums(own, own + 0.25 * count, count, weights):
        assert test["interval"] == pytest.approx([-0.25, -0.25])
        assert test["real"]
        assert test["difference"] < 0
    for test in compare_sums(own + 0.25 * count, own, count, weights):
        assert test["real"]
        assert test["difference"] > 0


def test_few_days_give_no_interval():
    own, other, count = made()
    count[7:, 0] = 0  # seven days
    count[8:, 1] = 0
    own, other = np.where(count, own, 0), np.where(count, other, 0)
    tests = compare_sums(own, other, count, day_weights(40, 1.0, draws=200))
    assert [test["days"] for test in tests] == [7, 8, 40]
    assert [test["interval"] is None for test in tests] == [True, False, False]
    assert tests[0]["real"] is None


def test_the_block_is_that_of_the_package_without_days_that_have_nothing():
    rng = np.random.default_rng(0)
    slow = np.cumsum(rng.normal(size=100)) / 10
    slow[::10] = np.nan
    known = bootstrap.optimal_block_length(slow[~np.isnan(slow)])["stationary"].iloc[0]
    assert block_length(slow) == pytest.approx(float(known))
    assert block_length(slow) > 3
    for few in (np.zeros(50), np.full(50, np.nan), slow[:8]):
        assert block_length(few) == 1.0


@pytest.mark.slow
def test_days_that_are_alike_need_blocks_or_chance_looks_real():
    """Two forecasters that are equally good, whose difference goes on for days."""
    found = {"days": 0, "blocks": 0}
    for trial in range(100):
        rng = np.random.default_rng(trial)
        apart = rng.normal(size=90)
        for day in range(1, 90):
            apart[day] += 0.7 * apart[day - 1]
        count = np.ones((90, 1))
        for kind, block in (("days", 1.0), ("blocks", block_length(apart))):
            weights = day_weights(90, block, draws=200, seed=trial)
            (test,) = compare_sums(apart[:, None] + 5, 5 * count, count, weights)
            found[kind] += test["real"]
    assert found["days"] > 30
    assert found["blocks"] < 20
