"""What a data module is told to take of a series: refused if it is not there."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from socialgraph.data.loading import Loading
from socialgraph.data.windows import Windows
from socialgraph.series import TrafficSeries

__all__ = ["attribute_values", "check_types", "held_out_vdids"]


def check_types(series, features, targets, windows, graph, loading) -> None:
    """Name what was given in the place of something else.

    Raises:
        ValueError: if one is of another type than :class:`socialgraph.data.TrafficDataModule` says.
    """
    if not isinstance(series, str | Path | TrafficSeries):
        raise ValueError(
            f"Expected 'series' as a TrafficSeries or the path of its file (got "
            f"{type(series).__name__}). TrafficSeries.from_frame takes a DataFrame."
        )
    for name, value in {"features": features, "targets": targets}.items():
        if isinstance(value, str):
            raise ValueError(f"Expected '{name}' as a list of names, [{value!r}] (got {value!r}).")
    if not isinstance(windows, Windows):
        raise ValueError(f"Expected 'windows' as Windows(window, horizon) (got {windows!r}).")
    if not isinstance(loading, Loading):
        raise ValueError(f"Expected 'loading' as Loading(batch_size, ...) (got {loading!r}).")
    if graph is not None and (isinstance(graph, type) or not hasattr(graph, "build")):
        raise ValueError(
            f"Expected 'graph' as a builder, such as RadiusGraph(2000.0), or None (got {graph!r})."
        )


def attribute_values(series: TrafficSeries, names: list[str]) -> np.ndarray:
    """Numbers that a series knows of its detectors ``[N, A]``, NaN where unknown.

    Raises:
        ValueError: if one is no number, or no detector has it.
    """
    values = np.full((len(series.vdids), len(names)), np.nan)
    for row, vdid in enumerate(series.vdids):
        for column, name in enumerate(names):
            value = series.vd_info.get(vdid, {}).get(name)
            try:
                values[row, column] = np.nan if value is None else float(value)
            except (TypeError, ValueError) as error:
                raise ValueError(
                    f"Expected numbers as 'attributes' of detectors ('{name}' of '{vdid}' is "
                    f"{value!r}). Leave it out, or write it as numbers."
                ) from error
    unknown = [name for name, known in zip(names, values.T, strict=True) if np.isnan(known).all()]
    if unknown:
        held = sorted({name for known in series.vd_info.values() for name in known})
        raise ValueError(f"No detector of the series has {unknown}; there are {held}.")
    return values


def held_out_vdids(chosen: float | list[str], vdids: list[str]) -> list[str]:
    """Ids of the held-out detectors among ``vdids``.

    Args:
        chosen: their share, drawn at random but always the same, or a list of ids.
        vdids: all ids.

    Raises:
        ValueError: if it is neither, names others, or leaves none for training.
    """
    if isinstance(chosen, str) or not isinstance(chosen, int | float | Sequence):
        raise ValueError(
            f"Expected 'held_out_detectors' as a share or a list of ids (got {chosen!r})."
        )
    if isinstance(chosen, Sequence):
        absent = sorted(set(map(str, chosen)) - set(vdids))
        if absent:
            raise ValueError(
                f"Expected 'held_out_detectors' of the series (there is no {absent[:5]})."
            )
        ids = list(map(str, chosen))
    else:
        count = round(chosen * len(vdids)) if 0 < chosen < 1 else 0
        # By a seed of its own, so that trainings with other seeds hold out the same.
        ids = [vdids[i] for i in np.random.default_rng(0).permutation(len(vdids))[:count]]
    if not 0 < len(set(ids)) < len(vdids):
        raise ValueError(
            "Expected 'held_out_detectors' that leave some for training and are not none (got "
            f"{chosen!r} of {len(vdids)} detectors). Give null to hold out none."
        )
    return ids
