"""Who may import whom: the rooms of the package, read from the source."""

import ast
import functools
import subprocess
import sys

import pytest

from tests.conftest import ROOT

RULES = {  # folder or file: what it may import of ours, and which heavy packages
    "socialgraph/__init__.py": (
        {"socialgraph", "socialgraph.forecaster", "socialgraph.pretrained"},
        set(),
    ),
    "socialgraph/atomic.py": (set(), set()),
    "socialgraph/calendar.py": (set(), set()),
    "socialgraph/recipe.py": (set(), set()),
    "socialgraph/axis.py": (set(), set()),
    "socialgraph/series.py": (
        {"socialgraph", "socialgraph.axis", "socialgraph.calendar"},
        {"pandas"},
    ),
    "socialgraph/frames.py": (
        {"socialgraph.axis", "socialgraph.calendar", "socialgraph.series"},
        {"pandas"},
    ),
    "socialgraph/schema": (
        {
            "socialgraph",
            "socialgraph.atomic",
            "socialgraph.calendar",
            "socialgraph.schema",
            "socialgraph.series",
            "socialgraph.storage",
        },
        set(),
    ),
    "socialgraph/storage.py": ({"socialgraph.interrupts"}, set()),
    "socialgraph/graph": ({"socialgraph.graph"}, {"pandas"}),
    "socialgraph/spec.py": (
        {"socialgraph.calendar", "socialgraph.series"},
        set(),
    ),
    "socialgraph/starter.py": ({"socialgraph"}, set()),
    "socialgraph/palette.py": (set(), set()),
    "socialgraph/plot": (
        {
            "socialgraph",
            "socialgraph.atomic",
            "socialgraph.graph",
            "socialgraph.palette",
            "socialgraph.plot",
            "socialgraph.schema",
            "socialgraph.series",
        },
        set(),
    ),
    "socialgraph/report": (
        {
            "data_prep",
            "socialgraph",
            "socialgraph.atomic",
            "socialgraph.backtest",
            "socialgraph.calendar",
            "socialgraph.checkpoint",
            "socialgraph.data",
            "socialgraph.error_table",
            "socialgraph.forecaster",
            "socialgraph.graph",
            "socialgraph.layers",
            "socialgraph.metrics",
            "socialgraph.nn",
            "socialgraph.palette",
            "socialgraph.profile",
            "socialgraph.recipe",
            "socialgraph.report",
            "socialgraph.series",
            "socialgraph.shell",
            "socialgraph.spec",
            "socialgraph.table",
        },
        {"torch"},
    ),
    "socialgraph/scaler.py": ({"socialgraph.spread"}, {"torch"}),
    "socialgraph/spread.py": (set(), set()),
    "socialgraph/profile.py": (set(), {"torch"}),
    "socialgraph/indicators.py": (set(), set()),
    "socialgraph/cusum.py": ({"socialgraph.indicators"}, set()),
    "socialgraph/alarms.py": (
        {
            "socialgraph.cusum",
            "socialgraph.indicators",
            "socialgraph.spec",
            "socialgraph.table",
        },
        set(),
    ),
    "socialgraph/calibration.py": (
        {
            "socialgraph.conformal",
            "socialgraph.cusum",
            "socialgraph.forecaster",
            "socialgraph.quiet",
            "socialgraph.scaler",
        },
        {"torch"},
    ),
    "socialgraph/kept.py": (
        {
            "socialgraph.checkpoint",
            "socialgraph.conformal",
            "socialgraph.cusum",
            "socialgraph.forecaster",
            "socialgraph.spec",
        },
        {"torch"},
    ),
    "socialgraph/quiet.py": (
        {"socialgraph.conformal", "socialgraph.cusum", "socialgraph.indicators"},
        {"torch"},
    ),
    "socialgraph/alarms_cli.py": ({"socialgraph.atomic"}, set()),
    "socialgraph/adaptive.py": (set(), set()),
    "socialgraph/conformal.py": (set(), {"torch"}),
    "socialgraph/layers.py": ({"socialgraph.nn"}, {"torch"}),
    "socialgraph/losses.py": (set(), {"torch"}),
    "socialgraph/metrics.py": ({"socialgraph.losses"}, {"torch", "torchmetrics"}),
    "socialgraph/optimizer.py": (set(), {"torch"}),
    "socialgraph/objective.py": ({"socialgraph.losses", "socialgraph.recipe"}, {"torch"}),
    "socialgraph/table.py": ({"socialgraph.spec"}, {"torch"}),
    "socialgraph/carried.py": ({"socialgraph.nn"}, {"torch"}),
    "socialgraph/averaging.py": (set(), {"torch", "pytorch_lightning"}),
    "socialgraph/runtime.py": (
        {
            "socialgraph.axis",
            "socialgraph.calendar",
            "socialgraph.cusum",
            "socialgraph.series",
            "socialgraph.silence",
            "socialgraph.spec",
            "socialgraph.table",
        },
        {"pandas"},
    ),
    "socialgraph/export.py": (
        {
            "socialgraph.atomic",
            "socialgraph.conformal",
            "socialgraph.cusum",
            "socialgraph.data",
            "socialgraph.forecaster",
            "socialgraph.profile",
            "socialgraph.scaler",
            "socialgraph.shell",
        },
        {"torch"},
    ),
    "socialgraph/silence.py": (set(), set()),
    "socialgraph/logger.py": ({"socialgraph.atomic"}, {"pytorch_lightning"}),
    "socialgraph/nn": (
        {"socialgraph.nn", "socialgraph.recipe"},
        {"torch", "torch_geometric", "xlstm"},
    ),
    "socialgraph/data": (
        {
            "socialgraph",
            "socialgraph.calendar",
            "socialgraph.data",
            "socialgraph.graph",
            "socialgraph.profile",
            "socialgraph.recipe",
            "socialgraph.scaler",
            "socialgraph.series",
            "socialgraph.silence",
            "socialgraph.schema",
            "socialgraph.spec",
            "socialgraph.standard",
        },
        {"torch", "pytorch_lightning"},
    ),
    "socialgraph/archive.py": (set(), {"torch"}),
    "socialgraph/checkpoint.py": (
        {
            "socialgraph.archive",
            "socialgraph.objective",
            "socialgraph.profile",
            "socialgraph.recipe",
            "socialgraph.spec",
        },
        {"torch"},
    ),
    "socialgraph/warm_start.py": (
        {
            "socialgraph.checkpoint",
            "socialgraph.nn.sizes",
            "socialgraph.pretrained",
            "socialgraph.spec",
        },
        {"torch"},
    ),
    "socialgraph/checks.py": (
        {
            "socialgraph.checkpoint",
            "socialgraph.forecaster",
            "socialgraph.layers",
            "socialgraph.objective",
            "socialgraph.scaler",
            "socialgraph.spec",
        },
        {"torch", "pytorch_lightning"},
    ),
    "socialgraph/reading.py": (
        {"socialgraph.forecaster", "socialgraph.nn.inputs", "socialgraph.spec"},
        {"torch"},
    ),
    "socialgraph/resuming.py": (
        {"socialgraph.forecaster", "socialgraph.optimizer"},
        {"torch", "pytorch_lightning"},
    ),
    "socialgraph/step_mean.py": (set(), {"torch", "pytorch_lightning"}),
    "socialgraph/forecasting.py": (
        {
            "socialgraph.data",
            "socialgraph.forecaster",
            "socialgraph.series",
            "socialgraph.table",
        },
        {"torch", "pandas"},
    ),
    "socialgraph/forecaster.py": (
        {
            "socialgraph.calibration",
            "socialgraph.carried",
            "socialgraph.checkpoint",
            "socialgraph.checkpoint_io",
            "socialgraph.checks",
            "socialgraph.conformal",
            "socialgraph.cusum",
            "socialgraph.finite",
            "socialgraph.forecasting",
            "socialgraph.graph",
            "socialgraph.kept",
            "socialgraph.layers",
            "socialgraph.logger",
            "socialgraph.metrics",
            "socialgraph.objective",
            "socialgraph.optimizer",
            "socialgraph.profile",
            "socialgraph.reading",
            "socialgraph.recipe",
            "socialgraph.resuming",
            "socialgraph.scaler",
            "socialgraph.series",
            "socialgraph.spec",
            "socialgraph.step_mean",
            "socialgraph.warm_start",
        },
        {"torch", "pytorch_lightning", "pandas"},
    ),
    "socialgraph/writers.py": (
        {
            "socialgraph.alarms",
            "socialgraph.atomic",
            "socialgraph.calendar",
            "socialgraph.error_table",
            "socialgraph.protocol",
            "socialgraph.quiet",
            "socialgraph.spec",
            "socialgraph.table",
        },
        {"torch", "pytorch_lightning"},
    ),
    "socialgraph/protocol.py": (
        {"socialgraph.calendar", "socialgraph.data", "socialgraph.series"},
        set(),
    ),
    "socialgraph/run_record.py": ({"socialgraph"}, {"pytorch_lightning"}),
    "socialgraph/backtest": (
        {
            "socialgraph.atomic",
            "socialgraph.backtest",
            "socialgraph.calendar",
            "socialgraph.data",
            "socialgraph.error_table",
            "socialgraph.forecaster",
            "socialgraph.metrics",
            "socialgraph.nn",
            "socialgraph.profile",
            "socialgraph.protocol",
            "socialgraph.run_record",
            "socialgraph.scaler",
            "socialgraph.series",
            "socialgraph.shell",
            "socialgraph.training_cli",
        },
        {"torch", "pytorch_lightning"},
    ),
    "socialgraph/compare.py": ({"socialgraph.error_table", "socialgraph.protocol"}, set()),
    "socialgraph/stream": (
        {
            "socialgraph.adaptive",
            "socialgraph.alarms",
            "socialgraph.table",
            "socialgraph.atomic",
            "socialgraph.calendar",
            "socialgraph.data",
            "socialgraph.forecaster",
            "socialgraph.nn",
            "socialgraph.profile",
            "socialgraph.runtime",
            "socialgraph.shell",
            "socialgraph.spec",
            "socialgraph.stream",
        },
        {"torch"},
    ),
    "socialgraph/serve": (
        {
            "socialgraph",
            "socialgraph.calendar",
            "socialgraph.serve",
            "socialgraph.spec",
            "socialgraph.stream",
            "socialgraph.table",
        },
        set(),
    ),
    "socialgraph/error_table.py": ({"socialgraph.metrics", "socialgraph.spec"}, {"torch"}),
    "socialgraph/finite.py": ({"socialgraph.scaler"}, {"torch"}),
    "socialgraph/checkpoint_io.py": (
        {"socialgraph.archive", "socialgraph.atomic"},
        {"torch", "pytorch_lightning"},
    ),
    "socialgraph/progress.py": (
        {
            "socialgraph.error_table",
            "socialgraph.metrics",
            "socialgraph.nn",
            "socialgraph.run_record",
        },
        {"torch", "pytorch_lightning"},
    ),
    "socialgraph/training_cli.py": (
        {
            "socialgraph.atomic",
            "socialgraph.checkpoint",
            "socialgraph.data",
            "socialgraph.error_table",
            "socialgraph.forecaster",
            "socialgraph.hush",
            "socialgraph.progress",
            "socialgraph.protocol",
            "socialgraph.run_record",
            "socialgraph.shell",
            "socialgraph.writers",
        },
        {"pytorch_lightning"},
    ),
    "socialgraph/hush.py": (set(), set()),
    "socialgraph/interrupts.py": (set(), set()),
    "socialgraph/shell.py": ({"socialgraph.interrupts"}, set()),
    "socialgraph/standard.py": ({"socialgraph.series"}, set()),
    "socialgraph/pretrained": (
        {
            "socialgraph.archive",
            "socialgraph.atomic",
            "socialgraph.checkpoint",
            "socialgraph.conformal",
            "socialgraph.data",
            "socialgraph.finite",
            "socialgraph.forecaster",
            "socialgraph.graph",
            "socialgraph.hush",
            "socialgraph.nn",
            "socialgraph.pretrained",
            "socialgraph.profile",
            "socialgraph.recipe",
            "socialgraph.scaler",
            "socialgraph.series",
            "socialgraph.spec",
            "socialgraph.standard",
            "socialgraph.table",
            "socialgraph.spread",
        },
        {"torch", "pandas", "pytorch_lightning"},
    ),
    "socialgraph/forecast_cli.py": (
        {
            "socialgraph",
            "socialgraph.atomic",
            "socialgraph.forecast_input",
            "socialgraph.forecast_words",
            "socialgraph.plot",
            "socialgraph.pretrained",
            "socialgraph.series",
        },
        {"pandas"},
    ),
    "socialgraph/forecast_input.py": (
        {"data_prep", "socialgraph", "socialgraph.series", "socialgraph.shell"},
        {"pandas"},
    ),
    "socialgraph/forecast_words.py": (
        {"socialgraph.graph", "socialgraph.pretrained", "socialgraph.series"},
        {"pandas"},
    ),
    "socialgraph/cli.py": ({"socialgraph", "socialgraph.training_help"}, set()),
    "socialgraph/training_help.py": (set(), set()),
    "data_prep": (
        {
            "socialgraph",
            "socialgraph.atomic",
            "socialgraph.axis",
            "socialgraph.calendar",
            "socialgraph.graph",
            "socialgraph.schema",
            "socialgraph.series",
            "socialgraph.shell",
            "socialgraph.storage",
            "data_prep",
        },
        {"pandas"},
    ),
}
HEAVY = {
    "pandas",
    "torch",
    "torch_geometric",
    "torchmetrics",
    "pytorch_lightning",
    "xlstm",
    "torch_scatter",
}
OURS = {"socialgraph", "data_prep", "benchmarks", "tests"}


