"""The summary of a backtest, made from the sums and counts of its folds."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet
import torch

from socialgraph.backtest.cells import SUMS
from socialgraph.backtest.conditions import DEFINITIONS
from socialgraph.backtest.fold import NETWORK, TABLES
from socialgraph.backtest.paired import METHOD, block_length, compare_sums, day_weights
from socialgraph.error_table import errors_of_target
from socialgraph.metrics import INTERVAL_ERRORS, errors_from_sums
from socialgraph.protocol import differences

__all__ = ["GROUPS", "compare_runs", "summarise"]

GROUPS = ("step", "detector", "fold", "weekday", "hour", "state", "outage")
_ERRORS = SUMS.index("told")  # how many sums are of errors, before those of intervals
_BY_CONDITION = ("hour", "state", "outage")
_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


class _Cube(NamedTuple):
    """Sums of one forecaster and target ``[S, D, G]`` by day and the values of a group."""

    values: list
    sums: np.ndarray


def summarise(folder: str | Path) -> dict:
    """The summary of all folds of a run that are whole.

    Args:
        folder: of the run, with ``plan.json`` and the folds.

    Returns:
        ``protocol``, ``horizon_minutes``, ``options``, ``run``, ``folds``; ``models``: for each
        forecaster its errors by target, as ``socialgraph test`` gives them, ``by`` group, and those
        of its ``intervals`` if it tells some; and
        ``tests``: for each rival and target the difference of the network's MAE from its own with
        an interval (:func:`socialgraph.backtest.paired.compare_sums`), over ``all`` and ``by``
        group. A rival that forecasts a sample of the detectors is compared on these.

    Raises:
        FileNotFoundError: if there is no such run, or no fold is whole.
    """
    folder = Path(folder)
    plan = json.loads((folder / "plan.json").read_text())
    found = [
        (json.loads(path.read_text()), path.parent) for path in folder.glob("fold_*/fold.json")
    ]
    if not found:
        raise FileNotFoundError(f"No whole fold in '{folder}'.")
    folds, parts = zip(*sorted(found, key=lambda pair: pair[0]["number"]), strict=True)
    (data,) = plan["protocol"]["data"]
    sample = folds[0]["sample"]
    whole = _read(parts, folds, sampled=False)
    fair = whole if sample is None else _read(parts, folds, sampled=True)
    models = [NETWORK, *plan["options"]["rivals"]]
    return {
        "protocol": plan["protocol"],
        "horizon_minutes": plan["horizon_minutes"],
        "options": plan["options"],
        "definitions": DEFINITIONS,
        "run": plan["run"],
        "folds": folds,
        "models": {
            model: _describe(whole, model, data["targets"], sample if model == "ets" else None)
            for model in models
        },
        "tests": _test(whole, fair, models[1:], list(data["targets"])),
    }


def compare_runs(one: str | Path, other: str | Path, free: Sequence[str] = ()) -> dict[str, dict]:
    """Paired test of the networks of two backtests, by target, as the rivals are tested.

    Args:
        one, other: folders of two runs whose folds are all whole.
        free: names of what may differ in their protocols, such as ``window``; the same readings are
            scored nevertheless.

    Raises:
        ValueError: if their protocols differ otherwise, or other readings were scored.
    """
    daily = []
    for folder in map(Path, (one, other)):
        report = json.loads((folder / "backtest.json").read_text())
        parts = [folder / f"fold_{fold['number']:02d}" for fold in report["folds"]]
        daily.append((report, _read(parts, report["folds"], sampled=False)))
    (first, tables), (second, others) = daily
    told = differences(first["protocol"], second["protocol"])
    if apart := [text for text in told if text.split(":")[0].split(".")[-1] not in free]:
        raise ValueError(f"The two backtests have different protocols: {'; '.join(apart)}.")
    days, found = _days(tables), {}
    for target in first["models"][NETWORK]["targets"]:
        own, rival = (
            _cube(part["step"], "step", NETWORK, target, days).sums for part in (tables, others)
        )
        if not np.array_equal(own[3], rival[3]):
            raise ValueError(f"The two backtests scored other readings of '{target}'.")
        overall, block, _ = _test_all(own, rival)
        found[target] = {"block_days": round(block, 2), **overall}
    return found


def _read(parts: list[Path], folds: list[dict], sampled: bool) -> dict[str, pa.Table]:
    """Sums by forecaster, target, day and the values of each group, of all folds."""
    found: dict[str, list[pa.Table]] = {group: [] for group in GROUPS}
    for part, fold in zip(parts, folds, strict=True):
        by_detector, by_condition = (pa.parquet.read_table(part / name) for name in TABLES)
        if sampled:
            names = pa.array(fold["sample"], pa.string())
            chosen = pc.is_in(by_detector["detector"].cast(pa.string()), value_set=names)
            by_detector = by_detector.filter(chosen)
            by_condition = by_condition.filter(by_condition["sampled"])
        number = pa.array(np.full(len(by_detector), fold["number"] + 1))
        day = pc.day_of_week(by_detector["day"])
        by_detector = by_detector.append_column("fold", number).append_column("weekday", day)
        for group in GROUPS:
            table = by_condition if group in _BY_CONDITION else by_detector
            for name in ("model", "target", group):
                if pa.types.is_dictionary(table.schema.field(name).type):
                    place = table.schema.get_field_index(name)
                    table = table.set_column(place, name, table[name].cast(pa.string()))
            keys = ["model", "target", "day", group]
            sums = table.group_by(keys).aggregate([(name, "sum") for name in SUMS])
            found[group].append(sums)
    return {group: pa.concat_tables(tables) for group, tables in found.items()}


def _cube(table: pa.Table, group: str, model: str, target: str, days: np.ndarray) -> _Cube:
    of_target = table.filter(pc.equal(table["target"], target))
    values, place = np.unique(of_target[group].to_numpy(), return_inverse=True)
    own = pc.equal(of_target["model"], model).to_numpy()
    day = np.searchsorted(days, of_target["day"].to_numpy()[own].astype("datetime64[D]"))
    sums = np.zeros((len(SUMS), len(days), len(values)))
    for row, name in enumerate(SUMS):
        numbers = of_target[f"{name}_sum"].to_numpy()[own].astype(float)
        np.add.at(sums[row], (day, place[own]), numbers)
    return _Cube([_name(group, value) for value in values.tolist()], sums)


def _name(group: str, value: object) -> str:
    return _WEEKDAYS[int(str(value))] if group == "weekday" else str(value)


def _days(tables: dict[str, pa.Table]) -> np.ndarray:
    return np.unique(tables["step"]["day"].to_numpy().astype("datetime64[D]"))


def _describe(tables: dict, model: str, units: dict[str, str], sample: list[str] | None) -> dict:
    """Errors of a forecaster by target."""
    days, targets = _days(tables), {}
    for target, unit in units.items():
        steps = _cube(tables["step"], "step", model, target, days).sums.sum(1)  # [S, P]
        errors = errors_from_sums(torch.from_numpy(steps[:_ERRORS])[..., None])
        by = {}
        for group in GROUPS[1:]:
            cube = _cube(tables[group], group, model, target, days)
            errors_by = zip(cube.values, _errors_of(cube.sums.sum(1)), strict=True)
            by[group] = {value: part for value, part in errors_by if part["count"]}
        targets[target] = {"unit": unit, **errors_of_target(errors, 0), "by": by}
        if steps[_ERRORS].any():
            (whole,) = _intervals_of(steps.sum(1, keepdims=True))
            targets[target]["intervals"] = {**whole, "by_step": list(_intervals_of(steps))}
    return {"sample": sample, "targets": targets}


def _errors_of(sums: np.ndarray) -> Iterator[dict]:
    absolute, square, _, count, _ = sums[:_ERRORS]
    for a, s, n, told in zip(absolute, square, count, _intervals_of(sums), strict=True):
        mae, rmse = (float(a / n), float(np.sqrt(s / n))) if n else (None, None)
        yield {"mae": mae, "rmse": rmse, "count": int(n), **told}


def _intervals_of(sums: np.ndarray) -> Iterator[dict]:
    """Errors of intervals of each column, as of INTERVAL_ERRORS; {} if none were told."""
    for told, *parts in sums[_ERRORS:].T.tolist():
        names = zip(INTERVAL_ERRORS, parts, strict=True)
        yield {name: part / told for name, part in names} if told else {}


def _test(whole: dict, fair: dict, rivals: list[str], targets: list[str]) -> dict:
    days = _days(whole)
    found: dict[str, dict] = {}
    for rival in rivals:
        tables = fair if rival == "ets" else whole
        found[rival] = {target: _test_rival(tables, rival, target, days) for target in targets}
    return {"method": METHOD, "days": len(days), "rivals": found}


def _test_rival(tables: dict, rival: str, target: str, days: np.ndarray) -> dict:
    """Tests of one target against one rival, over all and by group."""
    own, other = (_cube(tables["step"], "step", m, target, days).sums for m in (NETWORK, rival))
    overall, block, weights = _test_all(own, other)
    by = {}
    for group in GROUPS:
        mine, its = (_cube(tables[group], group, m, target, days) for m in (NETWORK, rival))
        if group == "fold":
            results = _test_folds(mine.sums, its.sums)
        else:
            results = compare_sums(mine.sums[0], its.sums[0], mine.sums[3], weights)
        pairs = zip(mine.values, results, strict=True)
        by[group] = {value: result for value, result in pairs if result["days"]}
    return {"block_days": round(block, 2), "all": overall, "by": by}


def _test_folds(own: np.ndarray, other: np.ndarray) -> list[dict]:
    """Test of each fold by itself: its days alone tell how long its blocks have to be."""
    results = []
    for fold in range(own.shape[2]):
        days = own[3, :, fold] > 0
        overall, block, _ = _test_all(*(sums[:, days, fold : fold + 1] for sums in (own, other)))
        results.append({**overall, "block_days": round(block, 2)})
    return results


def _test_all(own: np.ndarray, other: np.ndarray) -> tuple[dict, float, np.ndarray]:
    """Test over all of two ``[5, D, G]``, the length of its blocks, and how days were drawn."""
    mine, its = (sums.sum(2, keepdims=True) for sums in (own, other))
    with np.errstate(invalid="ignore"):
        block = block_length(((mine[0] - its[0]) / mine[3])[:, 0])
    weights = day_weights(len(mine[0]), block)
    (overall,) = compare_sums(mine[0], its[0], mine[3], weights)
    return overall, block, weights
