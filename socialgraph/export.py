"""A forecaster as a file that needs no Lightning: ONNX, or a program of ``torch.export``."""

import argparse
import copy
import io
import json
import logging
import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from inspect import signature
from pathlib import Path
from typing import get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.export import Dim

from socialgraph.atomic import refuse_replacing, replacing
from socialgraph.conformal import ordered
from socialgraph.cusum import Charts
from socialgraph.data.graph import graph_tensors
from socialgraph.forecaster import Forecaster, load
from socialgraph.profile import is_weekend, slots_of
from socialgraph.scaler import Scaling
from socialgraph.shell import split_names

__all__ = ["PlainForecaster", "dynamic_shapes", "example_inputs", "export_forecaster", "main"]

# Axes that may be of any length.
_AXES: dict[str, dict[int, str]] = {
    "readings": {0: "batch", 2: "detectors"},
    "time_of_day": {0: "batch"},
    "day_of_week": {0: "batch"},
    "node": {0: "detectors"},
    "known": {0: "batch", 2: "detectors"},
    "edge_index": {1: "edges"},
    "distance": {0: "edges"},
    "offset": {0: "edges"},
    "edge_attr": {0: "edges"},
}


# What parts of a network may read.
_TOLD = {"features", "mask", "profile", "profile_deviation", "attributes", "known"}
_TOLD |= {f"{when}{name}" for when in ("", "target_") for name in ("time_of_day", "day_of_week")}


class PlainForecaster(nn.Module):
    """A trained forecaster as one function of tensors, in real units.

    Args:
        forecaster: a trained one; its profile and attributes become tables of the detectors of the
            training, of which ``node`` names the rows.

    Shapes:
        - **readings:** in the units of the series :math:`(B, T, N, F)`, NaN where missing
        - **time_of_day:** share of the local day that has passed, of the steps of window and
          targets :math:`(B, T + P)`
        - **day_of_week:** 0 for Monday, 6 for a holiday too :math:`(B, T + P)`
        - **node:** rows of the detectors among those of the training :math:`(N)`, -1 for a stranger
        - **known:** features that are known ahead, in their units :math:`(B, T + P, N, K)`
        - **edge_index, distance, offset, edge_attr:** the graph of the N detectors, as in a batch
        - **output:** forecasts of the targets :math:`(B, P, N, F')`; if the forecaster tells
          quantiles, a pair of these and the quantiles :math:`(B, P, N, F', L)`
    """

    def __init__(self, forecaster: Forecaster) -> None:
        super().__init__()
        spec, profile = forecaster.spec, forecaster.profile
        self.network = copy.deepcopy(forecaster.network).cpu()  # the caller's stays as it is
        self.scaler = copy.deepcopy(forecaster.scaler).cpu()
        self.objective, self.levels = forecaster.objective, forecaster.levels
        self.window, self.num_nodes = spec.window, len(spec.vdids)
        self.places = [spec.features.index(name) for name in spec.known]
        names = ("usual", "usual_deviation", "known_of_nodes", "corrections")
        tables = dict.fromkeys(names)
        # The last row is for strangers, here and below.
        if forecaster.conformal is not None:
            rows = torch.tensor([*range(self.num_nodes), -1])
            tables["corrections"] = forecaster.conformal.take(rows).own
        if profile is not None:
            for name, part in (("usual", profile.mean), ("usual_deviation", profile.deviation)):
                tables[name] = torch.cat([part, part.mean(dim=2, keepdim=True)], dim=2)
        if forecaster.attributes is not None:
            tables["known_of_nodes"] = F.pad(forecaster.attributes, (0, 0, 0, 1))
        for name, table in tables.items():
            self.register_buffer(name, table)

    def forward(
        self,
        readings: Tensor,
        time_of_day: Tensor,
        day_of_week: Tensor,
        node: Tensor,
        known: Tensor | None = None,
        edge_index: Tensor | None = None,
        distance: Tensor | None = None,
        offset: Tensor | None = None,
        edge_attr: Tensor | None = None,
    ) -> Tensor | tuple[Tensor, Tensor]:
        mask = ~readings.isnan()
        batch = {
            "features": self.scaler.transform(readings, mask),
            "mask": mask,
            "node": node,
            "edge_index": edge_index,
            "distance": distance,
            "offset": offset,
            "edge_attr": edge_attr,
            "positions_xy": readings.new_zeros(readings.size(2), 2),  # the edges say it all
        }
        for name, clock in (("time_of_day", time_of_day), ("day_of_week", day_of_week)):
            batch[name], batch[f"target_{name}"] = clock[:, : self.window], clock[:, self.window :]
        row = torch.where(node < 0, self.num_nodes, node)
        if self.usual is not None:
            place = is_weekend(day_of_week).long(), slots_of(time_of_day, self.usual.size(1))
            place = *(part.unsqueeze(2) for part in place), row  # [B, T + P, N]
            usual = self.usual[place]
            batch["profile"] = self.scaler.transform(usual, usual.isfinite())
            batch["profile_deviation"] = self.usual_deviation[place] / self.scaler.scale
        if self.known_of_nodes is not None:
            batch["attributes"] = self.known_of_nodes[row]
        if known is not None:
            loc, scale = self.scaler.loc[self.places], self.scaler.scale[self.places]
            batch["known"] = ((known - loc) / scale).nan_to_num()
        entries = self.network.entries
        raw = self.network(**{name: batch[name] for name in entries if name in batch})
        targets = raw.size(-1) // self.objective.width
        units = self.scaler.loc[:targets], self.scaler.scale[:targets]
        prediction = self.objective.decode(raw, *units)
        forecast = self.objective.point(prediction)
        if not self.levels:
            return forecast
        quantiles = self.objective.quantiles(prediction, self.levels)
        if self.corrections is not None:
            quantiles = ordered(quantiles + self.corrections[:, row], forecast, self.levels)
        return forecast, quantiles


