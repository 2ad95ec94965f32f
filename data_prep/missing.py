"""Which numbers of a source mean "missing": null values, and readings that cannot be."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from data_prep.feed import Block
from data_prep.report import Report
from data_prep.steps import UnfitError

__all__ = ["MissingRules", "parse_rules", "split_nulls"]


@dataclass
class MissingRules:
    """Numbers that become NaN, by feature, and how many did.

    Args:
        null_values: numbers that mean "missing", by feature.
        ranges: lowest and highest plausible reading, by feature.
        num_null: readings that were null values, by feature.
        num_outside: readings outside the range, by feature.
    """

    null_values: dict[str, tuple[float, ...]]
    ranges: dict[str, tuple[float, float]] = field(default_factory=dict)
    num_null: dict[str, int] = field(default_factory=dict)
    num_outside: dict[str, int] = field(default_factory=dict)

    def apply(self, blocks: Iterable[Block]) -> Iterator[Block]:
        """Blocks with these numbers set to NaN.

        Raises:
            data_prep.steps.UnfitError: if a reading is infinite, or too large for float32.
        """
        for block in blocks:
            values = block.values.astype(np.float32)
            for index, name in enumerate(block.features):
                self._apply(name, values[..., index])
            infinite = np.isinf(values)
            if infinite.any():
                raise UnfitError(
                    f"'{block.where}' holds {int(infinite.sum())} infinite readings, or ones that "
                    "are too large. Write NaN for a missing one.",
                    block.where,
                )
            yield replace(block, values=values)

    def report(self, report: Report) -> None:
        """Report the counts."""
        for name, nulls in self.null_values.items():
            if nulls:
                texts = ", ".join(f"{value:g}" for value in nulls)
                count = self.num_null.get(name, 0)
                report.add("null values", f"{texts}: {count} of {name} readings set to NaN")
        for name, (low, high) in self.ranges.items():
            count = self.num_outside.get(name, 0)
            report.add("range", f"{count} of {name} outside {low:g} to {high:g} set to NaN")

    def describe(self) -> str:
        """The rules and counts in one sentence, for the account in the file."""
        text = "NaN where the source has no row or no number"
        nulls = list(dict.fromkeys(v for values in self.null_values.values() for v in values))
        if nulls:
            counts = ", ".join(
                f"{self.num_null.get(name, 0)} of {name}"
                for name, values in self.null_values.items()
                if values
            )
            text += f", or a null value ({', '.join(f'{v:g}' for v in nulls)}; {counts})"
        for name, (low, high) in self.ranges.items():
            text += f", or {name} outside {low:g} to {high:g} ({self.num_outside.get(name, 0)})"
        return text

    def _apply(self, name: str, values: np.ndarray) -> None:
        nulls = np.array(self.null_values.get(name, ()), dtype=np.float32)
        if len(nulls):
            is_null = np.isin(values, nulls)
            values[is_null] = np.nan
            self.num_null[name] = self.num_null.get(name, 0) + int(is_null.sum())
        if name in self.ranges:
            low, high = self.ranges[name]
            outside = (values < np.float32(low)) | (values > np.float32(high))
            values[outside] = np.nan
            self.num_outside[name] = self.num_outside.get(name, 0) + int(outside.sum())


def split_nulls(words: Sequence[str]) -> tuple[list[str], list[tuple[str, str]]]:
    """Words of ``--null-value`` that are numbers, and the texts behind their features (empty for
    all; ``=--`` is ``--``, which may not begin a word)."""
    numbers, texts = [], []
    for word in words:
        name, _, value = word.rpartition("=")
        try:
            float(value)
        except ValueError:
            texts.append((name, value))
        else:
            numbers.append(word)
    return numbers, texts


def parse_rules(
    nulls: Sequence[str], ranges: Sequence[str], features: Sequence[str]
) -> MissingRules:
    """Rules from words such as ``-99``, ``speed=0`` and ``speed=0:200``.

    Args:
        nulls: numbers, or ``FEATURE=NUMBER``; ``nan`` says that there is none.
        ranges: ``FEATURE=LOWEST:HIGHEST``.
        features: names of all features.

    Raises:
        ValueError: if a word is neither.
        KeyError: if there is no such feature.
    """
    by_feature: dict[str, list[float]] = {name: [] for name in features}
    for word in nulls:
        name, equals, text = word.rpartition("=")
        value = _number(text, "--null-value", "-99 or speed=0")
        for known in [name] if equals else features:
            _check_feature(known, features, "--null-value")
            if value == value:
                by_feature[known].append(value)
    spans = {}
    for word in ranges:
        name, _, span = word.partition("=")
        _check_feature(name, features, "--range")
        low, colon, high = span.partition(":")
        bounds = [_number(text, "--range", "speed=0:200") for text in (low, high)]
        if not colon or not bounds[0] <= bounds[1]:
            raise ValueError(f"Expected --range as FEATURE=LOWEST:HIGHEST (got {word!r}).")
        spans[name] = (bounds[0], bounds[1])
    unique = {name: tuple(dict.fromkeys(values)) for name, values in by_feature.items()}
    return MissingRules(unique, spans)


def _number(text: str, option: str, example: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise ValueError(f"Expected {option} such as {example} (got {text!r}).") from error


def _check_feature(name: str, features: Sequence[str], option: str) -> None:
    if name not in features:
        raise KeyError(f"{option} names {name!r}; the features are {list(features)}.")
