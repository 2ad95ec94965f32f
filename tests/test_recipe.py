"""How objects are written down as plain values, and what is never made from those."""

import copy
import functools
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from socialgraph.data.split import ShareSplit
from socialgraph.graph import CombinedGraph, RadiusGraph
from socialgraph.nn import SocialPooling, XLSTMEncoder
from socialgraph.recipe import check_trust, describe, make, make_like, recorded
from tests.networks import plain_network

ENCODER = functools.partial(XLSTMEncoder, hidden_channels=8, num_blocks=1, slstm_at=(), heads=2)
POOLING = functools.partial(SocialPooling, radius=500.0)


class Kept:
    """Keeps its arguments by the decorator."""

    @recorded
    def __init__(self, first, second=None, *, third=3):
        self.sum = third


class Own(Kept):
    """A subclass whose arguments are others, kept as attributes."""

    def __init__(self, width):
        super().__init__(first=10 * width)
        self.width = width


class Forgetful(Kept):
    """A subclass that keeps nothing of its own."""

    def __init__(self, width):
        super().__init__(first=10 * width)


class Alike(Kept):
    """A subclass that takes the same arguments."""


class Maker:
    """Makes one of its arguments from a factory."""

    @recorded
    def __init__(self, factory):
        self.factory = factory(1)


@dataclass
class Pair:
    one: object
    two: object


def plain(thing):
    """Whether there are only values that a checkpoint with weights alone may hold."""
    if type(thing) is dict:
        return all(type(name) is str and plain(value) for name, value in thing.items())
    if type(thing) is list:
        return all(map(plain, thing))
    return type(thing) in (type(None), bool, int, float, str)


def test_arguments_are_written_by_name_with_their_defaults():
    path = "tests.test_recipe.Kept"
    told = {"class_path": path, "init_args": {"first": 1, "second": "b", "third": 3}}
    assert describe(Kept(1, "b")) == told
    made = make(told, trust=["tests"])
    assert type(made) is Kept
    assert describe(made) == told


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ((1, [2.5, None]), [1, [2.5, None]]),
        (range(1, 4), [1, 2, 3]),
        (Path("a/b"), "a/b"),
        ({"a": (True, "x")}, {"a": [True, "x"]}),
        (np.float64(0.5), 0.5),
        (np.float32(0.5), 0.5),
        (np.int64(3), 3),
        (np.str_("x"), "x"),
    ],
    ids=repr,
)
def test_values_are_written_plainly(value, written, tmp_path):
    told = describe(Kept(value))
    assert told["init_args"]["first"] == written
    assert plain(told)
    torch.save(told, tmp_path / "told.pt")
    assert torch.load(tmp_path / "told.pt", weights_only=True) == told


def test_objects_within_objects_and_lists_are_made_again():
    whole = Kept([Kept(1), Pair(Kept(2), {"x": Kept(3)})], second=RadiusGraph(700.0))
    made = make(describe(whole), trust=["tests"])
    assert describe(made) == describe(whole)
    first, pair = made.init_args["first"]
    assert (type(first), type(pair), type(pair.two["x"])) == (Kept, Pair, Kept)
    assert made.init_args["second"].max_radius == 700.0


def test_what_has_no_decorator_is_described_by_its_attributes():
    graph = CombinedGraph([RadiusGraph(500.0), RadiusGraph(900.0, max_num_neighbors=4)])
    made = make(describe(graph))
    assert [part.max_radius for part in made.graphs] == [500.0, 900.0]
    assert made.graphs[1].max_num_neighbors == 4
    assert describe(make(describe(ShareSplit()))) == describe(ShareSplit())


def test_a_factory_is_described_by_what_it_made():
    for factory in (lambda first: Kept(first, third=7), functools.partial(Kept, third=7)):
        told = describe(Maker(factory))["init_args"]["factory"]
        assert told["init_args"] == {"first": 1, "second": None, "third": 7}


