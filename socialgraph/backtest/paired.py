"""Paired tests over days: is the difference between two forecasters real?"""

import numpy as np

__all__ = ["LEAST_DAYS", "METHOD", "block_length", "compare_sums", "day_weights"]

LEAST_DAYS = 8
METHOD = (
    "stationary bootstrap of days (Politis and Romano 1994, doi:10.1080/01621459.1994.10476870) "
    "in pairs, the mean block by Politis and White (2004, doi:10.1081/ETC-120028836; corrected "
    "2009), percentile interval of 95 %"
)


def block_length(daily: np.ndarray) -> float:
    """Mean length in days of the blocks that keep how days are alike.

    Args:
        daily: differences by day ``[D]``; NaN on days without any.
    """
    from arch.bootstrap import optimal_block_length

    known = daily[~np.isnan(daily)]
    if len(known) < LEAST_DAYS or np.ptp(known) == 0:
        return 1.0
    return max(1.0, float(optimal_block_length(known)["stationary"].iloc[0]))


def day_weights(days: int, block: float, draws: int = 2000, seed: int = 0) -> np.ndarray:
    """How often each day comes in each draw ``[R, D]``.

    Days are drawn in blocks that go on with the next day, with lengths from a geometric
    distribution, since errors of neighbouring days are alike.

    Args:
        days: how many there are.
        block: mean length of a block.
        draws: how many draws.
        seed: of the draws.
    """
    from arch.bootstrap import StationaryBootstrap

    bootstrap = StationaryBootstrap(block, np.arange(days), seed=seed)
    drawn = (np.bincount(data[0], minlength=days) for data, _ in bootstrap.bootstrap(draws))
    return np.stack(list(drawn)).astype(float)


def compare_sums(
    own: np.ndarray, other: np.ndarray, count: np.ndarray, weights: np.ndarray
) -> list[dict]:
    r"""Difference of mean absolute errors, with its interval, for each of G groups.

    .. math:: d = \frac{\sum_t (A_t - B_t)}{\sum_t n_t}

    over the days :math:`t`; below 0 the first is better. With fewer than 8 days there is no
    interval.

    Args:
        own, other: sums of absolute errors by day and group ``[D, G]``.
        count: numbers of errors, the same for both ``[D, G]``.
        weights: what :func:`day_weights` gives ``[R, D]``.

    Returns:
        For each group ``mae``, ``rival_mae``, ``difference``, ``interval`` (two numbers or None),
        ``real`` (whether the interval leaves out 0; None without one) and ``days``.
    """
    apart = own - other
    with np.errstate(invalid="ignore", divide="ignore"):
        drawn = (weights @ apart) / (weights @ count)  # [R, G]
        mae, rival, difference = (part.sum(0) / count.sum(0) for part in (own, other, apart))
    days = (count > 0).sum(axis=0)
    found = []
    for place, number in enumerate(days.tolist()):
        interval = None
        if number >= LEAST_DAYS:
            interval = np.nanquantile(drawn[:, place], [0.025, 0.975]).tolist()
        found.append(
            {
                "mae": float(mae[place]),
                "rival_mae": float(rival[place]),
                "difference": float(difference[place]),
                "interval": interval,
                "real": None if interval is None else bool(interval[0] > 0 or interval[1] < 0),
                "days": number,
            }
        )
    return found
