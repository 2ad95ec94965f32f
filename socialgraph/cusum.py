"""Charts that tell when something happens too often, with a rate of false alarms that is set."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from socialgraph.indicators import KINDS

__all__ = ["Charts", "charts_of", "fit_charts"]

_HEIGHTS = np.geomspace(1.0, 400.0, 32)  # at which alarms on quiet readings are counted
_FEWEST = 10  # alarms from which a rate is told
_SHRINKAGE = 100  # steps by whose number a detector's own share counts as much as that of all
_LEAST_SHARE = 1e-3


@dataclass(frozen=True)
class Charts:
    r"""Bernoulli CUSUM charts of K indicators on N detectors.

    An indicator is true on a share :math:`p_0` of the steps if all is well; the chart looks for the
    share :math:`p_1` by the likelihood ratio, and starts again at 0:

    .. math::
        S \leftarrow \max(0, S + \log \frac{p_1}{p_0}) \text{ if it is true, else }
        \max(0, S + \log \frac{1 - p_1}{1 - p_0})

    An alarm is raised when :math:`S \ge h`, and ends when :math:`S` is 0 again; :math:`S` is held
    at :math:`h`. Page, `Continuous Inspection Schemes <https://doi.org/10.1093/biomet/41.1-2.100>`_;
    of binary data Reynolds and Stoumbos, `A CUSUM Chart for Monitoring a Proportion
    <https://doi.org/10.1080/00224065.1999.11979900>`_.

    Readings that leave their interval come in runs, and some runs are long, so :math:`h` is no
    value of a table: alarms are counted on quiet readings for a grid of heights, and :math:`h` is
    read off at the rate that is set. Beyond the height with ten alarms the rate is taken to fall
    on as it did before, exponentially. Without so many it is :math:`e^{-h}`, which is never passed
    more often if readings are independent (Lorden, 1971).

    Args:
        normal: :math:`p_0` of each detector ``[K, N]``.
        shared: :math:`p_0` of a detector that is not known ``[K]``.
        suspect: least :math:`p_1` ``[K]``; it is at least half way from :math:`p_0` to 1.
        log_rates: logarithm of the rate of alarms by step at each height of a grid ``[K, G]``.

    Raises:
        ValueError: for shares that are none, or rates that rise with the height.
    """

    normal: np.ndarray
    shared: np.ndarray
    suspect: np.ndarray
    log_rates: np.ndarray

    def __post_init__(self) -> None:
        kinds = len(self.suspect)
        shapes = self.normal.shape[:1] == self.shared.shape == (kinds,) and self.normal.ndim == 2
        if not shapes or self.log_rates.shape != (kinds, len(_HEIGHTS)):
            raise ValueError("Expected charts of as many kinds in all their parts.")
        shares = np.concatenate([part.ravel() for part in (self.normal, self.shared, self.suspect)])
        falls = np.isfinite(self.log_rates).all() and (np.diff(self.log_rates) <= 0).all()
        if not ((shares > 0) & (shares < 1)).all() or not falls:
            raise ValueError("Expected shares between 0 and 1, and rates that fall, in charts.")

    @property
    def weights(self) -> tuple[np.ndarray, np.ndarray]:
        """What a true and a false indicator add ``[K, N]``."""
        suspect = np.maximum(self.suspect[:, None], (1 + self.normal) / 2)
        return np.log(suspect / self.normal), np.log((1 - suspect) / (1 - self.normal))

    def thresholds(self, rates: np.ndarray) -> np.ndarray:
        """The height of each chart that is passed at these rates by step ``[K]``."""
        pairs = zip(np.log(rates), self.log_rates, strict=True)
        return np.array([np.interp(-rate, -own, _HEIGHTS) for rate, own in pairs])

    def advance(self, statistic: np.ndarray, indicators: np.ndarray) -> np.ndarray:
        """The statistics ``[K, N]`` after a step; NaN among the indicators leaves one as it is."""
        true, false = self.weights
        moved = np.maximum(0.0, statistic + np.where(indicators == 1, true, false))
        return np.where(np.isnan(indicators), statistic, moved)

    def take(self, rows: np.ndarray) -> "Charts":
        """The charts of other detectors: by place, and -1 for one that is not known."""
        own = self.normal[:, np.maximum(rows, 0)]
        normal = np.where(rows >= 0, own, self.shared[:, None])
        return Charts(normal, self.shared, self.suspect, self.log_rates)


def fit_charts(indicators: np.ndarray, suspect: np.ndarray) -> Charts:
    """Charts whose rate of alarms on readings like these is what is set.

    Args:
        indicators: of quiet readings, in the order of time ``[W, K, N]``: 1, 0, or NaN if unknown.
        suspect: as of :class:`Charts` ``[K]``.
    """
    known = ~np.isnan(indicators)
    counts, steps = np.nansum(indicators, axis=0), known.sum(axis=0)  # [K, N]
    shared = _as_share(counts.sum(axis=1) / np.maximum(steps.sum(axis=1), 1))
    normal = (counts + _SHRINKAGE * shared[:, None]) / (steps + _SHRINKAGE)
    charts = Charts(_as_share(normal), shared, suspect, np.tile(-_HEIGHTS, (len(suspect), 1)))
    begun = _count_begins(charts, indicators)
    rates = [_falling(own, total) for own, total in zip(begun, steps.sum(axis=1), strict=True)]
    return Charts(charts.normal, shared, suspect, np.array(rates))


def charts_of(entries: Mapping[str, Any] | None, num_nodes: int) -> Charts | None:
    """The charts that a checkpoint or an exported file holds; None if it holds none.

    Args:
        entries: arguments of :class:`Charts`, as anything that NumPy makes arrays of.
        num_nodes: detectors of the training.

    Raises:
        ValueError: if they are none of so many detectors.
    """
    if entries is None:
        return None
    try:
        charts = Charts(**{name: np.asarray(part, np.float64) for name, part in entries.items()})
    except (TypeError, AttributeError, IndexError) as error:
        raise ValueError(f"The 'alarms' that were kept are none ({error}). Train again.") from error
    if charts.normal.shape != (len(KINDS), num_nodes):
        raise ValueError(f"The 'alarms' that were kept are not of {num_nodes} detectors.")
    return charts


def _as_share(share: np.ndarray) -> np.ndarray:
    return np.clip(share, _LEAST_SHARE, 1 - _LEAST_SHARE)


def _count_begins(charts: Charts, indicators: np.ndarray) -> np.ndarray:
    """How many alarms begin at each height ``[K, G]``."""
    height = _HEIGHTS[:, None, None]
    statistic = np.zeros((len(_HEIGHTS), *indicators.shape[1:]))
    on = np.zeros(statistic.shape, dtype=bool)
    count = np.zeros(statistic.shape[:2], dtype=np.int64)
    for step in indicators:
        statistic = np.minimum(charts.advance(statistic, step), height)
        begins = (statistic >= height) & ~on
        count += begins.sum(axis=2)
        on = (on | begins) & (statistic > 0)
    return count.T


def _falling(begun: np.ndarray, steps: int) -> np.ndarray:
    """Logarithm of the rate at each height, extrapolated where too few alarms begin."""
    known = int((begun >= _FEWEST).cumprod().sum())
    if known == 0:
        return -_HEIGHTS
    rates = np.minimum.accumulate(np.log(begun[:known] / steps))
    higher = np.flatnonzero(rates >= rates[-1] + np.log(4))  # from there it fell to a quarter
    if not len(higher):
        return -_HEIGHTS
    span = _HEIGHTS[known - 1] - _HEIGHTS[higher[-1]]
    decay = min((rates[higher[-1]] - rates[-1]) / span, 1.0)
    beyond = rates[-1] - decay * (_HEIGHTS[known:] - _HEIGHTS[known - 1])
    return np.concatenate([rates, beyond])
