"""Commands that are ended in the middle: killed, interrupted, out of disk, or locked out."""

import contextlib
import io
import os
import random
import resource
import shutil
import signal
import socket
import sqlite3
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pyarrow.csv
import pyarrow.parquet
import torch
import yaml
from PIL import Image

import data_prep.__main__
import socialgraph
from socialgraph import cli, schema
from tests.data_prep.formats.test_tdx import lane, listed, live, vd
from tests.hostile.trial import Outcome, attempt

__all__ = ["COMMANDS", "FAULTS"]


class Command(NamedTuple):
    """A command line, and what it leaves.

    ``{good}``, ``{ckpt}`` and ``{table}`` in its words are intact inputs, ``{out}`` is the folder
    to write to. ``artefacts`` has for each file that appears there what reads it, and raises if it
    is not whole; a command without them only prints.
    """

    program: Callable[[list[str]], object]
    words: str
    artefacts: dict[str, Callable[[Path], object]]


def _state(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def _serve(words: list[str]) -> None:
    """``serve``, with a client that posts the file named behind it, and then tells it to end."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command, readings, *options = words
    signal.signal(signal.SIGTERM, lambda *_: None)  # raised again, when the service has ended
    client = threading.Thread(target=_post, args=(port, Path(readings).read_bytes()), daemon=True)
    client.start()
    cli.main([command, *options, f"--port={port}"])


def _post(port: int, readings: bytes) -> None:
    headers = {"Content-Type": "text/csv"}
    request = urllib.request.Request(f"http://127.0.0.1:{port}/readings", readings, headers)
    for _ in range(300):
        try:
            urllib.request.urlopen(request, timeout=30).close()
            break
        except urllib.error.HTTPError:  # was refused
            break
        except OSError:  # is not up yet
            time.sleep(0.1)
    os.kill(os.getpid(), signal.SIGTERM)


def _page(path: Path) -> None:
    assert path.read_text().rstrip().endswith("</html>")


_TABLES = {"t.parquet": pyarrow.parquet.read_table, "t.csv": pyarrow.csv.read_csv}
_PREP = data_prep.__main__.main
COMMANDS = {
    "formats": Command(_PREP, "formats", {}),
    "simulate": Command(
        _PREP,
        "simulate {out}/made.h5 --detectors=12 --days=1 --overwrite",
        {"made.h5": schema.read},
    ),
    "convert": Command(
        _PREP,
        "convert csv {out}/table.h5 --wide=speed={table} --detectors={detectors} "
        "--detector-id-column=vdid --overwrite",
        {"table.h5": schema.read},
    ),
    "backfill": Command(
        _PREP,
        "backfill {out}/copy.h5 --detectors={detectors} --detector-id-column=vdid",
        {"copy.h5": schema.read},
    ),
    "append": Command(
        _PREP, "append {out}/copy.h5 --format csv --wide=speed={later}", {"copy.h5": schema.read}
    ),
    "watch": Command(
        _PREP,
        "watch {arrived} {out}/watched.h5 --format=tdx --once --detectors={listed}.json",
        {"watched.h5": schema.read},
    ),
    "inspect": Command(_PREP, "inspect {good} --html={out}/i.html", {"i.html": _page}),
    "clean": Command(
        _PREP,
        "clean {good} {out}/clean.h5 --account={out}/masked.csv --overwrite",
        {"clean.h5": schema.read, "masked.csv": lambda path: path.read_text().index("\n")},
    ),
    "init": Command(
        cli.main, "init {out}", {"configs/simulated.yaml": lambda p: yaml.safe_load(p.read_text())}
    ),
    "fit": Command(
        cli.main,
        "fit {fit} --trainer.max_epochs=3 --trainer.default_root_dir={out}",
        {f"checkpoints/{name}.ckpt": socialgraph.load for name in ("best", "last")},
    ),
    "test": Command(
        cli.main,
        "test --ckpt_path={ckpt} --errors.path={out}/errors.json --trainer.default_root_dir={out}",
        {"errors.json": lambda path: yaml.safe_load(path.read_text())},
    ),
    "validate": Command(
        cli.main, "validate --ckpt_path={ckpt} --trainer.default_root_dir={out}", {}
    ),
    "compare": Command(cli.main, "compare {errors} {again}", {}),
    "backtest": Command(
        cli.main,
        "backtest {new} --folds=1 --step=3h --val=3h --rivals --folder={out}/b",
        {
            "b/fold_00/by_detector.parquet": pyarrow.parquet.read_table,
            "b/backtest.json": lambda path: yaml.safe_load(path.read_text()),
        },
    ),
    "predict": Command(
        cli.main,
        "predict --ckpt_path={ckpt} --forecast.path={out}/t --trainer.default_root_dir={out}",
        _TABLES,
    ),
    "forecast": Command(
        cli.main, "forecast {good} --output={out}/t", {**_TABLES, "t.png": Image.open}
    ),
    "export": Command(
        cli.main, "export --ckpt_path={ckpt} --to={out}/f.pt2", {"f.pt2": torch.export.load}
    ),
    "plot": Command(cli.main, "plot {forecast} {good} {out}/p.png", {"p.png": Image.open}),
    "report": Command(
        cli.main,
        "report --ckpt_path={ckpt} --details=2 --output={out}/r.html",
        {"r.html": _page},
    ),
    "alarms": Command(
        cli.main, "alarms {tested}.parquet --output={out}/a.csv", {"a.csv": pyarrow.csv.read_csv}
    ),
    "stream": Command(
        cli.main,
        "stream --ckpt_path={ckpt} --input={stream} --output={out}/out.csv --state={out}/state.db",
        {"state.db": _state},
    ),
    "serve": Command(
        _serve, "serve {stream} --ckpt_path={ckpt} --state={out}/served.db", {"served.db": _state}
    ),
}


_TESTED = ["--data.windows.predict_on=test"]
_IN_PLACE = ("append", "backfill")  # change a file where it is


def _words(room, command: Command, out: Path) -> list[str]:
    """The words of a command in ``room``, with its output in ``out``."""
    fit = " ".join(room.words)
    new = fit.replace(" --overwrite", "")
    stream = room.folder / "stream_whole.csv"
    if not (room.folder / "speed_forecast").exists():
        _prepare(room)
    names = (
        "table",
        "detectors",
        "forecast",
        "tested",
        "later",
        "arrived",
        "listed",
        "errors",
        "again",
    )
    inputs = {name: room.folder / f"speed_{name}" for name in names}
    return [
        word.format(out=out, good=room.file, ckpt=room.checkpoint, stream=stream, **inputs)
        for word in command.words.replace("{fit}", fit).replace("{new}", new).split()
    ]


def _prepare(room) -> None:
    """Write the inputs that only commands without damage need."""
    room.path("stream_whole.csv", room.table)
    header, *rows = room.table.splitlines()
    kept = [i for i, name in enumerate(header.split(",")) if "flow" not in name]
    cells = [",".join(row.split(",")[i] for i in kept) for row in [header, *rows]]
    cells[0] = cells[0].replace("timestamp", "time").replace(":speed", "")
    room.path("speed_table", "\n".join(cells))
    room.path("speed_detectors", room.detectors)
    room.path("speed_listed.json", listed(a=(25.0, 121.5), b=(25.01, 121.5)))
    (room.folder / "speed_arrived").mkdir()
    for minute in range(6):
        moment = f"2024-01-01T08:{minute:02}:00+08:00"
        entries = [vd(name, lane(60 + minute, 2, 1), time=moment) for name in ("a", "b")]
        room.path(f"speed_arrived/{minute}.json", live(*entries))
    room.path("speed_later", "\n".join([cells[0], *cells[21:]]))
    earlier = room.path("speed_earlier", "\n".join(cells[:21]))
    words = f"convert csv {room.folder}/earlier.h5 --wide=speed={earlier} --overwrite"
    places = f"--detectors={room.folder}/speed_detectors --detector-id-column=vdid"
    command = f"predict --ckpt_path={room.checkpoint} --forecast.path={room.folder}/speed.parquet"
    test = f"test --ckpt_path={room.checkpoint} --errors.path={room.folder}/errors.json"
    with contextlib.redirect_stdout(io.StringIO()), contextlib.chdir(room.folder):
        _PREP([*words.split(), *places.split()])
        cli.main(command.replace("speed.parquet", "tested").split() + _TESTED)
        cli.main(command.split())
        cli.main(test.split())
    shutil.copy(room.folder / "errors.json", room.folder / "speed_again")
    (room.folder / "errors.json").rename(room.folder / "speed_errors")
    (room.folder / "tested.parquet").rename(room.folder / "speed_tested.parquet")
    (room.folder / "speed.parquet").rename(room.folder / "speed_forecast")


def _call(room, command: Command, out: Path) -> int:
    """Run a command, and return its exit status."""
    try:
        return command.program(_words(room, command, out)) or 0
    except SystemExit as end:
        return int(end.code or 0)


_seconds: dict[str, float] = {}


def _start(room, seed: int) -> tuple[str, Command, Path, dict[str, bytes], random.Random]:
    """A command by turns, and a folder with what it once left there, in every second trial."""
    name = list(COMMANDS)[seed % len(COMMANDS)]
    rng, command, out = random.Random(seed), COMMANDS[name], room.folder / "faults"
    _words(room, command, out)
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    if name in _IN_PLACE:
        shutil.copy(room.folder / "earlier.h5" if name == "append" else room.file, out / "copy.h5")
    if name not in _seconds or (rng.random() < 0.5 and name != "init"):
        start = time.monotonic()
        found = attempt(lambda: (_call(room, command, out), None))
        if found.kind != "accepted":
            raise RuntimeError(f"'{name}' failed without a fault: {found.said}")
        _seconds[name] = time.monotonic() - start
        if name == "init":
            shutil.rmtree(out / "configs")
    there = {n: (out / n).read_bytes() for n in command.artefacts if (out / n).exists()}
    return name, command, out, there, rng


def _judge(found: Outcome, command: Command, out: Path, there: dict[str, bytes]) -> Outcome:
    """``found``, or what is wrong with what the command left behind."""
    if found.kind in ("traceback", "crash", "hang", "memory"):
        return found
    for name, read in command.artefacts.items():
        path = out / name
        if not path.exists() and name in there:
            return Outcome("wrong", f"{name} is lost\n{found.said}")
        if path.exists() and path.read_bytes() != there.get(name):
            try:
                read(path)
            except Exception as error:
                return Outcome("wrong", f"half of {name}: {error!r}\n{found.said}")
    return found


def _litter(out: Path) -> list[str]:
    return [str(path.relative_to(out)) for path in out.rglob("*.tmp")]


def kills(room, seed: int) -> Outcome:
    """Killed at a random moment; then the command once more, which must succeed and tidy up."""
    name, command, out, there, rng = _start(room, seed)
    delay = rng.random() * _seconds[name]

    def run() -> tuple[int, None]:
        signal.setitimer(signal.ITIMER_REAL, delay)  # SIGALRM kills, if nobody handles it
        return _call(room, command, out), None

    found = attempt(run)
    killed = found.kind == "crash" and found.said.startswith(f"signal {int(signal.SIGALRM)}\n")
    if killed:
        found = Outcome("right", found.said)
    found = _judge(found, command, out, there)
    if killed and found.kind == "right" and not (name == "init" and (out / "configs").exists()):
        again = attempt(lambda: (_call(room, command, out), None))
        if again.kind != "accepted":
            return Outcome("wrong", f"'{name}' cannot go on after a kill\n{again.said}")
        if _litter(out):
            return Outcome("wrong", f"'{name}' left {_litter(out)}")
    return Outcome(found.kind, f"{name}\n{found.said}")


def interrupts(room, seed: int) -> Outcome:
    """Ctrl-C at a random moment: status 130, one line, nothing half written."""
    name, command, out, there, rng = _start(room, seed)
    delay = rng.random() * _seconds[name]

    def run() -> tuple[int, None]:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGALRM, lambda *_: os.kill(os.getpid(), signal.SIGINT))
        signal.setitimer(signal.ITIMER_REAL, delay)
        status = _call(room, command, out)
        signal.setitimer(signal.ITIMER_REAL, 0)
        if status not in (0, 130):
            raise RuntimeError(f"ended with {status}")
        return status, None

    found = _judge(attempt(run, seconds=90), command, out, there)
    if found.kind == "refused" and "interrupted" not in found.said.splitlines():
        found = Outcome("wrong", f"not told\n{found.said}")
    if _litter(out):
        found = Outcome("wrong", f"left {_litter(out)}\n{found.said}")
    return Outcome(found.kind, f"{name}\n{found.said}")


def full_disks(room, seed: int) -> Outcome:
    """No file may grow beyond a random size: one sentence, and what was there stays."""
    name, command, out, there, rng = _start(room, seed)
    limit = int(10 ** rng.uniform(2, 4.5))

    def run() -> tuple[int, None]:
        hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
        with _said_elsewhere():
            status = _call(room, command, out)
            resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        return status, None

    found = _judge(attempt(run), command, out, there)
    if _litter(out):
        found = Outcome("wrong", f"left {_litter(out)}\n{found.said}")
    return Outcome(found.kind, f"{name}, {limit} bytes\n{found.said}")


@contextlib.contextmanager
def _said_elsewhere():
    """What is printed goes through a pipe, which no limit on files holds up, and then out."""
    reader, writer = os.pipe()
    kept = os.dup(1), os.dup(2)
    os.dup2(writer, 1)
    os.dup2(writer, 2)
    try:
        yield
    finally:
        for at, old in zip((1, 2), kept, strict=True):
            os.dup2(old, at)
        os.close(writer)
        os.write(2, os.read(reader, 60_000))


def locked_folders(room, seed: int) -> Outcome:
    """A folder that nobody may write to, not even root: one sentence that names it, unless nothing
    is written."""
    name = list(COMMANDS)[seed % len(COMMANDS)]
    if name in _IN_PLACE:  # there is no file in such a folder
        name = "simulate"
    found = attempt(lambda: (_call(room, COMMANDS[name], Path("/sys/kernel")), None))
    if not COMMANDS[name].artefacts:
        return Outcome("wrong" if found.kind == "refused" else found.kind, f"{name}\n{found.said}")
    if found.kind == "accepted" or (found.kind == "refused" and "/sys/kernel" not in found.said):
        found = Outcome("wrong", f"not told\n{found.said}")
    return Outcome(found.kind, f"{name}\n{found.said}")


FAULTS: dict[str, Callable[[object, int], Outcome]] = {
    "kills": kills,
    "interrupts": interrupts,
    "full disks": full_disks,
    "locked folders": locked_folders,
}