def export_forecaster(forecaster: Forecaster, path: str | Path) -> None:
    """Write a forecaster, with its specification and the graph of its detectors.

    Args:
        forecaster: a trained one.
        path: ``.onnx`` for :class:`socialgraph.runtime.RuntimeForecaster`; or ``.pt2``, a program
            of ``torch.export`` in whose archive the specification is ``spec.json``, and the levels
            of the quantiles ``levels.json``.

    Raises:
        ValueError: for a forecaster without training, one with an encoder for each detector, which
            exporters cannot follow, or another ending.
        RuntimeError: if the network pools and a position is not known.
        ImportError: for ONNX without its packages, or a torch whose exporters cannot follow.
    """
    path = Path(path)
    if "kwargs" not in signature(torch.onnx.export).parameters:  # torch 2.4
        raise ImportError(
            f"Exporting needs a later torch than {torch.__version__}: take its latest."
        )
    if path.suffix not in (".onnx", ".pt2"):
        raise ValueError(f"Expected a file '.onnx' or '.pt2' to export to (got '{path}').")
    if forecaster.spec is None:
        raise ValueError("Expected a trained forecaster. Fit it, or load its checkpoint.")
    _check_exportable(forecaster)
    whole = graph_tensors(forecaster.build_graph(), forecaster.spec)
    plain, graph = _plain(forecaster, whole)
    spec = json.dumps(_jsonable(forecaster.spec.to_dict()), allow_nan=False)
    levels = json.dumps(plain.levels)
    example = example_inputs(forecaster, graph)
    with _quiet(), replacing(path) as temporary, torch.no_grad():
        if path.suffix == ".pt2":
            shapes = dynamic_shapes(example)
            program = torch.export.export(plain, (), example, dynamic_shapes=shapes)
            archive = io.BytesIO()  # torch's own writer ends the process on a full disk
            kept = {"spec.json": spec, "levels.json": levels}
            torch.export.save(program, archive, extra_files=kept)
            temporary.write_bytes(archive.getbuffer())
        else:
            defaults = {**graph, "node": torch.arange(len(forecaster.spec.vdids))}
            alarms = json.dumps(_alarms(forecaster.charts, whole.get("edge_index")))
            kept = {"socialgraph": spec, "levels": levels, "alarms": alarms}
            _write_onnx(plain, example, defaults, kept, temporary)


def _check_exportable(forecaster: Forecaster) -> None:
    """Refuse what the function cannot be made of."""
    if not getattr(forecaster.network, "serves_strangers", True):
        raise ValueError(
            "A network with an encoder for each detector is not exported: exporters cannot follow "
            "it. Export one with a shared encoder."
        )
    if forecaster.spec.scaling not in get_args(Scaling):
        raise ValueError(
            "A training on several networks is not exported, as each series is scaled by itself. "
            "Use 'socialgraph forecast READINGS --checkpoint FILE'."
        )
    parts = getattr(forecaster.network, "inputs", [])
    unknown = {entry for part in parts for entry in part.entries} - _TOLD
    if unknown:
        raise ValueError(
            f"The network reads {sorted(unknown)}, which an exported forecaster is not told. Train "
            "one without that part of 'inputs'."
        )


def _plain(
    forecaster: Forecaster, graph: dict[str, Tensor]
) -> tuple[PlainForecaster, dict[str, Tensor]]:
    """The function, and the graph of the detectors of the training as far as it is read."""
    forecaster.check_batch(graph, forecaster.spec)
    known = {name: graph[name] for name in _AXES if name in graph}
    poolings = getattr(forecaster.network, "poolings", [])
    if not any(getattr(pooling, "edge_dim", 0) for pooling in poolings):
        known.pop("edge_attr", None)
    return PlainForecaster(forecaster).cpu().eval(), known if poolings else {}


