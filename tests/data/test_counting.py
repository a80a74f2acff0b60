from pathlib import Path

import pytest
from optrun.data.cache.prepare import count, prepare
from optrun.data.split import split

SHARES = {"validation_share": 0.2, "test_share": 0.1}


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPTRUN_CACHE", str(tmp_path))


def test_before_decoding_the_count_is_an_expectation_and_nothing_is_written(tmp_path: Path) -> None:
    counted = count("sample", image_size=16, limit=50, **SHARES)
    assert (counted.photos, counted.training, counted.exact) == (50, 35, False)
    assert list(tmp_path.iterdir()) == []


def test_the_public_photos_are_counted_without_being_downloaded() -> None:
    counted = count("cats_vs_dogs", image_size=16, limit=None, **SHARES)
    assert (counted.photos, counted.exact) == (23_262, False)


def test_after_decoding_the_count_is_that_of_the_split() -> None:
    photos = prepare("sample", image_size=16, limit=50)
    parts = split(photos, **SHARES)
    counted = count("sample", image_size=16, limit=50, **SHARES)
    assert (counted.photos, counted.training, counted.exact) == (50, len(parts.train), True)


def test_what_preparing_will_write_counts_what_a_stopped_build_left(
    tmp_path: Path,
) -> None:
    def counted() -> int:
        return count("sample", image_size=64, limit=50, **SHARES).bytes_to_write

    assert counted() == 50 * 64 * 64 * 3

    def stopped_at_20(done: int, _: int | None) -> None:
        if done >= 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare("sample", image_size=64, limit=50, progress=stopped_at_20)
    assert counted() < 50 * 64 * 64 * 3

    prepare("sample", image_size=64, limit=50)
    assert counted() == 0
