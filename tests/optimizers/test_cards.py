import re
import subprocess
import sys

import pytest
from optrun.optimizers.argument_checks import problems
from optrun.optimizers.card_text import allowed, default, example_yaml, symbols_of
from optrun.optimizers.registry import ENTRIES, entry_called

_NUMBER = r"\d+(?:\.\d+)?(?:e-?\d+)?"
_RANGE = re.compile(rf"({_NUMBER}) – ({_NUMBER})")
_WIDEST_RULE = 78  # in a terminal of 80 columns, indented by two

each_card = pytest.mark.parametrize("name", list(ENTRIES))


@each_card
def test_sensible_values_are_of_arguments_the_optimizer_takes(name):
    assert set(ENTRIES[name].sensible) <= {argument.name for argument in ENTRIES[name].arguments}


@each_card
def test_sensible_ranges_rise_and_stay_within_the_bounds(name):
    for argument_name, text in ENTRIES[name].sensible.items():
        argument = ENTRIES[name].argument(argument_name)
        for low, high in _RANGE.findall(text):
            assert float(low) < float(high), text
            for number in (float(low), float(high)):
                assert argument.minimum is None or number >= argument.minimum
                assert argument.maximum is None or number <= argument.maximum


@each_card
def test_a_card_says_how_large_a_rate_should_be(name):
    if ENTRIES[name].argument("learning_rate") is not None:
        assert _RANGE.search(ENTRIES[name].sensible["learning_rate"])


@each_card
def test_the_example_is_a_specification_without_problems(name):
    example = ENTRIES[name].example
    assert example["name"] == name
    assert problems(example) == []


@each_card
def test_every_greek_letter_of_a_rule_is_explained_or_defined_in_it(name):
    card = ENTRIES[name]
    explained = set("".join(symbols_of(card)))
    defined = set(re.findall(r"([α-ω])\S* =", card.rule))
    assert set(re.findall(r"[α-ω]", card.rule)) <= explained | defined


@each_card
def test_no_letter_is_explained_that_the_rule_does_not_have(name):
    card = ENTRIES[name]
    told = card.rule + " ".join(card.symbols.values())
    for letters in card.symbols:
        assert all(one in told for one in re.findall(r"\w+", letters)), letters


@each_card
def test_a_card_fits_a_terminal(name):
    assert len(ENTRIES[name].summary) <= 43
    assert all(len(line) <= _WIDEST_RULE for line in ENTRIES[name].rule.splitlines())


@each_card
def test_a_card_says_when_to_use_it_what_it_equals_and_what_surprises(name):
    card = ENTRIES[name]
    assert card.when.endswith(".")
    assert card.equivalences
    assert card.caveats
    for sentence in (*card.equivalences, *card.caveats):
        assert sentence.endswith("."), sentence


def test_common_letters_are_told_where_they_occur_alone():
    assert "t" not in symbols_of(ENTRIES["sgd"])  # of which "nesterov" has one
    assert symbols_of(ENTRIES["adam"])["t"].startswith("the count of updates")


@pytest.mark.parametrize(
    ("name", "argument", "values", "at_first"),
    [
        ("lookahead", "inner_optimizer", "an optimizer", "required"),
        ("lookahead", "slow_step_size", "[0, 1]", "0.5"),
        ("soft_batch", "batches_per_update", "whole, ≥ 1", "required"),
        ("adam", "beta_1", "[0, 1)", "0.9"),
        ("adam", "learning_rate", "> 0 or schedule", "required"),
        ("adam", "amsgrad", "true, false", "false"),
        ("lion", "beta_1", "(0, 1]", "0.9"),
        ("ftrl", "learning_rate_power", "≤ 0", "-0.5"),
        ("muon", "muon_b", "any number", "-4.775"),
        ("muon", "exclude_layers", "list of texts or null", "null"),
        ("sgd", "clipnorm", "> 0 or null", "null"),
    ],
)
def test_values_and_defaults_in_words(name, argument, values, at_first):
    assert allowed(ENTRIES[name].argument(argument)) == values
    assert default(ENTRIES[name].argument(argument)) == at_first


def test_an_example_nests_its_inner_optimizer():
    assert example_yaml(ENTRIES["soft_batch"]).splitlines()[1:] == [
        "optimizer:",
        "  name: soft_batch",
        "  batches_per_update: 4",
        "  inner_optimizer:",
        "    name: sgd",
        "    learning_rate: 1e-4",
        "    momentum: 0.9",
    ]


@pytest.mark.parametrize(
    ("asked", "name"),
    [
        ("lookahead", "lookahead"),
        ("Lookahead", "lookahead"),
        ("SoftBatch", "soft_batch"),
        ("soft-batch", "soft_batch"),
        ("AdamW", "adamw"),
        ("DormandPrince", "rk45"),
        ("dopri5", "rk45"),
        ("gradient_accumulation", "soft_batch"),
        ("RectifiedAdam", "radam"),
    ],
)
def test_names_in_use_are_understood(asked, name):
    assert entry_called(asked).name == name


@pytest.mark.parametrize(
    ("asked", "hint"),
    [
        ("lookahed", "did you mean 'lookahead'?"),
        ("lookahead_adam", "is lookahead around adam, as `name: lookahead` with"),
        ("AdamLookahead", "is lookahead around adam"),
        ("soft_batch_sgd", "is soft_batch around sgd"),
        ("nesterov", "is sgd with momentum: 0.9 and nesterov: true"),
        ("gradient_centralization", "is an argument, gradient_centralization: true"),
        ("ScheduleFreeAdamW", "is not offered: Keras 3.15 leaves"),
        ("rk4", "is not offered; the Runge-Kutta steps are"),
        ("", "is no optimizer known here. Known: adadelta, "),
    ],
)
def test_other_names_are_answered_with_what_there_is(asked, hint):
    with pytest.raises(LookupError, match=re.escape(hint)):
        entry_called(asked)


def test_cards_import_neither_keras_nor_numpy():
    code = (
        "import sys, optrun.optimizers.card_text, optrun.optimizers.registry;"
        "print([m for m in ('keras', 'tensorflow', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
