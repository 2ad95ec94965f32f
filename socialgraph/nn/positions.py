"""Strict mode: pooling runs on valid positions or not at all."""

import torch
from torch import Tensor

__all__ = ["check_edges", "check_positions"]

MEND = (
    "Inspect the file with 'python -m data_prep inspect FILE.h5' and write the missing positions "
    "into it with 'python -m data_prep backfill FILE.h5 --detectors TABLE.csv', or train without "
    "pooling (in YAML 'pooling: null')."
)


def check_positions(positions_xy: Tensor | None, num_nodes: int, vd_ids: list[str] | None) -> None:
    """Refuse positions that pooling cannot work with.

    Args:
        positions_xy: metres ``[N, 2]``, or None where the batch has none.
        num_nodes: detectors in the batch.
        vd_ids: their ids, to name those at fault.

    Raises:
        RuntimeError: where positions are missing, not ``[N, 2]``, NaN or infinite.
    """
    if positions_xy is None:
        raise RuntimeError(
            "Social pooling is enabled but 'positions_xy' is missing from the batch: no detector "
            f"of the HDF5 file has a 'position_lat' and 'position_lon' that can be used. {MEND}"
        )
    if tuple(positions_xy.shape) != (num_nodes, 2):
        raise RuntimeError(
            f"Social pooling is enabled but 'positions_xy' has shape {tuple(positions_xy.shape)}; "
            f"expected {(num_nodes, 2)}, one row per detector. {MEND}"
        )
    bad = (~torch.isfinite(positions_xy).all(dim=1)).nonzero().flatten().tolist()
    if bad:
        names = [str(vd_ids[i]) if vd_ids else f"number {i}" for i in bad]
        more = f" and {len(names) - 10} more" if len(names) > 10 else ""
        raise RuntimeError(
            f"Social pooling is enabled but 'positions_xy' is NaN or infinite for {len(bad)} of "
            f"{num_nodes} VDs: {', '.join(names[:10])}{more}. {MEND}"
        )


def check_edges(edge_index: Tensor | None, distance: Tensor | None) -> None:
    """Refuse a batch that has positions and no graph of them.

    Raises:
        RuntimeError: where ``edge_index`` or ``distance`` is None.
    """
    if edge_index is None or distance is None:
        lacking = "edge_index" if edge_index is None else "distance"
        raise RuntimeError(
            f"Social pooling is enabled but '{lacking}' is missing from the batch. Build both from "
            "'positions_xy' with socialgraph.graph.build_radius_graph."
        )
