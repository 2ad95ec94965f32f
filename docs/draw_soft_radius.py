"""Draw ``docs/soft_radius.png``: ``python -m docs.draw_soft_radius``."""

import argparse
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import torch

from socialgraph.nn import SocialPooling

__all__ = ["draw", "main", "weights"]

REACH = 1000.0


def weights(
    distance: torch.Tensor, softness: float | None, others: tuple[float, ...] = ()
) -> torch.Tensor:
    """Weights of a node's neighbours ``[L, 1 + others]``, as the layer returns them.

    Args:
        distance: of the first neighbour, metres ``[L]``.
        softness: metres, of a learned radius of 1,000 m; None for a fixed one.
        others: distances of its other neighbours, metres.
    """
    options = {"learn_radius": False} if softness is None else {"softness": softness}
    layer = SocialPooling(1, 1, radius=REACH, max_radius=2 * REACH, **options)
    columns = [distance, *(torch.full_like(distance, other) for other in others)]
    sender = torch.arange(1, 1 + len(columns))
    edge_index = torch.stack([sender, torch.zeros_like(sender)])
    x = torch.zeros(len(distance), 1 + len(columns), 1)
    lengths = torch.stack(columns, dim=-1)
    _, (_, weight) = layer(x, edge_index, distance=lengths, return_attention_weights=True)
    return weight.squeeze(-1).detach()


def draw(path: Path) -> None:
    """Weights against the distance of a neighbour, alone and with a near one."""
    distance = torch.linspace(0, 2 * REACH, 801)
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained", sharey=True)
    for softness in (None, 50.0, 200.0):
        label = "fixed" if softness is None else f"learned, s = {softness:g} m"
        (line,) = axes[0].plot(distance, weights(distance, softness)[:, 0], label=label)
        first, near = weights(distance, softness, others=(400.0,)).unbind(dim=-1)
        axes[1].plot(distance, first, color=line.get_color())
        axes[1].plot(distance, near, "--", color=line.get_color())
    axes[0].set(title="a neighbour alone", xlabel="its distance, m", ylabel="weight")
    axes[1].set(title="with another at 400 m (dashed)", xlabel="its distance, m")
    for axis in axes:
        axis.axvline(REACH, color="grey", lw=0.8)
        axis.grid(alpha=0.3)
    axes[0].legend()
    figure.savefig(path, dpi=110, metadata={"Software": None})
    plt.close(figure)


def main(argv: list[str] | None = None) -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser("python -m docs.draw_soft_radius", description=__doc__)
    parser.add_argument("path", type=Path, nargs="?", default=Path("docs/soft_radius.png"))
    draw(parser.parse_args(argv).path)


if __name__ == "__main__":
    main()
