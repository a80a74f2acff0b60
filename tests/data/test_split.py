import hashlib

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.errors import PhotoError
from data.split import Split, split

Digests = npt.NDArray[np.uint8]


def digests_of(numbers: list[int]) -> Digests:
    content = b"".join(hashlib.sha256(str(number).encode()).digest() for number in numbers)
    return np.frombuffer(content, np.uint8).reshape(len(numbers), 32)


def divided(numbers: list[int], validation: float = 0.3, test: float = 0.3) -> Split:
    labels = np.array([number % 2 for number in numbers], np.uint8)
    return split(digests_of(numbers), labels, validation_share=validation, test_share=test)


def parts_of(numbers: list[int], parts: Split) -> dict[int, str]:
    """The part of each photo."""
    return {
        numbers[i]: name for name in ("train", "validation", "test") for i in getattr(parts, name)
    }


few = settings(max_examples=30, deadline=None)
# Enough different photos for no part to be empty.
photos = st.lists(st.integers(0, 1000), min_size=60, max_size=200).filter(
    lambda numbers: len(set(numbers)) > 50
)


@few
@given(photos)
def test_every_photo_is_in_exactly_one_part(numbers: list[int]) -> None:
    parts = divided(numbers)
    everything = np.concatenate([parts.train, parts.validation, parts.test])

    assert sorted(everything) == list(range(len(numbers)))


@few
@given(photos)
def test_duplicates_are_on_the_same_side(numbers: list[int]) -> None:
    numbers = numbers + numbers
    parts = divided(numbers)

    for positions in (parts.train, parts.validation, parts.test):
        elsewhere = set(range(len(numbers))) - set(positions.tolist())
        assert not {numbers[i] for i in positions} & {numbers[i] for i in elsewhere}


@few
@given(photos, st.randoms())
def test_order_of_the_photos_does_not_matter(
    numbers: list[int], random: "np.random.Random"
) -> None:
    shuffled = list(numbers)
    random.shuffle(shuffled)

    assert parts_of(numbers, divided(numbers)) == parts_of(shuffled, divided(shuffled))
    assert divided(numbers).fingerprint == divided(shuffled).fingerprint


@few
@given(photos, st.lists(st.integers(2000, 3000), min_size=1))
def test_adding_photos_moves_none(numbers: list[int], added: list[int]) -> None:
    before = parts_of(numbers, divided(numbers))
    after = parts_of(numbers + added, divided(numbers + added))

    assert before.items() <= after.items()
    assert divided(numbers).fingerprint != divided(numbers + added).fingerprint


def test_shares_hold_in_expectation_in_each_class() -> None:
    numbers = list(range(20_000))
    parts = divided(numbers, validation=0.1, test=0.2)

    for positions, share in ((parts.validation, 0.1), (parts.test, 0.2), (parts.train, 0.7)):
        for label in (0, 1):
            found = np.mean(positions % 2 == label) * len(positions) / 10_000
            # Binomial, 5 standard deviations.
            assert abs(found - share) < 5 * np.sqrt(share * (1 - share) / 10_000)


def test_a_limited_selection_is_divided_by_the_same_shares() -> None:
    # `limit` takes the photos whose digests come first; the split must not lean on the same bits.
    digests = digests_of(list(range(20_000)))
    first = digests[np.lexsort(digests.T[::-1])][:4000]
    parts = split(first, np.zeros(4000, np.uint8), validation_share=0.1, test_share=0.1)

    assert abs(len(parts.test) / 4000 - 0.1) < 5 * np.sqrt(0.09 / 4000)


def test_fingerprint_tells_shares_and_labels_apart() -> None:
    digests = digests_of(list(range(100)))
    cats, dogs = np.zeros(100, np.uint8), np.ones(100, np.uint8)

    def fingerprint(labels: Digests, share: float) -> str:
        return split(digests, labels, validation_share=share, test_share=0.1).fingerprint

    assert len({fingerprint(cats, 0.1), fingerprint(cats, 0.2), fingerprint(dogs, 0.1)}) == 3


def test_a_share_of_nothing_gives_an_empty_part() -> None:
    assert len(divided(list(range(50)), validation=0.3, test=0).test) == 0


def test_too_few_photos_are_an_error() -> None:
    with pytest.raises(PhotoError) as caught:
        divided([1, 2], validation=0.001, test=0.001)

    assert str(caught.value) == (
        "2 photos are too few: with a share of 0.001 none of them falls into the validation part. "
        "Use more photos or another share."
    )


@pytest.mark.parametrize(("validation", "test"), [(-0.1, 0.1), (0.5, 0.5), (0.1, 1.0)])
def test_shares_out_of_range_are_refused(validation: float, test: float) -> None:
    with pytest.raises(ValueError, match="together below 1, received"):
        divided([1, 2], validation, test)
