"""What a card says of one optimizer, beyond what the registry's entry says."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

# What these letters stand for in every rule; a card explains the others it uses.
COMMON_SYMBOLS: Mapping[str, str] = {
    "θ": "the weights",
    "g": "the gradient of the batch's mean loss",
    "η": "learning_rate",
    "t": "the count of updates, this one included",
    "ε": "epsilon",
}


@dataclass(frozen=True)
class Card:
    """What a person should know of an optimizer before using it.

    Name, paper, arguments with their defaults and bounds, and cost are in the registry's entry of
    the same name, and only there.

    Attributes:
        summary: what it is, in at most 43 characters, for a list.
        rule: one update as the class computes it, in lines; products and powers of a variable are
            element by element.
        symbols: what the rule's letters stand for, beside those of `COMMON_SYMBOLS`: an argument's
            name, or a few words.
        when: when to use it.
        sensible: for arguments worth a choice, the values to choose from.
        equivalences: settings with which it is another optimizer, and how exactly.
        caveats: what surprises people.
        example: a specification to start from.
        cost_note: what the entry's numbers leave out.
    """

    summary: str
    rule: str
    symbols: Mapping[str, str]
    when: str
    sensible: Mapping[str, str]
    equivalences: tuple[str, ...]
    caveats: tuple[str, ...]
    example: Mapping[str, object]
    cost_note: str = ""


def symbols_of(card: Card) -> dict[str, str]:
    """Every letter of a card's rule with its meaning, the common ones first.

    Example:
        >>> from optrun.optimizers.cards import CARDS
        >>> symbols_of(CARDS["heun"])["h"]
        'learning_rate, the step size'
    """
    common = {
        letter: meaning
        for letter, meaning in COMMON_SYMBOLS.items()
        if letter not in card.symbols and _occurs(letter, card.rule)
    }
    return {**common, **card.symbols}


def _occurs(letter: str, rule: str) -> bool:
    """Whether a rule has this letter by itself, not as a part of a word; t also in an exponent."""
    alternatives = {"t": "[tᵗₜ]"}.get(letter, letter)
    return re.search(f"(?<![A-Za-z_]){alternatives}(?![A-Za-z_])", rule) is not None
