"""The SQLite file of a stream: its tables, how it is opened, and what is said if it cannot be."""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import numpy as np

__all__ = ["check_kind", "check_version", "open_database", "second_of", "told"]

FORMAT = 1  # counts up if the tables change
_SCHEMA = """
CREATE TABLE meta(name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE state(name TEXT PRIMARY KEY, value BLOB NOT NULL);
CREATE TABLE detectors(id INTEGER PRIMARY KEY AUTOINCREMENT, vdids TEXT, lat TEXT, lon TEXT);
CREATE TABLE readings(time INTEGER PRIMARY KEY, detectors INTEGER, "values" BLOB NOT NULL);
CREATE TABLE forecasts(issued INTEGER, "column" TEXT, detectors INTEGER, "values" BLOB NOT NULL);
CREATE UNIQUE INDEX by_issued ON forecasts(issued, "column");
"""


def open_database(path: Path) -> sqlite3.Connection:
    """A connection that writes, with the tables made if they are not there.

    Raises:
        ValueError: for a file of another version, or of another program.
        sqlite3.Error: if it cannot be opened.
    """
    db = sqlite3.connect(path, check_same_thread=False)
    try:
        if db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            check_version(db, path)
        db.execute("PRAGMA auto_vacuum = INCREMENTAL")  # before the first table
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        db.execute("PRAGMA journal_size_limit = 0")  # the journal shrinks again
        if not db.execute("PRAGMA user_version").fetchone()[0]:
            db.executescript(f"BEGIN; {_SCHEMA} PRAGMA user_version = {FORMAT}; COMMIT;")
    except BaseException:
        db.close()
        raise
    return db


@contextlib.contextmanager
def told(path: Path) -> Iterator[None]:
    """Turn errors of SQLite into one sentence that names the file.

    Raises:
        OSError: if the file cannot be opened, read or written.
        ValueError: if it is no such file.
    """
    try:
        yield
    except sqlite3.DatabaseError as error:
        text = str(error)
        if isinstance(error, sqlite3.OperationalError):
            full = " (is the disk full?)" if "full" in text or "I/O" in text else ""
            raise OSError(f"Cannot use the state '{path}': {text}{full}.") from error
        raise ValueError(
            f"'{path}' is no state of a stream, or is damaged ({text}). Give another --state "
            "to start anew."
        ) from error


def check_kind(path: Path) -> None:
    """Refuse the archives of earlier versions, and other files.

    Raises:
        ValueError: for these.
    """
    if not path.is_file() or path.stat().st_size == 0:
        return
    with open(path, "rb") as file:
        start = file.read(16)
    if start != b"SQLite format 3\0":
        raise ValueError(
            f"'{path}' is no state of a stream (those of earlier versions cannot be read). Give "
            "another --state: the stream starts anew, and is whole after one window."
        )


def check_version(db: sqlite3.Connection, path: Path) -> None:
    """Refuse a file of another version, or of another program.

    Raises:
        ValueError: for these.
    """
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if version != FORMAT:
        raise ValueError(
            f"'{path}' is no state of a stream of this version (expected {FORMAT}, got {version}). "
            "Give another --state."
        )


def second_of(time: np.datetime64) -> int:
    """Seconds since 1970 of a time in UTC."""
    return int(time.astype("datetime64[s]").astype(np.int64))
