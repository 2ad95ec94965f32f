"""How a command ends: its exit status, and one sentence where a user can mend something."""

import os
import select
import sys
from collections.abc import Callable, Sequence

from socialgraph.interrupts import noted_interrupts

__all__ = ["run", "spell", "split_names"]


def run(command: Callable[[list[str]], int | None], words: Sequence[str]) -> int:
    """Run a command and say in one sentence what a user can mend.

    Args:
        command: takes the words behind its name, and returns its exit status; None is 0.
        words: these words; ``--traceback`` among them lets an error through, to show where it
            came from.

    Returns:
        The exit status: 2 after an error of the user's, 130 after Ctrl-C, 141 if the reader of the
        output went away.
    """
    with noted_interrupts() as interrupts:
        try:
            status = _run(command, words)
        except BaseException as error:
            if not (interrupts or isinstance(error, KeyboardInterrupt)):
                raise
            return _interrupted()
        # A library may lose it, and end in an error that it has made itself.
        return _interrupted() if status and interrupts else status


def _run(command: Callable[[list[str]], int | None], words: Sequence[str]) -> int:
    """The exit status of a command that was not interrupted."""
    plain = [word for word in words if word != "--traceback"]
    try:
        return command(plain) or 0
    except BrokenPipeError as error:
        if not _reader_is_gone():
            return _tell(error)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for the flush at exit
        return 141
    except (ValueError, KeyError, OSError, RuntimeError, MemoryError, ImportError) as error:
        if len(plain) < len(words):
            raise
        return _tell(error)


def _interrupted() -> int:
    print("\ninterrupted", file=sys.stderr)
    return 130


def spell(words: Sequence[str], joint: str) -> list[str]:
    """Words with options written with ``joint``: ``--ckpt-path`` is ``--ckpt_path`` too."""
    other = {"-": "_", "_": "-"}[joint]
    spelt = []
    for word in words:
        if word.startswith("--"):
            name, equals, value = word[2:].partition("=")
            word = f"--{name.replace(other, joint)}{equals}{value}"
        spelt.append(word)
    return spelt


def split_names(text: str) -> list[str]:
    """Names with commas between them."""
    return [name.strip() for name in text.split(",") if name.strip()]


def _reader_is_gone() -> bool:
    """Whether it is the standard output that nobody reads any more."""
    if not hasattr(select, "poll"):
        return True
    poll = select.poll()
    try:
        poll.register(sys.stdout.fileno(), 0)
    except (OSError, ValueError):  # no file
        return False
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))


def _tell(error: Exception) -> int:
    print(f"error: {_sentence(error)}\n(--traceback shows where it came from)", file=sys.stderr)
    return 2


def _sentence(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror and error.filename:
        return f"{error.strerror}: '{error.filename}'."
    text = error.args[0] if isinstance(error, KeyError) and error.args else error
    text = str(text) or type(error).__name__
    # A name or a cell of a file may hold what steers a terminal.
    return "".join(c if c.isprintable() or c == "\n" else repr(c)[1:-1] for c in text)
