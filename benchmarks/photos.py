"""What preparing photos costs: time against bare decoding, memory, and opening what is prepared.

    python benchmarks/photos.py [--photos 2000] [--archive ZIP] [--rounds 3]

Photos of realistic size are written into a temporary folder: the JPEGs of an archive, repeated, or
generated ones of 500 x 375 px. Speed is a ratio: the same files through TensorFlow's own reading,
decoding and resizing, on all cores, in turn with `prepare`, which also hashes, checks, rounds and
writes them. Memory is that of a process of its own, above one that only loaded TensorFlow.
"""

import argparse
import io
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import photo_feeding
from PIL import Image

IMAGE_SIZE = 224
GOAL_RATIO, GOAL_MEMORY_BYTES, GOAL_OPENING_S = 1.3, 1024**3, 0.2
_LARGEST = (10_000, 8_000)  # as many pixels as a photo may have


def photographs(archive: Path | None) -> Iterator[bytes]:
    """JPEGs of realistic size: those of an archive, or generated ones."""
    if archive is not None:
        with zipfile.ZipFile(archive) as opened:
            for entry in opened.infolist():
                if entry.filename.endswith(".jpg") and entry.file_size > 5_000:
                    content = opened.read(entry)
                    if _is_whole(content):
                        yield content
        return
    for number in range(100):
        rng = np.random.default_rng(number)
        coarse = Image.fromarray(rng.integers(0, 256, (24, 32, 3), np.uint8))
        pixels = np.asarray(coarse.resize((500, 375), Image.Resampling.BICUBIC), np.int16)
        noisy = np.clip(pixels + rng.normal(0, 12, pixels.shape), 0, 255).astype(np.uint8)
        yield encoded(Image.fromarray(noisy))


def encoded(image: Image.Image) -> bytes:
    """The image as a JPEG."""
    file = io.BytesIO()
    image.save(file, "JPEG", quality=85)
    return file.getvalue()


def write_photos(folder: Path, count: int, archive: Path | None) -> float:
    """Writes `count` photos in class folders; returns their mean size in kB."""
    different = list(photographs(archive))
    for animal in ("cat", "dog"):
        (folder / animal).mkdir(parents=True)
    for number in range(count):
        which = number % len(different)
        # Copies have the same label: else they would be left out.
        path = folder / ("cat", "dog")[which % 2] / f"{number}.jpg"
        path.write_bytes(different[which])
    return sum(map(len, different)) / len(different) / 1e3


def bare_s(files: list[str]) -> float:
    """Seconds that TensorFlow takes to read, decode and resize the files on all cores."""
    import tensorflow as tf

    def load(path: "tf.Tensor") -> "tf.Tensor":
        photo = tf.io.decode_jpeg(tf.io.read_file(path), channels=3, dct_method="INTEGER_FAST")
        return tf.image.resize(photo, (IMAGE_SIZE, IMAGE_SIZE))

    started = time.perf_counter()
    photos = tf.data.Dataset.from_tensor_slices(files).map(
        load, num_parallel_calls=tf.data.AUTOTUNE
    )
    done = photos.prefetch(64).reduce(np.int64(0), lambda count, _: count + 1)
    seconds = time.perf_counter() - started
    if int(done) != len(files):
        raise SystemExit("TensorFlow did not decode all photos")
    return seconds


def prepare_s(folder: Path, cache: Path) -> float:
    """Seconds that `prepare` takes for the files, until all is on the disk."""
    from optrun.data.cache.prepare import prepare

    started = time.perf_counter()
    prepare(str(folder), image_size=IMAGE_SIZE, cache=cache)
    return time.perf_counter() - started


def compare_speed(scratch: Path, count: int, rounds: int, archive: Path | None) -> None:
    """Prints both times, in turn, and their ratio."""
    folder = scratch / "speed"
    kilobytes = write_photos(folder, count, archive)
    files = sorted(str(path) for path in folder.rglob("*.jpg"))
    print(f"{count:,} photos of {kilobytes:.0f} kB, to {IMAGE_SIZE} px")
    ratios = []
    # The first of each loads libraries and warms the disk's cache.
    for number in range(rounds + 1):
        bare = bare_s(files)
        ours = prepare_s(folder, scratch / "cache")
        shutil.rmtree(scratch / "cache")
        bare = (bare + bare_s(files)) / 2
        if number:
            ratios.append(ours / bare)
            print(
                f"  bare {count / bare:,.0f} photos/s, prepare {count / ours:,.0f} photos/s: "
                f"{ratios[-1]:.2f} times the time",
                flush=True,
            )
    print(f"  median {statistics.median(ratios):.2f} (goal: at most {GOAL_RATIO})")
    shutil.rmtree(folder)


