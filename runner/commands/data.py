"""`optrun data`: options and help; the work is in `optrun.runner.datasets`."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from optrun.data.cache.cache_key import RESIZES, Preparation
from optrun.runner.commands import options as shared

_SIZES, _RESIZES = click.IntRange(32, 4096), click.Choice(RESIZES)
_SQUARED = "How a photo becomes a square: squashed, its middle cropped, or padded with black."


def _preparation_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that say how photos are prepared; see `data.cache.cache_key.Preparation`."""
    command = shared.flag("--antialias", "Smooth photos when they are made smaller.")(command)
    command = shared.defaulted("--resize", "squash", _RESIZES, _SQUARED)(command)
    side = shared.defaulted(
        "--image-size", 224, _SIZES, "Side of the prepared photos.", metavar="PX"
    )
    return side(command)


@click.group()
def data() -> None:
    """Import photos, and see what is here: list, verify, show, remove.

    \b
    optrun data import dogs-vs-cats.zip
    optrun train configs/lookahead_vgg19.yaml --set data.source=dogs-vs-cats

    Importing is never a duty: a path in `data.source` goes the same way. What is prepared lies in
    $OPTRUN_CACHE, or in the user's cache folder.
    """


@data.command(name="import", short_help="Decode photos once and keep a name for them.")
@click.argument("path", metavar="PATH")
@click.option("--name", metavar="NAME", help="Name for data.source. Default: from the file's name.")
@_preparation_options
@shared.flag("--strict", "Junk is an error: then nothing is registered.")
@shared.flag("--verbose", "List every file left out and every duplicate.")
def import_(path: str, name: str | None, strict: bool, verbose: bool, **how: Any) -> None:
    """Decode the photos at PATH once, say what is in them, and keep a name for them.

    \b
    optrun data import dogs-vs-cats.zip
    optrun data import ~/photos --name holiday --image-size 128

    PATH is a folder or a zip in Kaggle's layout, in Microsoft's, or with folders cat/ and dog/; it
    is read in place and never changed, so it must stay where it is. What is no usable photo is
    left out and listed with the reason.

    Exit code: 0 done; 2 for no photos, a name that is taken, or, with --strict, junk.
    """
    from optrun.runner.datasets.importing import import_photos

    import_photos(path, name=name, how=Preparation(**how), strict=strict, verbose=verbose)


@data.command()
@click.argument("archive", metavar="[ARCHIVE]", type=shared.PATH, required=False)
@_preparation_options
@shared.flag("--strict", "Photos that can't be used are an error.")
@shared.flag("--verbose", "List every photo left out and every duplicate.")
def prepare(archive: Path | None, strict: bool, verbose: bool, **how: Any) -> None:
    """Obtain the public photos, cats_vs_dogs, and decode them once.

    \b
    optrun data prepare
    optrun data prepare ~/Downloads/kagglecatsanddogs_5340.zip --image-size 128

    Without ARCHIVE it is downloaded: 825 MB, to $TFDS_DATA_DIR (~/tensorflow_datasets by default),
    unless tensorflow-datasets has prepared the photos there. However the download is stopped, the
    next call goes on from its last byte. An ARCHIVE downloaded by other means is never changed, and
    is kept there too, without a copy where the system allows; it must be the published one, as its
    SHA-256 tells. Photos of other archives: `optrun data import`.

    A run with `data.source: cats_vs_dogs` obtains them in the same way, so preparing is never a
    duty.

    Exit code: 0 done; 2 where they can't be had, with the reason and the ways out.
    """
    from optrun.runner.datasets.importing import prepare_public

    prepare_public(archive, how=Preparation(**how), strict=strict, verbose=verbose)


@data.command(name="list", short_help="List the photos that are here.")
@shared.format_option("table", "json")
def list_(layout: str) -> None:
    """List the photos that are here: names, where from, how many, prepared sizes, disk.

    Photos prepared by a run from a path are listed without a name. A prepared copy is stale where
    its source has vanished or changed since, or where another version of optrun wrote it;
    `optrun data remove --stale` frees their disk.
    """
    from optrun.runner.datasets.inventory import list_photos

    list_photos(layout=layout)


@data.command(short_help="Compare photos with what is prepared from them.")
@click.argument("source", metavar="NAME|PATH")
def verify(source: str) -> None:
    """Read NAME or PATH anew and compare it with all that is prepared from it.

    Every file's digest and label, every id, each part that folders name, the index's fingerprint,
    and, decoded anew, the pixels of every photo. What differs is listed; nothing is changed.

    Exit code: 0 where all is as it was prepared, 1 where anything differs, 2 for photos that are
    not here.
    """
    from optrun.runner.datasets.importing import verify_photos

    raise click.exceptions.Exit(verify_photos(source))


@data.command(short_help="Draw a contact sheet of photos.")
@click.argument("source", metavar="NAME|PATH")
@shared.path_option(
    "--output",
    "FILE.png",
    "Where to write. Default: from the name, in the working directory.",
    short="-o",
    kind=shared.FILE,
)
@shared.defaulted(
    "--count",
    32,
    click.IntRange(1, 1000),
    "How many tiles: cats and dogs in turn, taken from all over the photos.",
)
@shared.defaulted(
    "--part",
    "all",
    click.Choice(["all", "train", "validation", "test"]),
    "Which part of the split; train with --augmented.",
)
@shared.path_option(
    "--augmented",
    "CONFIG",
    "Show a few training photos, each as this config file would change it, epoch by epoch.",
)
@shared.set_option("With --augmented: override a key of CONFIG.")
def show(
    source: str, augmented: Path | None, part: str, overrides: tuple[str, ...], **what: Any
) -> None:
    """Draw a contact sheet of NAME or PATH: photos, labels, parts of the split.

    \b
    optrun data show dogs-vs-cats
    optrun data show dogs-vs-cats --part test --count 64 -o test.png
    optrun data show dogs-vs-cats --augmented CONFIG --set data.augmentation.rotation=15

    Photos that are not prepared yet are prepared first. A file that is there already is replaced.
    """
    if augmented is None and overrides:
        raise click.UsageError("--set changes the config of --augmented, which is not given.")
    if augmented is not None and part not in ("all", "train"):
        raise click.UsageError(f"Training photos alone are augmented, none for --part {part}.")
    from optrun.runner.datasets.preview import show_photos

    show_photos(source, augmented=augmented, part=part, overrides=overrides, **what)


@data.command(short_help="Remove a name, and what is prepared from its photos.")
@click.argument("source", metavar="[NAME|PATH]", required=False)
@shared.flag("--stale", "Remove prepared copies that are stale, and no name.")
@shared.yes_option
def remove(source: str | None, stale: bool, yes: bool) -> None:
    """Remove NAME and what was prepared from it, or the prepared copies of PATH.

    Your own files are never touched; what is prepared can be prepared again from them.

    Exit code: 0 done; 1 where you said no or another process is at work on it; 2 where there is
    nothing to remove.
    """
    if (source is None) != stale:
        raise click.UsageError("Give one of NAME, PATH and --stale.")
    from optrun.runner.datasets.inventory import remove_photos

    raise click.exceptions.Exit(remove_photos(source, yes=yes))
