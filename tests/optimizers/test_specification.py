import pytest
from optrun.optimizers.argument_checks import problems
from optrun.optimizers.registry import ENTRIES
from optrun.optimizers.specification import parse

SGD = {"name": "sgd", "learning_rate": 1e-4, "momentum": 0.9}
LOOKAHEAD = {"name": "lookahead", "inner_optimizer": SGD}
SOFT = {"name": "soft_batch", "batches_per_update": 4, "inner_optimizer": SGD}
HEUN = {"name": "heun", "learning_rate": 0.1}
COSINE = {"schedule": "cosine", "initial_learning_rate": 0.1}

_NUMBER = "must be a number above 0 or a schedule such as {schedule: cosine, "
_NUMBER += "initial_learning_rate: 0.01}; received "

WRONG = {
    "not a mapping": (
        "sgd",
        "",
        "must be a mapping that names an optimizer, e.g. {name: sgd, learning_rate: 0.01}; "
        "received the text 'sgd'",
    ),
    "no name": ({"learning_rate": 0.1}, "name", "must be stated: one of adadelta, adafactor, "),
    "unknown name": (
        {"name": "sdg", "learning_rate": 0.1},
        "name",
        "there is no optimizer 'sdg'; did you mean 'sgd'? Known: adadelta, ",
    ),
    "another spelling": (
        {"name": "SoftBatch"},
        "name",
        "there is no optimizer 'SoftBatch'; did you mean 'soft_batch'?",
    ),
    "name is a number": (
        {"name": 3},
        "name",
        "must be the name of an optimizer; received 3. Known: ",
    ),
    "schedule-free": (
        {"name": "ScheduleFreeAdamW"},
        "name",
        "'ScheduleFreeAdamW' is not offered: Keras 3.15 leaves the network on its training",
    ),
    "the decay that AdamW cannot be without": (
        {"name": "adamw", "learning_rate": 0.001, "weight_decay": None},
        "weight_decay",
        "must be a number of at least 0; received null",
    ),
    "rate is text": (SGD | {"learning_rate": "fast"}, "learning_rate", _NUMBER + "the text 'fast'"),
    "rate is negative": (SGD | {"learning_rate": -0.1}, "learning_rate", _NUMBER + "-0.1"),
    "rate is zero": (SGD | {"learning_rate": 0}, "learning_rate", _NUMBER + "0"),
    "rate is NaN": (SGD | {"learning_rate": float("nan")}, "learning_rate", _NUMBER + "nan"),
    "rate is infinite": (SGD | {"learning_rate": float("inf")}, "learning_rate", _NUMBER + "inf"),
    "rate is a boolean": (SGD | {"learning_rate": True}, "learning_rate", _NUMBER + "true"),
    "rate is null": (SGD | {"learning_rate": None}, "learning_rate", _NUMBER + "null"),
    "no rate": (
        {"name": "adam"},
        "learning_rate",
        "must be stated for Adam: factor on the step: a number greater than 0, or a schedule",
    ),
    "lr": ({"name": "adam", "lr": 0.1}, "lr", "Adam calls this `learning_rate`"),
    "a name that means several things": (
        SGD | {"decay": 1e-6},
        "decay",
        "SGD takes no 'decay', which elsewhere is a rate that falls with every update, in Keras 2 "
        "(`learning_rate: {schedule: inverse_time, initial_learning_rate: …, decay_rate: …, "
        "decay_updates: 1}`); or decay of the weights (`weight_decay`)",
    ),
    "of an average": (
        {"name": "rmsprop", "learning_rate": 0.1, "decay": 0.9},
        "decay",
        "RMSprop takes no 'decay', which elsewhere is a rate that falls with every update, in "
        "Keras 2 (`learning_rate: {schedule: inverse_time, initial_learning_rate: …, decay_rate: "
        "…, decay_updates: 1}`); or the decay of the average, in TensorFlow 1's RMSprop (`rho`)",
    ),
    "a falling rate": (
        {"name": "adagrad", "learning_rate": 0.1, "lr_decay": 0.1},
        "lr_decay",
        "Adagrad takes no 'lr_decay', which elsewhere is a rate that falls, in PyTorch's Adagrad (",
    ),
    "of one gradient or all": (
        SGD | {"clip_norm": 1},
        "clip_norm",
        "SGD takes no 'clip_norm', which elsewhere is the norm of each variable's gradient, in "
        "tf.clip_by_norm (`clipnorm`); or that of all gradients together, in ",
    ),
    "Nesterov's": (
        SGD | {"nesterov_momentum": 0.9},
        "nesterov_momentum",
        "SGD takes no 'nesterov_momentum', which elsewhere is the momentum (`momentum` with "
        "`nesterov: true`)",
    ),
    "at a sync": (
        LOOKAHEAD | {"pullback_momentum": "none"},
        "pullback_momentum",
        "Lookahead takes no 'pullback_momentum', which elsewhere is what becomes of the momentum "
        "at a sync (`inner_state`: `maintain` for none, `reset` and `pullback` as they are)",
    ),
    "BERT's": (
        {"name": "adamw", "learning_rate": 0.1, "weight_decay_rate": 0.01},
        "weight_decay_rate",
        "AdamW calls this `weight_decay`",
    ),
    "another one's alias": (
        {"name": "adam", "learning_rate": 0.1, "mu": 0.9},
        "mu",
        "Adam takes no 'mu'. It takes: learning_rate, ",
    ),
    "misspelt": (
        SGD | {"momentun": 0.9},
        "momentun",
        "SGD takes no 'momentun'; did you mean 'momentum'? It takes: learning_rate, momentum, ",
    ),
    "an argument it does not take": (
        {"name": "adagrad", "learning_rate": 0.1, "amsgrad": True},
        "amsgrad",
        "Adagrad takes no 'amsgrad'. It takes: learning_rate, ",
    ),
    "accumulation": (
        SGD | {"gradient_accumulation_steps": 4},
        "gradient_accumulation_steps",
        "SGD does not take it here: Keras hands the schedule the count of batches",
    ),
    "k": (LOOKAHEAD | {"k": 5}, "k", "Lookahead calls this `sync_period`"),
    "alpha": (LOOKAHEAD | {"alpha": 0.5}, "alpha", "Lookahead calls this `slow_step_size`"),
    "rate outside": (
        LOOKAHEAD | {"learning_rate": 0.1},
        "learning_rate",
        "Lookahead does not take it here: it belongs to the inner optimizer: state it under",
    ),
    "sync_period 0": (
        LOOKAHEAD | {"sync_period": 0},
        "sync_period",
        "must be a whole number of at least 1; received 0",
    ),
    "sync_period 2.5": (
        LOOKAHEAD | {"sync_period": 2.5},
        "sync_period",
        "must be a whole number of at least 1; received 2.5",
    ),
    "slow_step_size 2": (
        LOOKAHEAD | {"slow_step_size": 2},
        "slow_step_size",
        "must be a number from 0 to 1; received 2",
    ),
    "inner missing": (
        {"name": "lookahead"},
        "inner_optimizer",
        "must be stated for Lookahead: moves the fast weights",
    ),
    "inner is text": (
        {"name": "lookahead", "inner_optimizer": "sgd"},
        "inner_optimizer",
        "must be a mapping that names an optimizer",
    ),
    "inner argument": (
        {"name": "lookahead", "inner_optimizer": SGD | {"momentum": 2}},
        "inner_optimizer.momentum",
        "must be a number from 0 to 1; received 2",
    ),
    "beta of 1": (
        {"name": "adam", "learning_rate": 0.1, "beta_1": 1},
        "beta_1",
        "must be a number of at least 0 and below 1; received 1",
    ),
    "choice": (
        SOFT | {"tail": "keep"},
        "tail",
        "must be flush, carry or drop; received the text 'keep'",
    ),
    "boolean": (
        SGD | {"nesterov": "yes"},
        "nesterov",
        "must be true or false; received the text 'yes'",
    ),
    "list of texts": (
        {"name": "muon", "learning_rate": 0.1, "exclude_layers": "head"},
        "exclude_layers",
        "must be a list of texts or null; received the text 'head'",
    ),
    "two clippings": (
        SGD | {"clipnorm": 1.0, "clipvalue": 1.0},
        "clipvalue",
        "only one kind of clipping can be stated; received clipnorm and clipvalue",
    ),
    "nesterov without momentum": (
        {"name": "sgd", "learning_rate": 0.1, "nesterov": True},
        "nesterov",
        "has no effect without a momentum greater than 0: state `momentum`",
    ),
    "momentum for Heun": (
        HEUN | {"momentum": 0.9},
        "momentum",
        "Heun does not take it here: the step follows the gradient flow, which has no momentum",
    ),
    "lookahead in lookahead": (
        {"name": "lookahead", "inner_optimizer": LOOKAHEAD},
        "inner_optimizer",
        "cannot be lookahead: Lookahead around Lookahead keeps two sets of slow weights",
    ),
    "soft batch in lookahead": (
        {"name": "lookahead", "inner_optimizer": SOFT},
        "inner_optimizer",
        "cannot be soft_batch: Lookahead counts updates, and a soft batch inside it makes none",
    ),
    "soft batch in soft batch": (
        SOFT | {"inner_optimizer": SOFT},
        "inner_optimizer",
        "cannot be soft_batch: a soft batch of soft batches is one soft batch",
    ),
    "heun in soft batch": (
        SOFT | {"inner_optimizer": HEUN},
        "inner_optimizer",
        "cannot be heun: its later gradients are taken on the same batch as its first",
    ),
    "heun in lookahead in soft batch": (
        SOFT | {"inner_optimizer": {"name": "lookahead", "inner_optimizer": HEUN}},
        "inner_optimizer",
        "cannot be lookahead: its later gradients are taken on the same batch as its first",
    ),
    "schedule unknown": (
        SGD | {"learning_rate": COSINE | {"schedule": "cosin"}},
        "learning_rate.schedule",
        "must be one of constant, cosine, exponential, inverse_time, step; received the text "
        "'cosin'; did you mean 'cosine'?",
    ),
    "schedule not named": (
        SGD | {"learning_rate": {"initial_learning_rate": 0.1}},
        "learning_rate.schedule",
        "must be one of constant, cosine, exponential, inverse_time, step; received nothing",
    ),
    "schedule argument": (
        SGD | {"learning_rate": COSINE | {"warmup": 5}},
        "learning_rate.warmup",
        "the schedule 'cosine' takes no 'warmup'; did you mean 'warmup_updates'? It takes: ",
    ),
    "schedule without a rate": (
        SGD | {"learning_rate": {"schedule": "constant"}},
        "learning_rate.initial_learning_rate",
        "must be stated for the schedule 'constant': the rate at the end of the warm-up",
    ),
    "step without a period": (
        SGD
        | {"learning_rate": {"schedule": "step", "initial_learning_rate": 1, "decay_rate": 0.1}},
        "learning_rate.decay_updates",
        "must be stated for the schedule 'step': updates between two drops",
    ),
}


