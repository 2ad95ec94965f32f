"""Models of tsl (Torch Spatiotemporal), in the sizes of its traffic examples.

Those with a graph get the radius graph of the data, weighted by tsl's Gaussian kernel.
"""

import inspect
from functools import partial

import protocol
import torch
from torch import Tensor
from torch_sparse import SparseTensor
from tsl.nn import models
from tsl.ops.similarities import gaussian_kernel

OPTIONS = {
    "RNNModel": {"rec_layers": 2, "rec_dropout": 0.1, "ff_dropout": 0.1},
    "RNNEncGCNDecModel": {
        "hidden_size": 64,
        "rnn_layers": 2,
        "gcn_layers": 2,
        "rnn_dropout": 0.1,
        "gcn_dropout": 0.1,
    },
    "GRUGCNModel": {"hidden_size": 32, "enc_layers": 1, "gcn_layers": 2},
    "STIDModel": {},
    "GraphWaveNetModel": {},
    "DCRNNModel": {"hidden_size": 64, "ff_size": 128, "cache_support": True},
    "AGCRNModel": {"n_layers": 2},
}
COMPRESSED = ("GraphWaveNetModel", "DCRNNModel")  # as in the examples; several times faster
RATES = {"GRUGCNModel": 3e-3, "AGCRNModel": 3e-3}


def make_model(name: str, windows: protocol.Windows) -> protocol.Model:
    """A model with the clock (and the mask, if readings are missing) as covariates.

    Raises:
        ValueError: if a graph is needed and the data have none.
    """
    kind = getattr(models, name)
    sizes = {
        "input_size": windows.values.size(2),
        "output_size": windows.values.size(2),
        "n_nodes": windows.values.size(1),
        "window": windows.window,
        "horizon": windows.horizon,
        "exog_size": 2 + windows.missing * windows.values.size(2),
        "n_exog_emb": [windows.slots, 7] if windows.covers_week else [windows.slots],
    }
    wanted = inspect.signature(kind).parameters
    network = kind(**{k: v for k, v in sizes.items() if k in wanted}, **OPTIONS[name])
    takes_graph = "edge_index" in inspect.signature(kind.forward).parameters
    graph = _graph(name, windows) if takes_graph else {}

    def forecast(batch: dict[str, Tensor]) -> Tensor:
        return network(batch["x"], u=_covariates(name, windows, batch), **graph)

    return protocol.Model(network, forecast, RATES.get(name, 1e-3))


def _covariates(name: str, windows: protocol.Windows, batch: dict[str, Tensor]) -> Tensor:
    if name != "STIDModel":
        return batch["covariates"]
    clock = [batch["slot"], batch["day_of_week"]][: 1 + windows.covers_week]
    return torch.stack(clock, dim=-1)[:, : windows.window]


def _graph(name: str, windows: protocol.Windows) -> dict[str, Tensor | SparseTensor | None]:
    if not windows.edge_index.numel():
        raise ValueError(f"'{name}' needs a graph, and the data have no valid positions.")
    weight = torch.from_numpy(gaussian_kernel(windows.distance.numpy()))
    if name not in COMPRESSED:
        return {"edge_index": windows.edge_index, "edge_weight": weight}
    sizes = 2 * (windows.values.size(1),)
    adjacency = SparseTensor.from_edge_index(windows.edge_index, weight, sizes)
    return {"edge_index": adjacency.t(), "edge_weight": None}


if __name__ == "__main__":
    protocol.main("torch-spatiotemporal", {name: partial(make_model, name) for name in OPTIONS})
