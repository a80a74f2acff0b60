"""The registered optimizers with the arguments that the suite tries, and the reference of each."""

from references import composed, momenta, structured

RULES = {
    "sgd": momenta.Sgd,
    "adam": momenta.Adam,
    "adamw": momenta.AdamW,
    "adamax": momenta.Adamax,
    "nadam": momenta.Nadam,
    "adagrad": momenta.Adagrad,
    "adadelta": momenta.Adadelta,
    "rmsprop": momenta.RmsProp,
    "ftrl": structured.Ftrl,
    "adafactor": structured.Adafactor,
    "lamb": structured.Lamb,
    "lion": momenta.Lion,
    "muon": structured.Muon,
    "lookahead": composed.Lookahead,
    "soft_batch": composed.SoftBatch,
    "heun": composed.Heun,
    "rk23": composed.BogackiShampine,
    "rk45": composed.DormandPrince,
    "radam": momenta.RAdam,
    "ranger": composed.Ranger,
}

_HEAVY_BALL = {"name": "sgd", "learning_rate": 0.1, "momentum": 0.9}
_ADAM = {"name": "adam", "learning_rate": 0.02}


def _adam(**more):
    return {"learning_rate": 0.02, **more}


def _sgd(**more):
    return {"learning_rate": 0.1, **more}


def _lookahead(inner=_HEAVY_BALL, **more):
    return {"inner_optimizer": inner, "sync_period": 4, **more}


def _soft_batch(inner=_ADAM, **more):
    return {"inner_optimizer": inner, "batches_per_update": 3, **more}


# The first case of an optimizer is the one that the slower tests take.
CASES = {
    "sgd": {
        "nesterov": _sgd(momentum=0.9, nesterov=True),
        "plain": _sgd(),
        "heavy ball": _sgd(momentum=0.9, weight_decay=0.05),
        "clipped": _sgd(global_clipnorm=0.5),
        "centralized": _sgd(momentum=0.9, gradient_centralization=True),
    },
    "adam": {
        "plain": _adam(),
        "amsgrad": _adam(amsgrad=True, clipnorm=0.5),
        "centralized": _adam(weight_decay=0.05, gradient_centralization=True),
    },
    "adamw": {"plain": _adam(), "clipped": _adam(weight_decay=0.1, clipvalue=0.2)},
    "adamax": {"plain": _adam()},
    "nadam": {"plain": _adam()},
    "adagrad": {"plain": _sgd(), "from zero": _sgd(initial_accumulator_value=0.0)},
    "adadelta": {"plain": {"learning_rate": 1.0, "epsilon": 1e-4}},
    "rmsprop": {
        "plain": _adam(),
        "momentum": _adam(momentum=0.8),
        "centered": _adam(centered=True, epsilon=1e-3),
        "both": _adam(momentum=0.8, centered=True, epsilon=1e-3),
    },
    "ftrl": {
        "plain": _sgd(),
        "regularized": _sgd(
            l1_regularization_strength=0.05,
            l2_regularization_strength=0.1,
            l2_shrinkage_regularization_strength=0.02,
            beta=0.5,
        ),
    },
    "adafactor": {
        "plain": {"learning_rate": 0.05},
        "large rate": {"learning_rate": 0.9, "clip_threshold": 0.5, "weight_decay": 0.01},
    },
    "lamb": {"plain": _adam(), "decayed": _adam(weight_decay=0.1)},
    "lion": {
        "plain": {"learning_rate": 0.005},
        "decayed": {"learning_rate": 0.01, "weight_decay": 0.1},
    },
    "muon": {
        "plain": _adam(),
        "bare": _adam(nesterov=False, rms_rate=None, weight_decay=None, adam_lr_ratio=0.5),
    },
    "lookahead": {
        "maintain": _lookahead(),
        "reset": _lookahead(inner_state="reset"),
        "pullback": _lookahead(inner_state="pullback"),
        "adam": _lookahead(_ADAM, slow_step_size=0.8),
        "adam reset": _lookahead(_ADAM, inner_state="reset"),
        "heun": _lookahead({"name": "heun", "learning_rate": 0.2}),
    },
    "soft_batch": {
        "adam": _soft_batch(),
        "lookahead": _soft_batch({"name": "lookahead", **_lookahead(sync_period=2)}),
        "clipped": _soft_batch({"name": "adamw", "learning_rate": 0.02, "global_clipnorm": 0.3}),
    },
    "heun": {
        "plain": {"learning_rate": 0.2},
        "decayed": {"learning_rate": 0.2, "weight_decay": 0.1, "global_clipnorm": 0.7},
    },
    "rk23": {
        "plain": {"learning_rate": 0.2},
        "decayed": {"learning_rate": 0.2, "weight_decay": 0.1, "global_clipnorm": 0.7},
    },
    "rk45": {
        "plain": {"learning_rate": 0.2},
        "decayed": {"learning_rate": 0.2, "weight_decay": 0.1, "global_clipnorm": 0.7},
    },
    "radam": {"plain": _adam(), "decayed": _adam(weight_decay=0.1, beta_2=0.9, epsilon=1e-3)},
    "ranger": {
        "plain": _adam(),
        "decayed": _adam(weight_decay=0.1, beta_2=0.9, sync_period=3, slow_step_size=0.3),
    },
}


def reference(specification):
    """The float64 reference of a specification, whose keys are the arguments' names."""
    arguments = {key: value for key, value in specification.items() if key != "name"}
    if "inner_optimizer" in arguments:
        arguments["inner_optimizer"] = reference(arguments["inner_optimizer"])
    return RULES[specification["name"]](**arguments)


def specifications(names, *, first_only=False):
    """For each optimizer and case, `"name-case"` and its specification.

    Raises:
        LookupError: for an optimizer that has no case or no reference here.
    """
    chosen = {}
    for name in names:
        if name not in CASES or name not in RULES:
            raise LookupError(
                f"The optimizer '{name}' is registered and has no reference. Write its update from "
                "the paper, in float64 NumPy, as a class in tests/optimizers/references, and name "
                "it and the arguments to try in RULES and CASES of references/cases.py."
            )
        for case, arguments in list(CASES[name].items())[: 1 if first_only else None]:
            chosen[f"{name}-{case}"] = {"name": name, **arguments}
    return chosen
