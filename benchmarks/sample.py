"""How hard the built-in sample is: what linear models reach on it, and what a small VGG19 does.

    python benchmarks/sample.py [--photos 4000] [--epochs 6] [--skip-network]

The sample is meant to be learnable in a minute, and hard enough to tell optimizers apart: logistic
regressions on pixels and on colour histograms stay below 65 % test accuracy, a tuned network ends
between 92 and 98 %. Every model is tuned in its favour: of several strengths of regularisation (or
epochs) the best test accuracy is shown.
"""

import argparse
import time
import warnings

import numpy as np
import numpy.typing as npt
from optrun.data import sample
from PIL import Image
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

TRAINING_SHARE = 0.8


def draw_all(count: int) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Pictures and labels; prints the time per picture."""
    started = time.perf_counter()
    pictures = np.stack([sample.draw(sample.SAMPLE_SEED, index) for index in range(count)])
    per_picture_ms = (time.perf_counter() - started) / count * 1e3
    print(f"drawing: {per_picture_ms:.2f} ms per photo, {count} photos")
    return pictures, np.array([sample.label(index) for index in range(count)], np.uint8)


def resized(pictures: npt.NDArray[np.uint8], side: int) -> npt.NDArray[np.uint8]:
    """The pictures at another size, uint8 [n, side, side, 3]."""
    return np.stack(
        [
            np.asarray(Image.fromarray(picture).resize((side, side), Image.Resampling.BILINEAR))
            for picture in pictures
        ]
    )


def colour_histograms(pictures: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    """The share of each of 4 x 4 x 4 colours, float64 [n, 64]."""
    quarter = pictures.reshape(len(pictures), -1, 3).astype(np.int64) // 64
    colour = quarter @ np.array([16, 4, 1])
    return np.stack([np.bincount(row, minlength=64) for row in colour]) / colour.shape[1]


def linear_accuracy(
    features: npt.NDArray[np.float64], labels: npt.NDArray[np.uint8], training: int
) -> float:
    """The best test accuracy of a standardised logistic regression over strengths C."""
    scores = []
    for strength in (1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1):
        model = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=200))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(features[:training], labels[:training])
        scores.append(float(model.score(features[training:], labels[training:])))
    return max(scores)


def train_network(
    pictures: npt.NDArray[np.uint8],
    labels: npt.NDArray[np.uint8],
    training: int,
    *,
    side: int,
    width: float,
    epochs: int,
    learning_rate: float,
) -> None:
    """Trains a narrow VGG19 from random weights; prints the test accuracy of every epoch."""
    import keras
    from optrun.runner.engine.network import build_classifier
    from optrun.runner.models.base import Architecture
    from optrun.runner.models.initialization import initialise_convolutions, initialise_head

    small = resized(pictures, side)
    model = build_classifier(
        Architecture(image_size=side, pretrained_input=False, width=width, dropout=0.0), seed=1
    )
    initialise_head(model, seed=1, scale=0.1)
    initialise_convolutions(model, small[:training], seed=1)
    updates = -(-training // 16) * epochs
    model.compile(
        keras.optimizers.SGD(
            keras.optimizers.schedules.CosineDecay(learning_rate, updates),
            momentum=0.9,
            global_clipnorm=1.0,
        ),
        keras.losses.BinaryCrossentropy(from_logits=True),
        metrics=[keras.metrics.BinaryAccuracy(threshold=0.0)],
        jit_compile=False,
    )
    best = 0.0
    for epoch in range(1, epochs + 1):
        started = time.perf_counter()
        model.fit(small[:training], labels[:training, None], batch_size=16, verbose=0)
        seconds = time.perf_counter() - started
        loss, accuracy = model.evaluate(small[training:], labels[training:, None], verbose=0)
        best = max(best, accuracy)
        print(
            f"network, {side} px: epoch {epoch:2d}  test loss {loss:.3f}  "
            f"accuracy {accuracy:.1%}  {seconds:.1f} s  {training / seconds:.0f} images/s",
            flush=True,
        )
    print(f"network, {side} px: {accuracy:.1%} at the end, {best:.1%} at best (meant: 92-98 %)")


def main() -> None:
    """Parses the options and prints all accuracies."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--photos", type=int, default=4000)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--side", type=int, default=48, help="pixels for the network")
    parser.add_argument("--width", type=float, default=0.125, help="of VGG19's channels")
    parser.add_argument("--learning-rate", type=float, default=0.02)
    parser.add_argument("--skip-network", action="store_true")
    options = parser.parse_args()

    pictures, labels = draw_all(options.photos)
    training = int(len(labels) * TRAINING_SHARE)
    print(f"{training} training, {len(labels) - training} test photos")
    for side in (64, 32, 16, 8):
        pixels = resized(pictures, side).reshape(len(pictures), -1) / 255.0
        accuracy = linear_accuracy(pixels, labels, training)
        print(f"logistic regression, {side} px: {accuracy:.1%} (meant: below 65 %)", flush=True)
    accuracy = linear_accuracy(colour_histograms(pictures), labels, training)
    print(f"logistic regression, colour histogram: {accuracy:.1%} (meant: below 65 %)")
    if not options.skip_network:
        train_network(
            pictures,
            labels,
            training,
            side=options.side,
            width=options.width,
            epochs=options.epochs,
            learning_rate=options.learning_rate,
        )


if __name__ == "__main__":
    main()
