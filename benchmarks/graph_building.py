"""How long does the radius graph take, and how much memory, as the detectors grow in number?

``python -m benchmarks.graph_building`` builds the graph of random detectors at constant density
(``--degrees``: mean neighbours within ``--radius``, fewer at the border), or of real tables
(``--detectors``), from latitude and longitude, in three ways that give the same edges (checked
before timing) and their lengths:

- ``kd_tree``, the library: :class:`socialgraph.graph.RadiusGraph`, with lengths on the ellipsoid.
- ``all_pairs``: the matrix of distances; left out if it would take more than ``--limit``.
- ``pyg``: ``torch_geometric.nn.radius_graph``, if one of the packages that it needs is there.

The rivals know no latitude. They get points in space, whose straight lines are 8 micrometres short
of 2 km on the ground, so that the edges are the same ones.

Times are taken in one process, the ways in turn; memory in a fresh process for each way. How time
and memory grow is fitted over the random detectors, and stored beside the options.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow.csv
import torch
from pyproj import Proj, Transformer
from torch import Tensor

from benchmarks.environment import result_path, write_result
from benchmarks.measure import growth, interleaved_seconds, isolated, peak_memory, summary
from socialgraph.graph import RadiusGraph

__all__ = [
    "WAYS",
    "Task",
    "check_equal",
    "main",
    "measure_memory",
    "random_detectors",
    "random_positions",
]


@dataclass(frozen=True)
class Task:
    """Detectors, the longest edge in metres, and where the graph must lie.

    ``lat`` and ``lon`` are degrees ``[N]``. ``most`` is a number of neighbours that no detector
    exceeds, for builders that need a cap.
    """

    lat: np.ndarray
    lon: np.ndarray
    radius: float
    device: str
    most: int = 0

    @property
    def vdids(self) -> range:
        """Numbers in place of ids."""
        return range(len(self.lat))


def kd_tree(task: Task) -> tuple[Tensor, Tensor]:
    """The library's graph: ``edge_index`` ``[2, E]``, and metres ``[E]``."""
    graph = RadiusGraph(task.radius).build(task)
    edge_index, distance = torch.from_numpy(graph.edge_index), torch.from_numpy(graph.distance)
    return edge_index.to(task.device), distance.to(task.device)


def all_pairs(task: Task) -> tuple[Tensor, Tensor]:
    """The graph from the matrix of all distances."""
    pos = points_in_space(task)
    # By differences: through the faster matrix product, near points get wrong distances.
    distance = torch.cdist(pos, pos, compute_mode="donot_use_mm_for_euclid_dist")
    distance.fill_diagonal_(torch.inf)
    receiver, sender = (distance <= task.radius).nonzero().T
    return torch.stack([sender, receiver]), distance[receiver, sender]


def pyg(task: Task) -> tuple[Tensor, Tensor]:
    """PyTorch Geometric's graph, whose lengths are then computed."""
    from torch_geometric.nn import radius_graph

    pos = points_in_space(task)
    edge_index = radius_graph(pos, task.radius, max_num_neighbors=task.most)
    return edge_index, (pos[edge_index[0]] - pos[edge_index[1]]).norm(dim=1)


WAYS = {"kd_tree": kd_tree, "all_pairs": all_pairs, "pyg": pyg}


def points_in_space(task: Task) -> Tensor:
    """Metres from the centre of the earth ``[N, 3]``, float64."""
    to_space = Transformer.from_pipeline("+proj=cart +ellps=WGS84")
    pos = np.column_stack(to_space.transform(task.lon, task.lat, np.zeros_like(task.lat)))
    return torch.from_numpy(pos).to(task.device)


def random_positions(nodes: int, degree: float, radius: float) -> np.ndarray:
    """Uniform points ``[N, 2]`` in metres, in a square where a circle holds ``degree`` of them."""
    side = radius * (np.pi * nodes / degree) ** 0.5
    return side * np.random.default_rng(0).random((nodes, 2))


def random_detectors(nodes: int, degree: float, radius: float) -> tuple[np.ndarray, np.ndarray]:
    """Latitudes and longitudes ``[N]`` of :func:`random_positions`, laid out in California."""
    pos = random_positions(nodes, degree, radius)
    equal_area = Proj(proj="laea", ellps="WGS84", lat_0=37, lon_0=-120)  # keeps the density
    lon, lat = equal_area(*(pos - pos.mean(axis=0)).T, inverse=True)
    return lat, lon


