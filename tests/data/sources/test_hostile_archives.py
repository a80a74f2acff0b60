"""Archives and folders made to do harm: refused, or what is harmful in them left out, with a word.

They are packed by hand here, since no tool writes them.
"""

import io
import os
import random
import socket
import stat
import struct
import sys
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest
from optrun.data.cache.prepare import prepare
from optrun.data.exceptions import PhotoError
from optrun.data.sources.archive import Member
from optrun.data.sources.opening import open_source
from optrun.data.sources.source import Photo
from optrun.data.unlabelled import unlabelled
from PIL import Image

Files = dict[str, bytes]
MIB = 1024**2
LINK, PIPE = stat.S_IFLNK | 0o777, stat.S_IFIFO | 0o644


@dataclass(frozen=True)
class Item:
    """An entry of an archive, by default as it should be; what is None is what the content says."""

    name: bytes | str
    content: bytes = b"x"
    stored: bytes | None = None
    method: int = 0
    claimed_bytes: int | None = None
    flags: int = 0
    mode: int = 0
    offset: int | None = None
    local_name: bytes | None = None

    @property
    def raw_name(self) -> bytes:
        return self.name.encode() if isinstance(self.name, str) else self.name


def packed(items: Sequence[Item], *, count: int | None = None, backwards: bool = False) -> bytes:
    """The bytes of a zip archive with 64-bit sizes throughout, after PKWARE's APPNOTE.TXT."""
    data, directory = bytearray(), []
    for item in items:
        stored = item.content if item.stored is None else item.stored
        size = len(item.content) if item.claimed_bytes is None else item.claimed_bytes
        offset = len(data) if item.offset is None else item.offset
        facts = (item.flags, item.method, 0, 33, zlib.crc32(item.content))
        local_name = item.raw_name if item.local_name is None else item.local_name
        if item.offset is None:
            sizes = (min(len(stored), 0xFFFFFFFF), min(size, 0xFFFFFFFF))
            header = struct.pack("<4s5H3L2H", b"PK\3\4", 45, *facts, *sizes, len(local_name), 0)
            data += header + local_name + stored
        extra = struct.pack("<2H3Q", 1, 24, size, len(stored), offset)
        directory.append(
            struct.pack(
                "<4s6H3L5H2L",
                *(b"PK\1\2", 0x032D, 45, *facts),
                *(0xFFFFFFFF, 0xFFFFFFFF, len(item.raw_name), len(extra), 0, 0, 0),
                *(item.mode << 16, 0xFFFFFFFF),
            )
            + item.raw_name
            + extra
        )
    listed = b"".join(reversed(directory) if backwards else directory)
    return (
        bytes(data) + listed + ended(len(data), len(listed), len(items) if count is None else count)
    )


def ended(start: int, size: int, count: int) -> bytes:
    """What comes after the directory: end record and locator of 64 bits, end record."""
    record = struct.pack(
        "<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, count, count, size, start
    ) + struct.pack("<4sLQL", b"PK\6\7", 0, start + size, 1)
    return record + struct.pack(
        "<4s4H2LH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0
    )


def deflated(content: bytes) -> bytes:
    compressor = zlib.compressobj(9, wbits=-15)
    return compressor.compress(content) + compressor.flush()


GOOD = (Item("train/cat.0.jpg", b"cat"), Item("train/dog.0.jpg", b"dog"))


@pytest.fixture
def archive(tmp_path: Path) -> Callable[..., Path]:
    """An archive of one good cat, one good dog and these entries."""

    def write(*items: Item, **how: object) -> Path:
        path = tmp_path / "photos.zip"
        path.write_bytes(packed([*GOOD, *items], **how))
        return path

    return write


def photos_in(path: Path) -> dict[str, Photo]:
    source = open_source(str(path))
    photos = list(source.read())
    assert {photo.id: photo.label for photo in photos} == source.entries()
    assert len({photo.id for photo in photos}) == len(photos)
    return {photo.id: photo for photo in photos}


def reasons_in(path: Path) -> dict[str, str]:
    """Why photos are left out, by id; the good ones must be there."""
    photos = photos_in(path)
    assert [photos[name].encoded for name in ("cat.0.jpg", "dog.0.jpg")] == [b"cat", b"dog"]
    return {photo.id: photo.unreadable for photo in photos.values() if photo.unreadable}


