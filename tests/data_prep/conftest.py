from argparse import ArgumentParser, Namespace
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from data_prep.__main__ import main
from data_prep.convert import gather
from data_prep.formats import FORMATS
from data_prep.options import add_convert_options
from data_prep.report import Report
from socialgraph import schema
from socialgraph.series import TrafficSeries

SHARED = Path(__file__).parents[2].parent / "shared" / "data"


@pytest.fixture
def shared():
    def find(name):
        path = SHARED / name
        if not path.exists():
            pytest.skip(f"no real data at '{path}'")
        return path

    return find


@pytest.fixture
def write_file(tmp_path):
    def write(name, text):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


@pytest.fixture
def series():
    rng = np.random.default_rng(0)
    return TrafficSeries(
        values=rng.uniform(10, 90, (48, 4, 2)).astype(np.float32),
        timestamps=np.datetime64("2024-01-01T00:00:00") + np.arange(48) * np.timedelta64(300, "s"),
        vdids=["a", "b", "c", "d"],
        feature_names=["speed", "flow"],
        lat=np.array([24.0, 24.001, 24.002, 24.5]),
        lon=np.array([121.0, 121.0, 121.0, 121.0]),
        units=["km/h", "veh/h"],
        interval_minutes=5.0,
        timezone="Asia/Taipei",
        dataset_name="four",
    )


@pytest.fixture
def series_file(tmp_path, series):
    path = tmp_path / "series.h5"
    schema.write(path, series)
    return path


@pytest.fixture
def write_frame():
    """Write a frame as pandas' HDFStore does in fixed format."""

    def write(path, key, times, columns, values, kind="datetime64[ns]", items=None, **attributes):
        with h5py.File(path, "w") as file:
            group = file.create_group(key)
            group.attrs.update({"pandas_type": np.bytes_("frame"), "encoding": np.bytes_("UTF-8")})
            group.attrs["nblocks"] = np.int64(1)
            items = columns if items is None else items
            for name, labels in (("axis0", columns), ("block0_items", items)):
                labels = np.array(labels)
                label_kind = "integer" if labels.dtype.kind == "i" else "string"
                group[name] = labels if label_kind == "integer" else np.char.encode(labels)
                group[name].attrs["kind"] = np.bytes_(label_kind)
            group["axis1"] = times
            group["axis1"].attrs["kind"] = np.bytes_(kind)
            group["axis1"].attrs.update(attributes)
            group["block0_values"] = values
            group["block0_values"].attrs["transposed"] = np.uint8(1)
        return path

    return write


@pytest.fixture
def collect(tmp_path):
    """The readings of a feed as arrays, and the report."""

    def collect(feed, *words):
        parser = ArgumentParser()
        add_convert_options(parser, FORMATS["csv"])
        args = parser.parse_args(list(words), Namespace(command="convert", out="out.h5"))
        feed.detectors = feed.detectors or (lambda: None)
        report = Report()
        gathered = gather(args, lambda _: feed, tmp_path, report)
        values = np.concatenate(list(gathered.parts))
        gathered.tell()
        return replace(gathered.series, values=values), str(report)

    return collect


@pytest.fixture
def run(tmp_path, capsys):
    """Convert as a user types it: the series, or None, and what was said."""

    def run(format_, *words):
        out = tmp_path / "out.h5"
        out.unlink(missing_ok=True)
        inputs, options = list(map(str, words)), []
        if format_ != "csv":
            place = next((i for i, w in enumerate(inputs) if w.startswith("--")), len(inputs))
            inputs, options = inputs[:place], inputs[place:]
        status = main(
            [
                "convert",
                format_,
                *([*inputs, str(out)] if format_ != "csv" else [str(out), *inputs]),
                *options,
            ]
        )
        captured = capsys.readouterr()
        assert status in (0, 2)
        assert out.exists() == (status == 0)
        if status:
            assert captured.err.startswith("error: ")
        return (schema.read(out) if status == 0 else None), captured.out + captured.err

    return run


def case(name):
    """The folder of an outside case; skips where it is not beside the repository."""
    folder = SHARED.parent / "cases" / name
    if not folder.is_dir():
        pytest.skip(f"no case at '{folder}'")
    return folder
