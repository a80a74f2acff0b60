import hashlib

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optrun.data.exceptions import PhotoError
from optrun.data.photos import Photos
from optrun.data.split import Split, split

Digests = npt.NDArray[np.uint8]


def digests_of(numbers: list[int]) -> Digests:
    content = b"".join(hashlib.sha256(str(number).encode()).digest() for number in numbers)
    return np.frombuffer(content, np.uint8).reshape(len(numbers), 32)


def photos_of(
    digests: Digests,
    labels: Digests | None = None,
    parts: list[int] | None = None,
    pixel_digests: Digests | None = None,
) -> Photos:
    """Photos that are no more than what the split looks at."""
    count = len(digests)
    return Photos(
        pixels=np.zeros((count, 1, 1, 3), np.uint8),
        ids=tuple(f"{i:05d}" for i in range(count)),
        labels=labels if labels is not None else np.zeros(count, np.uint8),
        digests=digests,
        pixel_digests=pixel_digests if pixel_digests is not None else digests,
        parts=np.array(parts if parts is not None else [0] * count, np.uint8),
        fingerprint="",
        source="",
        is_sample=False,
        left_out=(),
        preprocessing="",
    )


def divided(numbers: list[int], validation: float = 0.3, test: float = 0.3) -> Split:
    labels = np.array([number % 2 for number in numbers], np.uint8)
    found = photos_of(digests_of(numbers), labels)
    return split(found, validation_share=validation, test_share=test)


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
    parts = split(photos_of(first), validation_share=0.1, test_share=0.1)

    assert abs(len(parts.test) / 4000 - 0.1) < 5 * np.sqrt(0.09 / 4000)


def test_fingerprint_tells_shares_and_labels_apart() -> None:
    digests = digests_of(list(range(100)))
    cats, dogs = np.zeros(100, np.uint8), np.ones(100, np.uint8)

    def fingerprint(labels: Digests, share: float) -> str:
        found = photos_of(digests, labels)
        return split(found, validation_share=share, test_share=0.1).fingerprint

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


def test_the_division_of_plain_photos_never_changes() -> None:
    digests, labels = digests_of(list(range(40))), (np.arange(40) % 2).astype(np.uint8)
    parts = split(photos_of(digests, labels), validation_share=0.2, test_share=0.1)

    assert parts.validation.tolist() == [1, 3, 4, 13, 15, 18, 23, 31, 33, 36, 39]
    assert parts.test.tolist() == [5, 25, 26, 35]
    assert parts.fingerprint == "4f9c9e959ed235f05bdfabef62f0b895bf227ae8d00d659d60f047434d08bea5"
    assert parts.dropped == ()


@few
@given(
    st.lists(st.integers(0, 300), min_size=120, max_size=160).filter(
        lambda pixels: len(set(pixels)) > 80
    ),
    st.randoms(use_true_random=False),
)
def test_the_same_pixels_lie_in_one_part_alone(
    pixels: list[int], random: "np.random.Random"
) -> None:
    # Every file has bytes of its own; some have the same pixels.
    digests = digests_of([random.randrange(10**9) for _ in pixels])
    found = photos_of(digests, pixel_digests=digests_of(pixels))
    alone = split(photos_of(digests), validation_share=0.3, test_share=0.3)
    parts = split(found, validation_share=0.3, test_share=0.3)
    part_of = {i: name for name in ("train", "validation", "test") for i in getattr(parts, name)}
    hashed = {i: name for name in ("train", "validation", "test") for i in getattr(alone, name)}
    rank = {"train": 0, "validation": 1, "test": 2}

    by_pixels: dict[int, set[str]] = {}
    for i, part in part_of.items():
        assert part == hashed[i]  # nobody moves
        by_pixels.setdefault(pixels[i], set()).add(part)
    assert all(len(several) == 1 for several in by_pixels.values())
    dropped = {int(name): int(kept) for name, kept in parts.dropped}
    assert dropped.keys() | part_of.keys() == set(range(len(pixels)))
    assert not dropped.keys() & part_of.keys()
    for i, kept in dropped.items():
        assert pixels[i] == pixels[kept]
        assert rank[hashed[i]] < rank[part_of[kept]]


def test_folders_that_name_parts_are_kept_and_the_training_copy_is_dropped() -> None:
    digests = digests_of([*range(300), 7, 250, 290])
    parts = [1] * 200 + [2] * 50 + [3] * 50 + [2, 1, 1]  # copies of 7, 250 and 290 elsewhere
    found = split(photos_of(digests, parts=parts), validation_share=0.1, test_share=0.1)

    assert found.train.tolist() == [i for i in range(200) if i != 7]
    assert found.validation.tolist() == [*range(200, 250), 300]
    assert found.test.tolist() == list(range(250, 300))
    assert found.dropped == (("00007", "00300"), ("00301", "00250"), ("00302", "00290"))


@pytest.mark.parametrize(("named", "other"), [(2, "test"), (3, "validation")])
def test_a_part_that_folders_do_not_name_is_taken_from_training(named: int, other: str) -> None:
    digests = digests_of(list(range(4000)))
    parts = [1] * 3500 + [named] * 500
    found = split(photos_of(digests, parts=parts), validation_share=0.1, test_share=0.1)
    kept = found.validation if named == 2 else found.test

    assert kept.tolist() == list(range(3500, 4000))
    assert abs(len(getattr(found, other)) / 3500 - 0.1) < 5 * np.sqrt(0.09 / 3500)
    assert max(getattr(found, other)) < 3500
