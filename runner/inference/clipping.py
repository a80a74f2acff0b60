"""How sure a submission may be: probabilities clipped to [c, 1 - c], c chosen on validation photos.

The log loss of a photo is -log of the probability that was given to the truth, so a single mistake
at 10⁻⁹ costs as much as thirty photos at even odds, and networks are surer than they are right.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from optrun.runner.engine.scores import score

Floats = npt.NDArray[np.float64]

# Mistakes, and right answers, that are added to what the photos show; see `choose`.
_PRIOR_COUNT = 0.5
# How much of the order beyond the limit is kept, as a share of the limit; see `clipped`.
_ORDER_KEPT = 1e-4


@dataclass(frozen=True)
class Clipping:
    """The limit, and what it rests on.

    Attributes:
        limit: c, above 0 and at most 0.5: probabilities are kept within [c, 1 - c].
        photos: How many validation photos chose it.
        beyond: How many of them lie beyond it, so sure was the network.
        wrong_beyond: How many of those it is wrong about.
        log_loss_before: Of the validation photos, as the network has it.
        log_loss_after: Of the validation photos, clipped.
    """

    limit: float
    photos: int
    beyond: int
    wrong_beyond: int
    log_loss_before: float
    log_loss_after: float


def choose(logits: npt.NDArray[np.floating], labels: npt.NDArray[np.integer]) -> Clipping:
    """The limit with the lowest log loss on validation photos, but no surer than they can show.

    Let u be the probability that the network gives to the class it decides against. Of the j photos
    with u < c let k be those it is wrong about. Their log loss is then -k log c - (j - k) log(1-c),
    and that of all others does not depend on c, so that between two values of u the best limit is
    c = k/j: the error rate among the photos that are clipped. All intervals are tried, so the
    minimum is exact.

    Without a mistake among the surest photos that would be c = 0, and the first such mistake among
    the test photos would cost without bound. But n photos do not show that mistakes are rarer than
    about one in n, so the limit is at least what half a mistake more and half a right answer more
    would make of n photos that are all right,

        c >= (0 + 1/2) / (n + 1).

    One half, because of all constants that can be added it gives all but the lowest log loss to be
    expected in the worst case, whatever the true rate (0.509 is the best; Krichevskiy, "Laplace's
    law of succession and universal encoding", IEEE Transactions on Information Theory 44, 1998).

    Args:
        logits: float [n], finite, n >= 1; positive means dog.
        labels: int [n]; 0 cat, 1 dog.

    Example:
        >>> sure_and_right = choose(np.full(99, 20.0), np.ones(99, np.uint8))
        >>> round(sure_and_right.limit, 9)  # half a mistake in a hundred
        0.005
    """
    z = np.asarray(logits, np.float64)
    dog = np.asarray(labels) == 1
    if z.shape != dog.shape or z.ndim != 1 or len(z) == 0 or not np.isfinite(z).all():
        raise ValueError("logits must be finite numbers, one for each of at least one label")
    order = np.argsort(-np.abs(z), kind="stable")
    sure = np.abs(z)[order]
    wrong = ((z > 0) != dog)[order]
    # The loss of a photo left as it is: -log u where it is wrong, -log(1 - u) where it is right.
    unclipped = np.where(wrong, np.logaddexp(0, sure), np.logaddexp(0, -sure))

    clipped_count = np.arange(len(z) + 1)  # j = 0 ... n, the surest first
    mistakes = np.concatenate([[0], np.cumsum(wrong)])
    others = np.concatenate([np.cumsum(unclipped[::-1])[::-1], [0.0]])
    against = _sigmoid(-sure)  # u, ascending
    lowest, highest = np.concatenate([[0.0], against]), np.concatenate([against, [0.5]])
    lowest = np.maximum(lowest, _PRIOR_COUNT / (len(z) + 2 * _PRIOR_COUNT))
    limits = np.clip(mistakes / np.maximum(clipped_count, 1), lowest, np.maximum(highest, lowest))
    totals = others - mistakes * np.log(limits) - (clipped_count - mistakes) * np.log1p(-limits)
    totals[highest < lowest] = np.inf  # surer than allowed
    best = int(np.argmin(totals))
    limit = float(limits[best])
    after = clipped(_sigmoid(z), limit)
    return Clipping(
        limit=limit,
        photos=len(z),
        beyond=best,
        wrong_beyond=int(mistakes[best]),
        log_loss_before=score(z, dog.astype(np.uint8)).log_loss,
        log_loss_after=float(-np.mean(np.log(np.where(dog, after, 1 - after)))),
    )


def clipped(probabilities: Floats, limit: float) -> Floats:
    """The probabilities within [limit, 1 - limit], in the order that they had.

    Plain clipping makes all photos beyond the limit equal, and a submission may also be judged by
    its order (ROC AUC). So a ten-thousandth of a straight line from `limit` to `1 - limit` is mixed
    in. It moves no probability by more than `limit` / 10,000.

    Example:
        >>> clipped(np.array([0.0, 0.5, 1.0]), 0.01)
        array([0.01, 0.5 , 0.99])
    """
    line = limit + (1 - 2 * limit) * probabilities
    kept = np.clip(probabilities, limit, 1 - limit)
    # Rounding must not lead beyond the limit.
    return np.clip((1 - _ORDER_KEPT) * kept + _ORDER_KEPT * line, limit, 1 - limit)


def _sigmoid(logits: Floats) -> Floats:
    return np.asarray(np.exp(-np.logaddexp(0, -logits)), np.float64)
