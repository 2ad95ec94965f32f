"""What a file keeps of how its readings were made, for those that are added to it."""

from argparse import Namespace
from collections.abc import Mapping, Sequence
from typing import TypeVar

from data_prep.coarsen import coarser_unit
from data_prep.quantities import parse_unit
from socialgraph.axis import whole_seconds
from socialgraph.series import SourceRules, TrafficSeries

__all__ = ["as_kept", "kept_of", "pairs_as_kept", "take_times", "units_of"]

_HOUR = 3600  # seconds
_Option = TypeVar("_Option", str, float)


def kept_of(known: TrafficSeries | None) -> SourceRules:
    """What the file that readings are added to keeps; nothing if there is none."""
    return SourceRules() if known is None else known.source_rules


def take_times(args: Namespace) -> None:
    """Take from the file ``args.known`` how times are meant, where the options do not say it.

    ``--label-end 0`` says that the times are the starts.
    """
    kept = kept_of(args.known)
    args.round = kept.round if args.round is None else args.round
    if hasattr(args, "label_end"):  # as tables have
        args.label_end = kept.label_end if args.label_end is None else args.label_end or None


def as_kept(option: str, said: _Option | None, kept: _Option | None) -> _Option | None:
    """What is said, else what the file keeps.

    Raises:
        ValueError: if the two differ.
    """
    if said is not None and kept is not None and said != kept:
        raise ValueError(
            f"The file was made with {option}{_joint(option)}{kept}, and {option}{_joint(option)}"
            f"{said} is set: its steps would not mean the same. Leave it out, or convert all "
            "readings anew."
        )
    return kept if said is None else said


def pairs_as_kept(option: str, said: Mapping[str, str], kept: Mapping[str, str]) -> dict[str, str]:
    """What is said by feature, else what the file keeps; raises as :func:`as_kept` does."""
    for name in said:
        as_kept(f"{option} {name}=", said[name], kept.get(name))
    return {**kept, **said}


def units_of(
    known: TrafficSeries | None, features: Sequence[str], said: Mapping[str, str], ratio: int
) -> dict[str, str]:
    """Units of readings by feature: what is said of them, else what the file tells.

    Args:
        known: file that they are added to, None if there is none.
        features: names of those of the readings.
        said: by the options or by the source.
        ratio: how many of them make a step of the file.

    Raises:
        ValueError: if a unit of the file may mean a rate or a count, and they are finer.
    """
    if known is None:
        return dict(said)
    assert known.units is not None  # as a series has them once it is made
    told = dict(zip(known.feature_names, known.units, strict=True))
    if ratio > 1 and known.source_rules.rules:
        told = known.source_rules.units
    elif ratio > 1:
        asked = [name for name in features if name in told and name not in said]
        told = {name: _finer_unit(known, name, told[name]) for name in asked}
    return {name: told[name] for name in features if told.get(name)} | dict(said)


def _finer_unit(known: TrafficSeries, name: str, unit: str) -> str:
    """The unit of finer readings: that of the file, or empty if it is a count of its steps."""
    assert known.interval_minutes is not None  # as a series has it once it is made
    told, interval = parse_unit(unit), whole_seconds(known.interval_minutes)
    if told is None:
        return unit
    if unit == coarser_unit(unit, "sum", interval):
        return ""
    if told.is_hourly and interval == _HOUR:
        raise ValueError(
            f"The file has {name} in {unit} every hour, which may be a rate or a count, and the "
            f"new readings are finer. Set --unit {name}={unit} if they are rates, and such as "
            f"--unit {name}={told.counted}/15min if they are counts."
        )
    return unit


def _joint(option: str) -> str:
    return "" if option.endswith("=") else " "
