"""Strict mode: pooling runs on valid positions or not at all."""

from collections.abc import Sequence

import torch
from torch import Tensor

__all__ = [
    "check_edges",
    "check_positions",
    "check_shape",
    "check_vd_positions",
    "edges_within",
    "stack_positions",
]

MEND = (
    "Inspect the file with 'python -m data_prep inspect FILE.h5' and write the missing positions "
    "into it with 'python -m data_prep backfill FILE.h5 --detectors TABLE.csv' (in Python give the "
    "series 'lat' and 'lon'), or train without pooling (in YAML 'pooling: null')."
)


def check_shape(positions_xy: Tensor | None, num_nodes: int, name: str = "positions_xy") -> None:
    """Refuse positions that are missing or not ``[N, 2]``, without a look at their values.

    Args:
        positions_xy: metres ``[N, 2]``, or None if the batch has none.
        num_nodes: detectors in the batch.
        name: what the model calls them.

    Raises:
        RuntimeError: if positions are missing or of another shape.
    """
    if positions_xy is None:
        raise RuntimeError(
            f"Social pooling is enabled but '{name}' is missing from the batch: no detector of the "
            f"HDF5 file has a 'position_lat' and 'position_lon' that can be used. {MEND}"
        )
    _check_shape(positions_xy, num_nodes)


def check_positions(positions_xy: Tensor | None, vdids: Sequence[str]) -> None:
    """Refuse positions that pooling cannot work with.

    Args:
        positions_xy: metres ``[N, 2]``, or None if the batch has none.
        vdids: ids of the detectors, N, to name those at fault.

    Raises:
        RuntimeError: if positions are missing, not ``[N, 2]``, NaN or infinite.
    """
    check_shape(positions_xy, len(vdids))
    bad = (~torch.isfinite(positions_xy).all(dim=1)).nonzero().flatten().tolist()
    if bad:
        more = f" and {len(bad) - 10} more" if len(bad) > 10 else ""
        raise RuntimeError(
            f"Social pooling is enabled but 'positions_xy' is NaN or infinite for {len(bad)} of "
            f"{len(vdids)} VDs: {', '.join(vdids[i] for i in bad[:10])}{more}. {MEND}"
        )


def check_edges(edge_index: Tensor | None, distance: Tensor | None) -> None:
    """Refuse a batch that has positions and no graph of them.

    Raises:
        RuntimeError: if ``edge_index`` or ``distance`` is None.
    """
    if edge_index is None or distance is None:
        lacking = "edge_index" if edge_index is None else "distance"
        raise RuntimeError(
            f"Social pooling is enabled but '{lacking}' is missing from the batch. Give "
            "'data.graph' a builder of socialgraph.graph, or train without pooling (in YAML "
            "'pooling: null')."
        )


def check_vd_positions(positions_xy: Tensor | None, vdids: Sequence[str]) -> None:
    """Refuse positions that the distributed model cannot work with, in its own words.

    Args:
        positions_xy: metres ``[N, 2]``, or None if the batch has none.
        vdids: ids of the detectors, N.

    Raises:
        RuntimeError: if positions are missing, of one VD or of all, or of another shape.
    """
    check_shape(positions_xy, len(vdids), "positions")
    finite = torch.isfinite(positions_xy)
    if not finite.all():
        lacking = [vdids[i] for i in (~finite.all(dim=1)).nonzero().flatten().tolist()]
        raise _missing(lacking, len(vdids))


def stack_positions(positions: dict[str, Tensor] | None, vdids: list[str]) -> Tensor:
    """One position per detector from the per-VD entries of a distributed batch.

    Args:
        positions: metres ``[B, T, 2]`` by id, the same at every step, or None if the batch has
            none.
        vdids: ids of the detectors, N.

    Returns:
        Metres ``[N, 2]``.

    Raises:
        RuntimeError: if positions are missing, of one VD or of all, NaN, infinite, of another
            shape, or change.
    """
    if positions is None:
        check_vd_positions(None, vdids)
    lacking = [vdid for vdid in vdids if vdid not in positions]
    if lacking:
        raise _missing(lacking, len(vdids))
    for vdid in vdids:
        if positions[vdid].dim() != 3 or positions[vdid].size(-1) != 2:
            raise RuntimeError(
                f"Social pooling is enabled but 'positions' of VD '{vdid}' has shape "
                f"{tuple(positions[vdid].shape)}; expected [batch, window, 2]. {MEND}"
            )
    steps = torch.stack([positions[vdid] for vdid in vdids])  # [N, B, T, 2]
    pos = steps[:, 0, 0]
    finite = torch.isfinite(steps).flatten(1).all(dim=1)
    check_vd_positions(torch.where(finite[:, None], pos, torch.nan), vdids)
    moved = (steps != pos[:, None, None]).flatten(1).any(dim=1).nonzero().flatten().tolist()
    if moved:
        raise RuntimeError(
            f"Social pooling is enabled but 'positions' of VD '{vdids[moved[0]]}' changes within "
            "the batch: expected a detector to stand at one place."
        )
    return pos


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


def _missing(lacking: list[str], num_nodes: int) -> RuntimeError:
    more = f" and {len(lacking) - 1} more of {num_nodes}" if len(lacking) > 1 else ""
    return RuntimeError(
        "Social pooling is enabled but 'positions' is incomplete: Missing positions for VD "
        f"'{lacking[0]}'{more}. {MEND}"
    )