def example_inputs(forecaster: Forecaster, graph: dict[str, Tensor]) -> dict[str, Tensor]:
    """Inputs of a :class:`PlainForecaster` for an exporter to follow.

    Args:
        forecaster: a trained one.
        graph: what the function reads of a graph.

    Returns:
        Inputs by name. An axis that may be of any length has one that occurs nowhere else.
    """
    spec, (size, nodes, edges) = forecaster.spec, (3, 7, 11)
    steps = spec.window + spec.horizon
    example = {
        "readings": torch.full((size, spec.window, nodes, len(spec.features)), spec.loc[0]),
        "time_of_day": torch.linspace(0, 0.5, steps).repeat(size, 1),
        "day_of_week": torch.zeros(size, steps, dtype=torch.int64),
        "node": torch.arange(nodes) % len(spec.vdids),
    }
    if spec.known:
        example["known"] = torch.zeros(size, steps, nodes, len(spec.known))
    for name, part in graph.items():
        axis = next(iter(_AXES[name]))
        shape = [edges if place == axis else length for place, length in enumerate(part.shape)]
        example[name] = torch.ones(shape, dtype=part.dtype)
    if "edge_index" in example:
        receiver = torch.arange(edges) * nodes // edges
        example["edge_index"] = torch.stack([(receiver + 1) % nodes, receiver])
    return example


def dynamic_shapes(example: dict[str, Tensor]) -> dict[str, dict[int, Dim]]:
    """Axes of each of these inputs that may be of any length, for ``torch.export``."""
    dims = {name: Dim(name) for axes in _AXES.values() for name in axes.values()}
    return {name: {axis: dims[of] for axis, of in _AXES[name].items()} for name in example}


def _alarms(charts: Charts | None, edge_index: Tensor | None) -> dict | None:
    """What a runtime needs to tell alarms, as plain values; None without charts."""
    if charts is None:
        return None
    edges = [[], []] if edge_index is None else edge_index.tolist()
    return {"charts": {n: part.tolist() for n, part in vars(charts).items()}, "edge_index": edges}


def _write_onnx(
    plain: PlainForecaster,
    example: dict[str, Tensor],
    defaults: dict[str, Tensor],
    kept: dict[str, str],
    path: Path,
) -> None:
    """Write ONNX whose inputs of graph and detectors may be left out: they have ``defaults``."""
    try:
        import onnx
    except ImportError as error:
        raise ImportError("ONNX needs its packages: pip install 'socialgraph[export]'.") from error
    names = list(example)
    program = torch.onnx.export(
        plain,
        kwargs=example,
        dynamic_shapes=dynamic_shapes(example),
        input_names=names,
        output_names=["forecast", "quantiles"][: 1 + bool(plain.levels)],
        dynamo=True,
        verbose=False,
    )
    model = program.model_proto
    read = {name for step in model.graph.node for name in step.input}
    inputs = [entry for entry in model.graph.input if entry.name in read]
    del model.graph.input[:]
    model.graph.input.extend(inputs)
    for name in [entry.name for entry in inputs if entry.name in defaults]:
        tensor = onnx.numpy_helper.from_array(defaults[name].numpy(), name)
        model.graph.initializer.append(tensor)
    onnx.helper.set_model_props(model, kept)
    onnx.save(model, path)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what exporters say about themselves."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            for logger in loggers:
                logger.setLevel(logging.ERROR)
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


def _jsonable(value: object) -> object:
    """Plain values as JSON keeps them, null for NaN."""
    if isinstance(value, float) and math.isnan(value):
        return None
    if isinstance(value, dict):
        return {name: _jsonable(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_jsonable(part) for part in value]
    return value


def main(args: Sequence[str] | None = None) -> None:
    """Export from the command line."""
    parser = argparse.ArgumentParser(
        "socialgraph export", description="Write a checkpoint as ONNX or as a torch program."
    )
    parser.add_argument("--ckpt_path", required=True, help="checkpoint of 'socialgraph fit'")
    parser.add_argument("--to", required=True, type=Path, help="file to write: .onnx or .pt2")
    parser.add_argument("--trust", default="", help="packages whose classes may be made, a,b")
    options = parser.parse_args(args)
    refuse_replacing(options.to, options.ckpt_path)
    trusted = split_names(options.trust)
    export_forecaster(load(options.ckpt_path, trust=trusted), options.to)
    size = options.to.stat().st_size / 2**20
    print(f"forecaster  {options.to} ({size:.1f} MiB)")
    if options.to.suffix == ".onnx":
        print("use it      socialgraph.runtime.RuntimeForecaster, with numpy and onnxruntime alone")
