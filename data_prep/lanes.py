"""Lanes of a detector joined to one reading."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from data_prep.durations import tell_seconds
from data_prep.quantities import VEHICLES, kind_of_feature, vehicles_of
from data_prep.report import Report
from data_prep.spacing import Stretch

__all__ = ["LANE_MARK", "LANE_RULES", "Lanes", "join_lanes", "lane_rules"]

LANE_RULES = ("sum", "mean", "weighted")
LANE_MARK = "\x1f"  # between a detector and its lane, until lanes are joined


def lane_rules(features: list[str], units: Mapping[str, str], said: Mapping[str, str]) -> list[str]:
    """How lanes are joined, by feature: vehicles are summed, speeds weighted by the vehicles (if
    they are known), other states averaged, unless ``said`` otherwise.

    Raises:
        ValueError: if there is no such rule, or it is not certain what a feature is.
    """
    known = vehicles_of(features, units) is not None
    return [said.get(name) or _usual_rule(name, units.get(name, ""), known) for name in features]


def _usual_rule(name: str, unit: str, known: bool) -> str:
    plain, kind = name.strip().lower(), kind_of_feature(name, unit)
    if kind in ("count", "rate") or (kind == "vehicles" and plain in VEHICLES):
        return "sum"
    if kind != "state":
        raise ValueError(
            f"It is not certain how lanes of {name!r} are joined. Set --lane-rule {name}=sum if it "
            f"tells how many vehicles there were, --lane-rule {name}=mean if it is a state such as "
            "an occupancy; or --unit."
        )
    return "weighted" if "speed" in plain and known else "mean"


def join_lanes(values: np.ndarray, rules: list[str], weight: int | None) -> np.ndarray:
    """Readings of lanes ``[..., L, F]`` as those of the detector ``[..., F]``.

    A sum is missing if one lane is: it would be too low. A speed is weighted by the vehicles of the
    lanes whose speed is known; where no vehicles are known it is the plain mean.

    Args:
        values: NaN if missing.
        rules: ``"sum"``, ``"mean"`` or ``"weighted"`` for each feature.
        weight: index of the feature that counts vehicles.
    """
    joined = np.empty((*values.shape[:-2], len(rules)), dtype=np.float64)
    there = ~np.isnan(values)
    count = there.sum(axis=-2)
    for index, rule in enumerate(rules):
        lanes = values[..., index]
        if rule == "sum":
            joined[..., index] = lanes.sum(axis=-1)
            continue
        weights = there[..., index].astype(np.float64)
        if rule == "weighted" and weight is not None:
            vehicles = np.where(there[..., index], np.nan_to_num(values[..., weight]), 0)
            known = vehicles.sum(axis=-1, keepdims=True) > 0
            weights = np.where(known, vehicles, weights)
        with np.errstate(invalid="ignore", divide="ignore"):
            total = (np.nan_to_num(lanes) * weights).sum(axis=-1)
            joined[..., index] = np.where(
                count[..., index] > 0, total / weights.sum(axis=-1), np.nan
            )
    return joined


class Lanes:
    """Columns of a grid that are lanes, and the detectors that they are of.

    A detector may have a column of all lanes together besides. What that knows is the reading, as
    the lanes would count the same vehicles again; lanes are joined where it knows nothing.

    Args:
        vdids: ids of the columns ``[C]``; a lane stands behind its :data:`LANE_MARK`.
        features: names of the features.
        units: of the features, where they are known.
        rules: how lanes are joined, by feature, where the user says it.

    Raises:
        ValueError: see :func:`lane_rules`.

    Attributes:
        vdids: ids of the detectors ``[N]``.
    """

    def __init__(
        self,
        vdids: list[str],
        features: list[str],
        units: Mapping[str, str],
        rules: Mapping[str, str],
    ) -> None:
        odd = [rule for rule in rules.values() if rule not in LANE_RULES]
        if odd:
            raise ValueError(f"Expected --lane-rule as one of {LANE_RULES} (got {odd[0]!r}).")
        self._columns: dict[str, list[int]] = {}
        self._whole: dict[str, int] = {}
        for column, vdid in enumerate(vdids):
            columns = self._columns.setdefault(vdid.split(LANE_MARK)[0], [])
            if LANE_MARK in vdid:
                columns.append(column)
            else:
                self._whole[vdid] = column
        self.vdids = list(self._columns)
        self._features, self._rules = features, ["mean"] * len(features)
        if any(self._columns.values()):
            self._rules = lane_rules(features, units, rules)
        self._weight = vehicles_of(features, units)

    def check_distances(self, stretches: Sequence[Stretch], step: int) -> None:
        """Require that the lanes of a detector have their readings at the same distances.

        Args:
            stretches: readings that are further apart than the steps that lanes are joined at.
            step: seconds between these.

        Raises:
            ValueError: if they have not, as a lane would be added to a reading of another length.
        """
        distances: dict[int, set[int]] = {}
        for of in stretches:
            distances.setdefault(of.column, set()).add(of.distance)
        for vdid, columns in self._columns.items():
            found = [distances.get(column, {1}) for column in columns]
            if any(of != found[0] for of in found):
                steps = sorted(set.union(*found))
                apart = " and ".join(tell_seconds(step * of) for of in steps)
                every = tell_seconds(step * math.lcm(*steps)).replace(" ", "")
                raise ValueError(
                    f"The lanes of {vdid} have readings {apart} apart, which cannot be joined. Set "
                    f"--interval {every}, to which each lane comes first."
                )

    def apply(self, values: np.ndarray) -> np.ndarray:
        """Readings ``[K, C, F]`` as ``[K, N, F]``."""
        if len(self._whole) == values.shape[1]:
            return values
        parts = [self._join(values, vdid) for vdid in self.vdids]
        return np.stack(parts, axis=1).astype(np.float32)

    def report(self, report: Report) -> None:
        """Report how lanes were joined, if there are any."""
        lanes = [columns for columns in self._columns.values() if columns]
        if lanes:
            rules = ", ".join(
                f"{name} {rule}" for name, rule in zip(self._features, self._rules, strict=True)
            )
            joined = f"{sum(map(len, lanes))} lanes of {len(lanes)} detectors joined"
            report.add("lanes", f"{joined}: {rules} (--lane-rule)")

    def _join(self, values: np.ndarray, vdid: str) -> np.ndarray:
        columns, whole = self._columns[vdid], self._whole.get(vdid)
        if whole is None:
            return join_lanes(values[:, columns], self._rules, self._weight)
        together = values[:, whole]
        if not columns:
            return together
        joined = join_lanes(values[:, columns], self._rules, self._weight)
        return np.where(np.isnan(together), joined, together)
