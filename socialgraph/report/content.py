"""Everything that the page tells, in its parts: computed elsewhere, and only shown."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from socialgraph.report.scoring import RIVALS

__all__ = ["Accuracy", "Content", "Details", "Detectors", "Origin", "Subject", "Tested"]


@dataclass(frozen=True)
class Subject:
    """What is forecast.

    Args:
        name: of the data.
        target, unit: what is told of.
        timezone: whose clock the page uses.
        minutes: how far ahead each of the P steps is.
        vdids: ids of the N detectors.
    """

    name: str
    target: str
    unit: str
    timezone: str
    minutes: list[float]
    vdids: list[str]


@dataclass(frozen=True)
class Tested:
    """What was scored.

    Args:
        windows: how many, of ``all_windows``.
        every: only each so many-th was.
        period: first and last local time that was forecast, as texts.
    """

    windows: int
    all_windows: int
    every: int
    period: tuple[str, str]


@dataclass(frozen=True)
class Accuracy:
    """Errors of all detectors together.

    Args:
        errors: by name of the forecast, as :func:`socialgraph.report.errors.by_step` gives them.
        coverage: of the interval, by :func:`socialgraph.report.errors.coverage`; None without.
        nominal: share that the interval should hold.
        week: MAE by weekday and local hour ``[7, 24]``.
        state: ``rule`` by which traffic is dense, and the ``rows`` of its table.
    """

    errors: dict[str, dict]
    coverage: dict[str, Any] | None
    nominal: float
    week: np.ndarray
    state: dict[str, Any]

    @property
    def rivals(self) -> list[str]:
        """Names of the rivals that there are."""
        return [name for name in RIVALS if name in self.errors]


@dataclass(frozen=True)
class Detectors:
    """Each detector.

    Args:
        errors: ``[N]`` by name, as :func:`socialgraph.report.errors.by_detector` gives them.
        worst: the ten with the largest MAE, and what is unusual about each.
        pos: positions in metres ``[N, 2]``.
        edges: of the graph ``[2, E]``.
        radii: reach of each head, in metres, by the name of the layer of pooling.
    """

    errors: dict[str, np.ndarray]
    worst: list[dict]
    pos: np.ndarray
    edges: np.ndarray
    radii: dict[str, list[float]]


@dataclass(frozen=True)
class Details:
    """What is shown of a detector that is opened.

    Args:
        chosen: detectors that can be.
        layers: names of the L layers of pooling whose attention is known.
        day: lines of :func:`socialgraph.report.details.day_lines`.
        day_steps: forecast steps that the day shows, from 0.
        neighbours: of each of ``chosen``, by :func:`socialgraph.report.details.neighbours_of`;
            none without pooling.
        influences: ``hours`` and ``steps`` of the gradients; None without pooling.
        gradients: of how many detectors they were taken.
    """

    chosen: list[int]
    layers: list[str]
    day: dict[str, np.ndarray]
    day_steps: list[int]
    neighbours: list[dict]
    influences: dict[str, list[int]] | None
    gradients: int


@dataclass(frozen=True)
class Origin:
    """How the numbers came about.

    Args:
        training: curves of :func:`socialgraph.report.training.read_training`, empty without.
        protocol: topics and texts.
        commands: that make it again.
    """

    training: dict[str, dict]
    protocol: list[tuple[str, str]]
    commands: list[str]


@dataclass(frozen=True)
class Content:
    """The page in its parts; ``backtest`` is that of
    :func:`socialgraph.report.backtest.read_backtest`, None without one.
    """

    subject: Subject
    tested: Tested
    accuracy: Accuracy
    detectors: Detectors
    details: Details
    origin: Origin
    backtest: dict | None
