"""How sure a submission may be: the limit against a brute search, SciPy and counting by hand."""

import numpy as np
import pytest
from optrun.runner.inference.statistics import choose_clipping, clipped
from scipy.optimize import minimize_scalar
from scipy.special import expit
from scipy.stats import binom
from sklearn.metrics import log_loss, roc_auc_score


def case(seed: int, count: int, *, scale: float = 6.0) -> tuple[np.ndarray, np.ndarray]:
    """Logits of a network that is surer than it is right, now and then far out, and labels."""
    drawn = np.random.default_rng(seed)
    labels = drawn.integers(0, 2, count)
    logits = scale * ((2 * labels - 1) + 0.35 * drawn.standard_t(3, count))
    return logits, labels


def loss(limit: float, logits: np.ndarray, labels: np.ndarray) -> float:
    """Plain clipping, by NumPy."""
    kept = np.clip(expit(logits), limit, 1 - limit)
    return float(-np.log(np.where(labels == 1, kept, 1 - kept)).mean())


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("count", [1, 2, 7, 40, 300])
def test_no_limit_that_is_allowed_is_better_than_the_chosen_one(seed: int, count: int) -> None:
    logits, labels = case(seed, count)
    chosen = choose_clipping(logits, labels)
    least = 0.5 / (count + 1)
    assert least <= chosen.limit <= 0.5
    searched = min(loss(limit, logits, labels) for limit in np.geomspace(least, 0.5, 4000))
    near = minimize_scalar(
        loss,
        args=(logits, labels),
        bounds=(max(chosen.limit * 0.9, least), min(chosen.limit * 1.1, 0.5)),
        method="bounded",
        options={"xatol": 1e-12},
    )
    assert loss(chosen.limit, logits, labels) <= min(searched, near.fun) + 1e-9


def test_the_limit_is_the_share_of_mistakes_among_the_sure_answers() -> None:
    """4 mistakes among 200 equally sure answers; the other 50 are unsure and stay as they are."""
    logits = np.concatenate([np.full(200, 9.0), np.full(50, 0.2)])
    labels = np.concatenate([np.zeros(4), np.ones(196), np.tile([0, 1], 25)]).astype(int)
    chosen = choose_clipping(logits, labels)
    assert chosen.limit == pytest.approx(4 / 200)
    assert (chosen.photos, chosen.beyond, chosen.wrong_beyond) == (250, 200, 4)


@pytest.mark.parametrize("count", [10, 300, 2500])
def test_without_a_single_mistake_the_limit_is_no_surer_than_the_photos_can_show(
    count: int,
) -> None:
    chosen = choose_clipping(np.full(count, 30.0), np.ones(count, int))
    assert chosen.limit == pytest.approx(0.5 / (count + 1))
    assert chosen.log_loss_after > chosen.log_loss_before


@pytest.mark.parametrize("rate", [0.0005, 0.002, 0.01, 0.05])
def test_half_a_mistake_is_near_the_best_that_could_be_added(rate: float) -> None:
    """Expected cost on new photos over all that 300 validation photos can show, by the binomial."""
    count = 300
    mistakes = np.arange(count + 1)
    weight = binom.pmf(mistakes, count, rate)

    def expected(added: float) -> float:
        limit = (mistakes + added) / (count + 2 * added)
        return float(weight @ -(rate * np.log(limit) + (1 - rate) * np.log1p(-limit)))

    entropy = -(rate * np.log(rate) + (1 - rate) * np.log1p(-rate))
    assert count * (expected(0.5) - entropy) < 0.52  # half a nat, whatever the rate
    assert expected(1e-9) - entropy > expected(0.5) - entropy


def test_the_losses_are_those_of_scikit_learn() -> None:
    logits, labels = case(3, 400)
    chosen = choose_clipping(logits, labels)
    before, after = expit(logits), np.clip(expit(logits), chosen.limit, 1 - chosen.limit)
    assert chosen.log_loss_before == pytest.approx(log_loss(labels, before), abs=1e-9)
    assert chosen.log_loss_after == pytest.approx(log_loss(labels, after), abs=1e-5)
    assert chosen.log_loss_after < chosen.log_loss_before


def test_clipping_on_validation_photos_helps_on_others() -> None:
    """Nearly as much as the limit would that is chosen on those others themselves."""
    gains, possible = [], []
    for seed in range(20):
        chosen = choose_clipping(*case(seed, 300))
        logits, labels = case(1000 + seed, 3000)
        raw = log_loss(labels, expit(logits))
        gains.append(raw - log_loss(labels, clipped(expit(logits), chosen.limit)))
        possible.append(raw - choose_clipping(logits, labels).log_loss_after)
    assert min(gains) > 0
    assert np.mean(gains) > 0.9 * np.mean(possible)


def test_clipping_keeps_the_order_and_so_the_roc_auc() -> None:
    logits, labels = case(5, 500)
    probabilities = expit(logits)
    limit = 0.01
    kept = clipped(probabilities, limit)
    assert kept.min() >= limit
    assert kept.max() <= 1 - limit
    assert np.abs(kept - np.clip(probabilities, limit, 1 - limit)).max() <= 1e-4 * limit
    assert roc_auc_score(labels, kept) == roc_auc_score(labels, logits)
    assert np.array_equal(np.argsort(kept, kind="stable"), np.argsort(logits, kind="stable"))


@pytest.mark.parametrize("logit", [1e3, -1e3, 0.0])
def test_a_network_that_is_surer_than_float64_can_say(logit: float) -> None:
    chosen = choose_clipping(np.full(20, logit), np.ones(20, int))
    assert 0 < chosen.limit <= 0.5
    assert np.isfinite(chosen.log_loss_after)


@pytest.mark.parametrize(
    ("logits", "labels"),
    [([], []), ([1.0, 2.0], [1]), ([np.nan], [1]), ([[1.0]], [[1]])],
    ids=["none", "lengths", "nan", "shape"],
)
def test_what_is_no_evidence_is_refused(logits: list, labels: list) -> None:
    with pytest.raises(ValueError, match="must be finite numbers, one for each"):
        choose_clipping(np.array(logits, float), np.array(labels, int))