def refusal(path: Path) -> str:
    with pytest.raises(PhotoError) as caught:
        open_source(str(path)).entries()
    message = str(caught.value)
    assert message.replace("\n", "").isprintable()
    with pytest.raises(PhotoError):
        list(unlabelled([path]))
    return message


@pytest.fixture
def memory() -> Iterator[Callable[[], float]]:
    """The most memory that Python took since the test began, in MiB."""
    tracemalloc.start()
    yield lambda: tracemalloc.get_traced_memory()[1] / MIB
    tracemalloc.stop()


def test_the_archives_packed_here_are_like_any_other(archive: Callable[..., Path]) -> None:
    path = archive(Item("train/cat.1.jpg", b"squeezed" * 9, deflated(b"squeezed" * 9), method=8))

    with zipfile.ZipFile(path) as independent:
        contents = {f"{name[6:]}": independent.read(name) for name in independent.namelist()}
    assert {name: photo.encoded for name, photo in photos_in(path).items()} == contents


@pytest.mark.parametrize(
    "name",
    [
        "../cat.9.jpg",
        "train/../../cat.9.jpg",
        "..\\..\\cat.9.jpg",
        "train/..",
        "/etc/cat.9.jpg",
        "\\\\server\\share\\cat.9.jpg",
        "C:\\photos\\cat.9.jpg",
        "c:cat.9.jpg",
    ],
)
def test_names_that_lead_out_are_refused_and_nothing_is_written(
    archive: Callable[..., Path], tmp_path: Path, name: str
) -> None:
    path = archive(Item(name))
    shown = name.replace("\\", "/")

    assert refusal(path) == (
        f"{path} is refused: its entry {shown} would lie outside of the folder that it is unpacked "
        "to. Pack the photos anew, with names below one folder."
    )
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", ["train\\cat.9.jpg", "./train/cat.9.jpg", "train/.//cat.9.jpg"])
def test_odd_but_harmless_names_are_read(archive: Callable[..., Path], name: str) -> None:
    assert set(photos_in(archive(Item(name)))) == {"cat.0.jpg", "dog.0.jpg", "cat.9.jpg"}


def test_links_and_devices_are_left_out(archive: Callable[..., Path]) -> None:
    path = archive(
        Item("train/cat.1.jpg", b"/etc/passwd", mode=LINK), Item("train/dog.1.jpg", mode=PIPE)
    )

    assert reasons_in(path) == {
        "cat.1.jpg": "a link",
        "dog.1.jpg": "a pipe, a device or a socket, not a file",
    }


def test_bombs_are_left_out_before_they_fill_the_memory(
    archive: Callable[..., Path], memory: Callable[[], float]
) -> None:
    zeros = deflated(bytes(65 * MIB))
    path = archive(
        Item("train/cat.1.jpg", b"", zeros, 8, claimed_bytes=65 * MIB),
        Item("train/cat.2.jpg", b"", zeros, 8, claimed_bytes=30 * MIB),
        Item("train/cat.3.jpg", b"", zeros, 8, claimed_bytes=1000),
        Item("train/cat.4.jpg", b"", b"x" * 10, claimed_bytes=2**62),
        Item("train/cat.5.jpg", b"", b"x" * 10, claimed_bytes=1000),
        Item("train/cat.6.jpg", b"", deflated(b"x" * 10), 8, claimed_bytes=11),
    )
    before = memory()
    reasons = reasons_in(path)

    assert reasons == {
        "cat.1.jpg": "larger than 64 MiB",
        "cat.2.jpg": f"claims 31,457,280 bytes in {len(zeros):,}, as no photo does",
        "cat.3.jpg": "damaged in the archive: its checksum does not fit",
        "cat.4.jpg": "larger than 64 MiB",
        "cat.5.jpg": "claims 1,000 bytes in 10, as no photo does",
        "cat.6.jpg": "damaged in the archive: 1 bytes of it are missing",
    }
    assert memory() < max(before, 66) + 8  # what packing took, above


