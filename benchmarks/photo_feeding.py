"""How fast photos are fed, how fast they are opened, what memory it takes, what augmentation costs.

    python benchmarks/photo_feeding.py [--photos 4000] [--skip-network]

Shuffled batches of 32 photos of 224 px are to come at 6,000 photos/s at least, in order, up to the
point where the device takes over; beside the rate stands that of copying as many photos in one
piece. Opening 25,000 prepared photos is to take under 0.2 s, and anonymous memory (what is not
mapped from files) to be the same for 1,000 and for 100,000 photos. Augmentation is to take at most
5 % of the processor time of a training step of VGG19, as it is and at the width and size of the
built-in sample. Each figure is the best of several rounds, in which what is compared takes turns.
Exit code 1 where a limit is missed.
"""

import argparse
import itertools
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import numpy.typing as npt
from optrun.data.cache import cache
from optrun.data.cache.cache_key import PIXELS
from optrun.data.feed.augmentation import Augmentation, augment, parameters
from optrun.data.feed.batches import training_batches
from optrun.data.photos import Photos

IMAGE_SIZE, BATCH = 224, 32
PHOTOS_PER_SECOND = 6000
OPENING_SECONDS = 0.2
MEMORY_GROWTH_MIB = 32  # for ids, digests and the order of 100,000 photos
AUGMENTATION_SHARE = 0.05
ROUNDS = 5
_DIGESTS = ("digests", "pixel_digests")
EVERYTHING = Augmentation(flip=True, shift=0.1, zoom=0.1, rotation=15, brightness=0.2, contrast=0.2)


def prepared_photos(folder: Path, count: int, *, noise: bool) -> Photos:
    """Writes a folder as the cache keeps it, and opens it.

    Args:
        folder: Made here.
        count: How many photos.
        noise: Whether pixels are random numbers; else the file is sparse, and all are black.
    """
    folder.mkdir()
    rng = np.random.default_rng(1)
    shape = (count, IMAGE_SIZE, IMAGE_SIZE, 3)
    pixels = np.lib.format.open_memmap(folder / PIXELS, "w+", np.uint8, shape)
    for start in range(0, count if noise else 0, 256):
        rows = pixels[start : start + 256]
        rows[...] = rng.integers(0, 256, rows.shape, np.uint8)
    digests = {name: rng.integers(0, 256, (count, 32), np.uint8) for name in _DIGESTS}
    classes = {"labels": (np.arange(count) % 2).astype(np.uint8)}
    cache.save_index(
        folder,
        [f"train/{('cat', 'dog')[i % 2]}.{i // 2:06d}.jpg" for i in range(count)],
        digests | classes | {"parts": np.zeros(count, np.uint8)},
        {
            **{"source": "benchmark", "is_sample": False, "fingerprint": "0" * 64},
            **{key: [] for key in ("left_out", "turned", "unlabelled", "profiles")},
            "key": {"preprocessing": "none"},
        },
    )
    return opened(folder)


def opened(folder: Path) -> Photos:
    """What `prepared_photos` has written."""
    photos = cache.load(folder)
    if photos is None:
        raise RuntimeError(f"the photos just written to {folder} are not found there")
    return photos


def batches(photos: Photos, augmentation: Augmentation | None = None) -> Iterator[object]:
    """The stream that training is fed from, without end."""
    indices = np.arange(len(photos))
    return iter(
        training_batches(photos, indices, batch_size=BATCH, seed=1, augmentation=augmentation)
    )


def per_second(photos_at_once: int, step: Callable[[], object], seconds: float = 1.0) -> float:
    """Photos per second of a step on so many photos, repeated for a while."""
    started = time.perf_counter()
    steps = 0
    while (taken := time.perf_counter() - started) < seconds:
        step()
        steps += 1
    return steps * photos_at_once / taken


