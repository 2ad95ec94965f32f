"""The account that a preparation step gives of what it found and did."""

from collections.abc import Iterable

__all__ = ["Report", "enumerate_first", "format_table"]


class Report:
    """Lines of findings, printed as an aligned two-column table."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, str]] = []

    def add(self, topic: str, text: object) -> None:
        """Append one finding."""
        self.rows.append((topic, str(text)))

    def __str__(self) -> str:
        return format_table(self.rows)


def format_table(rows: list[tuple[str, str]]) -> str:
    """Rows of ``(topic, text)`` with the texts aligned, one row per line.

    What could steer a terminal or begin a line of its own is written as its code.
    """
    width = max((len(topic) for topic, _ in rows), default=0)
    return "\n".join(f"{topic:<{width}}  {_escape(text)}".rstrip() for topic, text in rows)


def _escape(text: str) -> str:
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def enumerate_first(items: Iterable[object], limit: int = 3) -> str:
    """The first ``limit`` items, comma separated, and how many more there are."""
    items = list(items)
    more = f" and {len(items) - limit} more" if len(items) > limit else ""
    return ", ".join(str(item) for item in items[:limit]) + more
