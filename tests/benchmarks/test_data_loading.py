"""The script on data loading, on a small file; never how fast."""

import json

import pytest
import torch

from benchmarks.data_loading import WAYS, check_equal, main, make_loader, measure_memory
from benchmarks.measure import isolated
from benchmarks.tables import TABLES
from socialgraph.schema import write
from tests.conftest import make_series


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("loading")
    write(folder / "made.h5", make_series())
    # The stored windows of the simulated series take 1.3 MiB, those of the made one 0.2.
    words = ["--quick", "--limit", "0.5", "--data", str(folder / "made.h5")]
    main([*words, "--output", str(folder / "result.json")])
    return folder


@pytest.fixture
def options(folder):
    return {"path": folder / "made.h5", "features": ["speed", "flow"]}


def test_the_result_holds_every_way_with_and_without_workers(folder):
    report = json.loads((folder / "result.json").read_text())
    assert report["question"] == "data_loading"
    assert set(report["environment"]) >= {"commit", "dirty", "processor", "versions"}
    found = [(e["data"], e["workers"], e["way"]) for e in report["results"]]
    data = ("simulated_20", "made")
    assert found == [(name, workers, way) for name in data for workers in (0, 2) for way in WAYS]
    left_out = [e for e in report["results"] if "left_out" in e]
    assert {(e["data"], e["way"]) for e in left_out} == {("simulated_20", "stored")}
    assert "limit 0.5 MiB" in left_out[0]["left_out"]
    for entry in report["results"]:
        assert entry["windows"] > 0
        if "left_out" not in entry:
            for name in ("windows_per_second", "setup_seconds"):
                assert len(entry[name]["repeats"]) == 2
                assert min(entry[name]["repeats"]) > 0
            assert {"setup_peak_mib", "held_mib", "loading_peak_mib"} <= set(entry)
    table = TABLES["data_loading"](report)
    assert "| simulated_20, 20 detectors | stored | 2 | left out: its windows take" in table
    assert table.count("gathered") == 4


def test_a_fresh_process_holds_the_series_and_its_workers_more(options, tmp_path):
    options["path"] = tmp_path / "long.h5"
    write(options["path"], make_series(steps=10_000, nodes=50))
    options |= {"num_workers": 1, "stride": 500}
    memory = isolated(measure_memory, "gathered", options)
    series = 10_000 * 50 * 2 * 4 / 2**20
    assert memory["held_mib"] > 0.9 * series
    assert memory["setup_peak_mib"] > 0.9 * series
    assert memory["loading_peak_mib"] > memory["held_mib"]


def test_stored_windows_take_what_they_are_said_to_take(options):
    loader = make_loader("stored", options)
    (stored,) = loader.collate_fn.args
    arrays = [stored[name] for name in ("features", "mask", "targets", "target_mask")]
    assert sum(a.numel() * a.element_size() for a in arrays) == len(loader.dataset) * 24 * 6 * 2 * 5


def test_batches_that_differ_are_refused(options):
    loaders = {way: make_loader(way, options) for way in ("gathered", "sliced")}
    check_equal(loaders)
    loaders["sliced"].dataset.values[100] += 1
    with pytest.raises(RuntimeError, match=r"\['features'.*'sliced' and 'gathered' differ"):
        check_equal(loaders)


def test_the_order_is_that_of_the_data_module(options):
    ways = {way: make_loader(way, options) for way in WAYS}
    clocks = [torch.cat([batch["time_of_day"] for batch in ways[way]]) for way in WAYS]
    assert torch.equal(clocks[0], clocks[1])
    assert torch.equal(clocks[0], clocks[2])
    assert not torch.equal(clocks[0], clocks[0].sort(dim=0)[0])