def feeding(photos: Photos) -> bool:
    """Prints the rates of feeding and of copying; returns whether the former suffices."""
    plain, augmenting = batches(photos), batches(photos, EVERYTHING)
    for stream in (plain, augmenting):
        for _ in range(len(photos) // BATCH):
            next(stream)
    target = np.empty((BATCH, IMAGE_SIZE, IMAGE_SIZE, 3), np.uint8)
    # One after the other: what is copied again and again stays in the processor's own memory.
    pieces = itertools.cycle(
        [photos.pixels[i : i + BATCH] for i in range(0, len(photos) - BATCH + 1, BATCH)]
    )
    best = {"fed": 0.0, "with augmentation's parameters": 0.0, "copied in one piece": 0.0}
    for _ in range(ROUNDS):
        for name, step in (
            ("fed", lambda: next(plain)),
            ("with augmentation's parameters", lambda: next(augmenting)),
            ("copied in one piece", lambda: np.copyto(target, next(pieces))),
        ):
            best[name] = max(best[name], per_second(BATCH, step))
    for name, rate in best.items():
        ratio = rate / best["copied in one piece"]
        print(f"feeding: {rate:8,.0f} photos/s {name} ({ratio:.2f} of copying)")
    rate = min(best["fed"], best["with augmentation's parameters"])
    return said("feeding", rate >= PHOTOS_PER_SECOND, f"at least {PHOTOS_PER_SECOND:,} photos/s")


def opening(folders: dict[int, Path]) -> bool:
    """Prints how long opening takes; returns whether 25,000 photos are opened fast enough."""
    best = {}
    for count, folder in folders.items():
        rounds = []
        for _ in range(ROUNDS):
            started = time.perf_counter()
            opened(folder)
            rounds.append(time.perf_counter() - started)
        best[count] = min(rounds)
        print(f"opening: {best[count] * 1e3:6.1f} ms for {count:,} photos")
    return said("opening", best[25_000] < OPENING_SECONDS, f"under {OPENING_SECONDS} s for 25,000")


def memory(folders: dict[int, Path]) -> bool:
    """Prints the anonymous memory of processes that feed; returns whether it stays flat."""
    if not Path("/proc/self/status").exists():
        print("memory: not measured, this needs Linux")
        return True
    taken = {}
    for count in (1_000, 100_000):
        # Of two rounds the smaller: allocators hold on to more or less of what was given back.
        taken[count] = min(_anonymous_memory(folders[count]) for _ in range(2))
        print(f"memory: {taken[count]:6.0f} MiB anonymous while feeding {count:,} photos")
    growth = taken[100_000] - taken[1_000]
    return said("memory", growth <= MEMORY_GROWTH_MIB, f"at most {MEMORY_GROWTH_MIB} MiB more")


def _anonymous_memory(folder: Path) -> float:
    """MiB that a process of its own has after feeding 3,000 photos from a folder."""
    answer = subprocess.run(
        [sys.executable, __file__, "--memory-of", folder],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[1])},
    )
    return float(answer.stdout)