def read_detectors(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Latitudes and longitudes ``[N]`` of a CSV with columns ``lat`` and ``lon``.

    Raises:
        KeyError: if a column is missing.
    """
    table = pyarrow.csv.read_csv(path)
    if missing := {"lat", "lon"} - set(table.column_names):
        raise KeyError(f"'{path}' has no column {sorted(missing)}; it holds {table.column_names}.")
    return table["lat"].to_numpy(), table["lon"].to_numpy()


def check_equal(graphs: dict[str, tuple[Tensor, Tensor]], nodes: int) -> None:
    """Compare sets of edges, in whatever order they come.

    Raises:
        RuntimeError: if a way has other edges than the first.
    """
    keys = {way: (edges[0] * nodes + edges[1]).sort()[0] for way, (edges, _) in graphs.items()}
    first, *others = keys
    for way in others:
        if not torch.equal(keys[way], keys[first]):
            raise RuntimeError(f"'{way}' and '{first}' differ in edges among {nodes} detectors.")


def measure_memory(way: str, task: Task) -> float:
    """Peak memory of one graph in MiB, to be called in a process of its own."""
    WAYS[way](_first_ten(task))  # loads what is loaded at the first call
    return peak_memory(partial(WAYS[way], task))[1]


def refusals(task: Task, limit: float) -> dict[str, dict]:
    """Ways that cannot be measured, and why."""
    reasons = {}
    matrix_mib = 9 * len(task.lat) ** 2 / 2**20  # a distance takes eight bytes, its comparison one
    if matrix_mib > limit:
        reason = f"its matrix takes {matrix_mib:,.1f} MiB, limit {limit:,.1f} MiB"
        reasons["all_pairs"] = {"left_out": reason, "matrix_mib": matrix_mib}
    try:
        pyg(_first_ten(task))
    except (ImportError, RuntimeError) as error:
        reasons["pyg"] = {"error": f"{type(error).__name__}: {error}"}
    return reasons


def measure_task(task: Task, args: argparse.Namespace) -> Iterator[dict]:
    """One entry for each way."""
    edges = kd_tree(task)[0]
    most = int(edges[1].bincount(minlength=1).max())
    task = replace(task, most=most + 1)  # and one, in case the node itself counts
    refused = refusals(task, args.limit)
    memory = measure_memory if args.quick else partial(isolated, measure_memory)
    builders = {way: partial(WAYS[way], task) for way in WAYS if way not in refused}
    check_equal({way: build() for way, build in builders.items()}, len(task.lat))
    seconds = interleaved_seconds(builders, args.repeats, device=args.device)
    for way in WAYS:
        entry = {"way": way, "nodes": len(task.lat), "edges": edges.size(1), "most": most}
        if way in builders:
            entry["seconds"] = summary(seconds[way])
            entry["peak_memory_mib"] = memory(way, task)
        yield entry | refused.get(way, {})


def fit_growth(results: list[dict]) -> list[dict]:
    """Exponents of growth in the number of random detectors, by way, density and quantity."""
    fits = []
    groups = {(e["way"], e["degree"]) for e in results if "degree" in e and "seconds" in e}
    for way, degree in sorted(groups):
        own = [e for e in results if (e["way"], e.get("degree")) == (way, degree)]
        times = {e["nodes"]: e["seconds"]["median"] for e in own if "seconds" in e}
        memory = {e["nodes"]: e["peak_memory_mib"] for e in own if "seconds" in e}
        # Below one MiB it is the allocator's pages that are measured, not the graph.
        memory = {nodes: mib for nodes, mib in memory.items() if mib >= 1}
        for quantity, values in (("seconds", times), ("peak_memory_mib", memory)):
            if len(values) > 1:
                label = {"way": way, "degree": degree, "quantity": quantity}
                fits.append({**label, **growth(list(values), list(values.values()))})
    return fits


def main(argv: list[str] | None = None) -> None:
    """Run from the command line."""
    args = _parse(argv)
    cases = [
        ({"data": "random", "degree": degree}, random_detectors(nodes, degree, args.radius))
        for degree in args.degrees
        for nodes in args.nodes
    ]
    cases += [({"data": path.stem}, read_detectors(path)) for path in args.detectors]
    results = []
    for label, positions in cases:
        task = Task(*positions, args.radius, args.device)
        for entry in measure_task(task, args):
            median = entry.get("seconds", {}).get("median", float("nan"))
            print(f"{label['data']} {len(task.lat)} {entry['way']}: {median:.4f} s", flush=True)
            results.append({**label, **entry})
        configuration = {**vars(args), "growth": fit_growth(results)}
        write_result(args.output, "graph_building", configuration, results)


def _first_ten(task: Task) -> Task:
    return replace(task, lat=task.lat[:10], lon=task.lon[:10])


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m benchmarks.graph_building")
    add = parser.add_argument
    sizes = [100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000, 100_000]
    add("--nodes", type=int, nargs="*", default=sizes, help="numbers of random detectors")
    add("--degrees", type=float, nargs="+", default=[10, 30], help="mean neighbours in the radius")
    add("--detectors", type=Path, nargs="*", default=[], help="CSV files with lat and lon as well")
    add("--radius", type=float, default=2000.0, help="longest edge in metres")
    add("--limit", type=float, default=4096.0, help="MiB that the matrix of distances may take")
    add("--repeats", type=int, default=15, help="timed rounds")
    add("--device", default="cuda" if torch.cuda.is_available() else "cpu", help="'cpu' or 'cuda'")
    add("--output", type=Path, help="JSON file to write")
    add("--quick", action="store_true", help="small, two rounds, memory in the same process")
    args = parser.parse_args(argv)
    if args.quick:
        args.nodes, args.degrees, args.repeats = [100, 300], [10.0], 2
    args.output = args.output or result_path(f"graph_building_{args.device}", args.quick)
    return args


if __name__ == "__main__":
    main()