WRONG |= {
    "lookahead around ranger": (
        {"name": "lookahead", "inner_optimizer": {"name": "ranger", "learning_rate": 0.1}},
        "inner_optimizer",
        "cannot be ranger: Ranger is Lookahead around RAdam already: state `sync_period`",
    ),
    "centralization beside a wrapper's arguments": (
        LOOKAHEAD | {"gradient_centralization": True},
        "gradient_centralization",
        "Lookahead does not take it here: it belongs to the inner optimizer",
    ),
    "centralization by its short name": (
        {"name": "radam", "learning_rate": 0.1, "use_gc": True},
        "use_gc",
        "RAdam calls this `gradient_centralization`",
    ),
    "centralization is a number": (
        SGD | {"gradient_centralization": 1},
        "gradient_centralization",
        "must be true or false; received 1",
    ),
    "both decays at once": (
        {"name": "ranger", "learning_rate": 0.1, "betas": [0.9, 0.99]},
        "betas",
        "Ranger takes no 'betas', which elsewhere is a pair, in PyTorch (`beta_1` and `beta_2`)",
    ),
    "a threshold below the paper's": (
        {"name": "radam", "learning_rate": 0.1, "threshold": 3},
        "threshold",
        "must be a number of at least 4; received 3",
    ),
    "a memory too short to adapt": (
        {"name": "radam", "learning_rate": 0.1, "beta_2": 0.5},
        "beta_2",
        "beta_2 must be greater than 0.666667 for a threshold of 5, or no step is ever adapted",
    ),
    "a threshold too long for the memory": (
        {"name": "ranger", "learning_rate": 0.1, "threshold": 3000},
        "threshold",
        "beta_2 must be greater than 0.999334 for a threshold of 3000",
    ),
}