def print_anonymous_memory(folder: Path) -> None:
    """Feeds 3,000 photos and prints this process's anonymous memory in MiB."""
    stream = batches(opened(folder), EVERYTHING)
    for _ in range(3_000 // BATCH):
        next(stream)
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            print(int(line.split()[1]) / 1024)


def augmentation() -> bool:
    """Prints what augmentation takes of a training step; returns whether it is little enough."""
    return all(
        [
            _augmentation_share(image_size=IMAGE_SIZE, width=1.0, batch_size=8, steps=1),
            _augmentation_share(image_size=48, width=0.125, batch_size=16, steps=20),
        ]
    )


def _augmentation_share(*, image_size: int, width: float, batch_size: int, steps: int) -> bool:
    import keras
    import tensorflow as tf
    from optrun.runner.engine.network import build_classifier
    from optrun.runner.models.base import Architecture

    rng = np.random.default_rng(1)
    shape = (batch_size, image_size, image_size, 3)
    photos = tf.constant(rng.integers(0, 256, shape, np.uint8))
    labels = tf.constant(rng.integers(0, 2, batch_size).astype(np.float32))
    digests = rng.integers(0, 256, (batch_size, 32), np.uint8)
    rows = parameters(EVERYTHING, digests, seed=1, epoch=0, image_size=image_size)
    # What the batches were changed with before it was done on the device, of the geometry alone.
    # It takes the last two of eight numbers for a perspective.
    flat_rows = tf.constant(np.concatenate([rows[:, :6], np.zeros_like(rows[:, 6:])], axis=1))
    rows = tf.constant(rows)
    compiled = tf.function(lambda x, r: augment(x, r, EVERYTHING), jit_compile=True)
    model = build_classifier(
        Architecture(image_size=image_size, pretrained_input=False, width=width), seed=1
    )
    model.compile(
        keras.optimizers.SGD(1e-4, momentum=0.9),
        keras.losses.BinaryCrossentropy(from_logits=True),
        jit_compile=False,
    )

    def interpolate() -> "npt.NDArray[np.uint8]":
        return tf.raw_ops.ImageProjectiveTransformV3(
            images=photos,
            transforms=flat_rows,
            output_shape=shape[1:3],
            interpolation="BILINEAR",
            fill_mode="REFLECT",
            fill_value=0.0,
        ).numpy()

    work: dict[str, tuple[Callable[[], object], int]] = {
        "a training step": (lambda: model.train_on_batch(photos, labels), steps),
        "augmentation": (lambda: compiled(photos, rows).numpy(), 20),
        "ImageProjectiveTransformV3": (interpolate, 5),
    }
    best = dict.fromkeys(work, float("inf"))
    for repetition in range(4):
        for name, (step, times) in work.items():
            # Of all threads; other load on the machine adds little to it.
            started = time.process_time()
            for _ in range(times):
                step()
            if repetition > 0:  # the first compiles
                best[name] = min(best[name], (time.process_time() - started) / times / batch_size)
    where = f"{image_size} px, width {width:g}"
    for name, seconds in best.items():
        print(f"augmentation: {seconds * 1e3:8.3f} ms of a core a photo, {name}, {where}")
    share = best["augmentation"] / best["a training step"]
    return said(
        f"augmentation's share, {where}",
        share <= AUGMENTATION_SHARE,
        f"{share:.1%} of a step; at most {AUGMENTATION_SHARE:.0%}",
    )


def said(what: str, holds: bool, limit: str) -> bool:
    """Prints whether a limit holds, and returns it."""
    print(f"{'holds ' if holds else 'MISSED'}  {what}: {limit}", flush=True)
    return holds


def measure(*, photos: int = 4000, network: bool = True) -> bool:
    """Prints every figure; returns whether all limits hold.

    Args:
        photos: How many are fed for the rate; they should fit into free memory (150 KB each).
        network: Whether to measure augmentation beside training steps of VGG19.
    """
    with tempfile.TemporaryDirectory(prefix="photo-feeding-") as temporary:
        root = Path(temporary)
        holds = [feeding(prepared_photos(root / "noise", photos, noise=True))]
        folders = {count: root / str(count) for count in (1_000, 25_000, 100_000)}
        for count, folder in folders.items():
            prepared_photos(folder, count, noise=False)
        holds += [opening(folders), memory(folders)]
    if network:
        holds.append(augmentation())
    return all(holds)


def main() -> int:
    """Parses the options and measures."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--photos", type=int, default=4000, help="that are fed for the rate")
    parser.add_argument("--skip-network", action="store_true")
    parser.add_argument("--memory-of", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.memory_of:
        print_anonymous_memory(options.memory_of)
        return 0
    return 0 if measure(photos=options.photos, network=not options.skip_network) else 1


if __name__ == "__main__":
    sys.exit(main())
