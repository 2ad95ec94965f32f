"""Places that are spread over a history, and over the hours of its days."""

import numpy as np
import pytest

from socialgraph.spread import spread_over


@pytest.mark.parametrize("day", [12, 24, 96, 288])
@pytest.mark.parametrize("days", [61, 128, 316])
def test_all_parts_of_the_day_and_of_the_history_have_their_share(day, days):
    places = spread_over(day * days, 128)
    assert len(set(places.tolist())) == 128
    assert (np.diff(places) > 0).all()
    assert (places >= 0).all()
    assert places[-1] < day * days
    quarters = np.bincount(places % day * 4 // day, minlength=4)
    tenths = np.bincount(places * 10 // (day * days), minlength=10)
    assert quarters.min() >= 16
    assert tenths.min() >= 5


def test_of_few_all_are_taken():
    assert spread_over(5, 5).tolist() == [0, 1, 2, 3, 4]
    assert spread_over(3, 5).tolist() == [0, 1, 2]
    assert spread_over(0, 5).tolist() == []
    assert len(spread_over(6, 5)) == 5
