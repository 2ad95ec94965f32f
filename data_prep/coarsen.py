"""Finer readings brought to a longer interval, by a rule for each feature."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from data_prep.durations import tell_seconds
from data_prep.quantities import VEHICLES, kind_of_feature, parse_unit, vehicles_of
from data_prep.spacing import Stretch

__all__ = ["RULES", "Coarsening", "check_sums", "choose_rules", "coarser_unit"]

RULES = ("mean", "weighted", "sum", "last")


@dataclass
class Coarsening:
    """How steps of a source become one step of the result.

    ``mean`` is that of the readings there are. ``weighted`` is the mean weighted by the vehicles of
    each reading; the plain mean, if no reading has vehicles. ``sum`` adds readings up, in
    proportion if some are missing. ``last`` is the latest one. Readings that are several source
    steps apart count for as many steps; of a sum that is longer than a step of the result this has
    its share.

    Args:
        ratio: source steps in a step of the result.
        rules: rule of each feature ``[F]``.
        weight: index of the feature that counts vehicles; None if there is none.
        min_share: share of the readings that a step should have, from which it has one.
        lead: seconds from the start of a step of the result to its first source step.
        stretches: readings that are several source steps apart, which divide ``ratio`` or are more.
        num_filled: readings that were made from all source steps.
        num_partial: those that were made from some.
        num_dropped: those that had too few.
        most: of how many source steps the best reading was made ``[N, F]``; None before the first.
    """

    ratio: int
    rules: list[str]
    weight: int | None
    min_share: float
    lead: int = 0
    stretches: list[Stretch] = field(default_factory=list)
    num_filled: int = 0
    num_partial: int = 0
    num_dropped: int = 0
    most: np.ndarray | None = None

    @property
    def needed(self) -> int:
        """Source steps that a reading of the result needs."""
        return max(1, int(np.ceil(self.min_share * self.ratio - 1e-9)))

    def apply(self, values: np.ndarray, start: int = 0) -> np.ndarray:
        """Readings ``[K * ratio, N, F]`` from the source step ``start`` on as ``[K, N, F]``."""
        steps, nodes, channels = values.shape
        fine = values.reshape(steps // self.ratio, self.ratio, nodes, channels)
        lengths = self._lengths(values, start).reshape(fine.shape)
        covered = lengths.sum(axis=1)
        coarse = np.full(covered.shape, np.nan, dtype=np.float32)
        for index, rule in enumerate(self.rules):
            coarse[..., index] = self._reduce(fine, index, rule, lengths[..., index])
        most = covered.max(axis=0, initial=0)
        self.most = most if self.most is None else np.maximum(self.most, most)
        enough = covered >= self.needed
        coarse[~enough] = np.nan
        self.num_filled += int((covered >= self.ratio).sum())
        self.num_partial += int((enough & (covered < self.ratio)).sum())
        self.num_dropped += int((~enough & (covered > 0)).sum())
        return coarse

    def _lengths(self, values: np.ndarray, start: int) -> np.ndarray:
        """Steps that each reading is for ``[K, N, F]``: up to the next one in a stretch."""
        lengths = (~np.isnan(values)).astype(np.int32)
        for of in self.stretches:
            if of.last < start or of.first >= start + len(values):
                continue
            low, high = max(0, of.first - start), max(0, of.last + 1 - start)
            there = lengths[low:, of.column, of.feature]
            steps = np.flatnonzero(there)
            until = np.diff(steps, append=len(there) + of.distance)
            steps = steps[steps < high - low]
            there[steps] = np.minimum(until[: len(steps)], of.distance)
        return lengths

    def _reduce(self, fine: np.ndarray, index: int, rule: str, lengths: np.ndarray) -> np.ndarray:
        readings = fine[..., index].astype(np.float64)  # [K, ratio, N]
        if rule == "last":
            latest = self.ratio - 1 - np.argmax(~np.isnan(readings)[:, ::-1], axis=1)
            return np.take_along_axis(readings, latest[:, None], axis=1)[:, 0]
        covered = lengths.sum(axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            if rule == "sum":
                return np.nansum(readings, axis=1) * (self.ratio / covered)
            mean = np.nansum(readings * lengths, axis=1) / covered
            if rule == "mean" or self.weight is None:
                return mean
            vehicles = np.where(np.isnan(readings), 0, np.nan_to_num(fine[..., self.weight]))
            weights = vehicles.sum(axis=1)
            weighted = (np.nan_to_num(readings) * vehicles).sum(axis=1) / weights
        return np.where(weights > 0, weighted, mean)


def choose_rules(
    features: Sequence[str],
    units: Mapping[str, str],
    said: Mapping[str, str],
    source: Mapping[str, str],
) -> tuple[list[str], int | None]:
    """The rule of each feature, and the index of the one that counts vehicles.

    Args:
        features: names.
        units: unit by feature, where it is known.
        said: rules that the user gave, for some of the features.
        source: rules of the format.

    Raises:
        ValueError: if there is no such rule, or it is not certain what a feature is.
    """
    rules = [said.get(n) or source.get(n) or _usual_rule(n, units.get(n, "")) for n in features]
    odd = [rule for rule in rules if rule not in RULES]
    if odd:
        raise ValueError(f"Expected --rule as FEATURE=RULE, a rule of {RULES} (got {odd[0]!r}).")
    weight = vehicles_of(features, units)
    if "weighted" in rules and weight is None:
        raise ValueError(
            f"The rule 'weighted' needs a feature of vehicles, called one of {VEHICLES} or with "
            f"a unit of vehicles (got {list(features)}). Set --rule to mean, or --unit."
        )
    return rules, weight


def check_sums(
    features: Sequence[str],
    units: Mapping[str, str],
    rules: Sequence[str],
    step: int,
    stretches: Sequence[Stretch],
) -> None:
    """Require that what is summed was counted since the reading before, as far as units tell.

    Args:
        features, units, rules: names, units by name, and the rule of each feature ``[F]``.
        step: seconds between two readings.
        stretches: readings that are further apart.

    Raises:
        ValueError: if a unit says another length of time.
    """
    for index, (name, rule) in enumerate(zip(features, rules, strict=True)):
        told = parse_unit(units.get(name, ""))
        apart = {step} | {step * of.distance for of in stretches if of.feature == index}
        if rule == "sum" and told is not None and told.seconds not in apart:
            every = tell_seconds(step).replace(" ", "")
            raise ValueError(
                f"The readings of {name!r} are {tell_seconds(step)} apart, and its unit "
                f"{units[name]!r} is of another length of time: their sum has no meaning. Set "
                f"--rule {name}=mean if it is a rate, --unit {name}={told.counted or 'veh'}/{every}"
                " if a reading counts what passed since the one before."
            )


def coarser_unit(unit: str, rule: str, interval: int) -> str:
    """The unit of a feature at a longer ``interval`` of seconds, of which sums of counts are."""
    told = parse_unit(unit)
    if rule != "sum" or told is None:
        return unit
    return f"{told.counted}/{tell_seconds(interval).replace(' ', '')}"


def _usual_rule(name: str, unit: str) -> str:
    kind = kind_of_feature(name, unit)
    if kind in ("vehicles", "unknown"):
        raise ValueError(
            f"It is not certain how {name!r} is brought to a longer interval. Set --rule "
            f"{name}=sum if it counts vehicles, --rule {name}=mean if it is a rate such as veh/h"
            f"{'' if kind == 'vehicles' else ' or a state such as a speed'}; or --unit."
        )
    return "sum" if kind == "count" else "mean"
