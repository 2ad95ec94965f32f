import json
import subprocess
import sys

import h5py
import numpy as np
import pytest

from data_prep.__main__ import main
from socialgraph import schema

TABLE = "id,lat,lon\na,24.0,121.0\nb,24.001,121.0\nc,24.002,121.0\nd,24.003,121.0\n"


def test_a_simulation_draws_no_bar_into_a_log(tmp_path, capfd):
    assert main(["simulate", str(tmp_path / "a.h5"), "--detectors", "5", "--days", "1"]) == 0
    said = capfd.readouterr()
    assert "\r" not in said.out + said.err


def test_inspect_prints_a_table(series_file, capsys):
    assert main(["inspect", str(series_file)]) == 0
    text = capsys.readouterr().out
    assert "48 steps, 4 detectors" in text
    assert text.endswith("fine\n")


def test_inspect_prints_one_json_document(series_file, capsys):
    assert main(["inspect", str(series_file), "--json", "--radius", "150"]) == 0
    assert json.loads(capsys.readouterr().out)["neighbours"]["radius"] == 150


def test_inspect_reports_an_unreadable_file_in_json_too(write_file, capsys):
    path = write_file("a.h5", "no HDF5")
    assert main(["inspect", str(path), "--json"]) == 1
    assert "not an HDF5 file" in json.loads(capsys.readouterr().out)["problems"][0]
    assert main(["inspect", str(path)]) == 1


def test_inspect_of_a_file_that_does_not_exist_is_an_error(tmp_path, capsys):
    assert main(["inspect", str(tmp_path / "nowhere.h5"), "--json"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: No file ")


def test_backfill_mends_what_inspect_refuses(tmp_path, series, write_file, capsys):
    path, table = str(tmp_path / "a.h5"), str(write_file("d.csv", TABLE))
    series.lat[1:] = np.nan
    schema.write(path, series)
    assert main(["inspect", path]) == 1
    assert main(["backfill", path, "--detectors", table]) == 0
    assert main(["inspect", path]) == 0
    assert "3 of 4 detectors" in capsys.readouterr().out


def test_backfill_fails_while_positions_are_lacking(tmp_path, series, write_file, capsys):
    series.lat[:] = np.nan
    schema.write(tmp_path / "a.h5", series)
    table = write_file("d.csv", "vd,y,x\na,24,121\n")
    columns = ["--detector-id-column", "vd", "--lat-column", "y", "--lon-column", "x"]
    assert main(["backfill", str(tmp_path / "a.h5"), "--detectors", str(table), *columns]) == 1
    assert "3 detectors: b, c, d" in capsys.readouterr().out


def test_a_key_error_is_printed_without_quotes_around_it(series_file, write_file, capsys):
    table = write_file("d.csv", "vd,lat,lon\na,24,121\n")
    assert main(["backfill", str(series_file), "--detectors", str(table)]) == 2
    assert capsys.readouterr().err.startswith("error: '")


def test_a_mistake_of_ours_is_a_traceback(series_file, monkeypatch):
    monkeypatch.setattr("data_prep.inspect_file.inspect_file", lambda *_: [][1])
    with pytest.raises(IndexError):
        main(["inspect", str(series_file)])


def test_simulate_writes_a_file_that_inspect_accepts(tmp_path, capsys):
    pytest.importorskip("data_prep.simulate")
    out = str(tmp_path / "s.h5")
    options = ["--detectors", "6", "--days", "1", "--interval", "15", "--freeways", "1"]
    assert main(["simulate", out, *options, "--start", "2024-02-01T00:00:00"]) == 0
    assert main(["inspect", out]) == 0
    with h5py.File(out) as file:
        assert file["data/features"].shape[:2] == (96, 6)
    assert main(["simulate", out, *options]) == 2
    assert "--overwrite" in capsys.readouterr().err


@pytest.mark.slow
def test_module_runs_as_a_program(series_file, tmp_path):
    command = [sys.executable, "-m", "data_prep", "inspect", "--json"]
    good = subprocess.run([*command, str(series_file)], capture_output=True, text=True)
    assert (good.returncode, good.stderr) == (0, "")
    assert json.loads(good.stdout)["num_detectors"] == 4
    absent = subprocess.run([*command, str(tmp_path / "no.h5")], capture_output=True, text=True)
    assert (absent.returncode, absent.stdout) == (2, "")
    assert absent.stderr.count("\n") == 2


@pytest.mark.slow
def test_preparation_needs_no_torch():
    code = "import sys, data_prep.__main__; print('torch' in sys.modules, 'pandas' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


@pytest.mark.parametrize("place", [".", ".."])
def test_a_folder_in_place_of_a_file_to_write_is_named(series_file, monkeypatch, capsys, place):
    monkeypatch.chdir(series_file.parent)
    for words in (
        ["simulate", place, "--overwrite"],
        ["clean", str(series_file), place, "--overwrite"],
        ["inspect", str(series_file), "--html", place],
    ):
        assert main(words) == 2
        said = capsys.readouterr().err
        assert "a folder" in said
        assert f"'{place}'" in said


def test_encoding_and_decimal_are_of_the_tables_of_detectors_and_edges_too(write_file, capsys):
    latin = {
        "w.csv": "time;ö;b\n2024-01-01 00:00;1;2\n2024-01-01 00:05;3;4,5\n",
        "d.csv": "id;lat;lon\nö;48,1;9,1\nb;48,15;9,1\n",
        "e.csv": "from;to;length\nö;b;7000,25\n",
    }
    paths = {name: write_file(name, text.encode("latin-1")) for name, text in latin.items()}
    out = paths["w.csv"].with_name("out.h5")
    words = ["convert", "csv", str(out), "--wide", f"speed={paths['w.csv']}", "--encoding"]
    words += ["latin-1", "--detectors", str(paths["d.csv"]), "--edges", str(paths["e.csv"])]
    assert main([*words, "--timezone", "Europe/Berlin"]) == 0, capsys.readouterr().err
    series = schema.read(out)
    assert (series.vdids, series.lat.tolist()) == (["ö", "b"], [48.1, 48.15])
    assert series.edges.distance.tolist() == [7000.25]
    words = ["backfill", str(out), "--overwrite", "--detectors", str(paths["d.csv"])]
    assert main([*words, "--encoding", "latin-1"]) == 0