def test_a_subclass_is_described_by_its_own_arguments():
    assert describe(Own(4))["init_args"] == {"width": 4}
    assert make(describe(Own(4)), trust=["tests"]).width == 4
    assert describe(Alike(1))["init_args"] == {"first": 1, "second": None, "third": 3}
    with pytest.raises(TypeError, match="'width' of Forgetful cannot be written"):
        describe(Forgetful(4))


def test_what_cannot_be_written_is_named():
    for value in [torch.zeros(2), object(), print, Kept, np.zeros(2)]:
        with pytest.raises(
            TypeError, match=r"'first' of Kept cannot be written .*recipe\.recorded"
        ):
            describe(Kept(value))


def test_a_class_that_cannot_be_found_again_is_not_written():
    class Local(Kept):
        pass

    with pytest.raises(TypeError, match="a class of a module"):
        describe(Local(1))


def test_arguments_without_names_are_refused_at_once():
    with pytest.raises(TypeError, match=r"names \(got '\*\*options'"):
        recorded(lambda self, **options: None)
    with pytest.raises(TypeError, match=r"names \(got '\*parts'"):
        recorded(lambda self, *parts: None)


def test_an_object_like_another_has_weights_of_its_own():
    encoder = ENCODER(3, dropout=0.25)
    other = make_like(encoder)
    assert describe(other) == describe(encoder)
    assert not torch.equal(other.project.weight, encoder.project.weight)
    assert make_like(Kept(1)).init_args["first"] == 1  # whatever its package


@pytest.mark.parametrize(
    ("given", "node_channels", "lazy"),
    [
        ("factory", 3, True),
        ("factory", 0, False),
        ("module", 3, False),
        ("module", 0, True),
        ("none", 3, False),
    ],
)
def test_a_network_is_made_again_with_the_same_forecasts(given, node_channels, lazy):
    sizes = {"in_channels": 2, "out_channels": 1, "window": 5, "horizon": 3}
    parts = (ENCODER, None if given == "none" else POOLING)
    if given == "module":
        width = 8 + node_channels
        parts = (ENCODER(13), POOLING(width, width))
    told = {} if lazy else {**sizes, "num_nodes": 4}
    network = plain_network(*parts, node_channels=node_channels, **told)
    network.build(**sizes, vdids=list("abcd"), max_radius=1000.0)
    again = make(describe(network))
    assert describe(again) == describe(network)
    assert plain(describe(network))
    again.load_state_dict(network.state_dict())
    batch = {
        "features": torch.randn(2, 5, 4, 2),
        "mask": torch.rand(2, 5, 4, 2) > 0.2,
        "time_of_day": torch.rand(2, 5),
        "day_of_week": torch.randint(0, 7, (2, 5)),
        "positions_xy": torch.rand(4, 2),
        "edge_index": torch.tensor([[1, 0, 2], [0, 1, 1]]),
        "distance": torch.tensor([400.0, 400.0, 700.0]),
    }
    outs = [net.eval()(**batch) for net in (network, again)]
    torch.testing.assert_close(*outs, rtol=0, atol=0)


HOSTILE = [
    ("os.system", {"command": "touch {}"}),
    ("builtins.eval", {"source": "open('{}', 'w')"}),
    ("subprocess.Popen", {"args": ["touch", "{}"]}),
    ("tests.test_recipe.Kept", {"first": 1}),
    ("socialgraphs.nn.SocialPooling", {}),
    ("socialgraph.cli.main", {"args": ["fit"]}),
    ("socialgraph.training_cli.ForecastCLI", {"args": ["fit"]}),
    ("socialgraph.stream.StreamStore", {"path": "{}"}),
    ("socialgraph.writers.ErrorWriter", {"path": "{}"}),
    ("socialgraph.__main__.main", {}),
    ("socialgraph.nn", {}),
    ("socialgraph", {}),
    ("", {}),
    (None, {}),
    (["os.system"], {}),
    ({"a": 1}, {}),
]


