"""One trial: a call in a process of its own, and how it ended."""

import os
import pickle
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from typing import NamedTuple

__all__ = ["BAD", "Outcome", "attempt"]

# What must not happen, whatever the input: see Outcome.
BAD = ("traceback", "crash", "hang", "memory", "wrong")


class Outcome(NamedTuple):
    """How a trial ended.

    ``right``: as without the damage; ``accepted``: ended well with another result, which the kind
    of damage allows; ``refused``: a sentence for the user. Bad: ``traceback``; ``crash`` by a
    signal; ``hang`` beyond the limit of time; ``memory`` beyond that of memory; ``wrong``: another
    result, of which nothing was said.
    """

    kind: str
    said: str


def attempt(
    call: Callable[[], tuple[int, object]],
    expected: object = None,
    seconds: float = 60.0,
    gigabytes: float = 4.0,
) -> Outcome:
    """Run ``call`` in a fork of this process.

    Args:
        call: returns an exit status and a result to compare.
        expected: the result that is right; None if any is.
        seconds: limit of time.
        gigabytes: limit of memory beyond what this process has mapped.
    """
    with tempfile.TemporaryFile("w+") as said, tempfile.TemporaryFile() as result:
        process = os.fork()
        if process == 0:
            _run(call, said, result, gigabytes)
        status = _wait(process, seconds)
        said.seek(0)
        text = said.read()
        if status is None:
            return Outcome("hang", text)
        if os.WIFSIGNALED(status):
            return Outcome("crash", f"signal {os.WTERMSIG(status)}\n{text}")
        result.seek(0)
        kind, code, value = pickle.load(result)
    if kind != "ended":
        return Outcome(kind, text)
    if code != 0:
        return Outcome("traceback" if "Traceback" in text else "refused", text)
    if expected is None:
        return Outcome("accepted", text)
    return Outcome("right" if value == expected else "wrong", text)


def _run(call, said, result, gigabytes: float) -> None:
    os.dup2(said.fileno(), 1)
    os.dup2(said.fileno(), 2)
    sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
    pages = int(open("/proc/self/statm").read().split()[0])  # noqa: SIM115
    limit = pages * resource.getpagesize() + int(gigabytes * 2**30)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    try:
        outcome = ("ended", *call())
    except MemoryError:
        outcome = ("memory", 1, None)
    except SystemExit as end:
        outcome = ("ended", 2 if end.code else 0, None)
    except BaseException:
        traceback.print_exc()
        outcome = ("traceback", 1, None)
    pickle.dump(outcome, result)
    result.flush()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def _wait(process: int, seconds: float) -> int | None:
    """The status of a process; None if it had to be killed."""
    end = time.monotonic() + seconds
    while True:
        done, status = os.waitpid(process, os.WNOHANG)
        if done:
            return status
        if time.monotonic() > end:
            os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)
            return None
        time.sleep(0.002)
