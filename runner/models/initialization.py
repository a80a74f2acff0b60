"""Random weights from which a network really starts to learn.

Sixteen convolutions with ReLU and no normalisation hide the photo from the head: with Glorot's or
He's scales the signal dies, and with unit variance in every layer (Mishkin & Matas 2016) two photos
that differ a little end up anywhere, so that the loss stays at ln 2 = 0.693 for epochs. Three known
ideas together make training start at once:

- Looks-linear (Balduzzi et al., "The Shattered Gradients Problem", ICML 2017, section 4): channels
  come in pairs z and -z. Behind the ReLU, relu(z) - relu(-z) = z, so a kernel that weighs the pair
  by +A and -A makes the fresh network nearly linear in the photo.
- Delta-orthogonal (Xiao et al., "Dynamical Isometry and a Mean Field Theory of CNNs", ICML 2018,
  section 2): A is orthonormal in the kernel's centre and zero around it, so that no detail is
  blurred before learning begins.
- Data-dependent (Krähenbühl et al., "Data-dependent Initializations of Convolutional Neural
  Networks", ICLR 2016, algorithm 1): kernel and bias are scaled so that every channel has mean 0
  and variance 1 over some training photos.
"""

import hashlib
import math

import keras
import numpy as np
import numpy.typing as npt
from optrun.runner.models.ends import below_head

# Enough pixels for a standard deviation within a few per cent, at any image size.
PIXELS_FOR_VARIANCE = 64 * 64 * 64
# A channel that sees one colour everywhere has no variance to divide by.
SMALLEST_VARIANCE = 1e-6


def orthonormal(shape: tuple[int, ...], random: np.random.Generator) -> npt.NDArray[np.float32]:
    """A kernel in Keras' shape whose columns (or rows, whichever are fewer) are orthonormal."""
    rows, columns = int(np.prod(shape[:-1])), shape[-1]
    gaussian = random.standard_normal((max(rows, columns), min(rows, columns)))
    q, r = np.linalg.qr(gaussian)
    # Without the signs of R's diagonal, Q is not uniform over the orthogonal matrices.
    q = q * np.sign(np.diag(r))
    matrix = q if rows >= columns else q.T
    return np.asarray(matrix.reshape(shape), np.float32)


def looks_linear(
    shape: tuple[int, int, int, int], random: np.random.Generator, *, mirrored_inputs: bool
) -> npt.NDArray[np.float32]:
    """A kernel of output pairs z and -z, zero but for its centre.

    With mirrored inputs the kernel is [[A, -A], [-A, A]] over (inputs, outputs), otherwise [A, -A];
    A is orthonormal. Of an odd number of channels the last has no partner. Mirrored inputs are
    pairs relu(z), relu(-z), the partners half the channels apart; those of the photo are not.

    >>> kernel = looks_linear((3, 3, 8, 8), np.random.default_rng(0), mirrored_inputs=True)
    >>> z = np.arange(4.0)
    >>> mirrored = np.concatenate([np.maximum(z, 0), np.maximum(-z, 0)])
    >>> once, negated = np.split(mirrored @ kernel[1, 1], 2)
    >>> bool(np.allclose(once, -negated)), bool(np.allclose(once @ once, z @ z))
    (True, True)
    """
    height, width, inputs, outputs = shape
    rows = -(-inputs // 2) if mirrored_inputs else inputs
    centre = orthonormal((rows, -(-outputs // 2)), random)
    centre = np.concatenate([centre, -centre], axis=1)
    if mirrored_inputs:
        centre = np.concatenate([centre, -centre], axis=0)
    kernel = np.zeros(shape, np.float32)
    kernel[height // 2, width // 2] = centre[:inputs, :outputs]
    return kernel


def initialise_head(model: keras.Model, *, seed: int, scale: float = 1.0) -> None:
    """Give the dense layers Glorot weights and zero biases, a pure function of the seed.

    They are uniform in ±√(6 / (inputs + outputs)) (Glorot & Bengio 2010, eq. 16). With a logit's
    kernel of a scale below 1 the first guesses are near 50 %, so that the first steps form features
    rather than undo guesses.
    """
    random = np.random.default_rng([seed, 1])
    for layer in model.layers:
        if isinstance(layer, keras.layers.Dense):
            limit = np.sqrt(6 / sum(layer.kernel.shape))
            kernel = random.uniform(-limit, limit, layer.kernel.shape).astype(np.float32)
            factor = scale if layer.name == "logit" else 1.0
            layer.set_weights([factor * kernel, np.zeros(layer.bias.shape)])


def initialise_convolutions(
    model: keras.Model, photos: npt.NDArray[np.uint8], *, seed: int
) -> None:
    """Give the convolutions looks-linear kernels, every channel of mean 0 and variance 1.

    With z = W x of mean μ and deviation σ over photos and places, the kernel W / σ and the bias
    -μ / σ give (z - μ) / σ. About `PIXELS_FOR_VARIANCE` pixels of training photos, uint8 [n, size,
    size, 3], are measured on; the weights are a pure function of them and the seed.
    """
    random = np.random.default_rng([seed, 0])
    sample = int(np.clip(PIXELS_FOR_VARIANCE // (photos.shape[1] * photos.shape[2]), 8, 64))
    signal = keras.ops.convert_to_tensor(np.asarray(photos[:sample]))
    pending = {layer.name for layer in convolutions(model)}
    count = len(pending)
    for layer in model.layers[1:]:
        if not pending:
            return
        if layer.name in pending:
            kernel = looks_linear(
                tuple(layer.kernel.shape), random, mirrored_inputs=len(pending) < count
            )
            before_relu = keras.ops.conv(signal, kernel, padding="same")
            mean, variance = keras.ops.moments(before_relu, axes=[0, 1, 2])
            deviation = np.sqrt(np.maximum(keras.ops.convert_to_numpy(variance), SMALLEST_VARIANCE))
            layer.set_weights([kernel / deviation, -keras.ops.convert_to_numpy(mean) / deviation])
            pending.remove(layer.name)
        signal = layer(signal)


def initialise_normalised(model: keras.Model, *, seed: int) -> None:
    """Give the kernels below the head He's weights, which batch normalisation makes start.

    Gaussian of variance 2 / inputs, for a network of ReLUs (He et al. 2015, equation 10), a pure
    function of the seed. Biases and the scales of normalisation stay as Keras makes them, at 0
    and 1.
    """
    random = np.random.default_rng([seed, 0])
    for layer in below_head(model):
        if getattr(layer, "kernel", None) is not None:
            shape = tuple(layer.kernel.shape)
            depthwise = isinstance(layer, keras.layers.DepthwiseConv2D)
            inputs = math.prod(shape[:2] if depthwise else shape[:-1])
            layer.kernel.assign(random.standard_normal(shape) * math.sqrt(2 / inputs))


def convolutions(model: keras.Model) -> list[keras.layers.Conv2D]:
    """The model's convolutions from the photo up."""
    return [layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]


def weights_hash(model: keras.Model) -> str:
    """SHA-256 over all weights in order, to show that two runs started from the same ones."""
    digest = hashlib.sha256()
    for array in model.get_weights():
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
