"""Random weights from which VGG19 really starts to learn.

Nineteen layers of ReLU without normalisation let the signal die or explode: with Glorot's or He's
scales the loss stays at ln 2 = 0.693 under SGD. Layer-sequential unit variance sets each layer's
scale by what really arrives there.

Source: Mishkin & Matas, "All You Need Is a Good Init" (ICLR 2016, arXiv 1511.06422), algorithm 1.
"""

import hashlib

import keras
import numpy as np
import numpy.typing as npt

from runner.model import convolutions

# Enough pixels for a standard deviation within a few per cent, at any image size.
PIXELS_FOR_VARIANCE = 64 * 64 * 64


def orthonormal(shape: tuple[int, ...], random: np.random.Generator) -> npt.NDArray[np.float32]:
    """A kernel whose columns (or rows, whichever are fewer) are orthonormal.

    Args:
        shape: Keras' kernel shape, the output axis last.
        random: Where the Gaussian numbers come from.

    Example:
        >>> kernel = orthonormal((3, 3, 8, 16), np.random.default_rng(0)).reshape(72, 16)
        >>> bool(np.allclose(kernel.T @ kernel, np.eye(16), atol=1e-5))
        True
    """
    rows, columns = int(np.prod(shape[:-1])), shape[-1]
    gaussian = random.standard_normal((max(rows, columns), min(rows, columns)))
    q, r = np.linalg.qr(gaussian)
    # Without the signs of R's diagonal, Q is not uniform over the orthogonal matrices.
    q = q * np.sign(np.diag(r))
    matrix = q if rows >= columns else q.T
    return np.asarray(matrix.reshape(shape), np.float32)


def glorot_uniform(shape: tuple[int, int], random: np.random.Generator) -> npt.NDArray[np.float32]:
    """Uniform in ±√(6 / (inputs + outputs)) (Glorot & Bengio 2010, eq. 16)."""
    limit = np.sqrt(6 / sum(shape))
    return random.uniform(-limit, limit, shape).astype(np.float32)


def initialise_head(model: keras.Model, *, seed: int) -> None:
    """Give the dense layers Glorot weights and zero biases, a pure function of the seed."""
    random = np.random.default_rng([seed, 1])
    for layer in model.layers:
        if isinstance(layer, keras.layers.Dense):
            kernel, bias = layer.kernel, layer.bias
            layer.set_weights([glorot_uniform(tuple(kernel.shape), random), np.zeros(bias.shape)])


def initialise_convolutions(
    model: keras.Model, photos: npt.NDArray[np.uint8], *, seed: int
) -> None:
    """Give every convolution an orthonormal kernel, scaled to outputs of unit variance.

    A convolution without bias is linear in its kernel, so dividing the kernel by the standard
    deviation σ of its output before the ReLU makes that deviation 1 at once; the paper's loop is
    not needed.

    Args:
        model: A classifier of `model.build_classifier`.
        photos: Training photos to measure on, uint8 [n, size, size, 3]; about
            `PIXELS_FOR_VARIANCE` pixels are used.
        seed: Weights are a pure function of the seed and the photos.
    """
    random = np.random.default_rng([seed, 0])
    count = int(np.clip(PIXELS_FOR_VARIANCE // (photos.shape[1] * photos.shape[2]), 8, 64))
    signal = keras.ops.convert_to_tensor(np.asarray(photos[:count]))
    pending = {layer.name for layer in convolutions(model)}
    for layer in model.layers[1:]:
        if not pending:
            return
        if layer.name in pending:
            kernel = orthonormal(tuple(layer.kernel.shape), random)
            layer.set_weights([kernel, np.zeros(layer.bias.shape)])
            before_relu = keras.ops.conv(signal, layer.kernel, padding="same")
            deviation = float(keras.ops.std(before_relu))
            if deviation > 0:
                layer.set_weights([kernel / deviation, np.zeros(layer.bias.shape)])
            pending.remove(layer.name)
        signal = layer(signal)


def weights_hash(model: keras.Model) -> str:
    """SHA-256 over all weights in order, to show that two runs started from the same ones."""
    digest = hashlib.sha256()
    for array in model.get_weights():
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
