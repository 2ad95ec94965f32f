"""Ctrl-C that no library loses."""

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType

__all__ = ["noted_interrupts"]

_SOON = 0.01  # seconds


@contextmanager
def noted_interrupts() -> Iterator[list[int]]:
    """A list that gets an entry at each Ctrl-C, besides the KeyboardInterrupt.

    Libraries make errors of their own of some, which the list tells. Python and Cython drop one
    that comes while an object is finalized, and print a traceback; here it comes again, and nothing
    is printed.
    Beside the main thread, and if Ctrl-C is ignored (as in the background) or handled in another
    way, nothing is changed.
    """
    interrupts: list[int] = []
    before = signal.getsignal(signal.SIGINT)
    tell_dropped, tell = sys.unraisablehook, sys.excepthook
    main = threading.current_thread() is threading.main_thread()
    if not main or before is not signal.default_int_handler:
        yield interrupts
        return
    again: list[threading.Timer] = []
    thread = threading.get_ident()

    def note(number: int, frame: FrameType | None) -> None:
        interrupts.append(number)
        signal.default_int_handler(number, frame)

    def repeat(lost: "sys.UnraisableHookArgs") -> None:
        if not issubclass(lost.exc_type, KeyboardInterrupt):
            tell_dropped(lost)
            return
        again.append(threading.Timer(_SOON, _interrupt, [thread]))
        again[-1].start()

    def hide(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if not issubclass(kind, KeyboardInterrupt):
            tell(kind, error, trace)

    signal.signal(signal.SIGINT, note)
    sys.unraisablehook, sys.excepthook = repeat, hide
    try:
        yield interrupts
    finally:
        for timer in again:
            timer.cancel()
        sys.unraisablehook, sys.excepthook = tell_dropped, tell
        signal.signal(signal.SIGINT, before)


def _interrupt(thread: int) -> None:
    if hasattr(signal, "pthread_kill"):  # which also ends a wait
        signal.pthread_kill(thread, signal.SIGINT)
    else:  # on Windows
        signal.raise_signal(signal.SIGINT)
