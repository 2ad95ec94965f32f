"""Why a detector is forecast badly, on series in which the reason is known."""

from dataclasses import replace

import numpy as np
import pytest

from socialgraph.report.details import choose
from socialgraph.report.health import health, reasons
from tests.conftest import make_series

FIRST = 480  # 16:00 UTC, midnight in Taipei: the test part is one local day
NEIGHBOURS, KNOWN = np.array([1, 1, 1, 1, 1, 0]), np.zeros(6, dtype=bool)


def looked(values, strange=KNOWN, last=768):
    series = replace(make_series(steps=768), values=values)
    usual = np.full(values.shape[:2], 60.0)
    return health(series, "speed", slice(FIRST, last), usual, NEIGHBOURS, strange)


@pytest.fixture
def values():
    rng = np.random.default_rng(0)
    return (60 + rng.normal(0, 2, (768, 6, 2))).astype(np.float32)


def test_nothing_is_said_of_a_usual_detector(values):
    found = looked(values)
    assert [reasons(found, node) for node in range(5)] == [[]] * 5
    assert reasons(found, 5) == ["has no neighbour"]


def test_each_fault_is_named_with_its_size(values):
    values[FIRST : FIRST + 72, 0, 0] = np.nan  # a quarter of the test part
    values[FIRST:, 1, 0] = 61.0
    values[FIRST:, 2, 0] += 6  # was 1.6 from 60 in the mean
    values[FIRST:, 3, 0] = 60 + 3 * (values[FIRST:, 3, 0] - 60)
    strange = KNOWN.copy()
    strange[4] = True
    found = looked(values, strange)
    assert reasons(found, 0) == ["silent: 25\u00a0% of its readings are missing"]
    assert reasons(found, 1) == ["stuck: 100\u00a0% of its readings repeat one value all day"]
    (unlike,) = reasons(found, 2)
    assert unlike.startswith("unlike its profile: 3.")
    told = reasons(found, 3)
    assert [text.split(":")[0] for text in told] == ["unlike its profile", "lively"]
    assert "vary 3.0 times" in told[1]
    assert reasons(found, 4) == ["was not in training"]


def test_what_was_wrong_before_the_test_is_not_told(values):
    values[:FIRST:2, 0, 0] = np.nan
    values[: FIRST - 12, 1, 0] = 61.0
    assert "silent" not in " ".join(reasons(looked(values), 0))
    assert "stuck" not in " ".join(reasons(looked(values), 1))


def test_what_was_wrong_after_the_test_is_not_told(values):
    values[700:, 0, 0] = np.nan
    values[700:, 1, 0] = 90.0
    assert [reasons(looked(values, last=700), node) for node in (0, 1)] == [[], []]


def test_the_worst_are_shown_and_others_evenly_spread():
    mae = np.array([3.0, np.nan, 9.0, 1.0, 7.0, 2.0, 5.0, 4.0])
    assert choose(mae, 8) == choose(mae, 99) == [2, 4, 6, 7, 0, 5, 3, 1]
    assert choose(mae, 4) == [2, 4, 6, 1]
    assert choose(mae, 1) == [2]
