"""Measuring of time and memory: what is counted, and what happens when something goes wrong."""

import os
import time

import numpy as np
import pytest

from benchmarks.measure import growth, interleaved_seconds, isolated, peak_memory, summary


def hold_and_drop(mib):
    return peak_memory(lambda: np.ones(mib * 2**17).sum() / 2**17)


def process_id():
    return os.getpid()


def variable(name):
    return os.environ.get(name)


def sleep():
    time.sleep(30)


def fail():
    raise ValueError("no such road")


def die():
    os.kill(os.getpid(), 9)


def test_functions_are_called_in_turn():
    calls = []
    functions = {name: lambda name=name: calls.append(name) for name in "ab"}
    seconds = interleaved_seconds(functions, repeats=2, warmup=1)
    assert calls == list("ababab")
    assert {name: len(repeats) for name, repeats in seconds.items()} == {"a": 2, "b": 2}


def test_a_summary_keeps_median_quartiles_and_repeats():
    assert summary([3.0, 1.0, 2.0]) == {
        "median": 2.0,
        "quartiles": [1.5, 2.5],
        "repeats": [3.0, 1.0, 2.0],
    }
    assert summary([4.0])["quartiles"] == [4.0, 4.0]


@pytest.mark.slow
def test_the_peak_is_seen_after_the_memory_is_freed():
    for mib in (50, 200):
        value, peak = isolated(hold_and_drop, mib)
        assert value == mib
        assert mib - 1 < peak < mib + 20


@pytest.mark.slow
def test_a_function_runs_in_a_process_of_its_own():
    assert isolated(process_id) != os.getpid()
    assert isolated(variable, "ROAD", environment={"ROAD": "A1"}) == "A1"
    assert "ROAD" not in os.environ


@pytest.mark.slow
def test_a_process_that_fails_dies_or_takes_too_long_is_named():
    with pytest.raises(RuntimeError, match="no such road"):
        isolated(fail)
    with pytest.raises(RuntimeError, match="'die' ended with exit code -9"):
        isolated(die)
    with pytest.raises(TimeoutError, match="'sleep' took more than 1 s"):
        isolated(sleep, timeout=1.0)


def test_growth_finds_the_exponent_of_a_power_law():
    sizes = [10, 100, 1000]
    fit = growth(sizes, [3 * n**1.5 for n in sizes])
    assert fit["exponent"] == pytest.approx(1.5)
    assert fit["tail_exponent"] == pytest.approx(1.5)
    assert growth(sizes, [7, 7, 7])["exponent"] == pytest.approx(0, abs=1e-9)
