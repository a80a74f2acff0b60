"""A card for every optimizer of the registry: rule, ranges, equivalences, caveats.

Imports neither Keras nor NumPy.

Example:
    >>> from optrun.optimizers.cards import CARDS
    >>> print(CARDS["lookahead"].rule)
    θ₀ = φ;   θᵢ = A(θᵢ₋₁), i = 1 … k;   φ ← φ + α (θₖ − φ)
"""

from collections.abc import Mapping
from types import MappingProxyType

from optrun.optimizers.cards.adaptive import ADAPTIVE_CARDS
from optrun.optimizers.cards.card import Card, symbols_of
from optrun.optimizers.cards.classic import CLASSIC_CARDS
from optrun.optimizers.cards.flow import FLOW_CARDS
from optrun.optimizers.cards.rectified import RECTIFIED_CARDS
from optrun.optimizers.cards.structured import STRUCTURED_CARDS
from optrun.optimizers.cards.wrappers import WRAPPER_CARDS

__all__ = ["CARDS", "Card", "symbols_of"]

CARDS: Mapping[str, Card] = MappingProxyType(
    {
        **WRAPPER_CARDS,
        **FLOW_CARDS,
        **RECTIFIED_CARDS,
        **CLASSIC_CARDS,
        **ADAPTIVE_CARDS,
        **STRUCTURED_CARDS,
    }
)
