"""The script on data loading, on a small file; never how fast."""

import json

import pytest
import torch

from benchmarks.data_loading import WAYS, check_equal, main, make_loader, measure_memory
from benchmarks.measure import isolated
from benchmarks.tables import TABLES
from socialgraph.data import Loading, Windows
from socialgraph.schema import write
from tests.conftest import make_series


@pytest.fixture
def options(traffic_file):
    return {"series": str(traffic_file)}


@pytest.mark.slow
def test_the_result_holds_every_way(traffic_file, tmp_path):
    # The stored windows of the simulated series take 1.3 MiB, those of the made one 0.2.
    words = ["--quick", "--workers", "0", "--limit", "0.5", "--data", str(traffic_file)]
    main([*words, "--output", str(tmp_path / "result.json")])
    report = json.loads((tmp_path / "result.json").read_text())
    assert report["question"] == "data_loading"
    assert set(report["environment"]) >= {"commit", "dirty", "processor", "versions"}
    found = [(e["data"], e["way"]) for e in report["results"]]
    assert found == [(name, way) for name in ("simulated_20", "traffic") for way in WAYS]
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
    assert "| simulated_20, 20 detectors | stored | 0 | left out: its windows take" in table
    assert table.count("gathered") == 2


@pytest.mark.slow
def test_workers_give_the_same_batches(tmp_path):
    main(["--quick", "--workers", "1", "--output", str(tmp_path / "result.json")])
    results = json.loads((tmp_path / "result.json").read_text())["results"]
    assert [(entry["workers"], entry["way"]) for entry in results] == [(1, way) for way in WAYS]


@pytest.mark.slow
def test_a_fresh_process_holds_the_series_and_its_workers_more(tmp_path):
    write(tmp_path / "long.h5", make_series(steps=10_000, nodes=50))
    options = {"series": str(tmp_path / "long.h5"), "loading": Loading(num_workers=1)}
    options["windows"] = Windows(stride=500)
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