def test_entries_that_share_their_bytes_are_refused(archive: Callable[..., Path]) -> None:
    kernel = Item("train/cat.1.jpg", b"", deflated(bytes(MIB)), 8)
    start = len(packed(GOOD)) - len(packed([])) - sum(46 + 28 + len(x.raw_name) for x in GOOD)
    shared = [Item(f"train/cat.{i}.jpg", b"", kernel.stored, 8, offset=start) for i in range(2, 30)]
    path = archive(kernel, *shared)

    assert refusal(path) == (
        f"{path} is refused: its entries overlap, or lie outside of it; together they claim more "
        "bytes than it has. Pack the photos anew."
    )


def test_ten_million_entries_are_refused_unseen(
    tmp_path: Path, memory: Callable[[], float]
) -> None:
    path = tmp_path / "many.zip"
    with path.open("wb") as file:
        file.seek(600_000_000)  # a hole: no disk is taken
        file.write(ended(10**8, 5 * 10**8, 10_000_000))
    assert refusal(path) == (
        f"{path} is refused: it holds 10,000,000 files, and at most 1,000,000 are accepted. "
        "Give a folder or an archive with fewer."
    )
    # The same, with a count that is a lie.
    with path.open("wb") as file:
        file.seek(2_600_000_000)
        file.write(ended(10**8, 25 * 10**8, 1))
    assert refusal(path) == (
        f"{path} is refused: the list of its files alone has 2,500,000,000 bytes. "
        "Give a folder or an archive with fewer files."
    )
    assert memory() < 4


