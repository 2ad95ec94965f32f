"""The ablation: every variant is one that the command line takes, and differs from the default."""

import json

import pytest
import yaml

from benchmarks.ablation import VARIANTS, changes
from socialgraph.cli import main
from tests.conftest import ROOT

PROFILE = ROOT / "configs" / "metr_la_week.yaml"


def parsed(variant, capsys):
    """The configuration of a variant, as the command line understands it."""
    model = ROOT / "configs" / "model" / f"{VARIANTS[variant][0]}.yaml"
    words = [f"--config={PROFILE}", f"--model={model}", *changes(variant), "--print_config"]
    with pytest.raises(SystemExit):
        main(["fit", *words])
    config = yaml.safe_load(capsys.readouterr().out)
    return {name: config[name] for name in ("model", "data", "trainer")}


@pytest.mark.slow
def test_a_variant_changes_what_it_says(capsys):
    default = parsed("stacked", capsys)
    for variant in [*VARIANTS][1:]:
        own = parsed(variant, capsys)
        assert own != default, variant
        for name, value in VARIANTS[variant][1].items():
            found = own
            for key in name.split("."):
                found = found[key]
            assert _without_defaults(found, value) == json.loads(json.dumps(value)), variant


def _without_defaults(found, wanted):
    """What was found of what was wanted, as the command line fills in the rest."""
    if isinstance(wanted, dict):
        return {name: _without_defaults(found[name], value) for name, value in wanted.items()}
    if isinstance(wanted, list):
        return [_without_defaults(*pair) for pair in zip(found, wanted, strict=True)]
    return found