def test_only_parts_of_networks_and_data_are_made(tmp_path):
    mark = tmp_path / "mark"
    good = {"class_path": "socialgraph.graph.RadiusGraph", "init_args": {"max_radius": 5.0}}
    for path, arguments in HOSTILE:
        filled = {
            name: [str(v).format(mark) for v in value] if isinstance(value, list) else value
            for name, value in arguments.items()
        }
        filled = {k: v.format(mark) if isinstance(v, str) else v for k, v in filled.items()}
        bad = {"class_path": path, "init_args": filled}
        inside = {**good, "init_args": {"max_radius": [{"deep": (bad,)}]}}
        for recipe in (bad, inside):
            with pytest.raises(ValueError, match=r"names the class .*If you trust it, say so"):
                make(recipe)
            with pytest.raises(ValueError, match="names the class"):
                check_trust({"data": [recipe]})
        assert not mark.exists(), path


def test_a_class_that_a_module_only_imports_is_not_made():
    for path in [
        "socialgraph.nn.encoder.xLSTMBlockStack",  # of a package that a module imports from
        "socialgraph.nn.pooling.Linear",
        "socialgraph.data.datamodule.Path",
    ]:
        with pytest.raises(ValueError, match="names the class"):
            make({"class_path": path, "init_args": {}})


def test_what_is_no_class_or_takes_other_arguments_is_refused():
    for path, words in [
        ("socialgraph.nn.Nothing", "There is no class 'socialgraph.nn.Nothing'"),
        ("socialgraph.nn.nothing.Thing", "There is no class"),
        ("socialgraph.nn..Thing", "There is no class"),
        ("socialgraph.nn.", "There is no class"),
        ("socialgraph.nn.map_state", "Expected the name of a class"),
        ("socialgraph.nn.encoder.torch", "Expected the name of a class"),
        ("socialgraph.graph.builder.GraphBuilder", "Cannot make a socialgraph.graph.builder"),
        ("socialgraph.graph.RadiusGraph", r"Cannot make a .*unexpected keyword.*reach"),
    ]:
        with pytest.raises(ValueError, match=words):
            make({"class_path": path, "init_args": {"reach": 3}})


def test_a_trusted_package_is_that_package_alone():
    told = describe(Kept(RadiusGraph()))
    assert type(make(told, trust=["tests"]).init_args["first"]) is RadiusGraph
    for trust in ([], ["test"], ["tests.test_recipe"], ["other"]):
        with pytest.raises(ValueError, match=r"trust=\['tests'\]"):
            make(told, trust)
    with pytest.raises(ValueError, match=r"trust=\['os'\]"):
        make({"class_path": "os.system", "init_args": {"command": "true"}}, trust=["tests"])


def test_values_without_a_class_stay_as_they_are():
    assert make({"a": [1, {"b": None}], "class": "os.system"}) == {
        "a": [1, {"b": None}],
        "class": "os.system",
    }


def test_arguments_without_names_are_refused():
    for given in [True, [1], "a", 3]:
        recipe = {"class_path": "socialgraph.nn.XLSTMEncoder", "init_args": given}
        with pytest.raises(ValueError, match="arguments by name of socialgraph"):
            make(recipe)


def test_odd_values_of_a_class_that_may_be_made_are_refused():
    for args in ({"in_channels": 3, "encoders": 5}, {"in_channels": "a", "encoders": [{}]}):
        with pytest.raises(ValueError, match=r"SumEncoder|Expected"):
            make({"class_path": "socialgraph.nn.SumEncoder", "init_args": args})


def test_a_deep_copy_does_not_follow_what_makes_a_part():
    endless = (n for n in ())  # as a command line's factory holds on to its Trainer
    network = plain_network(
        ENCODER, functools.partial(lambda held, *sizes: POOLING(*sizes), endless)
    )
    sizes = {"in_channels": 1, "out_channels": 1, "window": 4, "horizon": 2, "vdids": ["A", "B"]}
    network.build(**sizes)
    twin = copy.deepcopy(network)
    twin.init_args["horizon"] = 9
    assert network.init_args["horizon"] == 2
    assert describe(network)["class_path"] == describe(twin)["class_path"]
    with torch.no_grad():
        next(twin.parameters()).add_(1.0)
    assert not torch.equal(next(twin.parameters()), next(network.parameters()))
