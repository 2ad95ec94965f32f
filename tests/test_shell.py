"""How commands end."""

import contextlib
import os
import pty
import signal
import subprocess
import sys
import termios
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from data_prep.__main__ import main as data_prep_main
from socialgraph.cli import main
from socialgraph.schema.layout import naming_file
from socialgraph.shell import run, spell
from tests.conftest import ROOT


def failing(error):
    def command(words):
        raise error

    return command


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ValueError("no such radius"), "no such radius"),
        (KeyError("'a.h5' has no feature 'x'"), "'a.h5' has no feature 'x'"),
        (FileNotFoundError(2, "No such file or directory", "a.csv"), "No such file or directory: "),
        (OSError("disk gone"), "disk gone"),
        (MemoryError(), "MemoryError"),
        (ValueError("an id \x1b[2J\rfine"), r"an id \x1b[2J\rfine"),
    ],
)
def test_an_error_of_the_users_is_a_sentence(error, said, capsys):
    assert run(failing(error), ["x"]) == 2
    shown = capsys.readouterr().err
    assert shown.startswith(f"error: {said}")
    assert shown.endswith("\n(--traceback shows where it came from)\n")
    assert "Traceback" not in shown


def test_traceback_lets_it_through():
    seen = []
    with pytest.raises(ValueError, match="no such radius"):
        run(failing(ValueError("no such radius")), ["x", "--traceback"])
    assert run(seen.extend, ["a", "--traceback", "b"]) == 0
    assert seen == ["a", "b"]


def test_a_mistake_of_ours_is_a_traceback():
    with pytest.raises(IndexError):
        run(failing(IndexError("list")), [])


def _lose(end):
    with contextlib.suppress(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(1)
    raise end


@pytest.mark.parametrize(
    ("end", "said"),
    [
        (KeyboardInterrupt(), "\ninterrupted\n"),
        (SystemError("returned a result with an exception set"), "\ninterrupted\n"),
        (SystemExit(1), "\ninterrupted\n"),
        (TypeError("cannot resolve"), "\ninterrupted\n"),
        (ValueError("unknown option"), "error: unknown option\n(--trace"),
    ],
)
def test_a_ctrl_c_that_a_library_lost_is_one_too(end, said, default_sigint, capsys):
    assert run(lambda words: _lose(end), []) == 130
    shown = capsys.readouterr().err
    assert shown.startswith(said)
    assert shown.endswith("\ninterrupted\n")


class Finalized:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGINT)
        for _ in range(1000):  # a signal is handled between two steps
            time.sleep(0.001)


def test_a_ctrl_c_while_an_object_is_finalized_comes_again(default_sigint, capsys):
    def end(words):
        Finalized()
        time.sleep(60)

    start = time.monotonic()
    assert run(end, []) == 130
    assert time.monotonic() - start < 30
    assert capsys.readouterr().err == "\ninterrupted\n"


def test_another_error_while_an_object_is_finalized_is_told(default_sigint, monkeypatch):
    class Broken:
        def __del__(self):
            raise ValueError("broken")

    seen = []
    monkeypatch.setattr(sys, "unraisablehook", lambda lost: seen.append(str(lost.exc_value)))
    assert run(lambda words: Broken() and None, []) == 0
    assert seen == ["broken"]


def test_a_command_that_ends_well_after_a_ctrl_c_ended_well(default_sigint, capsys):
    def done(words):
        with contextlib.suppress(SystemExit):
            _lose(SystemExit())

    assert run(done, []) == 0
    assert capsys.readouterr().err == ""


def test_a_ctrl_c_that_is_ignored_stays_ignored():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        assert run(lambda words: os.kill(os.getpid(), signal.SIGINT), []) == 0
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_command_may_run_beside_the_main_thread():
    with ThreadPoolExecutor() as pool:
        assert pool.submit(run, lambda words: 1, []).result() == 1


def test_a_ctrl_c_inside_of_h5py_is_one_too(tmp_path, capsys):
    def read(words):
        with naming_file(tmp_path / "a.h5"):
            raise SystemError("returned a result with an exception set") from KeyboardInterrupt()

    assert run(read, []) == 130
    assert capsys.readouterr().err == "\ninterrupted\n"


def test_a_status_is_handed_on():
    assert run(lambda words: 1, []) == 1


@pytest.mark.slow
@pytest.mark.parametrize("command", [["-m", "data_prep", "simulate", "{}/a.h5", "--days", "900"]])
def test_ctrl_c_ends_in_one_line(command, tmp_path):
    words = [word.format(tmp_path) for word in command]
    ours, theirs = pty.openpty()  # a bar is shown on a terminal alone
    termios.tcsetwinsize(theirs, (24, 80))
    process = subprocess.Popen(
        [sys.executable, *words],
        cwd=ROOT,
        stderr=theirs,
        # In the background of a script it is ignored, and children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    os.read(ours, 1)  # of the progress bar: it works
    os.kill(process.pid, signal.SIGINT)
    assert process.wait(timeout=60) == 130
    os.close(theirs)
    said = os.read(ours, 10_000).decode()
    os.close(ours)
    assert "interrupted" in said.splitlines()  # a progress bar may close behind it
    assert "Traceback" not in said
    assert not list(tmp_path.iterdir())


def test_a_reader_that_goes_away_is_no_error():
    script = "import sys; from socialgraph.shell import run\n" + (
        "def f(words):\n    for _ in range(200000): print('a line of some length')\n"
        "sys.exit(run(f, []))"
    )
    command = f'{sys.executable} -c "$1" | head -1; echo "${{PIPESTATUS[0]}}"'
    ran = subprocess.run(
        ["bash", "-c", command, "_", script], cwd=ROOT, capture_output=True, text=True
    )
    assert ran.stdout.splitlines()[-1] == "141"
    assert ran.stderr == ""


def test_options_are_the_same_with_either_joint():
    words = ["fit", "--ckpt-path=a-b_c.ckpt", "--max_gap", "3", "-x", "--a-b.c-d", "a-b"]
    spelt = ["fit", "--ckpt_path=a-b_c.ckpt", "--max_gap", "3", "-x", "--a_b.c_d", "a-b"]
    assert spell(words, "_") == spelt
    assert spell(["--null_value", "-99", "--id_column=a_b"], "-") == [
        "--null-value",
        "-99",
        "--id-column=a_b",
    ]


def test_both_commands_take_either(capsys):
    words = ["convert", "csv", "a.h5", "--detectors=d.csv", "--long=a.csv"]
    with contextlib.suppress(SystemExit):
        data_prep_main([*words, "--id_column=x", "--null-value=-1", "--null_value=-2"])
    assert "No file 'd.csv'" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["test", "--ckpt-path", "none.ckpt"])
    assert "No checkpoint 'none.ckpt'" in capsys.readouterr().err


def test_a_pipe_that_breaks_elsewhere_is_told(capsys):
    assert run(failing(BrokenPipeError(32, "Broken pipe")), []) == 2
    assert "Broken pipe" in capsys.readouterr().err
