"""What `optrun export` does: write a run's classifier for use without optrun, and try it."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click
from optrun.runner.errors import UserError
from optrun.runner.inference.output_file import check_writable
from optrun.runner.runs.select import find_run
from optrun.runner.ui.stderr_capture import native_stderr_captured
from optrun.runner.untrusted import printable

if TYPE_CHECKING:
    from optrun.runner.inference.classifier import Trained
    from optrun.runner.inference.exported_model import Kind

_RESIZED = {
    "squash": "squashed to a square",
    "crop": "cropped to the square in their middle and resized",
    "pad": "resized so that the longer side fits and padded with black to a square",
}


@dataclass(frozen=True)
class Request:
    """What the command line asked for; see `optrun export --help`."""

    run: str
    output: str
    force: bool = False


def export(request: Request) -> None:
    """Writes the model, opens it again and compares its answers.

    Raises:
        UserError: There is no such run, or the place can't be written or is taken.
    """
    folder = find_run(request.run)
    path, kind = _place(request)
    with native_stderr_captured():
        from optrun.runner.inference import exported_model
        from optrun.runner.inference.classifier import open_trained

        trained = open_trained(folder, device="cpu")
        readme = _readme(trained, path, kind)
        difference = exported_model.write(trained, path, kind, readme)
    trained_in = str(trained.run.record.flat_comparable["precision"])
    click.echo(readme, nl=False)
    click.echo()
    click.echo(f"Wrote {printable(str(path))}, {_size(path):,.0f} MB.")
    click.echo(
        f"Opened again, its probabilities differ from those of optrun predict by at most "
        f"{difference:.0e}."
    )
    if trained_in != "float32":
        click.echo(
            f"note: trained in {trained_in}, exported in float32, whose answers differ slightly."
        )
    if trained.run.record.sample:
        click.echo("note: trained on the built-in sample: it knows drawings alone.")


def _place(request: Request) -> "tuple[Path, Kind]":
    """Where to write and what, by the name's ending.

    Raises:
        UserError: The ending means neither, or the place is taken or can't be written.
    """
    path, shown = Path(request.output), printable(request.output)
    if path.suffix.lower() == ".keras":
        check_writable(path, force=request.force)
        return path.resolve(), "keras"
    is_folder = request.output.endswith(("/", os.sep))
    if path.suffix and not is_folder:
        raise UserError(
            f"-o must end in .keras, or name a folder for a SavedModel, received: {shown}. "
            f"A folder of that name is {printable(str(path))}/."
        )
    try:
        path = path.resolve()
        taken = path.exists()
        is_model = (path / "saved_model.pb").is_file()
        is_empty = path.is_dir() and not any(path.iterdir())
        if not path.parent.is_dir():
            raise UserError(
                f"-o must name a folder within one that exists, received: {shown}; "
                f"there is no {printable(str(path.parent))}."
            )
    except (OSError, ValueError) as error:
        raise UserError(f"-o cannot be looked at: {shown} ({error}).") from error
    if taken and not is_empty and not is_model:
        raise UserError(
            f"-o must name a new folder, received: {shown}, which exists and is no SavedModel: it "
            "is not replaced, also not with --force. Give another name."
        )
    if taken and is_model and not request.force:
        raise UserError(
            f"-o must name a new folder, received: {shown}, which exists. Replace it with --force, "
            "or give another name."
        )
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise UserError(
            f"-o must be a place that can be written, received: {shown} (no permission to write in "
            f"{printable(str(path.parent))})."
        )
    return path, "savedmodel"


def _readme(trained: "Trained", path: Path, kind: "Kind") -> str:
    """What goes in and what comes out, with the lines that open it."""
    data, size = trained.experiment.data, trained.image_size
    antialias = "with" if data.antialias else "without"
    epoch = f"epoch {trained.best_epoch}" if trained.best_epoch else "the best epoch"
    name = path.name.replace("\\", "\\\\").replace('"', '\\"')
    if not name.isprintable():
        name = "model.keras" if kind == "keras" else "model"
    opened = (
        f'model = keras.models.load_model("{name}")\n    p = model(photos)'
        if kind == "keras"
        else f'model = tf.saved_model.load("{name}")\n    p = model.serve(photos)'
    )
    imported = "import keras" if kind == "keras" else "import tensorflow as tf"
    return f"""\
Cats and dogs: the network of {trained.run.label}, {epoch}

in   photos, uint8 [n, {size}, {size}, 3]: RGB, values 0 to 255 as decoded. Trained on photos
     {_RESIZED[data.resize]}, bilinear, {antialias} antialiasing.
     Do not scale or centre them: the network does.
out  float32 [n, 1]: probability of a dog; 1 minus it is that of a cat.

    {imported}
    {opened}
"""


def _size(path: Path) -> float:
    """Megabytes of a file, or of all files in a folder."""
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file()) / 1e6