@pytest.mark.parametrize(("specification", "path", "message"), WRONG.values(), ids=list(WRONG))
def test_a_mistake_is_named_with_its_place_and_what_would_be_right(specification, path, message):
    found = problems(specification)
    assert [".".join(problem.path) for problem in found] == [path]
    assert found[0].message.startswith(message)


def test_all_mistakes_are_told_at_once():
    wrong = {
        "name": "lookahead",
        "sync_period": 0,
        "k": 5,
        "inner_optimizer": {"name": "sgd", "learning_rate": "fast", "momentum": 2},
    }
    paths = {".".join(problem.path) for problem in problems(wrong)}
    assert paths == {
        "k",
        "sync_period",
        "inner_optimizer.learning_rate",
        "inner_optimizer.momentum",
    }


def test_resolving_a_wrong_specification_raises_with_every_problem():
    with pytest.raises(ValueError, match=r"(?s)momentum: must be.*nesterov: must be"):
        parse(SGD | {"momentum": "much", "nesterov": 1}).as_mapping()


@pytest.mark.parametrize("entry", ENTRIES.values(), ids=list(ENTRIES))
def test_resolving_states_every_argument_and_changes_nothing_the_second_time(
    entry, specification_of
):
    resolved = parse(specification_of(entry.name)).as_mapping()
    assert list(resolved) == ["name", *(argument.name for argument in entry.arguments)]
    assert parse(resolved).as_mapping() == resolved
    assert problems(resolved) == []


