"""The cards of the steps along the gradient flow: Heun, Bogacki-Shampine, Dormand-Prince."""

from collections.abc import Mapping

from optrun.optimizers.cards.card import Card

_SYMBOLS: Mapping[str, str] = {
    "K(θ)": "∇L(θ) + λθ, L the loss of this one batch",
    "h": "learning_rate, the step size",
    "λ": "weight_decay",
}

_RATE = (
    "1e-4 – 1e-3 to retrain VGG19; 1e-2 – 2e-1 from random weights. "
    "Stable steps are about as long as those of SGD without momentum"
)
_SHORTER_RATE = "1e-4 to retrain VGG19; 1e-2 – 2e-2 from random weights, a tenth of Heun's"
_CLIPNORM = "1 – 10 where single batches blow up"

_SAME_BATCH = (
    "All gradients of a step are taken on the same photos with the same dropout masks: the step "
    "is exact for that batch's loss. The noise between batches stays as large as SGD's."
)
_NEEDS_MODEL = (
    "It needs optimizers.Model, which takes the several gradients (optrun does so by itself). "
    "Under a plain keras.Model it refuses rather than fall back to SGD."
)
_NO_MOMENTUM = "It has no momentum: compare it with SGD without momentum, at equal gradients."
_DECAY = "Weight decay is part of the flow: λθ is added to the gradient of every stage."


def _flow_card(
    *,
    summary: str,
    rule: str,
    when: str,
    name: str,
    held: int,
    equivalences: tuple[str, ...],
    caveats: tuple[str, ...],
    rate: str = _RATE,
    example_rate: float = 1e-3,
) -> Card:
    return Card(
        summary=summary,
        rule=rule,
        symbols=_SYMBOLS,
        when=when,
        sensible={"learning_rate": rate, "global_clipnorm": _CLIPNORM},
        equivalences=equivalences,
        caveats=(*caveats, _NO_MOMENTUM, _SAME_BATCH, _DECAY, _NEEDS_MODEL),
        example={"name": name, "learning_rate": example_rate},
        cost_note=(
            "Nothing is kept between steps; during one its gradients and a probe are held, up to "
            f"{held} copies of the weights more than SGD's."
        ),
    )


FLOW_CARDS: Mapping[str, Card] = {
    "heun": _flow_card(
        summary="second order along the gradient flow",
        rule="K₁ = K(θ);   K₂ = K(θ − h K₁);   θ ← θ − (h/2) (K₁ + K₂)",
        when=(
            "To ask whether following the gradient flow more closely helps: for studies of "
            "training dynamics, and for small or smooth problems. Do not expect it to train "
            "faster than SGD for the same number of gradients."
        ),
        name="heun",
        held=2,
        equivalences=(
            "It is SGD without momentum, fed the mean of the gradients at both ends of an SGD "
            "step.",
            "On L = a θ²/2 a step multiplies θ by 1 − z + z²/2 with z = h a.",
        ),
        caveats=(
            "Its stability limit is SGD's, h a < 2, at twice the cost; a step never shrinks θ "
            "below one half.",
        ),
    ),
    "rk23": _flow_card(
        summary="third order along the gradient flow",
        rule=(
            "K₁ = K(θ);   K₂ = K(θ − (1/2) h K₁);   K₃ = K(θ − (3/4) h K₂)\n"
            "θ ← θ − h (2/9 K₁ + 1/3 K₂ + 4/9 K₃)"
        ),
        when=(
            "As Heun, where its error along the flow is still too large. The Bogacki-Shampine "
            "pair's third-order step, with a step size that you fix: no error estimate is taken."
        ),
        name="rk23",
        held=3,
        equivalences=("On L = a θ²/2 a step multiplies θ by 1 − z + z²/2 − z³/6 with z = h a.",),
        caveats=(
            "Stable for h a < 2.51, at three gradients: 0.84 per gradient, where SGD has 2.",
            "A fourth stage would only estimate the error of the step, which a fixed step size "
            "does not use; with a new batch it cannot be reused either.",
        ),
    ),
    "rk45": _flow_card(
        summary="fifth order along the gradient flow",
        rule=(
            "Kᵢ = K(θ − h Σ aᵢⱼ Kⱼ),  j < i,  i = 1 … 6\n"
            "θ ← θ − h (35/384 K₁ + 500/1113 K₃ + 125/192 K₄ − 2187/6784 K₅ + 11/84 K₆)"
        ),
        when=(
            "As a reference for the flow itself, to tell what the step size does from what the "
            "loss does. Too costly to train with: six gradients a step. The Dormand-Prince pair's "
            "fifth-order step, with a step size that you fix: no error estimate is taken."
        ),
        name="rk45",
        held=6,
        rate=_SHORTER_RATE,
        example_rate=1e-4,
        equivalences=(
            "On L = a θ²/2 a step multiplies θ by 1 − z + z²/2 − z³/6 + z⁴/24 − z⁵/120 + z⁶/600 "
            "with z = h a.",
        ),
        caveats=(
            "Stable for h a < 3.31, at six gradients: 0.55 per gradient, where SGD has 2.",
            "The fifth point lies up to 25360/2187 = 11.6 gradients away. Where curvature changes, "
            "a step blows up long before that limit: on the drawn sample Heun trains at 0.2, "
            "RK45 at 0.02 and not at 0.05; retraining VGG19, Heun trains at 1e-3, RK45 at 1e-4 and "
            "not at 1e-3.",
            "In float32 its error along the flow is soon below rounding: small steps gain nothing.",
        ),
    ),
}
