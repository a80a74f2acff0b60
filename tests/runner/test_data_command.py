"""`optrun data` import, list, verify, show and remove, as a person calls them."""

import io
import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from optrun.data import locks
from optrun.data.cache.copies import copies
from optrun.data.cache.prepare import prepare
from optrun.data.sources import library
from optrun.runner.datasets.preparation import remarks
from PIL import Image, ImageCms

Answer = tuple[int, str, str]
Optrun = Callable[..., Answer]
MakeArchive = Callable[[Path, Sequence[str]], Path]
SIZE = ("--image-size", 32)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, photo_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of each test's own, and a working directory."""
    monkeypatch.setenv("OPTRUN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "tfds"))
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def pets(folder: Path, make_archive: MakeArchive) -> Path:
    """Thirty photos, a copy of one of them, and junk."""
    names = [f"Pets/{kind}/{i}.jpg" for i in range(15) for kind in ("Cat", "Dog")]
    path = make_archive(folder / "pets.zip", names)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("Pets/Cat/99.jpg", archive.read("Pets/Cat/3.jpg"))
        archive.writestr("Pets/Cat/Thumbs.db", b"\xd0\xcf\x11\xe0")
        archive.writestr("Pets/Dog/7\x1b[31m.jpg", b"")
        archive.writestr("Pets/Dog/98.jpg", b"")
    return path


def test_an_import_says_what_is_there_and_what_was_left_out(optrun: Optrun, pets: Path) -> None:
    code, out, _ = optrun("data", "import", pets, *SIZE)
    assert code == 0
    lines = out.splitlines()
    assert lines[0] == f"pets: {pets}"
    assert "  photos       31: 16 cats, 15 dogs" in lines
    assert "  duplicates   1 photo is a copy of another, byte for byte:" in lines
    assert "               Cat/3.jpg = Cat/99.jpg" in lines
    assert "  left out     3 files that are no usable photos:" in lines
    assert "                   2  empty file    Dog/7\\x1b[31m.jpg, Dog/98.jpg" in lines
    assert "                   1  not an image  Cat/Thumbs.db" in lines
    assert lines[-1].endswith("--set data.source=pets")
    assert max(map(len, lines[1:-2])) <= 80  # but for the cache's path
    entry = library.entry("pets")
    assert entry is not None
    assert entry.path == str(pets)


def test_an_import_counts_what_was_turned_and_what_has_other_colours(
    optrun: Optrun, pets: Path
) -> None:
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    lying = Image.Exif()
    lying[0x0112] = 6
    with zipfile.ZipFile(pets, "a") as archive:
        for number, more in enumerate(({"exif": lying}, {"exif": lying, "icc_profile": lab})):
            with archive.open(f"Pets/Cat/{number + 50}.jpg", "w") as file:
                Image.new("RGB", (40, 30), (number, 100, 200)).save(file, "JPEG", **more)
    _, out, _ = optrun("data", "import", pets, *SIZE)
    lines = out.splitlines()
    assert "  turned       2 photos turned upright, as their files say" in lines
    place = lines.index("  colours      1 photo whose colours are not sRGB, read as if they were:")
    assert lines[place + 1] == "               1 Lab identity built-in"


@pytest.fixture
def kittens(folder: Path, make_archive: MakeArchive) -> Path:
    """Six cats, twenty-four dogs, and photos whose place and name say nothing."""
    names = [f"Pets/Cat/{i}.jpg" for i in range(6)] + [f"Pets/Dog/{i}.jpg" for i in range(24)]
    more = [*(f"Pets/kittens/{i}.jpg" for i in range(5)), "Pets/portrait.png", "Pets/.hidden.jpg"]
    return make_archive(folder / "pets.zip", [*names, *more, "Pets/test1/1.jpg", "Pets/notes.txt"])


def test_photos_without_a_label_and_few_of_a_class_are_told(optrun: Optrun, kittens: Path) -> None:
    _, out, _ = optrun("data", "import", kittens, *SIZE)
    words = " ".join(out.split())
    assert "6 photos without a label, used in no run: Pets/kittens/ (5), Pets/ (1)" in words
    assert "an accuracy of 80.0% is that of saying dog of every photo" in words


def test_photos_without_a_label_are_junk_where_that_is_strict(
    optrun: Optrun, kittens: Path
) -> None:
    code, _, err = optrun("data", "import", kittens, *SIZE, "--strict")
    assert code == 2
    assert "holds 6 files that --strict does not allow" in err
    assert "Pets/kittens/ (5)" in err
    assert library.entry("pets") is None


@pytest.mark.parametrize(
    ("limit", "said"),
    [
        (100, "data.limit is 100, and 30 photos are all there are"),
        (20, "data.limit takes half of each class, and 6 cats are all there are"),
        (12, ""),
        (None, ""),
    ],
)
def test_what_a_limit_does_not_get_is_told(limit: int | None, said: str, kittens: Path) -> None:
    photos = prepare(str(kittens), image_size=32, limit=limit)
    assert [line for line in remarks(photos, limit, parts={}) if "limit" in line] == [said] * bool(
        said
    )


def test_importing_again_is_quick_and_says_so(optrun: Optrun, pets: Path) -> None:
    optrun("data", "import", pets, *SIZE)
    code = (
        "import sys; from optrun.runner.cli import main;"
        f"sys.argv = ['optrun', 'data', 'import', {str(pets)!r}, '--image-size', '32'];"
        "main(); print('tensorflow' in sys.modules)"
    )
    again = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    lines = again.stdout.splitlines()
    assert lines[-1] == "False"
    assert any("prepared     32 px, before: nothing to do" in line for line in lines)


def test_another_size_of_a_name_needs_no_path(optrun: Optrun, pets: Path) -> None:
    optrun("data", "import", pets, *SIZE)
    code, out, _ = optrun("data", "import", "pets", "--image-size", 40, "--resize", "pad")
    assert code == 0
    assert "40 px, pad, in" in out
    assert len(copies()) == 2
    assert library.names() == ("pets",)


def test_verbose_lists_every_file(optrun: Optrun, pets: Path) -> None:
    _, out, _ = optrun("data", "import", pets, *SIZE, "--verbose")
    assert {"Dog/98.jpg", "Cat/Thumbs.db"} <= {line.strip() for line in out.splitlines()}


def test_strict_makes_junk_an_error_and_keeps_no_name(optrun: Optrun, pets: Path) -> None:
    code, out, err = optrun("data", "import", pets, *SIZE, "--strict")
    assert (code, out) == (2, "")
    assert "holds 3 files that --strict does not allow; nothing was registered." in err
    assert "Cat/Thumbs.db" in err
    assert library.names() == ()


def test_a_name_taken_by_other_photos_is_refused_before_any_work(
    optrun: Optrun, folder: Path, pets: Path, make_archive: MakeArchive
) -> None:
    optrun("data", "import", pets, *SIZE)
    (folder / "other").mkdir()
    other = make_archive(folder / "other" / "pets.zip", ["cat.1.jpg", "dog.1.jpg"])
    code, _, err = optrun("data", "import", other, *SIZE)
    assert code == 2
    assert f"The name pets is taken by the photos at {pets}. Give these another one (--name)" in err
    assert len(copies()) == 1
    assert optrun("data", "import", other, *SIZE, "--name", "others")[0] == 0
    assert library.names() == ("others", "pets")


@pytest.mark.parametrize("name", ["../x", "a/b", "sample", "", "x" * 99, "a\nb"])
def test_hostile_names_are_refused(name: str, optrun: Optrun, pets: Path) -> None:
    code, _, err = optrun("data", "import", pets, *SIZE, f"--name={name}")
    assert code == 2
    assert err.startswith("optrun: --name ")
    assert copies() == []


def test_photos_that_changed_since_the_import_are_told(
    optrun: Optrun, pets: Path, make_archive: MakeArchive
) -> None:
    optrun("data", "import", pets, *SIZE)
    make_archive(pets, ["cat.1.jpg", "dog.1.jpg", "dog.2.jpg"])
    assert "its source has changed since" in optrun("data", "list")[1]
    _, out, _ = optrun("data", "import", pets, *SIZE)
    assert "  changed      other photos than at the last import" in out


def test_what_is_missing_is_told_with_the_nearest(optrun: Optrun, pets: Path) -> None:
    code, _, err = optrun("data", "import", "pet.zip")
    assert code == 2
    assert err.endswith(f"Did you mean {pets}?\n")
    assert "is built in and needs no import" in optrun("data", "import", "sample")[2]


def test_a_list_shows_names_paths_without_one_and_what_is_stale(
    optrun: Optrun, folder: Path, pets: Path
) -> None:
    optrun("data", "import", pets, *SIZE)
    shutil.copy(pets, folder / "gone.zip")
    optrun("data", "show", "gone.zip", "-o", "x.png")
    (folder / "gone.zip").unlink()
    code, out, _ = optrun("data", "list")
    assert code == 0
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert lines[0] == "NAME PREPARED CATS DOGS FINGERPRINT DISK"
    assert lines[1].startswith("pets 32 px 16 15 ")
    assert lines[2] == f"from {pets}"
    assert "cats_vs_dogs not obtained yet: optrun data prepare" in lines
    assert "sample not prepared yet" in lines
    stale = lines.index("Stale, of use to no run any more (optrun data remove --stale):")
    assert lines[stale + 1].startswith(f"{folder}/gone.zip at 224 px, ")
    assert lines[stale + 1].endswith(": its source is no longer there")


def test_a_list_as_json_holds_all_that_is_known(optrun: Optrun, pets: Path) -> None:
    optrun("data", "import", pets, *SIZE)
    content = json.loads(optrun("data", "list", "--format", "json")[1])
    (source,) = (one for one in content["sources"] if one["name"] == "pets")
    entry = library.entry("pets")
    assert entry is not None
    assert source["source"] == str(pets)
    assert source["fingerprint"] == entry.fingerprint
    (copy,) = source["prepared"]
    assert (copy["cats"], copy["dogs"], copy["left_out"], copy["image_size"]) == (16, 15, 3, 32)
    assert content["disk_bytes"] == copy["disk_bytes"]


def test_a_torn_name_is_passed_over_with_a_notice(optrun: Optrun, pets: Path) -> None:
    optrun("data", "import", pets, *SIZE)
    torn = library.folder() / "torn.json"
    torn.write_text('{"name": "to')
    code, out, err = optrun("data", "list")
    assert code == 0
    assert "pets" in out
    assert err.startswith(f"note: {torn} can't be read and names nothing.")
    assert optrun("data", "remove", "torn", "--yes")[0] == 0
    assert not torn.exists()


def test_a_list_takes_little_and_loads_nothing_of_weight(optrun: Optrun, pets: Path) -> None:
    optrun("data", "import", pets, *SIZE)
    code = (
        "import sys, time; from optrun.runner.cli import main;"
        "sys.argv = ['optrun', 'data', 'list'];"
        "main(); print(time.process_time(), *{'tensorflow', 'keras', 'numpy'} & {*sys.modules})"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    seconds, *loaded = answer.stdout.splitlines()[-1].split()
    assert loaded == []
    assert float(seconds) < 0.6  # 0.15 where nothing else runs


def test_a_cache_that_may_only_be_read_is_listed(optrun: Optrun, pets: Path) -> None:
    optrun("data", "import", pets, *SIZE)
    before = sorted((path, path.stat().st_mtime_ns) for path in Path("cache").rglob("*"))
    assert optrun("data", "list")[0] == 0
    assert sorted((path, path.stat().st_mtime_ns) for path in Path("cache").rglob("*")) == before


def test_a_cache_that_cannot_be_written_ends_an_import_with_the_way_out(
    optrun: Optrun, pets: Path
) -> None:
    Path("cache").write_text("in the way")
    code, _, err = optrun("data", "import", pets, *SIZE)
    assert code == 2
    assert "Set OPTRUN_CACHE to a folder" in err


def test_verify_ends_with_0_where_all_is_whole_and_1_where_it_is_not(
    optrun: Optrun, folder: Path, pets: Path
) -> None:
    photos = folder / "photos"
    with zipfile.ZipFile(pets) as archive:
        archive.extractall(photos)
    optrun("data", "import", photos, *SIZE)
    code, out, _ = optrun("data", "verify", "photos")
    assert code == 0
    assert "  32 px: 31 photos, 3 left out: whole" in out
    (photos / "Pets" / "Cat" / "0.jpg").write_bytes(b"x")
    (photos / "Pets" / "Dog" / "0.jpg").unlink()
    code, out, _ = optrun("data", "verify", photos)
    assert code == 1
    assert "    Cat/0.jpg: can't be used any more: not an image" in out
    assert "    Dog/0.jpg: no longer in the source" in out
    assert "To prepare anew: optrun data remove" in out


def test_verify_of_what_was_never_prepared_is_a_mistake(optrun: Optrun, pets: Path) -> None:
    for source in (pets, "cats_vs_dogs"):
        code, _, err = optrun("data", "verify", source)
        assert code == 2
        assert err.startswith("optrun: ")


def sheet(path: str) -> Image.Image:
    return Image.open(io.BytesIO(Path(path).read_bytes()))


def test_a_sheet_is_written_and_said_where(optrun: Optrun, folder: Path, pets: Path) -> None:
    optrun("data", "import", pets, *SIZE)
    code, out, _ = optrun("data", "show", "pets", "--count", 6)
    assert code == 0
    assert out == f"Wrote {folder}/pets.png: 6 of 31 photos\n"
    assert sheet("pets.png").format == "PNG"
    optrun("data", "show", "pets", "--part", "train", "--count", 1000, "-o", "train.png")
    assert sheet("train.png").height > sheet("pets.png").height


def test_a_sheet_that_cannot_be_written_is_a_mistake(optrun: Optrun, pets: Path) -> None:
    optrun("data", "import", pets, *SIZE)
    code, _, err = optrun("data", "show", "pets", "-o", "nowhere/x.png")
    assert code == 2
    assert "--output must be a file that can be written, received: nowhere/x.png" in err


CONFIG = """\
training: {epochs: 1, seed: 4}
optimizer: {name: sgd, learning_rate: 0.01}
data: {image_size: 32, augmentation: {rotation: 40, flip: true}}
"""


def test_a_sheet_of_augmented_photos_depends_on_the_seed(
    optrun: Optrun, folder: Path, pets: Path
) -> None:
    Path("turning.yaml").write_text(CONFIG)
    show = ("data", "show", "pets", "--augmented", "turning.yaml", "--count", 16)
    optrun("data", "import", pets, *SIZE)
    code, out, _ = optrun(*show)
    assert code == 0
    assert out == (f"Wrote {folder}/pets-augmented.png: 2 training photos in 7 epochs of turning\n")
    optrun(*show, "-o", "again.png")
    optrun(*show, "-o", "other.png", "--set", "training.seed=5")
    first = sheet("pets-augmented.png").tobytes()
    assert first == sheet("again.png").tobytes()
    assert first != sheet("other.png").tobytes()


def test_a_config_without_augmentation_shows_nothing(optrun: Optrun, pets: Path) -> None:
    Path("plain.yaml").write_text(CONFIG.replace("rotation: 40, flip: true", ""))
    code, _, err = optrun("data", "show", pets, "--augmented", "plain.yaml")
    assert code == 2
    assert "plain.yaml leaves photos as they are: all of data.augmentation is off." in err


@pytest.mark.parametrize(
    "arguments", [("--set", "training.seed=2"), ("--augmented", "x.yaml", "--part", "test")]
)
def test_options_without_sense_are_refused(arguments: tuple[str, ...], optrun: Optrun) -> None:
    assert optrun("data", "show", "sample", *arguments)[0] == 2


def test_remove_frees_the_copies_and_leaves_the_photos(optrun: Optrun, pets: Path) -> None:
    content = pets.read_bytes()
    optrun("data", "import", pets, *SIZE)
    optrun("data", "import", pets, "--image-size", 40)
    code, out, _ = optrun("data", "remove", "pets", "--yes")
    assert code == 0
    assert "Removed the name pets and 2 prepared copies. " in out
    assert "no file of yours was touched" in out
    assert library.names() == ()
    assert copies() == []
    assert pets.read_bytes() == content


def test_remove_without_anybody_to_ask_wants_yes(optrun: Optrun, pets: Path) -> None:
    optrun("data", "import", pets, *SIZE)
    code, _, err = optrun("data", "remove", "pets")
    assert code == 2
    assert "--yes does" in err
    assert library.names() == ("pets",)


def test_remove_of_the_stale_leaves_what_is_of_use(
    optrun: Optrun, folder: Path, pets: Path
) -> None:
    optrun("data", "import", pets, *SIZE)
    shutil.copy(pets, folder / "gone.zip")
    optrun("data", "import", "gone.zip", *SIZE)
    (folder / "gone.zip").unlink()
    code, out, _ = optrun("data", "remove", "--stale", "--yes")
    assert code == 0
    assert "Removed 1 prepared copy" in out
    assert [copy.source for copy in copies()] == [str(pets)]
    assert library.names() == ("gone", "pets")
    assert optrun("data", "remove", "--stale", "--yes")[1] == "Nothing is stale.\n"


def test_what_another_process_builds_stays_with_its_name(optrun: Optrun, pets: Path) -> None:
    optrun("data", "import", pets, *SIZE)
    (copy,) = copies()
    with locks.exclusive(copy.folder.with_name(copy.folder.name + ".lock")):
        code, _, err = optrun("data", "remove", "pets", "--yes")
    assert code == 1
    assert "another process is at work on it" in err
    assert copies() == [copy]
    assert library.names() == ("pets",)


def test_photos_under_two_names_stay_prepared_for_the_other(optrun: Optrun, pets: Path) -> None:
    optrun("data", "import", pets, *SIZE)
    optrun("data", "import", pets, *SIZE, "--name", "again")
    assert optrun("data", "remove", "again", "--yes")[0] == 0
    assert library.names() == ("pets",)
    assert len(copies()) == 1


def test_remove_of_what_is_not_there_is_a_mistake(optrun: Optrun, pets: Path) -> None:
    optrun("data", "import", pets, *SIZE)
    code, _, err = optrun("data", "remove", "pest", "--yes")
    assert code == 2
    assert "Did you mean pets" in err
    assert optrun("data", "remove")[0] == 2
    assert optrun("data", "remove", "pets", "--stale")[0] == 2


@pytest.mark.slow
def test_imports_of_one_archive_at_once_build_it_once(optrun: Optrun, pets: Path) -> None:
    command = [sys.executable, "-c", "from optrun.runner.cli import main; main()", "data", "import"]
    running = [
        subprocess.Popen([*command, str(pets), "--image-size", "32"], stdout=subprocess.PIPE)
        for _ in range(2)
    ]
    outputs = [process.communicate()[0].decode() for process in running]
    assert [process.returncode for process in running] == [0, 0]
    assert all("31: 16 cats, 15 dogs" in output for output in outputs)
    assert len(copies()) == 1
    assert library.names() == ("pets",)


def test_the_help_imports_nothing_of_weight() -> None:
    code = (
        "import sys; from optrun.runner.commands.data import data;"
        "data.main(['show', '--help'], standalone_mode=False);"
        "print({'tensorflow', 'numpy', 'pydantic', 'rich'} & {*sys.modules})"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ
    )
    assert answer.stdout.splitlines()[-1] == "set()"
