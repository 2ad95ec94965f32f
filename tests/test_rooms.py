"""Who may import whom: the rooms of the package, read from the source."""

import ast
import subprocess
import sys

import pytest

from tests.conftest import ROOT

RULES = {  # folder or file: what it may import of ours, and which heavy packages
    "socialgraph/__init__.py": (set(), set()),
    "socialgraph/atomic.py": (set(), set()),
    "socialgraph/schema.py": ({"socialgraph", "socialgraph.atomic"}, set()),
    "socialgraph/graph": ({"socialgraph.graph"}, set()),
    "socialgraph/plot.py": (
        {"socialgraph", "socialgraph.atomic", "socialgraph.schema", "socialgraph.graph"},
        set(),
    ),
    "socialgraph/scaler.py": (set(), {"torch"}),
    "socialgraph/metrics.py": (set(), {"torch", "torchmetrics"}),
    "socialgraph/nn": ({"socialgraph.nn"}, {"torch", "torch_geometric", "xlstm"}),
    "socialgraph/data": (
        {"socialgraph", "socialgraph.data", "socialgraph.graph", "socialgraph.scaler"},
        {"torch", "pytorch_lightning"},
    ),
    "socialgraph/forecaster.py": (
        {"socialgraph.metrics", "socialgraph.scaler"},
        {"torch", "pytorch_lightning"},
    ),
    "socialgraph/writers.py": ({"socialgraph.atomic"}, {"torch", "pytorch_lightning"}),
    "socialgraph/stream.py": (
        {
            "socialgraph.atomic",
            "socialgraph.data",
            "socialgraph.forecaster",
            "socialgraph.graph",
            "socialgraph.nn",
        },
        {"torch"},
    ),
    "socialgraph/stream_cli.py": ({"socialgraph.forecaster", "socialgraph.stream"}, {"torch"}),
    "socialgraph/cli.py": (
        {
            "socialgraph",
            "socialgraph.data",
            "socialgraph.forecaster",
            "socialgraph.schema",
            "socialgraph.writers",
        },
        {"torch", "pytorch_lightning"},
    ),
    "data_prep": (
        {
            "socialgraph",
            "socialgraph.atomic",
            "socialgraph.schema",
            "socialgraph.graph",
            "data_prep",
        },
        set(),
    ),
}
HEAVY = {"torch", "torch_geometric", "torchmetrics", "pytorch_lightning", "xlstm", "torch_scatter"}
OURS = {"socialgraph", "data_prep", "benchmarks", "tests"}


def imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module


@pytest.mark.parametrize("room", RULES)
def test_a_room_imports_only_what_it_may(room):
    ours, heavy = RULES[room]
    files = [ROOT / room] if room.endswith(".py") else sorted((ROOT / room).rglob("*.py"))
    assert files
    for path in files:
        for name in imports(path):
            top = name.split(".")[0]
            if top in OURS:
                room_of = top if top == "data_prep" else ".".join(name.split(".")[:2])
                near = {name, room_of}
                assert near & ours, f"{path} imports {name}"
            assert top not in HEAVY - heavy, f"{path} imports {name}"


def test_only_the_encoder_imports_xlstm():
    found = [p.name for p in (ROOT / "socialgraph").rglob("*.py") if "xlstm" in set(imports(p))]
    assert found == ["encoder.py"]


def test_the_root_and_data_prep_load_without_torch():
    code = "import sys, socialgraph, data_prep.__main__; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
