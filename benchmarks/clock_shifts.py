"""How often does ``inspect`` find a clock that is an hour late, and does it name one that is right?

The days of each network are taken as they are, and with one detector after another an hour late:
from the middle of the days on, or throughout.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
from tqdm import tqdm

from benchmarks.environment import ROOT, result_path, write_result
from data_prep.shifts import ClockShift, ShiftFinder
from data_prep.simulate import simulate
from socialgraph.calendar import to_local

__all__ = ["main"]

_SHARED = ROOT.parent / "shared" / "data"
_NEAR = 15  # minutes by which a shift may be told wrongly


def main(argv: list[str] | None = None) -> None:
    """Shift the clocks, and write what was found as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few detectors: does it run?")
    parser.add_argument("--detectors", type=int, default=20, help="of each network, at most")
    args = parser.parse_args(argv)
    results = []
    for name, first, values in _networks(args.quick):
        results.append(_measure(name, first, values, 3 if args.quick else args.detectors))
        print(results[-1], flush=True)
        path = result_path("clock_shifts", args.quick)
        write_result(path, "clock_shifts", vars(args), results)


def _measure(name: str, first: np.datetime64, values: np.ndarray, count: int) -> dict:
    """Of readings ``[D, S, N]`` as they are, and of some detectors an hour late."""
    days, steps, nodes = values.shape
    chosen = np.random.default_rng(0).choice(nodes, min(count, nodes), replace=False)
    later, throughout, others = 0, 0, 0
    for node in tqdm(chosen.tolist(), desc=name, disable=None):
        for begin in (days // 2, 0):
            late = values.copy()
            rows = late[begin:, :, node]
            late[begin:, :, node] = np.roll(rows.ravel(), steps // 24).reshape(rows.shape)
            found = _find(first, late)
            right = [shift for shift in found if shift.node == node and _is_an_hour(shift)]
            right = [shift for shift in right if (shift.since is None) == (begin == 0)]
            later += bool(right) and begin > 0
            throughout += bool(right) and begin == 0
            others += sum(shift.node != node for shift in found)
    return {
        "network": name,
        "days": days,
        "detectors": nodes,
        "told_as_it_is": len(_find(first, values)),
        "shifted": len(chosen),
        "found_from_the_middle": later,
        "found_throughout": throughout,
        "others_told": others,
    }


def _is_an_hour(shift: ClockShift) -> bool:
    return abs(shift.minutes - 60) <= _NEAR and shift.until is None


def _find(first: np.datetime64, values: np.ndarray) -> list[ClockShift]:
    step = 86400 // values.shape[1]
    finder = ShiftFinder(step)
    for number, day in enumerate(values):
        finder.add(first + number, np.arange(len(day)) * step, day)
    return finder.result()


def _networks(quick: bool) -> Iterator[tuple[str, np.datetime64, np.ndarray]]:
    """Name, first day and readings ``[D, S, N]`` of each network."""
    series = simulate(12 if quick else 60, days=14, seed=0)
    local = to_local(series.timestamps[:1], series.timezone)[0]
    for name in ("flow", "speed"):
        readings = series.values[..., series.feature_names.index(name)]
        yield f"simulated, {name}", local.astype("datetime64[D]"), _by_day(readings)
    if _SHARED.is_dir():
        yield "METR-LA week, speed", *_stored(_SHARED / "series" / "metr_la_week1.h5", 0)
        table = pd.read_csv(_SHARED / "original" / "utd19_constance" / "constance_flow.csv")
        first = np.datetime64(str(table["day"].iloc[0])[:10])
        yield "Constance, flow", first, _by_day(table.iloc[:, 2:].to_numpy())
        for feature, name in enumerate(("speed", "count")):
            path = _SHARED / "series" / "aarhus_traffic_2014.h5"
            yield f"Aarhus, {name}", *_stored(path, feature)


def _stored(path: Path, feature: int) -> tuple[np.datetime64, np.ndarray]:
    with h5py.File(path) as file:
        first = np.datetime64(file["timestamps"][0].decode()[:10])
        return first, _by_day(file["values"][..., feature])


def _by_day(readings: np.ndarray) -> np.ndarray:
    return readings.reshape(-1, 288, readings.shape[1])


if __name__ == "__main__":
    main()
