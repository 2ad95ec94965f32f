"""The cells of a table as numbers: which mark stands before a fraction, and what is no number."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

__all__ = [
    "NULL_TEXTS",
    "decimal_beside",
    "doubtful_cell",
    "find_decimal",
    "settle_decimal",
    "to_numbers",
]

NULL_TEXTS = ["", "NA", "N/A", "n/a", "#N/A", "#NA", "NaN", "nan", "-nan", "-NaN", "NULL", "null"]
NULL_TEXTS += ["None", "none", "<NA>", "NAN", "-NAN", "Nan", "Null", "NONE"]

_ONE_MARK = re.compile(r"[+-]?(?=[.,]?\d)(\d*)([.,])(\d*)([eE][+-]?\d+)?")
_GROUPS = re.compile(r"[+-]?\d{1,3}([.,])\d{3}(?:\1\d{3})*(?:(?!\1)[.,]\d*)?")
_THOUSANDS = re.compile(r"[1-9]\d{0,2}")  # digits that may stand before three others


def decimal_beside(thousands: str) -> str | None:
    """The mark before a fraction, if the one between thousands tells it."""
    return {",": ".", ".": ","}.get(thousands)


def find_decimal(cells: Iterable[object], thousands: str = "") -> tuple[str | None, str | None]:
    """The mark before a fraction, if a text among ``cells`` tells it; else the first one with a
    mark that may also stand between thousands.

    Three digits behind the only mark, and up to three before it that do not begin with 0, may be a
    fraction or a number of four digits or more. All other numbers with a mark tell what it is, and
    so does another mark between ``thousands``.
    """
    doubtful = None
    for text in cells:
        cell = text.replace(thousands, "").strip() if isinstance(text, str) else ""
        if found := _ONE_MARK.fullmatch(cell):
            before, mark, behind, exponent = found.groups()
            if thousands or exponent or len(behind) != 3 or not _THOUSANDS.fullmatch(before):
                return mark, None
            doubtful = doubtful or cell
        elif found := _GROUPS.fullmatch(cell):
            return decimal_beside(found[1]), None
    return None, doubtful


def settle_decimal(path: str | Path, columns: pd.DataFrame, thousands: str) -> str | None:
    """The mark before the fractions of columns of texts or numbers, None if no cell has one.

    Raises:
        ValueError: naming the first cell whose mark may also stand between thousands, if no cell
            tells which it is.
    """
    texts = {n: pd.unique(c).tolist() for n, c in columns.items() if c.dtype.kind not in "iufb"}
    mark, cell = find_decimal((text for column in texts.values() for text in column), thousands)
    if cell is not None:
        name = next(name for name, column in texts.items() if find_decimal(column)[1])
        raise doubtful_cell(f"column {name!r} of '{path}'", cell)
    return mark


def doubtful_cell(
    where: str, cell: str, otherwise: str = "", option: str = "--decimal"
) -> ValueError:
    """The error of a cell whose mark may stand before a fraction or between thousands.

    Args:
        where: the cell stands.
        cell: the first such cell.
        otherwise: what to do if the mark stands between thousands; empty for ``--thousands``.
        option: what tells the mark before a fraction.
    """
    mark = "," if "," in cell else "."
    return ValueError(
        f"The cell {cell!r} in {where} is either a fraction or a number of four digits or more, "
        f"and no other cell tells which. Set {option} '{mark}' or "
        f"{otherwise or f'--thousands {mark!r}'}."
    )


def to_numbers(
    column: pd.Series,
    where: str,
    decimal: str | None,
    thousands: str,
    nulls: Sequence[str] = NULL_TEXTS,
    takes_texts: bool = False,
) -> pd.Series:
    """A column as float64.

    Args:
        column: numbers, or texts with blanks around them and words for "missing".
        where: the column and its file, for the error.
        decimal: mark before a fraction, None for a point.
        thousands: mark between thousands; empty for none.
        nulls: words for "missing".
        takes_texts: whether ``--null-value`` takes further ones, for the error.

    Raises:
        ValueError: naming the first cell that is no finite number.
    """
    decimal = decimal or "."
    if column.dtype.kind == "b":
        raise _no_number(where, str(column.iloc[0]), decimal, thousands)
    if column.dtype.kind not in "iuf":
        column = _parse(column, where, decimal, thousands, nulls, takes_texts)
    numbers = column.astype(np.float64)
    infinite = np.isinf(numbers.to_numpy())
    if infinite.any():
        raise _no_number(where, str(numbers[infinite].iloc[0]), decimal, thousands)
    return numbers


def _parse(
    column: pd.Series,
    where: str,
    decimal: str,
    thousands: str,
    nulls: Sequence[str],
    takes_texts: bool,
) -> pd.Series:
    texts = column.astype(object).where(column.notna(), "").astype(str).str.strip()
    texts = texts.where(~texts.isin(nulls), "")
    plain = texts.str.replace(thousands, "", regex=False) if thousands else texts
    plain = plain.str.replace(decimal, ".", regex=False) if decimal != "." else plain
    numbers = pd.to_numeric(plain, errors="coerce")
    bad = numbers.isna() & (texts != "")
    bad |= texts.str.contains("_", regex=False) | texts.str.startswith(("0x", "0X"))
    bad |= _has_odd_marks(texts, decimal, thousands)
    if bad.any():
        raise _no_number(where, texts[bad].iloc[0], decimal, thousands, takes_texts)
    return numbers


def _has_odd_marks(texts: pd.Series, decimal: str, thousands: str) -> pd.Series:
    """True where a point or comma can be neither before a fraction nor between thousands."""
    odd = pd.Series(False, index=texts.index)
    if thousands:
        whole = rf"[+-]?\d{{1,3}}(?:{re.escape(thousands)}\d{{3}})+(?:{re.escape(decimal)}\d*)?"
        odd = texts.str.contains(thousands, regex=False) & ~texts.str.fullmatch(whole)
    if decimal != "." and thousands != ".":
        odd |= texts.str.contains(".", regex=False)
    return odd


def _no_number(
    where: str, text: str, decimal: str, thousands: str, takes_texts: bool = False
) -> ValueError:
    advice = "Correct the cell, or leave it empty if the reading is missing."
    if takes_texts and not re.match(r"[+-]?([\d.,]|[Ii]nf)", text):
        word = f"={text}" if re.match("-.", text) else text  # which is no option
        advice = f"Correct the cell, or set --null-value '{word}' if it says that one is missing."
    if thousands and thousands in text:
        advice = f"{thousands!r}, which --thousands names, has to stand before three digits."
    elif "," in text and decimal != ",":
        advice = (
            "If the comma stands before the fraction set --decimal ',', if it stands between "
            "thousands --thousands ','."
        )
    elif "." in text and decimal == ",":
        advice = (
            "The comma stands before the fractions here. If the point stands between thousands set "
            "--thousands '.'; if it stands before the fraction, write all numbers in one way."
        )
    return ValueError(f"Expected finite numbers in {where} (got {text!r}). {advice}")
