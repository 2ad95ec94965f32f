"""The picture of a forecast table."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from socialgraph.plot import main
from tests.conftest import make_series

pytest.importorskip("matplotlib", reason="pictures need the extra 'plot'")


def write_table(path, windows, observed):
    series = make_series()
    rows = {name: [] for name in ("issued", "timestamp", "step", "vdid", "speed", "speed_observed")}
    for first in windows:
        for node, vdid in enumerate(series.vdids):
            for step in range(1, 5):
                truth = float(series.values[first + step, node, 0])
                rows["issued"].append(series.timestamps[first].item())
                rows["timestamp"].append(series.timestamps[first + step].item())
                rows["step"].append(step)
                rows["vdid"].append(vdid)
                rows["speed"].append(60.0 + step)
                rows["speed_observed"].append(truth if observed and not np.isnan(truth) else None)
    schema = {"speed_observed": pa.float32()}
    columns = {k: pa.array(v, type=schema.get(k)) for k, v in rows.items()}
    pq.write_table(pa.table(columns), path)


@pytest.mark.parametrize(("windows", "observed"), [(range(200, 260), True), ([290], False)])
def test_draws_tables_with_and_without_truth(traffic_file, tmp_path, windows, observed, capsys):
    write_table(tmp_path / "table.parquet", windows, observed)
    picture = tmp_path / "picture.png"
    assert main([str(tmp_path / "table.parquet"), str(traffic_file), str(picture)]) == 0
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert picture.stat().st_size > 20_000
    assert str(picture) in capsys.readouterr().out


def test_a_table_that_is_none_is_refused(traffic_file, tmp_path, capsys):
    pq.write_table(pa.table({"a": [1]}), tmp_path / "table.parquet")
    assert main([str(tmp_path / "table.parquet"), str(traffic_file), str(tmp_path / "p.png")]) == 2
    assert "holds no forecast" in capsys.readouterr().err
    assert main([str(tmp_path / "none.parquet"), str(traffic_file), str(tmp_path / "p.png")]) == 2
