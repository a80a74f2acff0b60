"""Optimizers saved by earlier versions load: their registered names stay."""

import keras
import optrun.optimizers.schedules
import pytest
from optrun import optimizers

# As Keras wrote them when each had a module of its own; the modules are gone or renamed.
SAVED = {
    "Lookahead": (
        "optimizers.lookahead",
        {
            "name": "lookahead",
            "inner_optimizer": {
                "module": "keras.optimizers",
                "class_name": "SGD",
                "config": {"learning_rate": 0.01, "momentum": 0.9},
                "registered_name": None,
            },
            "sync_period": 6,
            "slow_step_size": 0.8,
            "inner_state": "maintain",
            "track_fast_weights": False,
        },
    ),
    "Heun": ("optimizers.heun", {"learning_rate": 0.1, "weight_decay": 0.01, "name": "heun"}),
    "BogackiShampine": ("optrun.optimizers.bogacki_shampine", {"learning_rate": 0.1}),
    "DormandPrince": ("optrun.optimizers.dormand_prince", {"global_clipnorm": 1.0}),
    "RAdam": ("optimizers.radam", {"learning_rate": 0.1, "beta_2": 0.99}),
    "Ranger": ("optimizers.ranger", {"learning_rate": 0.1, "sync_period": 5}),
}


@pytest.mark.parametrize(("name", "saved"), SAVED.items(), ids=list(SAVED))
def test_an_optimizer_saved_under_its_registered_name_loads(name, saved):
    module, config = saved
    expected = getattr(optimizers, name)
    loaded = keras.saving.deserialize_keras_object(
        {
            "module": module,
            "class_name": name,
            "config": config,
            "registered_name": f"optimizers>{name}",
        }
    )
    assert type(loaded) is expected
    stated = {key: value for key, value in config.items() if not isinstance(value, dict)}
    assert {key: loaded.get_config()[key] for key in stated} == pytest.approx(stated)


@pytest.mark.parametrize("entry", optrun.optimizers.schedules.ENTRIES, ids=lambda entry: entry.name)
def test_a_schedule_is_registered_under_the_name_it_is_saved_by(entry):
    made = keras.saving.get_registered_object(f"optimizers>{entry.class_name}")
    assert made is getattr(optrun.optimizers.schedules, entry.class_name)
