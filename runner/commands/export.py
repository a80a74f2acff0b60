"""`optrun export`: options and help; the work is in `optrun.runner.inference`."""

import click
from optrun.runner.commands.options import flag


@click.command()
@click.argument("run")
@click.option(
    "-o",
    "--output",
    required=True,
    metavar="FILE.keras|FOLDER",
    help="A file that ends in .keras, or a folder for TensorFlow's SavedModel.",
)
@flag("--force", "Replace the file, or a SavedModel, where it exists.")
def export(run: str, output: str, force: bool) -> None:
    """Write a trained network as a model that Keras opens without optrun.

    \b
    optrun export k3f9ab -o model.keras
    optrun export k3f9ab -o saved_model/

    RUN is the folder of a run, or its id or another part of its name where it is in results/; the
    weights are those of its best epoch, for Lookahead its slow ones.

    What is written is the classifier alone: stock layers in float32, without optimizer or code of
    its own, so that keras.models.load_model opens it in safe mode. Raw RGB photos go in, uint8
    0 to 255, as large as the run's; a probability comes out. A README within the file or the
    folder says of what.

    \b
    Exit code: 0; 2 for a mistake in the command, a run without usable weights,
    or a place that is taken or cannot be written.
    """
    from optrun.runner.inference.export import export

    export(run, output, force=force)