def test_resolving_keeps_the_literal_rate_and_leaves_the_specification_alone():
    given = {"name": "lookahead", "inner_optimizer": {"name": "sgd", "learning_rate": 0.01}}
    resolved = parse(given).as_mapping()
    assert resolved["inner_optimizer"]["learning_rate"] == 0.01
    assert given == {
        "name": "lookahead",
        "inner_optimizer": {"name": "sgd", "learning_rate": 0.01},
    }


def test_whole_numbers_and_floats_that_mean_the_same_resolve_the_same():
    whole = {"name": "sgd", "learning_rate": 1, "momentum": 0}
    assert repr(parse(whole).as_mapping()) == repr(
        parse({"name": "sgd", "learning_rate": 1.0}).as_mapping()
    )


@pytest.mark.parametrize(
    ("specification", "text"),
    [
        (SGD, "SGD 1e-4, momentum 0.9"),
        (SGD | {"nesterov": True}, "SGD 1e-4, momentum 0.9, nesterov"),
        ({"name": "adam", "learning_rate": 0.001}, "Adam 0.001"),
        ({"name": "adam", "learning_rate": 2.5e-5}, "Adam 2.5e-5"),
        (
            {"name": "muon", "learning_rate": 0.001, "weight_decay": None},
            "Muon 0.001, weight decay off",
        ),
        (LOOKAHEAD, "Lookahead(SGD 1e-4, momentum 0.9), sync 5, slow 0.5"),
        (LOOKAHEAD | {"sync_period": 6}, "Lookahead(SGD 1e-4, momentum 0.9), sync 6, slow 0.5"),
        (SOFT, "SoftBatch(SGD 1e-4, momentum 0.9), batches 4"),
        (SOFT | {"tail": "drop"}, "SoftBatch(SGD 1e-4, momentum 0.9), batches 4, tail drop"),
        (HEUN, "Heun 0.1"),
        (HEUN | {"gradient_centralization": True}, "Heun 0.1, GC"),
        ({"name": "ranger", "learning_rate": 0.001}, "Ranger 0.001"),
        (
            {"name": "ranger", "learning_rate": 0.001, "gradient_centralization": False},
            "Ranger 0.001, no GC",
        ),
        ({"name": "sgd", "learning_rate": COSINE}, "SGD 0.1 cosine"),
        (
            {"name": "sgd", "learning_rate": COSINE | {"warmup_updates": 50}},
            "SGD 0.1 cosine (warm-up 50)",
        ),
        (
            {"name": "muon", "learning_rate": 0.02, "exclude_embeddings": False},
            "Muon 0.02, no exclude embeddings",
        ),
    ],
)
def test_the_description_is_short_and_says_what_differs(specification, text):
    assert parse(specification).description == text
    assert parse(parse(specification).as_mapping()).description == text


def test_close_rates_are_described_differently():
    rates = [1e-4, 1.0000001e-4, 0.01, 0.010000001, 1.0, 1e5, 123456.0]
    texts = {parse({"name": "sgd", "learning_rate": rate}).description for rate in rates}
    assert len(texts) == len(rates)


def test_gradient_evaluations_count_through_wrappers():
    assert parse(SGD).gradient_evaluations == 1
    assert parse(HEUN).gradient_evaluations == 2
    assert parse({"name": "lookahead", "inner_optimizer": HEUN}).gradient_evaluations == 2
    assert parse(SOFT).gradient_evaluations == 1


def test_updates_count_what_a_schedule_sees():
    assert parse(SOFT).batches_per_update == 4
    assert parse(LOOKAHEAD).batches_per_update == 1
    assert parse(SGD).updates(batches_per_epoch=10, epochs=3) == 30
    assert parse(HEUN).updates(batches_per_epoch=10, epochs=3) == 30
    assert parse(SOFT).updates(batches_per_epoch=10, epochs=3) == 9
    assert parse(SOFT | {"tail": "carry"}).updates(batches_per_epoch=10, epochs=3) == 8
    assert parse(SOFT | {"tail": "drop"}).updates(batches_per_epoch=10, epochs=3) == 6
