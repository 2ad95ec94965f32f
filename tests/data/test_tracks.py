"""Windows that follow one another: their tracks, and what cannot be in tracks."""

import dataclasses
import itertools

import numpy as np
import pytest

from socialgraph.data import Loading, NetworksDataModule, TrafficDataModule, Windows
from tests.conftest import make_series

WINDOW = 6


def make_module(series=None, batch_size=4, stride=1, seed=0, **options):
    windows = Windows(WINDOW, 3, stride, carry_state=True)
    loading = Loading(batch_size, seed=seed)
    module = TrafficDataModule(series or make_series(), windows=windows, loading=loading, **options)
    module.setup()
    return module


def gapped():
    series = make_series()
    return dataclasses.replace(
        series,
        values=np.delete(series.values, [100, 250], axis=0),
        timestamps=np.delete(series.timestamps, [100, 250]),
    )


def read(loader, epoch=0):
    """Time of issue and mark of each row of each batch."""
    if hasattr(loader.sampler, "set_epoch"):
        loader.sampler.set_epoch(epoch)
    minutes = [(batch["issued"] // 60).tolist() for batch in loader]
    return minutes, [batch["goes_on"].tolist() for batch in loader]


def joined(parts):
    return list(itertools.chain.from_iterable(parts))


def check_rows(minutes, marks):
    """A window goes on if, and only if, it begins where the one before it in its row ended."""
    assert not any(marks[0])
    for before, own, goes_on in zip(minutes, minutes[1:], marks[1:], strict=False):
        assert len(own) <= len(before)
        follows = [b + 5 * WINDOW == o for b, o in zip(before, own, strict=False)]
        assert goes_on == follows


@pytest.mark.parametrize(("batch_size", "stride"), [(4, 1), (5, 2), (1000, 1), (3, 6)])
def test_training_windows_stand_in_tracks_each_once(batch_size, stride):
    module = make_module(gapped(), batch_size, stride)
    loader = module.train_dataloader()
    minutes, marks = read(loader)
    check_rows(minutes, marks)
    all_minutes = joined(minutes)
    wanted = module.starts["train"][::stride] + WINDOW - 1
    wanted = module.series.timestamps[wanted].astype(np.int64) // 60
    assert sorted(all_minutes) == wanted.tolist()
    # Two stretches without a gap, in each of which so many windows begin without one before.
    anew = 2 * WINDOW // stride
    assert sum(joined(marks)) >= len(all_minutes) - anew - batch_size
    assert len(loader) == len(minutes) == -(-len(wanted) // batch_size)


def test_no_window_goes_on_across_a_gap():
    series = gapped()
    module = make_module(series, batch_size=1, split=(0.5, 0.4, 0.1))
    gaps = series.timestamps[[100, 249]].astype(np.int64) // 60  # first readings after both
    for loader in (module.train_dataloader(), module.val_dataloader()):
        minutes, marks = (np.array(joined(part)) for part in read(loader))
        first = minutes - 5 * (WINDOW - 1)
        soon = [(first >= gap) & (first < gap + 5 * WINDOW) for gap in gaps]
        assert sum(part.sum() for part in soon) == WINDOW  # one gap lies in each part
        assert not marks[soon[0] | soon[1]].any()


def test_the_order_depends_on_seed_and_epoch_alone():
    def order(seed, epoch, skip=0):
        loader = make_module(seed=seed).train_dataloader()
        loader.load_state_dict({"given": skip})
        return read(loader, epoch)[0]

    assert order(0, 3) == order(0, 3)
    assert order(0, 3) != order(0, 4)
    assert order(0, 3) != order(1, 3)
    assert order(0, 3, skip=5) == order(0, 3)[5:]


def test_windows_of_validation_and_test_come_in_order_and_go_on_from_the_first():
    module = make_module(split=(0.5, 0.3, 0.2))
    for part, loader in {"val": module.val_dataloader(), "test": module.test_dataloader()}.items():
        minutes, marks = read(loader)
        check_rows(minutes, marks)
        wanted = module.series.timestamps[module.starts[part] + WINDOW - 1]
        assert joined(minutes) == (wanted.astype(np.int64) // 60).tolist()
        assert all(all(goes_on) for goes_on in marks[1:])


def test_what_cannot_be_in_tracks_is_refused():
    with pytest.raises(ValueError, match=r"'stride' that divides 'window'.*\(got 4 and 6\)"):
        Windows(6, 3, 4, carry_state=True)
    with pytest.raises(ValueError, match=r"one series with 'carry_state'.*2 networks"):
        NetworksDataModule([make_series(), make_series()], Windows(6, 3, carry_state=True))
    module = make_module()
    module._world = lambda: (2, 0)
    for loader in (module.train_dataloader, module.val_dataloader):
        with pytest.raises(ValueError, match=r"one process with 'carry_state'.*\(got 2\)"):
            loader()
    with pytest.raises(ValueError, match=r"no state before it.*--memory state.*carry_state"):
        module.predict_dataloader()
