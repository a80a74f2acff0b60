import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from optrun.data.feed.batches import epoch_order

counts = st.integers(0, 500)
seeds = st.integers(0, 2**32)
epochs = st.integers(0, 1000)


@given(counts, seeds, epochs)
def test_every_photo_is_visited_once(count: int, seed: int, epoch: int) -> None:
    order = epoch_order(count, seed=seed, epoch=epoch)

    assert order.dtype == np.int64
    assert sorted(order) == list(range(count))


@given(seeds, epochs)
def test_order_depends_on_seed_and_epoch_alone(seed: int, epoch: int) -> None:
    order = epoch_order(100, seed=seed, epoch=epoch)
    np.random.default_rng().random(10)

    assert np.array_equal(order, epoch_order(100, seed=seed, epoch=epoch))
    assert not np.array_equal(order, epoch_order(100, seed=seed, epoch=epoch + 1))
    assert not np.array_equal(order, epoch_order(100, seed=seed + 1, epoch=epoch))


def test_every_photo_is_as_likely_at_every_place() -> None:
    draws, count = 4000, 8
    orders = np.array([epoch_order(count, seed=1, epoch=epoch) for epoch in range(draws)])
    seen = np.array(
        [[np.sum(orders[:, place] == photo) for photo in range(count)] for place in range(count)]
    )

    # Each cell is binomial; 5 standard deviations are passed by chance once in 27,000 times.
    expected = draws / count
    assert np.abs(seen - expected).max() < 5 * np.sqrt(expected * (1 - 1 / count))


def test_the_order_never_changes_between_versions() -> None:
    # Written down once: a resumed run on a later version must go on in the same order.
    assert epoch_order(10, seed=1, epoch=0).tolist() == [3, 0, 2, 5, 7, 1, 6, 4, 9, 8]
