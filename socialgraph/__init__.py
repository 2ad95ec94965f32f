"""Traffic forecasting with one shared xLSTM encoder and social pooling on sensor graphs."""

from typing import TYPE_CHECKING, Literal, overload

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from socialgraph.forecaster import Forecaster
    from socialgraph.pretrained import PretrainedForecaster

__all__ = ["__version__", "load", "load_pretrained"]
__version__ = "0.1.0"


def load_pretrained(path: "str | Path | None" = None) -> "PretrainedForecaster":
    """A forecaster for any network, see :func:`socialgraph.pretrained.load_pretrained`."""
    from socialgraph import pretrained

    return pretrained.load_pretrained(path)


@overload
def load(path: Literal["pretrained"]) -> "PretrainedForecaster":  # type: ignore[overload-overlap]
    """The network that comes with the package."""


@overload
def load(path: "str | Path", device: str = "cpu", trust: "Sequence[str]" = ()) -> "Forecaster":
    """A trained forecaster from a checkpoint."""


def load(
    path: "str | Path", device: str = "cpu", trust: "Sequence[str]" = ()
) -> "Forecaster | PretrainedForecaster":
    """A trained forecaster from a checkpoint, see :func:`socialgraph.forecaster.load`.

    ``load("pretrained")`` is the one that comes with the package, as of :func:`load_pretrained`.
    """
    if path == "pretrained":
        return load_pretrained()
    from socialgraph import forecaster  # not before it is needed: it imports torch

    return forecaster.load(path, device, trust)
