"""Several networks as one, whose forecasts are averaged."""

from collections.abc import Callable, Iterable, Iterator, Sequence

import torch
from torch import Tensor, nn

from socialgraph.nn.inputs import entries_of
from socialgraph.nn.sizes import tell_sizes

__all__ = ["Ensemble"]

_OF_ALL = {"edge_index", "distance", "offset", "edge_attr"}
_OF_ALL |= {"positions_xy", "node", "attributes", "setting"}


class Ensemble(nn.Module):
    r"""Mean forecast of several networks, each trained on windows of its own.

    .. math:: \hat{\mathbf{y}} = \frac{1}{K} \sum_{k=1}^{K} f_{\theta_k}(\mathbf{x})

    The members differ by their first weights and by the windows that they see: in training, member
    :math:`k` forecasts the windows :math:`k, k + K, \dots` of a batch alone, so that a window costs
    as much as with one network. To train each as long as one network is trained, take batches and
    epochs :math:`K` times as large, and validate after every :math:`K` of them. A batch of fewer
    windows than members is forecast by their mean, as are validation and test, where a window costs
    :math:`K` times as much. What is averaged is what the objective reads: of quantiles, their
    steps. Gradients are clipped by the norm of all members together.

    Deep ensembles of Lakshminarayanan et al., `Simple and Scalable Predictive Uncertainty
    Estimation using Deep Ensembles <https://arxiv.org/abs/1612.01474>`_, with the mean alone. It
    carries no state from reading to reading: it is given windows.

    Args:
        network: makes a member; or the members, which may be of several forms.
        size: how many members are made, :math:`K`; ignored for a list.

    Shapes:
        - **input:** as the members read it; each entry of a batch, but those of the graph and of
          the detectors, has the windows in front
        - **output:** as the members give it

    Raises:
        ValueError: without a member.
    """

    def __init__(
        self, network: Callable[[], nn.Module] | Iterable[nn.Module], size: int = 3
    ) -> None:
        super().__init__()
        listed = isinstance(network, Iterable)
        made = list(network) if listed else [network() for _ in range(size)]
        if not made:
            raise ValueError(f"Expected one network or more (got {network!r}, 'size' = {size}).")
        self.members = nn.ModuleList(made)
        # By the names of the arguments, for a checkpoint.
        self.network, self.size = made, len(made)

    def build(self, **sizes: object) -> None:
        """Tell the members their sizes.

        Args:
            sizes: as :meth:`socialgraph.nn.SocialGraphNet.build` takes them.

        Raises:
            ValueError: as the members do.
        """
        for member in self.members:
            tell_sizes(member, sizes)

    def forward(self, **batch: Tensor) -> Tensor:
        windows, size = batch["features"].size(0), len(self.members)
        if not self.training or windows < size:
            return torch.stack([_run(member, batch) for member in self.members]).mean(dim=0)
        forecasts = [_run(m, _rows(batch, k, size)) for k, m in enumerate(self.members)]
        whole = forecasts[0].new_empty(windows, *forecasts[0].shape[1:])
        for place, forecast in enumerate(forecasts):
            whole[place::size] = forecast
        return whole

    def check_batch(self, positions_xy: Tensor | None, vdids: Sequence[str]) -> None:
        """Refuse positions that a member cannot work with.

        Args:
            positions_xy, vdids: as in :meth:`socialgraph.nn.SocialGraphNet.check_batch`.

        Raises:
            RuntimeError: as the members do.
        """
        for member in self.members:
            if hasattr(member, "check_batch"):
                member.check_batch(positions_xy, vdids)

    @property
    def entries(self) -> set[str]:
        """Names of the entries of a batch that the members read."""
        return set().union(*map(entries_of, self.members))

    @property
    def inputs(self) -> list[nn.Module]:
        """The input parts of all members that name theirs."""
        return [part for member in self.members for part in getattr(member, "inputs", [])]

    @property
    def poolings(self) -> list[nn.Module]:
        """The poolings of all members that name theirs."""
        return [part for member in self.members for part in getattr(member, "poolings", [])]

    @property
    def knows_nodes(self) -> bool:
        """Whether a member has weights of its own for each detector."""
        return any(getattr(member, "knows_nodes", False) for member in self.members)

    @property
    def serves_strangers(self) -> bool:
        """Whether all forecast detectors that were not in training."""
        return all(getattr(member, "serves_strangers", True) for member in self.members)

    def node_weights(self, num_nodes: int) -> dict[str, list[str]]:
        """Names of weights by detector, as :meth:`socialgraph.nn.SocialGraphNet.node_weights`."""
        return {
            f"{prefix}{name}": [f"{prefix}{part}" for part in parts]
            for prefix, member in self._named()
            if getattr(member, "knows_nodes", False)
            for name, parts in member.node_weights(num_nodes).items()
        }

    def no_weight_decay(self) -> set[str]:
        """Names of the weights that the members would not have decay."""
        return {
            f"{prefix}{name}"
            for prefix, member in self._named()
            for name in getattr(member, "no_weight_decay", set)()
        }

    def _named(self) -> Iterator[tuple[str, nn.Module]]:
        return ((f"members.{place}.", member) for place, member in enumerate(self.members))


def _run(member: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    return member(**{name: batch[name] for name in entries_of(member) if name in batch})


def _rows(batch: dict[str, Tensor], first: int, step: int) -> dict[str, Tensor]:
    """Every so many windows of a batch."""
    return {
        name: entry if name in _OF_ALL or entry is None else entry[first::step]
        for name, entry in batch.items()
    }
