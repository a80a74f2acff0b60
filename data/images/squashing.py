"""Several JPEGs decoded and squashed in one call, for a third less time than one by one."""

import functools
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from optrun.data.images.decode import as_array
from optrun.data.images.jpeg import may_be_cut_short

if TYPE_CHECKING:
    import tensorflow as tf

# How many at once. Each operation that is called on its own costs a twentieth of a photo.
TOGETHER = 8

# The first thread makes the function, all others wait for it.
_making = threading.Lock()


def squashed_together(encoded: Sequence[bytes], image_size: int) -> "list[tf.Tensor | None]":
    """Returns what `data.images.decode.decode` makes of ordinary JPEGs, by the same operations.

    Args:
        encoded: The bytes of `TOGETHER` files.
        image_size: Side of the results in pixels.

    Returns:
        float32 [1, image_size, image_size, 3] for each, not rounded yet: rounding each just before
        it is used finds it in the processor's cache. None where a photo must be looked at on its
        own; all None if one of them is damaged.
    """
    import tensorflow as tf

    try:
        with tf.device("/CPU:0"):
            with _making:
                squash = _graph(image_size)
            whole, resized = squash(tf.constant(encoded, tf.string))
    except tf.errors.InvalidArgumentError:
        return [None] * len(encoded)
    return [
        None if may_be_cut_short(as_array(photo)) else small
        for photo, small in zip(whole, resized, strict=True)
    ]


@functools.lru_cache(maxsize=16)
def _graph(
    image_size: int,
) -> "Callable[[tf.Tensor], tuple[list[tf.Tensor], list[tf.Tensor]]]":
    """Returns a compiled function from encoded photos to these in their own and the new size."""
    import tensorflow as tf

    def squash(encoded: "tf.Tensor") -> tuple[list["tf.Tensor"], list["tf.Tensor"]]:
        whole = [
            tf.raw_ops.DecodeJpeg(contents=one, channels=3, dct_method="INTEGER_FAST")
            for one in tf.unstack(encoded)
        ]
        resized = [
            tf.raw_ops.ResizeBilinear(
                images=tf.expand_dims(photo, 0),
                size=(image_size, image_size),
                half_pixel_centers=True,
            )
            for photo in whole
        ]
        return whole, resized

    graph: Callable[[tf.Tensor], tuple[list[tf.Tensor], list[tf.Tensor]]] = tf.function(
        squash, input_signature=[tf.TensorSpec([TOGETHER], tf.string)], autograph=False
    ).get_concrete_function()
    return graph
