"""What a result was measured on and how: two results compare only if these are the same."""

import hashlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from socialgraph.calendar import format_local
from socialgraph.series import TrafficSeries

if TYPE_CHECKING:
    from socialgraph.data import NetworksDataModule, TrafficDataModule

__all__ = ["describe_protocol", "differences", "hash_data", "hash_readings"]

_BLOCK = 4096  # steps that are looked at together; whole bytes of eight marks
_ERRORS = {
    "scored": "observed readings of the targets; missing ones count nowhere",
    "mae_all, rmse_all": "over all steps, windows and detectors at once",
    "rmse_mean_of_steps": "mean over the steps of the RMSE of each",
    "mape": "without targets of 0 (up to 0.0001)",
}


def describe_protocol(datamodule: "TrafficDataModule | NetworksDataModule") -> dict:
    """The protocol of a test, as plain values.

    It says nothing of the forecaster, and holds no path or version: these may differ between
    results that are compared.

    Args:
        datamodule: the data of the test, after ``setup``.

    Returns:
        ``data`` (of each network: name, checksum of the readings and their detectors, how the
        source coded missing readings, targets with units, interval, zone, split, and number and
        first and last time of what is scored), ``window`` and ``horizon`` in steps,
        ``held_out_detectors``, and ``errors`` (what is averaged over what); ``carry_state``, if
        windows go on from those before.
    """
    members = getattr(datamodule, "members", [datamodule])
    carried = {"carry_state": True} if datamodule.windows.carry_state else {}
    return {
        **carried,
        "data": [_describe_data(member) for member in members],
        "window": datamodule.windows.window,
        "horizon": datamodule.windows.horizon,
        "held_out_detectors": getattr(datamodule, "held_out_detectors", None),
        "errors": _ERRORS,
    }


def hash_data(datamodule: "TrafficDataModule | NetworksDataModule") -> list[dict]:
    """File, name and checksum of the readings of each network, after ``setup``."""
    members = getattr(datamodule, "members", [datamodule])
    return [
        {
            "source": member.path or member.whole.source,
            "dataset_name": member.whole.dataset_name,
            "sha256": hash_readings(member.whole),
        }
        for member in members
    ]


def hash_readings(series: TrafficSeries, num_targets: int | None = None) -> str:
    """SHA-256 of times, detectors and readings, whatever file they are in.

    Args:
        series: the readings; NaN where missing.
        num_targets: how many features, from the first, are looked at; None for all.
    """
    digest = hashlib.sha256()
    digest.update(series.timestamps.astype("datetime64[s]").astype("<i8").tobytes())
    digest.update("\0".join(series.vdids).encode())
    blocks = range(0, len(series.timestamps), _BLOCK)
    parts = [series.values[start : start + _BLOCK, :, :num_targets] for start in blocks]  # views
    for part in parts:
        digest.update(np.packbits(np.isnan(part)).tobytes())
    for part in parts:  # NaN has many forms
        digest.update(np.nan_to_num(part, nan=0.0).astype("<f4").tobytes())
    return digest.hexdigest()


def differences(one: object, other: object, name: str = "") -> Iterator[str]:
    """What differs between two protocols, each as ``name: value of one | value of the other``."""
    if isinstance(one, dict) and isinstance(other, dict):
        for key in dict.fromkeys([*one, *other]):
            inner = f"{name}.{key}" if name else str(key)
            yield from differences(one.get(key), other.get(key), inner)
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for place, pair in enumerate(zip(one, other, strict=True)):
            yield from differences(*pair, f"{name}[{place}]" if len(one) > 1 else name)
    elif one != other:
        yield f"{name}: {_tell(one)} | {_tell(other)}"


def _tell(value: object) -> str:
    text = "none" if value is None else str(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _describe_data(datamodule: "TrafficDataModule") -> dict:
    series, targets = datamodule.series, datamodule.num_targets
    first = datamodule.first_times("test")
    last = first[-1:] + datamodule.spec.step * (datamodule.windows.horizon - 1)
    return {
        "name": series.dataset_name,
        "sha256": hash_readings(series, targets),
        "detectors": len(series.vdids),
        "missing_in_source": series.missing,
        "targets": dict(zip(series.feature_names[:targets], series.units[:targets], strict=True)),
        "interval_minutes": series.interval_minutes,
        "timezone": series.timezone,
        "split": datamodule.spec.split,
        "windows": len(first),
        "scored": format_local(np.concatenate([first[:1], last]), series.timezone),
    }
