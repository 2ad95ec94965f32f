"""Strict mode: pooling runs on valid positions or not at all."""

import torch
from torch import Tensor

__all__ = [
    "check_edges",
    "check_positions",
    "edges_within",
    "positions_by_detector",
    "stack_positions",
]

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
    _check_shape(positions_xy, num_nodes)
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


def positions_by_detector(
    positions_xy: Tensor | None, vd_ids: list[str]
) -> dict[str, Tensor] | None:
    """Positions as the distributed model takes them, of the detectors that have one.

    Args:
        positions_xy: metres ``[N, 2]``, NaN for a detector without; None where the batch has none.
        vd_ids: ids of the detectors, N.

    Returns:
        Metres ``[2]`` by id, or None.

    Raises:
        RuntimeError: where the shape is another.
    """
    if positions_xy is None:
        return None
    _check_shape(positions_xy, len(vd_ids))
    known = torch.isfinite(positions_xy).all(dim=1).tolist()
    rows = zip(vd_ids, positions_xy.unbind(), known, strict=True)
    return {vdid: row for vdid, row, is_known in rows if is_known}


def stack_positions(positions: dict[str, Tensor] | None, vd_ids: list[str]) -> Tensor:
    """One position per detector from the per-VD entries of a distributed batch.

    Args:
        positions: metres ``[..., 2]`` by id (``[2]``, or ``[B, T, 2]`` with the same at every
            step), or None where the batch has none.
        vd_ids: ids of the detectors, N.

    Returns:
        Metres ``[N, 2]``.

    Raises:
        RuntimeError: where positions are missing, of one VD or of all, NaN, infinite, of another
            shape, or change.
    """
    if positions is None:
        raise RuntimeError(
            "Social pooling is enabled but 'positions' is missing from the batch: no detector of "
            f"the HDF5 file has a 'position_lat' and 'position_lon' that can be used. {MEND}"
        )
    known = {vdid: _single_position(vdid, pos) for vdid, pos in positions.items()}
    missing = [v for v in vd_ids if v not in known or not torch.isfinite(known[v]).all()]
    if missing:
        more = f" and {len(missing) - 1} more of {len(vd_ids)}" if len(missing) > 1 else ""
        raise RuntimeError(
            "Social pooling is enabled but 'positions' is incomplete: Missing positions for VD "
            f"'{missing[0]}'{more}. {MEND}"
        )
    return torch.stack([known[vdid] for vdid in vd_ids])


def edges_within(pos: Tensor, max_radius: float) -> tuple[Tensor, Tensor]:
    """Edges between all pairs of nodes at most ``max_radius`` apart, from a full distance matrix.

    Args:
        pos: metres ``[N, 2]``.
        max_radius: longest edge, in metres.

    Returns:
        ``edge_index`` ``[2, E]`` and ``distance`` ``[E]`` in metres.
    """
    distance = torch.cdist(pos.double(), pos.double(), compute_mode="donot_use_mm_for_euclid_dist")
    near = distance <= max_radius
    near.fill_diagonal_(False)
    edge_index = near.nonzero().T
    return edge_index, distance[edge_index[0], edge_index[1]].to(pos.dtype)


def _check_shape(positions_xy: Tensor, num_nodes: int) -> None:
    if tuple(positions_xy.shape) != (num_nodes, 2):
        raise RuntimeError(
            f"Social pooling is enabled but 'positions_xy' has shape {tuple(positions_xy.shape)}; "
            f"expected {(num_nodes, 2)}, one row per detector. {MEND}"
        )


def _single_position(vdid: str, pos: Tensor) -> Tensor:
    if pos.dim() == 0 or pos.size(-1) != 2 or not pos.numel():
        raise RuntimeError(
            f"Social pooling is enabled but 'positions' of VD '{vdid}' has shape "
            f"{tuple(pos.shape)}; expected [batch, window, 2]. {MEND}"
        )
    rows = pos.reshape(-1, 2)
    if len(rows) > 1 and torch.isfinite(rows).all() and (rows != rows[0]).any():
        raise RuntimeError(
            f"Social pooling is enabled but 'positions' of VD '{vdid}' changes within the batch: "
            "expected a detector to stand at one place."
        )
    return rows[0] if torch.isfinite(rows).all() else rows.new_full((2,), torch.nan)
