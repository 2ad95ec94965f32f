"""The kinds of hostile input: each makes one from a seed, and tries it."""

import contextlib
import copy
import csv
import hashlib
import io
import pickle
import random
import zipfile
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import torch

import data_prep.__main__
import socialgraph
from socialgraph import schema, shell, training_cli
from socialgraph.stream import command as stream_command
from tests.conftest import ROOT, make_series
from tests.hostile.damage import damaged
from tests.hostile.faults import FAULTS
from tests.hostile.sources import PLACES, SITES, SOURCES
from tests.hostile.trial import Outcome, attempt

__all__ = ["KINDS", "Room"]

_ODD = (None, True, -1, 0, 3, 2**70, 1e308, float("nan"), float("inf"), "", "a", "../x", [], {})
_ODD += ([[]], {"class_path": "os.system", "init_args": {"command": "touch owned"}}, "\x1b[2J")


class Room:
    """A folder with an intact file, checkpoint and table, which trials copy and damage."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file, self.checkpoint = folder / "good.h5", folder / "run" / "best.ckpt"
        schema.write(self.file, make_series())
        self.words = [
            f"--config={ROOT / 'configs' / 'simulated.yaml'}",
            f"--data.series={self.file}",
            "--data.features=[speed,flow]",
            "--data.windows.window=6",
            "--data.windows.horizon=4",
            "--trainer.logger=false",
            "--trainer.max_epochs=1",
            "--trainer.limit_train_batches=2",
            "--overwrite",
        ]
        with contextlib.chdir(folder), contextlib.redirect_stdout(io.StringIO()):
            training_cli.main(["fit", *self.words])
        self.checkpoint.parent.mkdir()
        (folder / "checkpoints" / "best.ckpt").rename(self.checkpoint)
        self.table = _readings_table()
        self.detectors = "vdid,lat,lon\n" + "".join(
            f"VD-{i},{25 + 0.003 * i},121.5\n" for i in range(6)
        )

    def path(self, name: str, data: bytes | str) -> Path:
        """Write a file of a trial."""
        path = self.folder / name
        path.write_bytes(data if isinstance(data, bytes) else data.encode("utf-8", "replace"))
        return path


def _readings_table() -> str:
    series = make_series(steps=40)
    out = io.StringIO()
    rows = csv.writer(out, lineterminator="\n")
    rows.writerow(["timestamp", *(f"{v}:{f}" for v in series.vdids for f in series.feature_names)])
    for at, values in zip(series.timestamps, series.values, strict=True):
        cells = ["" if np.isnan(v) else f"{v:.2f}" for v in values.ravel()]
        rows.writerow([f"{at}+00:00", *cells])
    return out.getvalue()


def _fingerprint(*parts: object) -> str:
    return hashlib.sha256(pickle.dumps(parts)).hexdigest()


def _read(path: Path) -> tuple[int, str | None]:
    """``inspect`` and what the file holds."""
    status = data_prep.__main__.main(["inspect", str(path), "--json"])
    if status:
        return status, None
    series = schema.read(path)
    held = {name: value for name, value in vars(series).items() if name != "edges"}
    arrays = {n: v.tobytes() if isinstance(v, np.ndarray) else repr(v) for n, v in held.items()}
    return 0, _fingerprint(arrays)


def broken_files(room: Room, seed: int) -> Outcome:
    """Bytes of an HDF5 file."""
    _, data = damaged(room.file.read_bytes(), seed)
    path = room.path("broken.h5", data)
    return attempt(lambda: _read(path), expected=_expected(_read, room.file))


def odd_files(room: Room, seed: int) -> Outcome:
    """HDF5 files whose parts are whole, and not what they should be."""
    rng = random.Random(seed)
    path = room.path("odd.h5", room.file.read_bytes())
    with h5py.File(path, "r+") as file:
        for _ in range(rng.choice((1, 1, 2))):
            _spoil(file, rng, room.folder)
    return attempt(lambda: _read(path))


def _spoil(file: h5py.File, rng: random.Random, folder: Path) -> None:
    names = ["data/features", "metadata/vdids", "metadata/feature_names", "metadata/timestamps"]
    name = rng.choice([*names, "metadata/vd_info", "metadata/vd_info/VD-2"])
    secret = folder / "secret.bin"
    secret.write_bytes(bytes(10_000))
    array = rng.choice(names)
    there = file.get(array)
    small = isinstance(there, h5py.Dataset) and there.size < 10**6 and not there.is_virtual
    old = there[()] if small else np.zeros(3)
    links = (h5py.SoftLink("/data"), h5py.SoftLink("/" + name), h5py.ExternalLink("good.h5", array))
    layout = h5py.VirtualLayout(shape=(10,), dtype="f4")
    layout[:] = h5py.VirtualSource(".", array, shape=(10,))
    ways = [
        lambda: file.pop(name, None),
        lambda: _replace(file, name, rng.choice(links)),
        lambda: _replace(file, array, old.ravel()),
        lambda: _replace(file, array, old[..., None]),
        lambda: _replace(file, array, old[: len(old) // 2]),
        lambda: _replace(file, array, np.arange(old.size).reshape(old.shape)),
        lambda: _replace(file, array, np.full(old.shape, b"\xff\xfe\x00x")),
        lambda: _replace(
            file, array, np.full(old.shape, rng.choice(["\x1b[2J", "..", "a/b", ""]), object)
        ),
        lambda: _replace(file, array, np.zeros(old.shape, dtype=[("a", "f4"), ("b", "i4")])),
        lambda: _replace(file, array, np.zeros(old.shape, dtype=complex)),
        lambda: _huge(file, array, rng),
        lambda: _outside(file, array, secret),
        lambda: (file.pop(array, None), file.create_virtual_dataset(array, layout)),
        lambda: _attribute(file if rng.random() < 0.5 else file.require_group(name), rng),
    ]
    with contextlib.suppress(ValueError, KeyError, TypeError, OSError, RuntimeError):
        rng.choice(ways)()


def _replace(file: h5py.File, name: str, value: object) -> None:
    file.pop(name, None)
    file[name] = value


def _huge(file: h5py.File, name: str, rng: random.Random) -> None:
    """An array that claims to be larger than any memory, of which nothing is written."""
    file.pop(name, None)
    ndim = 3 if "features" in name else 1
    shape = tuple(rng.choice((10**6, 10**9, 2**40)) for _ in range(ndim))
    file.create_dataset(name, shape, dtype=rng.choice(["f4", "S8"]), chunks=(64,) * ndim)


def _outside(file: h5py.File, name: str, secret: Path) -> None:
    """An array whose numbers lie in another file."""
    shape = file[name].shape
    file.pop(name, None)
    file.create_dataset(name, shape, "f4", external=[(str(secret), 0, h5py.h5f.UNLIMITED)])


def _attribute(group: h5py.Group, rng: random.Random) -> None:
    names = ["schema_version", "interval_minutes", "timezone", "units", "position_lat"]
    values = [
        -1.0,
        0,
        float("nan"),
        1e300,
        "",
        "Nowhere/City",
        b"\xff\xfe",
        "\x1b[2J",
        h5py.Empty("f4"),
    ]
    values += [np.zeros((2, 2)), np.zeros(10_000), "[" * 5000]
    group.attrs[rng.choice(names)] = rng.choice(values)


def _forecast(path: Path) -> tuple[int, str | None]:
    found = []

    def run(words: list[str]) -> None:
        found.append(_fingerprint(socialgraph.load(path).forecast(make_series()).to_csv()))

    status = shell.run(run, [])
    return status, found[0] if found else None


def feeds(room: Room, seed: int) -> Outcome:
    """Bytes of what agencies publish: documents, tables and archives of each format."""
    names = list(SOURCES)
    name, data, words = SOURCES[names[seed % len(names)]]
    _, broken = damaged(data, seed)
    path, out = room.path(name, broken), room.folder / "fed.h5"
    out.unlink(missing_ok=True)
    table = room.path("sites.xml", SITES) if "datex" in words else room.path("d.csv", PLACES)
    command = [*words[:2], str(path), str(out), *words[2:], "--detectors", str(table)]

    def run() -> tuple[int, None]:
        status = data_prep.__main__.main(command)
        if status == 0:
            schema.read(out)
        elif out.exists():
            raise RuntimeError("a refused source left a file")
        return status, None

    return attempt(run)


def broken_checkpoints(room: Room, seed: int) -> Outcome:
    """Bytes of a checkpoint."""
    _, data = damaged(room.checkpoint.read_bytes(), seed)
    path = room.path("broken.ckpt", data)
    return attempt(lambda: _forecast(path), expected=_expected(_forecast, room.checkpoint))


def odd_checkpoints(room: Room, seed: int) -> Outcome:
    """Checkpoints with another value somewhere, an entry less, or an archive made by hand."""
    rng = random.Random(seed)
    path = room.folder / "odd.ckpt"
    path.unlink(missing_ok=True)
    if rng.random() < 0.1:
        _rezip(room.checkpoint, path, rng)
    else:
        checkpoint = torch.load(room.checkpoint, weights_only=True)
        for _ in range(rng.choice((1, 1, 3))):
            _change_leaf(checkpoint, rng)
        torch.save(checkpoint, path)

    def run() -> tuple[int, None]:
        words = ["test", f"--ckpt_path={path}", f"--data.series={room.file}"]
        status = shell.run(training_cli.main, words)
        if (room.folder / "owned").exists():
            raise RuntimeError("a command of the checkpoint was run")
        return status, None

    with contextlib.chdir(room.folder):
        return attempt(run)


def _change_leaf(checkpoint: dict, rng: random.Random) -> None:
    entry = rng.choice(["spec", "network", "data", "hyper_parameters", "state_dict", "profile"])
    holder, key = checkpoint, entry
    while rng.random() < 0.85 and isinstance(
        holder.get(key) if isinstance(holder, dict) else holder[key], dict | list
    ):
        inner = holder[key]
        if not inner:
            break
        holder, key = (
            inner,
            rng.choice(list(inner)) if isinstance(inner, dict) else rng.randrange(len(inner)),
        )
    old = holder.get(key) if isinstance(holder, dict) else holder[key]
    if isinstance(old, torch.Tensor):
        choices = [
            old[:1],
            old.double(),
            old.flatten(),
            old * float("nan"),
            old.new_zeros(1).expand(2**40),
        ]
        holder[key] = rng.choice(choices)
    elif rng.random() < 0.15 and isinstance(holder, dict):
        holder.pop(key, None)
    else:
        holder[key] = copy.deepcopy(rng.choice(_ODD))
        if rng.random() < 0.1:  # the list of lists that doubles at each level
            for _ in range(60):
                holder[key] = [holder[key], holder[key]]


def _rezip(source: Path, path: Path, rng: random.Random) -> None:
    """The archive packed again: compressed, with a part twice, renamed, or less."""
    way = rng.choice(("compressed", "bomb", "twice", "renamed", "less"))
    packed = zipfile.ZIP_DEFLATED if way in ("compressed", "bomb") else zipfile.ZIP_STORED
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(path, "w", packed) as new:
        names = old.namelist()
        odd = rng.choice(names)
        for name in names:
            if way == "less" and name == odd:
                continue
            data = (
                bytes(2**28)
                if way == "bomb" and "data/" in name and name == odd
                else old.read(name)
            )
            new.writestr(f"../{name}" if way == "renamed" and name == odd else name, data)
            if way == "twice" and name == odd:
                new.writestr(name, data)


def tables(room: Room, seed: int) -> Outcome:
    """CSV files that are converted."""
    rng = random.Random(seed)
    text = _spoiled_table(room.table.replace("timestamp", "time").replace(":speed", ""), rng)
    keep = [i for i, name in enumerate(text.split("\n")[0].split(",")) if ":flow" not in name]
    lines = [
        ",".join(c for i, c in enumerate(x.split(",")) if i in keep or i > 12)
        for x in text.split("\n")
    ]
    path = room.path("table.csv", "\n".join(lines))
    detectors = room.path(
        "detectors.csv",
        _spoiled_table(room.detectors, rng) if rng.random() < 0.3 else room.detectors,
    )
    out = room.folder / "table.h5"
    words = [
        "convert",
        "csv",
        str(out),
        f"--wide=speed={path}",
        f"--detectors={detectors}",
        "--overwrite",
    ]
    return attempt(lambda: (data_prep.__main__.main([*words, "--detector-id-column=vdid"]), None))


def _spoiled_table(text: str, rng: random.Random) -> str:
    cells = [
        "nan",
        "inf",
        "-1e400",
        "1,5",
        '"',
        "\x00",
        "\x1b[2J",
        "=1+1",
        "٣",
        "1_0",
        "0x10",
        "",
        "x" * 10_000,
    ]
    cells += [
        "2024-02-30T00:00:00",
        "24:00",
        "9999-12-31T23:59:59",
        "-5",
        "1e25",
        "\ufeff",
        "\r",
        "12:00+25:00",
    ]
    for _ in range(rng.choice((1, 1, 2, 5))):
        lines = text.split("\n")
        row = rng.randrange(len(lines))
        parts = lines[row].split(",")
        way = rng.randrange(7)
        if way == 0:
            parts[rng.randrange(len(parts))] = rng.choice(cells)
            lines[row] = ",".join(parts)
        elif way == 1:
            lines[row] = lines[rng.randrange(len(lines))]
        elif way == 2:
            del lines[row]
        elif way == 3:
            lines[row] = ",".join(parts[: rng.randrange(len(parts))])
        elif way == 4:
            lines[row] += "," + rng.choice(cells)
        elif way == 5:
            place = rng.randrange(max(1, len(text)))
            lines = (text[:place] + rng.choice(cells) + text[place:]).split("\n")
        else:
            lines = text[: rng.randrange(1, len(text))].split("\n")
        text = "\n".join(lines)
    return text


def streams(room: Room, seed: int) -> Outcome:
    """Readings that are followed; no forecast may be without a finite number."""
    rng = random.Random(seed)
    path = room.path("stream.csv", _spoiled_table(room.table, rng))
    for name in ("out.csv", "state.db"):
        (room.folder / name).unlink(missing_ok=True)
    words = [
        f"--ckpt_path={room.checkpoint}",
        f"--input={path}",
        f"--output={room.folder / 'out.csv'}",
    ]

    def run() -> tuple[int, None]:
        status = shell.run(stream_command.main, [*words, f"--state={room.folder / 'state.db'}"])
        out = room.folder / "out.csv"
        for row in csv.DictReader(out.open()) if out.exists() else ():
            if not np.isfinite(float(row["speed"])):
                raise ValueError(f"a forecast of {row['speed']} was written")
        return status, None

    return attempt(run)


OPTIONS = {
    "data.windows.window": (0, -1, 10**6, 1.5),
    "data.windows.horizon": (0, -2, 10**6),
    "data.windows.stride": (0, -1, 10**6),
    "data.split": ("[0.5,0.5]", "[0.9,0.9,0.9]", "[-1,1,1]", "[0,0,1]", "[nan,0.1,0.2]", "[0,0,0]"),
    "data.loading.batch_size": (0, -1, 10**7),
    "data.loading.num_workers": (-1,),
    "data.features": ("[]", "[speed,speed]", "[none]", "speed"),
    "data.targets": ("[none]", "[]", "[flow,flow]"),
    "data.graph.init_args.max_radius": (0, -5, "nan", "inf", 1e-9),
    "data.graph.init_args.max_num_neighbors": (0, -1, 10**9),
    "data.limit": (0, -1, 1, 5),
    "data.held_out_detectors": (1.5, -0.1, 1.0, "[none]", "nan"),
    "data.known": ("[speed]", "[none]"),
    "data.attributes": ("[none]",),
    "data.holidays": ("XX", "TW-XX", ""),
    "model.learning_rate": (0, -1e-3, "nan", "inf", 1e9),
    "model.weight_decay": (-1, "nan", "inf"),
    "model.warmup_steps": (-1, 10**9),
    "model.objective": (
        "torch.nn.Linear",
        "{class_path: Point, init_args: {huber_delta: nan}}",
        "{class_path: Point, init_args: {loss: rmse}}",
        "{class_path: Quantile, init_args: {levels: [0.5, 0.1]}}",
    ),
    "model.silence": (-0.1, 1.5, "nan"),
    "model.init_from": ("none.ckpt", "good.h5"),
    "model.network.init_args.num_blocks": (0, -1),
    "model.network.init_args.node_channels": (-1,),
    "model.network.init_args.block.init_args.hidden_channels": (0, -3),
    "model.network.init_args.block.init_args.dropout": (-0.1, 1.5),
    "model.network.init_args.block.init_args.pooling.init_args.radius": (0, -1, "nan", "inf"),
    "model.network.init_args.block.init_args.pooling.init_args.heads": (0, -1, 7),
    "model.network.init_args.block.init_args.pooling.init_args.pos_dim": (-1, 3),
    "trainer.max_epochs": (0,),
    "trainer.gradient_clip_val": (-1,),
    "trainer.limit_val_batches": (-1, 1.5),
    "seed_everything": (-1, 2**40),
    "errors.path": ("/proc/none/x",),
}
_CHOICES = [(name, value) for name, values in OPTIONS.items() for value in values]


def options(room: Room, seed: int) -> Outcome:
    """Values of options beyond their range: refused, or trained with finite weights."""
    name, value = _CHOICES[seed % len(_CHOICES)]

    def run() -> tuple[int, None]:
        words = ["fit", *room.words, f"--{name}={value}"]
        status = shell.run(training_cli.main, words)
        return status, None

    with contextlib.chdir(room.folder):
        outcome = attempt(run)
    return Outcome(outcome.kind, f"--{name}={value}\n{outcome.said}")


KINDS: dict[str, Callable[[Room, int], Outcome]] = {
    "broken files": broken_files,
    "odd files": odd_files,
    "broken checkpoints": broken_checkpoints,
    "odd checkpoints": odd_checkpoints,
    "tables": tables,
    "feeds": feeds,
    "streams": streams,
    "options": options,
    **FAULTS,
}
_known: dict[tuple, str] = {}


def _expected(read: Callable, path: Path) -> str:
    """What an intact file gives, read once."""
    if (read, path) not in _known:
        with contextlib.redirect_stdout(io.StringIO()):
            _known[read, path] = read(path)[1]
    return _known[read, path]