def test_more_entries_than_are_said_are_refused(
    archive: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = archive(*(Item(f"train/cat.{i}.jpg") for i in range(1, 11)), count=2)
    assert len(photos_in(path)) == 12
    for place in (
        "optrun.data.sources.labelled_files.MAXIMUM_FILES",
        "optrun.data.unlabelled.MAXIMUM_ENTRIES",
    ):
        monkeypatch.setattr(place, 11)

    assert refusal(path) == (
        f"{path} is refused: it holds more than 11 files, and at most 11 are accepted. "
        "Give a folder or an archive with fewer."
    )


def test_a_long_list_of_files_is_never_in_memory_as_a_whole(
    tmp_path: Path, memory: Callable[[], float]
) -> None:
    path = tmp_path / "long.zip"
    path.write_bytes(packed([Item(f"{'long name ' * 350}{i}.jpg") for i in range(1_500)]))
    tracemalloc.reset_peak()
    before, size = memory(), path.stat().st_size

    assert sum(1 for _ in unlabelled([path])) == 1_500
    assert size > 10 * MIB
    assert memory() - before < 4


def test_an_archive_within_that_would_never_end_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "outer.zip"
    bomb = Item("train.zip", b"", deflated(bytes(20 * MIB)), 8, claimed_bytes=20 * MIB)
    path.write_bytes(packed([bomb]))
    assert refusal(path) == (
        f"train.zip in {path} can't be used: claims 20,971,520 bytes in {len(bomb.stored or b''):,}"
        ", as no photo does."
    )
    path.write_bytes(packed([Item("train.zip", b"", b"x", claimed_bytes=2**62)]))
    assert refusal(path).startswith(f"train.zip in {path} can't be used: claims")


def test_archives_are_opened_one_level_deep(tmp_path: Path) -> None:
    content = packed(GOOD)
    for _ in range(5):
        content = packed([Item("train.zip", content)])
    path = tmp_path / "deep.zip"
    path.write_bytes(content)

    with pytest.raises(PhotoError, match="holds 2 files, but none that is known to be a cat"):
        open_source(str(path)).entries()
    assert list(unlabelled([path])) == []


def test_very_many_archives_within_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "outer.zip"
    path.write_bytes(packed([Item(f"{i}.zip", packed(GOOD)) for i in range(101)]))

    assert "more than 100 zip archives. Give one of them." in refusal(path)


@pytest.fixture
def outer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An archive of one that is compressed, larger than is held in memory, and lists backwards."""
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    noise = random.Random(0).randbytes
    photos = [Item(f"train/{('cat', 'dog')[i % 2]}.{i}.jpg", noise(MIB)) for i in range(18)]
    inner = packed(photos, backwards=True)
    path = tmp_path / "outer.zip"
    path.write_bytes(packed([Item("train.zip", inner, deflated(inner), 8)]))
    return path


def test_an_archive_within_is_decompressed_once_whatever_its_order(
    outer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, memory: Callable[[], float]
) -> None:
    times = []
    decompress = Member._decompress
    monkeypatch.setattr(
        Member, "_decompress", lambda *arguments: times.append(1) or decompress(*arguments)
    )
    source = open_source(str(outer))
    source.entries()

    assert {photo.unreadable for photo in source.read()} == {""}
    assert len(times) == 2  # for their names, and for their bytes
    assert memory() < 32
    assert list((tmp_path / "temporary").iterdir()) == []


def test_an_archive_within_never_fills_the_disk(
    outer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda folder: SimpleNamespace(free=17 * MIB))
    folder = tmp_path / "temporary"

    assert f"more than are free in {folder}; set TMPDIR to another folder" in refusal(outer)
    claim = Item("train.zip", b"", deflated(bytes(MIB)), 8, claimed_bytes=1000)
    outer.write_bytes(packed([claim]))
    assert "train.zip in" in refusal(outer)
    assert list(folder.iterdir()) == []


def test_of_files_with_one_name_the_last_counts(archive: Callable[..., Path]) -> None:
    path = archive(
        Item("train/cat.1.jpg", b"first"),
        Item("train\\cat.1.jpg", b"second"),
        Item("train/cat.1.jpg", b"third"),
    )

    assert reasons_in(path) == {
        "cat.1.jpg (replaced)": "replaced by a later file of the same name",
        "cat.1.jpg (replaced) (2)": "replaced by a later file of the same name",
    }
    assert photos_in(path)["cat.1.jpg"].encoded == b"third"
    assert list(open_source(str(path)).read({"cat.1.jpg"})) == [Photo("cat.1.jpg", 0, b"third")]


@pytest.mark.parametrize(
    ("method", "name"), [(9, "Deflate64"), (14, "LZMA"), (93, "Zstandard"), (77, "method 77")]
)
def test_unknown_compression_is_named(archive: Callable[..., Path], method: int, name: str) -> None:
    path = archive(Item("train/cat.1.jpg", method=method))

    assert reasons_in(path) == {"cat.1.jpg": f"compressed with {name}; pack it anew with Deflate"}


def test_a_file_of_two_names_is_left_out(archive: Callable[..., Path]) -> None:
    path = archive(Item("train/cat.1.jpg", local_name=b"train/dog.1.jpg"))

    assert reasons_in(path) == {
        "cat.1.jpg": "damaged in the archive: it has another name in the directory"
    }


def test_names_are_shown_without_acting_on_the_terminal(archive: Callable[..., Path]) -> None:
    path = archive(
        Item("cat/\x1b[2J\r\n.jpg"),
        Item("cat/\u202egpj.exe".encode(), flags=1 << 11),
        Item(b"cat/caf\xe9.jpg", flags=1 << 11),
        Item(b"cat/caf\xe9.jpg"),
        Item("cat/\x00.jpg"),
        Item("cat/日本 語\u3000.jpg".encode(), flags=1 << 11),
    )

    assert [name.removeprefix("cat/") for name in photos_in(path) if name.startswith("cat/")] == [
        "\\x1b[2J\\r\\n.jpg",
        "\\u202egpj.exe",
        "caf\\xe9.jpg",
        "cafΘ.jpg",  # as zip archives without Unicode mean it, in code page 437
        "\\x00.jpg",
        "日本 語\u3000.jpg",
    ]
    assert "../\\x1b[2J would lie" in refusal(archive(Item("../\x1b[2J")))
    long = refusal(archive(Item("train/" + "a" * 60_000)))
    assert "it has a name of 60,006 bytes, train/aaa" in long
    assert len(long) < 400


def test_names_that_are_shown_alike_keep_ids_of_their_own(archive: Callable[..., Path]) -> None:
    path = archive(Item("cat/\x1b.jpg"), Item(b"cat/\xff.jpg", flags=1 << 11), Item("cat/\x7f.jpg"))
    assert len(photos_in(path)) == 5


def test_truncated_and_damaged_archives_end_in_words(tmp_path: Path) -> None:
    whole = packed([*GOOD, Item("train/cat.1.jpg", b"x" * 50, deflated(b"x" * 50), 8)])
    path = tmp_path / "photos.zip"
    chance = random.Random(0)
    variants = [whole[:length] for length in range(0, len(whole), 3)]
    for position in range(0, len(whole), 2):
        damaged = bytearray(whole)
        damaged[position] = chance.randrange(256)
        variants.append(bytes(damaged))
    refused = 0
    for variant in variants:
        path.write_bytes(variant)
        refused += ends_in_words(lambda: open_source(str(path)).read())
        refused += ends_in_words(lambda: unlabelled([path]))
    assert len(variants) < refused < 2 * len(variants)


def ends_in_words(read: Callable[[], Iterator[object]]) -> bool:
    """Whether reading is refused with a message; anything else that is raised is a failure."""
    try:
        list(read())
    except PhotoError as error:
        return str(error).replace("\n", "").isprintable()
    return False


def test_an_archive_that_changes_while_it_is_read_is_said(
    archive: Callable[..., Path], tmp_path: Path
) -> None:
    path = archive()
    message = f"{path} was changed while it was being read. Run again when it is complete."

    source = open_source(str(path))
    source.identity()
    os.utime(path, ns=(1, 1))
    with pytest.raises(PhotoError) as before:
        list(source.read())
    photos = open_source(str(path)).read()
    next(photos)
    with path.open("ab") as file:
        file.write(b"more")
    with pytest.raises(PhotoError) as meanwhile:
        list(photos)
    found = unlabelled([path])
    next(found)
    path.write_bytes(b"")
    with pytest.raises(PhotoError) as emptied:
        list(found)

    assert {str(caught.value) for caught in (before, meanwhile, emptied)} == {message}


@pytest.fixture
def folder(tmp_path: Path, write_folder: Callable[[Path, Files], Path]) -> Path:
    return write_folder(tmp_path / "photos", {"train/cat.0.jpg": b"cat", "train/dog.0.jpg": b"dog"})


def test_links_in_a_folder_lead_to_files_and_nothing_else(folder: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "cat.7.jpg").write_bytes(b"outside")
    train = folder / "train"
    (train / "cat.1.jpg").symlink_to(train / "cat.0.jpg")
    (train / "cat.2.jpg").symlink_to(outside / "cat.7.jpg")
    (train / "cat.3.jpg").symlink_to("cat.3.jpg")
    (train / "cat.4.jpg").symlink_to("nowhere")
    (train / "cat.5.jpg").symlink_to("/dev/zero")
    (train / "around").symlink_to(folder)
    (folder / "cats").mkdir()
    (folder / "cats" / "more").symlink_to(outside)
    identity = open_source(str(folder)).identity()
    photos = photos_in(folder)

    assert {name: photo.unreadable for name, photo in photos.items() if photo.unreadable} == {
        "train/cat.3.jpg": "a link that can't be read: Too many levels of symbolic links",
        "train/cat.4.jpg": "a link that can't be read: No such file or directory",
        "train/cat.5.jpg": "a pipe, a device or a socket, not a file",
        "cats/more": "a link to a folder, which is not followed",
    }
    assert photos["train/cat.1.jpg"].encoded == b"cat"
    assert photos["train/cat.2.jpg"].encoded == b"outside"
    assert identity["files"] == 9


@pytest.mark.parametrize("name", ["cats", "validation", "train/Dog"])
def test_a_link_that_stands_for_a_class_or_a_part_is_not_passed_over(
    folder: Path, tmp_path: Path, name: str
) -> None:
    (tmp_path / "outside").mkdir()
    (folder / name).symlink_to(tmp_path / "outside")
    with pytest.raises(PhotoError, match=f"^{name} in .* is a link to a folder, and no link to a "):
        photos_in(folder)


def test_a_folder_changes_with_the_files_its_links_lead_to(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "cat.7.jpg").write_bytes(b"before")
    (folder / "train" / "cat.7.jpg").symlink_to(tmp_path / "cat.7.jpg")
    before = open_source(str(folder)).identity()
    (tmp_path / "cat.7.jpg").write_bytes(b"after it")

    assert open_source(str(folder)).identity() != before


def test_names_made_printable_stay_different(
    tmp_path: Path, write_folder: Callable[[Path, Files], Path]
) -> None:
    escaped, spelt = "cat/x\x1b.jpg", "cat/x\\x1b.jpg"
    names = (escaped, spelt, f"{spelt} (2)", "cat/plain.jpg", "dog/0.jpg")
    folder = write_folder(tmp_path / "named", {name: name.encode() for name in names})
    photos = photos_in(folder)

    assert sorted(photo.encoded for photo in photos.values()) == sorted(map(str.encode, names))


def test_a_folder_that_is_a_link_itself_is_read(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(folder)

    assert len(photos_in(tmp_path / "link")) == 2


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes on this system")
@pytest.mark.timeout(60)
def test_pipes_and_sockets_are_never_waited_for(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(folder / "train" / "cat.1.jpg")
    reason = "a pipe, a device or a socket, not a file"
    monkeypatch.chdir(folder / "train")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("cat.2.jpg")  # relative, since the name of a socket must be short

        assert [photo.unreadable for photo in photos_in(folder).values()] == [
            "",
            reason,
            reason,
            "",
        ]
        assert open_source(str(folder)).identity()["files"] == 4
    os.mkfifo(tmp_path / "pipe.zip")
    assert refusal(tmp_path / "pipe.zip") == f"{tmp_path / 'pipe.zip'} can't be used: {reason}."
    os.mkfifo(tmp_path / "pipe.jpg")
    assert [photo.unreadable for photo in unlabelled([tmp_path / "pipe.jpg"])] == [reason]


@pytest.mark.skipif(sys.platform != "linux", reason="names are Unicode on other systems")
def test_names_in_a_folder_that_are_no_text_are_shown(folder: Path) -> None:
    (folder / "cats").mkdir()
    (folder / "cats" / os.fsdecode(b"\xff\x1b.jpg")).write_bytes(b"x")

    assert "cats/\\xff\\x1b.jpg" in photos_in(folder)
    assert [photo.name for photo in unlabelled([folder / "cats"])] == [
        f"{folder}/cats/\\xff\\x1b.jpg"
    ]


def test_a_path_that_the_system_refuses_is_said(tmp_path: Path) -> None:
    path = tmp_path / ("a" * 280)
    for read in (lambda: open_source(str(path)), lambda: unlabelled([path])):
        with pytest.raises(PhotoError, match=r"can't be looked at: File name too long\.$"):
            read()


def test_a_path_is_shown_without_acting_on_the_terminal(tmp_path: Path) -> None:
    (tmp_path / "photo\x1b[2Js.zip").touch()
    with pytest.raises(PhotoError) as caught:
        open_source(str(tmp_path / "photo\x1b[2J.zip"))

    assert str(caught.value).endswith(f"Did you mean {tmp_path}/photo\\x1b[2Js.zip?")
    assert str(caught.value).isprintable()


def test_an_image_of_immense_size_is_left_out(
    tmp_path: Path,
    kaggle: Callable[[int], Files],
    write_zip: Callable[[Path, Files], Path],
) -> None:
    side = 50_000
    png = io.BytesIO()
    Image.new("1", (8, 8)).save(png, "PNG")
    header = struct.pack(">2L5B", side, side, 1, 0, 0, 0, 0)
    content = bytearray(png.getvalue())
    content[16 : 16 + len(header)] = header
    content[29:33] = struct.pack(">L", zlib.crc32(b"IHDR" + header))
    jpeg = bytearray(kaggle(1)["train/cat.0.jpg"])
    at = jpeg.index(b"\xff\xc0")  # start of frame: length, precision, height, width
    jpeg[at + 5 : at + 9] = struct.pack(">2H", side, side)
    gif = b"GIF89a" + struct.pack("<2H", side, side) + b"\x00" * 30
    huge = {"train/cat.90.jpg": bytes(content), "train/dog.91.jpg": bytes(jpeg)}
    path = write_zip(tmp_path / "huge.zip", {**kaggle(6), **huge, "train/cat.92.gif": gif})
    cache = tmp_path / "cache"
    photos = prepare(str(path), image_size=16, cache=cache)

    assert len(photos) == 6
    assert dict(photos.left_out)["cat.90.jpg"] == "more than 80 million pixels"
    assert dict(photos.left_out)["dog.91.jpg"] == "more than 80 million pixels"
    assert "cat.92.gif" in dict(photos.left_out)
    assert sorted(tmp_path.iterdir()) == [cache, path]
