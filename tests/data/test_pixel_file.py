from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from optrun.data.cache.building import PixelFile


def photo(number: int) -> "np.typing.NDArray[np.uint8]":
    return np.full((2, 2, 3), number, np.uint8)


@settings(max_examples=200, deadline=None)
@given(st.permutations(range(9)), st.integers(0, 9), st.permutations(range(9)))
def test_rows_end_up_where_they_are_put(
    tmp_path_factory: object, written: list[int], kept: int, order: list[int]
) -> None:
    path = tmp_path_factory.mktemp("rows") / "pixels.npy"
    with PixelFile(path, 2) as file:
        for row in written:
            file.write(row, photo(row))
        file.arrange(order[:kept])
    pixels = np.load(path)

    assert pixels.shape == (kept, 2, 2, 3)
    assert pixels[:, 0, 0, 0].tolist() == order[:kept]
    assert np.all(pixels == pixels[:, :1, :1, :1])


def test_rows_that_were_never_written_are_dropped(tmp_path: Path) -> None:
    with PixelFile(tmp_path / "pixels.npy", 2) as file:
        file.write(7, photo(7))
        file.write(2, photo(2))
        file.arrange([2, 7])

    assert np.load(tmp_path / "pixels.npy")[:, 0, 0, 0].tolist() == [2, 7]


def test_header_keeps_its_length_from_none_to_millions(tmp_path: Path) -> None:
    with PixelFile(tmp_path / "pixels.npy", 224) as file:
        assert file._write_header(0) == file._write_header(10**9)
