"""What a training tells from its validation windows besides errors: intervals, and alarms."""

from typing import TYPE_CHECKING, get_args

from torch import Tensor

from socialgraph.conformal import Conformal, Residuals, calibrated_levels
from socialgraph.cusum import Charts
from socialgraph.quiet import QuietReadings
from socialgraph.scaler import Scaling

if TYPE_CHECKING:
    from socialgraph.forecaster import Forecaster

__all__ = ["Calibration", "begin_calibration"]


class Calibration:
    """Collects the windows of one validation.

    With several processes, each of which takes a piece of the validation part, intervals are
    calibrated by the piece of this one, and alarms not at all.

    Args:
        forecaster: whose weights are validated.
        coverage: of its intervals.
    """

    def __init__(self, forecaster: "Forecaster", coverage: float) -> None:
        self.objective = forecaster.objective
        self.residuals = Residuals(calibrated_levels(self.objective.levels, coverage))
        alone = forecaster.trainer.world_size == 1
        self.quiet = QuietReadings(forecaster.given.step) if alone else None

    def add(self, batch: dict[str, Tensor], prediction: Tensor) -> None:
        """Add a batch with its predictions ``[B, P, N, F, W]``, in the order of time."""
        quantiles = self.objective.quantiles(prediction, self.residuals.levels)
        self.residuals.add(quantiles, batch["targets"], batch["target_mask"])
        if self.quiet is not None:
            self.quiet.add(batch, quantiles)

    def result(self) -> tuple[Conformal | None, Charts | None]:
        """Intervals and charts of alarms, None for what could not be told."""
        conformal = self.residuals.calibrate()
        if conformal is None or self.quiet is None:
            return conformal, None
        return conformal, self.quiet.calibrate(conformal)


def begin_calibration(forecaster: "Forecaster") -> Calibration | None:
    """The calibration of a validation that begins; None unless in a training on one series."""
    training = forecaster.trainer.state.fn == "fit" and not forecaster.trainer.sanity_checking
    in_units = forecaster.given.scaling in get_args(Scaling)  # not deviations of several networks
    if not training or not in_units or forecaster.coverage is None:
        return None
    return Calibration(forecaster, forecaster.coverage)
