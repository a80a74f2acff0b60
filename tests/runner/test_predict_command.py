"""`optrun predict` as a person meets it: answers, a submission, every mistake answered."""

import csv
import gc
import io
import json
import shutil
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import yaml
from optrun.data.unlabelled import UnlabelledPhoto
from optrun.runner.inference.classifier import Trained, open_trained
from optrun.runner.inference.prediction import predictions
from PIL import Image
from scipy.special import expit

Answer = tuple[int, str, str]
Optrun = Callable[..., Answer]
MakeArchive = Callable[[Path, Sequence[str]], Path]

COUNT = 21  # more than a batch


def noise(number: int, size: int = 40) -> bytes:
    pixels = np.random.default_rng(number).integers(0, 256, (size, size, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG")
    return file.getvalue()


@pytest.fixture(scope="module")
def trained(trained_run: Path) -> Trained:
    return open_trained(trained_run, device="cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos, one of them hostile by name, and two that can't be read."""
    folder = tmp_path_factory.mktemp("holiday")
    for number in range(COUNT - 1):
        (folder / f"{number:02}.jpg").write_bytes(noise(number))
    (folder / "=1+1 \x1b[2J.jpg").write_bytes(noise(COUNT - 1))
    (folder / "05-empty.jpg").touch()
    (folder / "06-text.jpg").write_text("no photo")
    (folder / "notes.txt").write_text("no photo either")
    return folder


@pytest.fixture(scope="module")
def expected(trained: Trained) -> list[float]:
    """Logits of the readable photos, by number, one after the other."""
    pixels = np.stack([trained.pixels(noise(number)) for number in range(COUNT)])
    return [float(trained.logits(pixels[i : i + 1])[0]) for i in range(COUNT)]


@pytest.fixture(scope="module")
def competition(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Kaggle's zip of zips, its test photos out of order, one of them empty, with the list."""
    path = tmp_path_factory.mktemp("kaggle") / "dogs-vs-cats.zip"
    test, train = io.BytesIO(), io.BytesIO()
    with zipfile.ZipFile(test, "w") as archive:
        for number in (10, 2, 11, 1, 9, 3, 4, 5, 6, 7, 8, 12):
            archive.writestr(f"test1/{number}.jpg", b"" if number == 6 else noise(number))
    with zipfile.ZipFile(train, "w") as archive:
        archive.writestr("train/cat.0.jpg", noise(0))
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("train.zip", train.getvalue())
        archive.writestr("test1.zip", test.getvalue())
        archive.writestr("sampleSubmission.csv", "id,label\n" + "".join(f"{i},0\n" for i in IDS))
    return path


IDS = range(1, 13)


def test_a_folder_is_answered_and_the_rest_is_named(
    optrun: Optrun, trained_run: Path, folder: Path, expected: list[float]
) -> None:
    code, out, err = optrun("predict", trained_run, folder, "--format", "json", "--device", "cpu")
    assert code == 1
    rows = {Path(row["photo"]).name: row for row in json.loads(out)}
    assert len(rows) == COUNT
    for number in range(COUNT):
        name = f"{number:02}.jpg" if number < COUNT - 1 else "=1+1 \\x1b[2J.jpg"
        dog = expit(np.float64(expected[number]))
        assert rows[name]["dog_probability"] == pytest.approx(dog, abs=1e-6)
        assert rows[name]["answer"] == ("dog" if dog > 0.5 else "cat")
        assert rows[name]["probability"] == pytest.approx(max(dog, 1 - dog), abs=1e-6)
    assert "cannot be read: " in err
    assert "05-empty.jpg: empty file\n" in err
    assert "06-text.jpg: not an image\n" in err
    assert "notes.txt" not in err
    assert "2 could not be read" in err
    assert f"{trained_run.name}, epoch 1, 32 px, float32 on CPU" in err


def test_answers_come_in_the_order_of_the_photos(
    optrun: Optrun, trained_run: Path, folder: Path
) -> None:
    named = [folder / f"{number:02}.jpg" for number in (7, 3, 19)]
    code, out, err = optrun("predict", trained_run, *named)
    assert code == 0, err
    header, *lines = out.splitlines()
    assert header.split() == ["photo", "answer", "probability"]
    assert [line.split()[0] for line in lines] == [str(path) for path in named]
    assert all("\x1b" not in line for line in lines)


def test_a_file_is_written_whole_and_never_over_another(
    optrun: Optrun, trained_run: Path, folder: Path, tmp_path: Path
) -> None:
    output = tmp_path / "answers.csv"
    code, out, err = optrun("predict", trained_run, folder, "-o", output)
    assert (code, out) == (1, "")
    assert f" cats in {output}; 2 could not be read" in err
    with output.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == COUNT
    assert not any(row["photo"].startswith("=") for row in rows)
    assert list(tmp_path.iterdir()) == [output]
    before = output.read_bytes()
    code, _, err = optrun("predict", trained_run, folder, "-o", output)
    assert code == 2
    assert "-o must name a new file" in err
    assert "--force" in err
    assert output.read_bytes() == before
    photo = folder / "00.jpg"
    code, _, err = optrun("predict", trained_run, photo, "-o", tmp_path / "answers.xlsx")
    assert code == 2
    assert "-o must end in one of .csv, .json or .txt, or --format be given" in err
    code, _, err = optrun("predict", trained_run, photo, "-o", output, "--force")
    assert code == 0, err
    assert len(output.read_text().splitlines()) == 2


def test_trouble_on_the_way_leaves_valid_json_on_the_screen_and_no_file(
    optrun: Optrun, trained_run: Path, folder: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.zip"
    broken.write_bytes(b"PK\x03\x04 and no more")
    photo = folder / "00.jpg"
    code, out, err = optrun("predict", trained_run, photo, broken, "--format", "json")
    assert code == 2
    assert "broken.zip" in err
    assert [Path(row["photo"]).name for row in json.loads(out)] == ["00.jpg"]
    code, out, err = optrun("predict", trained_run, photo, broken, "-o", tmp_path / "a.json")
    assert (code, out) == (2, "")
    assert list(tmp_path.iterdir()) == [broken]


def generated(count: int) -> Iterator[UnlabelledPhoto]:
    different = [noise(number) for number in range(16)]
    for number in range(count):
        yield UnlabelledPhoto(f"{number}.jpg", different[number % 16])


def test_ten_times_the_photos_take_no_more_memory(trained: Trained) -> None:
    def peak(count: int) -> int:
        gc.collect()
        tracemalloc.start()
        try:
            assert sum(one.logit is not None for one in predictions(trained, generated(count)))
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(100)
    # Kept, 1,800 more decoded photos would be 5.5 MB.
    assert peak(2000) < peak(200) + 1_500_000


def test_no_photo_is_read_much_before_its_turn(trained: Trained) -> None:
    read = 0

    def counted() -> Iterator[UnlabelledPhoto]:
        nonlocal read
        for photo in generated(1000):
            read += 1
            yield photo

    found = predictions(trained, counted())
    next(found)
    assert read < 100
    found.close()


def test_the_submission_is_what_the_logits_say(
    optrun: Optrun, trained_run: Path, trained: Trained, competition: Path, tmp_path: Path
) -> None:
    """Against a computation of its own: plain clipping at a limit found by trying many."""
    output = tmp_path / "submission.csv"
    code, out, err = optrun("predict", trained_run, "--kaggle", competition, "-o", output)
    assert code == 1  # a test photo could not be read
    assert out == f"Wrote 12 rows to {output}\n"
    assert "cannot be read: test1/6.jpg: empty file" in err
    assert "in the file with 0.5" in err
    assert "as sampleSubmission.csv in dogs-vs-cats.zip lists" in err

    with np.load(trained_run / "predictions.npz") as kept:
        z, y = kept["validation_logits"].astype(float), kept["validation_labels"]
    limits = np.linspace(0.5 / (len(y) + 1), 0.5, 200_001)[:, None]
    p = np.clip(expit(z), limits, 1 - limits)
    limit = limits[np.argmin(-np.log(np.where(y == 1, p, 1 - p)).sum(1)), 0]
    assert f"the log loss of {len(y)} validation photos" in err
    before = np.mean(np.logaddexp(0, np.where(y == 1, -z, z)))
    assert f"{before:.4f} before" in err

    lines = output.read_text().splitlines()
    assert lines[0] == "id,label"
    labels = dict(line.split(",") for line in lines[1:])
    assert list(labels) == [str(number) for number in IDS]
    for number in IDS:
        logit = (
            0.0 if number == 6 else float(trained.logits(trained.pixels(noise(number))[None])[0])
        )
        wanted = np.clip(expit(logit), limit, 1 - limit)
        assert float(labels[str(number)]) == pytest.approx(wanted, abs=1e-4)


def test_hard_labels_and_flipping(
    optrun: Optrun, trained_run: Path, trained: Trained, competition: Path, tmp_path: Path
) -> None:
    output = tmp_path / "hard.csv"
    options = ("--labels", "hard", "--flip", "-o", output)
    code, _, err = optrun("predict", trained_run, "--kaggle", competition, *options)
    assert code == 1
    assert "clipped" not in err
    assert "mean of photo and mirror image" in err
    lines = output.read_text().splitlines()[1:]
    for line, number in zip(lines, IDS, strict=True):
        if number != 6:
            pixels = trained.pixels(noise(number))[None]
            dog = int(trained.logits(pixels, flip=True)[0] > 0)
            assert line == f"{number},{dog}"


def test_with_flipping_the_limit_is_chosen_on_flipped_validation_photos(
    optrun: Optrun, trained_run: Path, trained: Trained, competition: Path, tmp_path: Path
) -> None:
    output = tmp_path / "flipped.csv"
    code, _, err = optrun("predict", trained_run, "--kaggle", competition, "--flip", "-o", output)
    assert code == 1
    photos, parts, _ = trained.evaluated_photos()
    chosen_on = photos.pixels[parts["validation"]]
    z = (trained.logits(chosen_on) + trained.logits(chosen_on[:, :, ::-1])) / 2
    dog = photos.labels[parts["validation"]] == 1
    assert f"{np.mean(np.logaddexp(0, np.where(dog, -z, z))):.4f} before" in err


def test_a_run_that_kept_no_predictions_judges_its_validation_photos_again(
    optrun: Optrun, trained_run: Path, competition: Path, tmp_path: Path
) -> None:
    run = Path(shutil.copytree(trained_run, tmp_path / trained_run.name))
    first, second = tmp_path / "first.csv", tmp_path / "second.csv"
    optrun("predict", run, "--kaggle", competition, "-o", first)
    (run / "predictions.npz").write_bytes(b"damaged")
    optrun("predict", run, "--kaggle", competition, "-o", second)
    for one, other in zip(*(path.read_text().split() for path in (first, second)), strict=True):
        if one != "id,label":
            assert one.split(",")[0] == other.split(",")[0]
            assert float(one.split(",")[1]) == pytest.approx(float(other.split(",")[1]), abs=1e-5)


def test_ids_that_are_not_those_of_the_list_are_refused_before_any_work(
    optrun: Optrun, trained_run: Path, make_archive: MakeArchive, tmp_path: Path
) -> None:
    archive = make_archive(tmp_path / "test1.zip", [f"test1/{i}.jpg" for i in (1, 2, 4)])
    (tmp_path / "sampleSubmission.csv").write_text("id,label\n1,0\n2,0\n3,0\n4,0\n")
    output = tmp_path / "submission.csv"
    code, out, err = optrun("predict", trained_run, "--kaggle", archive, "-o", output)
    assert (code, out) == (2, "")
    assert "4 ids, received 3; without a photo: 3." in err
    assert "epoch" not in err
    assert not output.exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("RUN",), "Name at least one PHOTO, or --kaggle ARCHIVE."),
        (("RUN", "nowhere.jpg"), "PHOTO must be a photo, a folder or a zip archive"),
        (("RUN", "EMPTY"), "which holds none"),
        (("nothing-such", "EMPTY"), "RUN must be the folder of a run"),
        (("RUN", "EMPTY", "-o", "EMPTY"), "which is a folder"),
        (("RUN", "EMPTY", "-o", "nowhere/a.csv"), "there is no"),
        (("RUN", "EMPTY", "-o", "/dev/null", "--force"), "which is no plain file"),
        (("RUN", "EMPTY", "--labels", "hard"), "--labels is for --kaggle alone"),
        (("RUN", "--kaggle", "EMPTY"), "--kaggle needs -o FILE"),
        (("RUN", "a.jpg", "--kaggle", "EMPTY"), "cannot be given together"),
        (("RUN", "--kaggle", "EMPTY", "--format", "csv"), "whose format is fixed"),
        (("RUN", "--kaggle", "EMPTY", "-o", "s.csv"), "which holds none"),
        (("RUN", "--kaggle", "nowhere.zip", "-o", "s.csv"), "--kaggle must be"),
    ],
)
def test_mistakes_are_answered(
    optrun: Optrun,
    trained_run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    places = {"RUN": trained_run, "EMPTY": tmp_path / "empty"}
    code, out, err = optrun("predict", *(places.get(word, word) for word in arguments))
    assert (code, out) == (2, "")
    assert said in err
    assert "Traceback" not in err
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]


def test_a_run_folder_is_left_as_it_was(
    optrun: Optrun, trained_run: Path, folder: Path, tmp_path: Path
) -> None:
    def content(run: Path) -> dict[str, bytes]:
        return {str(path): path.read_bytes() for path in run.rglob("*") if path.is_file()}

    before = content(trained_run)
    optrun("predict", trained_run, folder / "00.jpg")
    assert content(trained_run) == before
    assert yaml.safe_load(before[str(trained_run / "config.yaml")])
