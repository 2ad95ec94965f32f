"""Charts that tell when something happens too often, with a rate of false alarms that is set."""

from dataclasses import dataclass

import numpy as np

__all__ = ["Charts", "fit_charts"]

_FEWEST = 20  # excursions from whose heights a tail is told
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

    Readings that leave their interval come in runs, so :math:`h` is no value of a table but is told
    by what quiet readings do: heights of the excursions of :math:`S` from 0 above a start
    :math:`u` fall off exponentially (peaks over threshold), and

    .. math:: h = u + \frac{1}{\theta} \log \frac{r_u}{r}

    is passed at the rate :math:`r` that is set, if :math:`u` is at :math:`r_u`. Without enough
    excursions :math:`u = 0, r_u = \theta = 1`, which is never passed more often (Lorden, 1971).

    Args:
        normal: :math:`p_0` of each detector ``[K, N]``.
        shared: :math:`p_0` of a detector that is not known ``[K]``.
        suspect: least :math:`p_1` ``[K]``; it is at least half way from :math:`p_0` to 1.
        tail: :math:`u`, :math:`r_u` (by step) and :math:`\theta` ``[K, 3]``.

    Raises:
        ValueError: for shares that are none, or a tail that does not fall.
    """

    normal: np.ndarray
    shared: np.ndarray
    suspect: np.ndarray
    tail: np.ndarray

    def __post_init__(self) -> None:
        kinds = len(self.suspect)
        shapes = self.normal.shape[:1] == self.shared.shape == (kinds,)
        if not shapes or self.normal.ndim != 2 or self.tail.shape != (kinds, 3):
            raise ValueError("Expected charts of as many kinds in all their parts.")
        shares = np.concatenate([part.ravel() for part in (self.normal, self.shared, self.suspect)])
        falls = np.isfinite(self.tail).all() and (self.tail[:, 1:] > 0).all()
        if not ((shares > 0) & (shares < 1)).all() or not falls:
            raise ValueError("Expected shares between 0 and 1, and tails that fall, in charts.")

    @property
    def weights(self) -> tuple[np.ndarray, np.ndarray]:
        """What a true and a false indicator add ``[K, N]``."""
        suspect = np.maximum(self.suspect[:, None], (1 + self.normal) / 2)
        return np.log(suspect / self.normal), np.log((1 - suspect) / (1 - self.normal))

    def thresholds(self, rates: np.ndarray) -> np.ndarray:
        """The height of each chart that is passed at these rates by step ``[K]``."""
        start, rate, decay = self.tail.T
        return start + np.log(np.maximum(rate / rates, 1.0)) / decay

    def advance(self, statistic: np.ndarray, indicators: np.ndarray) -> np.ndarray:
        """The statistics ``[K, N]`` after a step; NaN among the indicators leaves one as it is."""
        true, false = self.weights
        moved = np.maximum(0.0, statistic + np.where(indicators == 1, true, false))
        return np.where(np.isnan(indicators), statistic, moved)

    def take(self, rows: np.ndarray) -> "Charts":
        """The charts of other detectors: by place, and -1 for one that is not known."""
        own = self.normal[:, np.maximum(rows, 0)]
        normal = np.where(rows >= 0, own, self.shared[:, None])
        return Charts(normal, self.shared, self.suspect, self.tail)


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
    tail = np.tile([0.0, 1.0, 1.0], (len(suspect), 1))
    charts = Charts(_as_share(normal), shared, suspect, tail)
    heights = _excursions(charts, indicators)
    tails = [_tail(own, total) for own, total in zip(heights, steps.sum(axis=1), strict=True)]
    return Charts(charts.normal, shared, suspect, np.array(tails))


def _as_share(share: np.ndarray) -> np.ndarray:
    return np.clip(share, _LEAST_SHARE, 1 - _LEAST_SHARE)


def _excursions(charts: Charts, indicators: np.ndarray) -> list[np.ndarray]:
    """Heights of the excursions of each chart from 0."""
    statistic = np.zeros(indicators.shape[1:])
    height = np.zeros_like(statistic)
    found: list[list[np.ndarray]] = [[] for _ in statistic]
    for step in [*indicators, None]:
        statistic = statistic * 0 if step is None else charts.advance(statistic, step)
        ended = (statistic == 0) & (height > 0)
        for kind, own in enumerate(ended):
            found[kind].append(height[kind, own])
        height = np.where(ended, 0.0, np.maximum(height, statistic))
    return [np.concatenate(own) for own in found]


def _tail(heights: np.ndarray, steps: int) -> tuple[float, float, float]:
    """Start, rate and decay of the tail of the heights."""
    count = max(_FEWEST, len(heights) // 10)
    if len(heights) < 2 * count:
        return 0.0, 1.0, 1.0
    ascending = np.sort(heights)
    start = ascending[-count - 1]
    excess = (ascending[-count:] - start).mean()
    decay = 1.0 if excess <= 1.0 else 1 / excess  # no faster than for independent readings
    return float(start), count / steps, float(decay)
