import dataclasses
import importlib
import inspect
import subprocess
import sys

import pytest
from optrun.optimizers.entry import MEANINGS
from optrun.optimizers.registry import ENTRIES, MODULES, entries_of

_NOT_ARGUMENTS = {"self", "name", "kwargs", "unsupported"}


def _signature(entry):
    made = getattr(importlib.import_module(entry.module), entry.class_name)
    return {
        name: parameter
        for name, parameter in inspect.signature(made.__init__).parameters.items()
        if name not in _NOT_ARGUMENTS
    }


@pytest.mark.parametrize("entry", ENTRIES.values(), ids=list(ENTRIES))
def test_every_argument_of_the_class_is_offered_or_withheld_with_a_reason(entry):
    withheld = set(entry.withheld) - {"name"}
    offered = {argument.name for argument in entry.arguments if argument.of_class}
    assert offered == set(_signature(entry)) - withheld
    assert all(entry.withheld.values())


@pytest.mark.parametrize("entry", ENTRIES.values(), ids=list(ENTRIES))
def test_defaults_are_those_of_the_class(entry):
    parameters = _signature(entry)
    for argument in entry.arguments:
        if argument.of_class and not argument.required:
            assert argument.default == parameters[argument.name].default, argument.name


@pytest.mark.parametrize("entry", ENTRIES.values(), ids=list(ENTRIES))
def test_aliases_lead_to_names_someone_takes(entry):
    somewhere = {argument.name for one in ENTRIES.values() for argument in one.arguments}
    assert set(entry.aliases.values()) <= somewhere
    assert not set(entry.aliases) & {argument.name for argument in entry.arguments}


def test_names_with_several_meanings_lead_to_names_someone_takes():
    somewhere = {argument.name for one in ENTRIES.values() for argument in one.arguments}
    assert {name for meanings in MEANINGS.values() for name in meanings} <= somewhere
    assert not MEANINGS.keys() & somewhere


@pytest.mark.parametrize("entry", ENTRIES.values(), ids=list(ENTRIES))
def test_every_entry_says_what_it_is_and_where_it_was_published(entry):
    assert entry.description.endswith(".")
    assert entry.paper
    assert all(argument.description for argument in entry.arguments)


@pytest.mark.parametrize("entry", ENTRIES.values(), ids=list(ENTRIES))
def test_gradient_centralization_is_an_option_of_every_optimizer_that_is_no_wrapper(entry):
    argument = entry.argument("gradient_centralization")
    if entry.is_wrapper:
        assert argument is None
        assert "gradient_centralization" in entry.withheld
    else:
        assert argument.kind == "bool"
        assert argument.default is (entry.name == "ranger")
        assert argument.of_class is (entry.name == "ranger")


def test_every_optimizer_of_keras_is_offered_or_refused_with_a_reason():
    import keras
    from optrun.optimizers.registry import NOT_OFFERED

    theirs = {
        name.lower()
        for name, one in vars(keras.optimizers).items()
        if inspect.isclass(one) and issubclass(one, keras.optimizers.Optimizer)
    } - {"optimizer"}
    assert theirs - set(NOT_OFFERED) <= set(ENTRIES)


@pytest.mark.parametrize("entry", ENTRIES.values(), ids=list(ENTRIES))
def test_evaluations_are_those_of_the_class(entry):
    made = getattr(importlib.import_module(entry.module), entry.class_name)
    assert entry.evaluations == getattr(made, "evaluations", 1)


def test_reading_specifications_imports_neither_keras_nor_numpy():
    code = (
        "import sys, optrun.optimizers.specification as s;"
        "s.parse({'name': 'sgd', 'learning_rate': 0.1}).description;"
        "print([m for m in ('keras', 'tensorflow', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_name_the_package_does_not_have_is_an_attribute_error():
    from optrun import optimizers

    with pytest.raises(AttributeError, match="no attribute 'Lookbehind'"):
        _ = optimizers.Lookbehind


@pytest.mark.parametrize("module", [*MODULES, "schedules"])
def test_entries_read_without_importing_a_module_are_those_of_the_module(module):
    imported = importlib.import_module(f"optrun.optimizers.{module}").ENTRIES
    read = entries_of(module)
    for one, other in zip(read, imported, strict=True):
        for part in dataclasses.fields(one):
            found, meant = getattr(one, part.name), getattr(other, part.name)
            # A function is read as another one of the same text.
            if callable(meant):
                found, meant = found.__qualname__, meant.__qualname__
            assert found == meant, part.name


def test_the_entries_of_a_module_are_its_classes():
    for module in MODULES:
        found = importlib.import_module(f"optrun.optimizers.{module}")
        for entry in found.ENTRIES:
            assert entry.is_ours
            assert getattr(found, entry.class_name).__module__ == entry.module
