"""Names of imported photos: what can be one, and what is kept whatever happens."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from optrun.data.exceptions import PhotoError
from optrun.data.sources import library
from optrun.data.sources.opening import open_source

FINGERPRINT = "ab" * 32


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("OPTRUN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_a_name_leads_to_its_photos_until_it_is_removed(tmp_path: Path) -> None:
    library.register("pets", tmp_path, FINGERPRINT)
    entry = library.entry("pets")
    assert entry is not None
    assert (entry.path, entry.fingerprint) == (str(tmp_path.resolve()), FINGERPRINT)
    assert library.names() == ("pets",)
    assert library.location("pets") == str(tmp_path.resolve())
    assert library.remove("pets")
    assert library.entry("pets") is None
    assert not library.remove("pets")
    assert tmp_path.is_dir()


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        "../outside",
        "a/b",
        "a\\b",
        "/etc/passwd",
        "a b",
        "-rf",
        "_x",
        "1",
        "1e3",
        "a\nb",
        "a\0b",
        "pets.zip",
        "\ud800",
        "x" * 41,
        "null",
        "True",
        "CON",
        "lpt1",
        "Sample",
        "cats_vs_dogs",
        "a\u202eb",
    ],
)
def test_what_can_be_no_name_is_refused_and_touches_no_file(
    name: str, tmp_path: Path, cache: Path
) -> None:
    with pytest.raises(PhotoError, match=r"^--name (must be 1 to 40|is )"):
        library.register(name, tmp_path, FINGERPRINT)
    assert library.entry(name) is None
    assert not library.remove(name)
    assert not cache.exists()


@pytest.mark.parametrize("name", ["собаки", "x", "A-b_9", "é" * 40, "猫"])
def test_names_in_any_script_are_kept(name: str, tmp_path: Path) -> None:
    library.register(name, tmp_path, FINGERPRINT)
    assert library.names() == (name,)


def test_a_name_taken_by_other_photos_is_refused_with_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    library.register("pets", tmp_path, FINGERPRINT)
    for name in ("pets", "Pets"):
        with pytest.raises(PhotoError, match="The name pets is taken by the photos at") as caught:
            library.register(name, tmp_path / "other", FINGERPRINT)
        assert "optrun data remove pets" in str(caught.value)
    library.register("pets", tmp_path, "cd" * 32)
    entry = library.entry("pets")
    assert entry is not None
    assert entry.fingerprint == "cd" * 32


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("dogs-vs-cats.zip", "dogs-vs-cats"),
        ("Photos of 2019.ZIP", "Photos-of-2019"),
        ("v1.2", "v1-2"),
        ("123.zip", "photos-123"),
        ("sample.zip", "photos-sample"),
        ("....zip", "photos"),
        ("x" * 200 + ".zip", "x" * 40),
        ("кошки.zip", "кошки"),
        ("\udcff.zip", "photos"),
    ],
)
def test_a_default_name_is_near_the_files_and_always_possible(file: str, name: str) -> None:
    assert library.name_for(Path("/photos") / file) == name
    assert library.problem_with(name) is None


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b'{"format": 1, "name": "pets", "pa',
        b"[]",
        b"null",
        b"\xff\xfe",
        b"[" * 60_000,
        json.dumps({"name": "pets", "path": 5, "fingerprint": "", "imported": ""}).encode(),
        json.dumps({"name": "pets", "path": "a/b", "fingerprint": "", "imported": ""}).encode(),
        json.dumps({"name": "../x", "path": "/a", "fingerprint": "", "imported": ""}).encode(),
    ],
)
def test_a_torn_or_foreign_file_is_no_name_and_can_be_named_anew(
    content: bytes, tmp_path: Path
) -> None:
    library.register("fine", tmp_path, FINGERPRINT)
    torn = library.folder() / "pets.json"
    torn.write_bytes(content)
    found = library.read()
    assert list(found.entries) == ["fine"]
    assert found.damaged == [torn]
    assert library.is_damaged("pets")
    with pytest.raises(PhotoError, match="What the name pets stands for can't be read any more"):
        open_source("pets")
    library.register("pets", tmp_path, FINGERPRINT)
    assert library.names() == ("fine", "pets")


def test_a_folder_in_the_place_of_a_name_is_none(tmp_path: Path) -> None:
    library.register("fine", tmp_path, FINGERPRINT)
    (library.folder() / "pets.json").mkdir()
    assert library.names() == ("fine",)


def test_where_the_folder_cannot_be_written_the_message_says_what_to_do(
    tmp_path: Path, cache: Path
) -> None:
    (cache / "sources" / ".lock").mkdir(parents=True)
    with pytest.raises(PhotoError, match="Set OPTRUN_CACHE to a folder that is writable"):
        library.register("pets", tmp_path, FINGERPRINT)
    shutil.rmtree(cache)
    cache.write_text("a file where the folder would be")
    with pytest.raises(PhotoError, match="Set OPTRUN_CACHE to a folder of your own"):
        library.register("pets", tmp_path, FINGERPRINT)


def test_of_many_who_take_one_name_at_once_one_gets_it(tmp_path: Path) -> None:
    program = """
import sys
from pathlib import Path
from optrun.data.sources import library
from optrun.data.exceptions import PhotoError
sys.stdin.readline()
try:
    library.register("pets", Path(sys.argv[1]), "ab" * 32)
    print("got it")
except PhotoError as error:
    print("taken" if "is taken" in str(error) else error)
"""
    folders = [tmp_path / f"folder{number}" for number in range(6)]
    for folder in folders:
        folder.mkdir()
    waiting = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for folder in folders
    ]
    for process in waiting:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    answers = [process.communicate()[0].strip() for process in waiting]
    assert sorted(answers) == ["got it"] + ["taken"] * 5
    entry = library.entry("pets")
    assert entry is not None
    assert Path(entry.path) == folders[answers.index("got it")].resolve()


def test_a_source_goes_by_its_name_and_a_folder_of_that_name_by_its_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("here", "there"):
        (tmp_path / name / "pets").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here")
    library.register("pets", tmp_path / "there" / "pets", FINGERPRINT)
    assert open_source("pets").name == str(tmp_path / "there" / "pets")
    assert open_source("./pets").name == str(tmp_path / "here" / "pets")


def test_a_name_whose_photos_are_gone_says_where_they_were(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    library.register("pets", tmp_path / "photos", FINGERPRINT)
    (tmp_path / "photos").rmdir()
    with pytest.raises(PhotoError, match=rf"named pets lay at {tmp_path}/photos, where nothing is"):
        open_source("pets")


def test_a_misspelt_name_names_the_nearest(tmp_path: Path) -> None:
    library.register("holiday", tmp_path, FINGERPRINT)
    with pytest.raises(PhotoError, match=r"Did you mean holiday\?$"):
        open_source("holidya")