@functools.cache
def imports(path):
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found.append(node.module)
    return found


def test_a_room_imports_only_what_it_may():
    forbidden = []
    for room, (ours, heavy) in RULES.items():
        files = [ROOT / room] if room.endswith(".py") else sorted((ROOT / room).rglob("*.py"))
        assert files, room
        for path in files:
            for name in imports(path):
                top = name.split(".")[0]
                room_of = top if top == "data_prep" else ".".join(name.split(".")[:2])
                is_near = top not in OURS or {name, room_of} & ours
                if not is_near or top in HEAVY - heavy:
                    forbidden.append(f"{path} imports {name}")
    assert forbidden == []


def test_only_the_encoder_imports_xlstm():
    found = [p.name for p in (ROOT / "socialgraph").rglob("*.py") if "xlstm" in set(imports(p))]
    assert found == ["encoder.py"]


def test_every_file_of_the_package_has_a_rule():
    files = {path.relative_to(ROOT).as_posix() for path in (ROOT / "socialgraph").rglob("*.py")}
    rooms = tuple(room if room.endswith(".py") else f"{room}/" for room in RULES)
    assert {f for f in files if not f.startswith(rooms)} == {"socialgraph/__main__.py"}


@pytest.mark.slow
def test_a_forecast_loads_no_lightning():
    code = (
        "import sys, socialgraph; socialgraph.load_pretrained(); "
        "assert 'pytorch_lightning' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_the_root_and_data_prep_load_without_torch_and_pandas():
    code = (
        "import sys, socialgraph, data_prep.__main__, socialgraph.graph, socialgraph.spec, "
        "socialgraph.stream.command, socialgraph.serve.command; "
        "assert not {'torch', 'pandas'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
