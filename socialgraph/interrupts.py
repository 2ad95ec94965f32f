"""Ctrl-C that no library loses."""

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["interrupt_soon", "noted_interrupts"]

_SOON = 0.01  # seconds


@contextmanager
def noted_interrupts() -> Iterator[list[int]]:
    """A list that gets an entry at each Ctrl-C, besides the KeyboardInterrupt.

    Libraries make errors of their own of some, which the list tells. Python drops one that comes
    while an object is finalized, with a traceback on the standard error; it comes again here.
    Beside the main thread, and if Ctrl-C is ignored (as in the background) or handled in another
    way, nothing is changed.
    """
    interrupts: list[int] = []
    before, hook = signal.getsignal(signal.SIGINT), sys.unraisablehook
    main = threading.current_thread() is threading.main_thread()
    if not main or before is not signal.default_int_handler:
        yield interrupts
        return
    again: list[threading.Timer] = []

    def note(number: int, frame: FrameType | None) -> None:
        interrupts.append(number)
        signal.default_int_handler(number, frame)

    def repeat(lost: "sys.UnraisableHookArgs") -> None:
        if not issubclass(lost.exc_type, KeyboardInterrupt):
            hook(lost)
            return
        again.append(interrupt_soon())

    signal.signal(signal.SIGINT, note)
    sys.unraisablehook = repeat
    try:
        yield interrupts
    finally:
        for timer in again:
            timer.cancel()
        sys.unraisablehook = hook
        signal.signal(signal.SIGINT, before)


def interrupt_soon() -> threading.Timer:
    """Send Ctrl-C to the main thread in 10 ms, unless the timer is cancelled before."""
    timer = threading.Timer(_SOON, _interrupt, [threading.main_thread().ident])
    timer.start()
    return timer


def _interrupt(thread: int) -> None:
    if hasattr(signal, "pthread_kill"):  # which also ends a wait
        signal.pthread_kill(thread, signal.SIGINT)
    else:  # on Windows
        signal.raise_signal(signal.SIGINT)