def compare_memory(scratch: Path, count: int, archive: Path | None) -> None:
    """Prints the peak memory of processes that prepare ever more, and ever larger, photos."""
    idle = _peak_bytes("idle", scratch, scratch)
    print(f"peak memory above the {idle / 1e6:,.0f} MB of an idle TensorFlow process")
    for kind, number in (("many", count // 4), ("many", count), ("huge", 8)):
        folder, cache = scratch / "memory", scratch / "cache"
        if kind == "many":
            write_photos(folder, number, archive)
            what = f"{number:,} photos"
        else:
            _write_huge(folder, number)
            what = f"{number} photos of {_LARGEST[0] * _LARGEST[1] / 1e6:.0f} million pixels"
        above = _peak_bytes("prepare", folder, cache) - idle
        print(f"  {what}: {above / 1e6:,.0f} MB (goal: at most {GOAL_MEMORY_BYTES / 1e6:,.0f})")
        shutil.rmtree(folder)
        shutil.rmtree(cache)


def compare_opening(scratch: Path) -> None:
    """Prints how long opening takes and what memory it keeps, for few and many prepared photos."""
    print("opening what is prepared")
    for count in (1_000, 100_000):
        folder = scratch / f"opened-{count}"
        seconds, anonymous = _opened(folder, count)
        print(
            f"  {count:,} photos: {seconds:.3f} s (goal: under {GOAL_OPENING_S}), "
            f"{anonymous / 1e6:.1f} MB of memory kept"
        )


def _write_huge(folder: Path, count: int) -> None:
    rng = np.random.default_rng(0)
    tile = Image.fromarray(rng.integers(0, 256, (80, 100, 3), np.uint8))
    photo = tile.resize(_LARGEST, Image.Resampling.BILINEAR)
    for animal in ("cat", "dog"):
        (folder / animal).mkdir(parents=True)
    photo.resize((500, 375)).save(folder / "dog" / "small.jpg", "JPEG")
    photo.save(folder / "cat" / "baseline.jpg", "JPEG")
    photo.save(folder / "cat" / "progressive.jpg", "JPEG", progressive=True)
    photo.save(folder / "cat" / "other.bmp", "BMP")
    for number in range(count - 3):
        shutil.copy(folder / "cat" / "baseline.jpg", folder / "cat" / f"{number}.jpg")


def _opened(folder: Path, count: int) -> tuple[float, int]:
    """Seconds that opening takes, and bytes of anonymous memory that stay, in a process."""
    # Pixels are mapped and not touched: a file with a hole will do.
    photo_feeding.prepared_photos(folder, count, noise=False)
    program = (
        "import gc, json, sys, time; from pathlib import Path; import psutil; "
        "from optrun.data.cache.cache import load; from optrun.data import split\n"
        "def anonymous(): m = psutil.Process().memory_info(); return m.rss - m.shared\n"
        "before = anonymous(); start = time.perf_counter(); photos = load(Path(sys.argv[1]))\n"
        "seconds = time.perf_counter() - start; len(photos)\n"
        "gc.collect(); print(json.dumps([seconds, anonymous() - before]))"
    )
    answer = subprocess.run(
        [sys.executable, "-c", program, str(folder)], capture_output=True, text=True, check=True
    )
    seconds, anonymous = json.loads(answer.stdout)
    return seconds, anonymous


def _peak_bytes(task: str, folder: Path, cache: Path) -> int:
    """Peak resident memory of this program, doing one task, in a process of its own."""
    command = [sys.executable, __file__, "--task", task, str(folder), str(cache)]
    answer = subprocess.run(command, capture_output=True, text=True, check=True)
    return int(answer.stdout)


def _carry_out(task: str, folder: Path, cache: Path) -> None:
    import resource

    import tensorflow as tf

    tf.constant(1) + 1
    if task == "prepare":
        prepare_s(folder, cache)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(peak * (1 if sys.platform == "darwin" else 1024))


def _is_whole(content: bytes) -> bool:
    try:
        with Image.open(io.BytesIO(content), formats=["JPEG"]) as image:
            image.load()
    except OSError:
        return False
    return True


def main() -> None:
    """Parses the options and prints all figures."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--photos", type=int, default=2000)
    parser.add_argument("--archive", type=Path, help="a zip of photos, instead of generated ones")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=["speed", "memory", "opening"])
    parser.add_argument("--task", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()

    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if options.task is not None:
        task, folder, cache = options.task
        _carry_out(task, Path(folder), Path(cache))
        return
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        if options.only in (None, "speed"):
            compare_speed(scratch, options.photos, options.rounds, options.archive)
        if options.only in (None, "memory"):
            compare_memory(scratch, options.photos, options.archive)
        if options.only in (None, "opening"):
            compare_opening(scratch)


if __name__ == "__main__":
    main()
