"""A person's own optimizer: named, checked against its signature, built, counted."""

import hashlib
import math
import sys
import textwrap

import keras
import numpy as np
import pytest
from optrun.optimizers.argument_checks import problems
from optrun.optimizers.specification import parse
from optrun.optimizers.user_defined import UserOptimizerError, load

SIGN = """
from typing import Literal

import keras
from keras import ops

class SignDescent(keras.optimizers.Optimizer):
    def __init__(self, learning_rate, momentum=0.0, period: int = 3, nesterov=False, mode="plain",
                 scale: float | None = None, kind: Literal["a", "b"] = "a", anything=None,
                 **kwargs):
        if momentum >= 1:
            raise ValueError(f"momentum must be below 1, received {momentum}")
        super().__init__(learning_rate=learning_rate, **kwargs)
        self.momentum = momentum
        self.period = period

    def update_step(self, gradient, variable, learning_rate):
        self.assign_sub(variable, ops.cast(learning_rate, variable.dtype) * ops.sign(gradient))
"""

TWICE = """
from optrun.optimizers import SeveralGradients

class Twice(SeveralGradients):
    evaluations = 2

    def step(self, gradient_at, variables):
        first = gradient_at(None)
        return [a + b for a, b in zip(first, gradient_at([1 * one for one in variables]))]

class Often(Twice):
    def __init__(self, learning_rate, times: int = 3):
        super().__init__(learning_rate)
        self._times = times

    @property
    def evaluations(self):
        return self._times
"""


@pytest.fixture
def write(tmp_path):
    """Writes a Python file; returns its path as text."""

    def make(content, name="mine.py"):
        file = tmp_path / name
        file.write_text(textwrap.dedent(content))
        return str(file)

    return make


@pytest.fixture
def sign(write):
    """A specification of an ordinary own optimizer."""
    return {"name": f"{write(SIGN)}:SignDescent", "learning_rate": 0.1}


def messages(specification):
    return [
        (".".join(one.path), one.message) for one in problems(specification, import_user_code=True)
    ]


def test_it_is_built_with_what_is_stated_and_steps_as_written(sign):
    optimizer = parse(sign | {"momentum": 0.5, "weight_decay": 0.1}).build(total_updates=10)
    assert type(optimizer).__name__ == "SignDescent"
    assert (optimizer.momentum, optimizer.period, optimizer.weight_decay) == (0.5, 3, 0.1)
    weight = keras.Variable([1.0, -1.0])
    optimizer.weight_decay = None
    optimizer.apply([np.array([3.0, -4.0], "float32")], [weight])
    np.testing.assert_allclose(weight.numpy(), [0.9, -0.9], rtol=1e-6)


def test_a_module_that_is_installed_goes_by_its_name(write, tmp_path, monkeypatch):
    write(SIGN, "installed_signs_of_a_test.py")
    monkeypatch.syspath_prepend(tmp_path)
    own = load("installed_signs_of_a_test:SignDescent")
    assert own.sha256 == hashlib.sha256(own.file.read_bytes()).hexdigest()
    optimizer = parse({"name": own.name, "learning_rate": 0.1}).build(total_updates=1)
    assert isinstance(optimizer, own.optimizer_class)


def test_of_a_package_the_file_that_defines_the_class_counts(write, tmp_path, monkeypatch):
    (tmp_path / "package_of_a_test").mkdir()
    write("from package_of_a_test.inner import SignDescent", "package_of_a_test/__init__.py")
    inner = write(SIGN, "package_of_a_test/inner.py")
    monkeypatch.syspath_prepend(tmp_path)
    assert str(load("package_of_a_test:SignDescent").file) == inner


def test_neither_the_working_directory_nor_the_files_own_is_searched(write, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(SIGN, "neighbour_of_a_test.py")
    [(path, message)] = messages({"name": "neighbour_of_a_test:SignDescent", "learning_rate": 1})
    assert path == "name"
    assert message.startswith("there is no installed module 'neighbour_of_a_test'. The working dir")
    importing = write("from neighbour_of_a_test import SignDescent", "importing.py")
    [(_, message)] = messages({"name": f"{importing}:SignDescent", "learning_rate": 1})
    assert f"{importing}:1: ModuleNotFoundError" in message
    beside = parse({"name": "neighbour_of_a_test.py:SignDescent", "learning_rate": 1.0})
    assert beside.build(total_updates=1)


def test_importing_leaves_nothing_beside_the_file_and_no_broken_module(write, tmp_path):
    load(f"{write(SIGN)}:SignDescent")
    with pytest.raises(UserOptimizerError):
        load(f"{write('1 / 0', 'broken.py')}:SignDescent")
    assert sorted(one.name for one in tmp_path.iterdir()) == ["broken.py", "mine.py"]
    assert not [name for name in sys.modules if name.startswith("own_optimizer_broken")]


def test_within_a_process_a_file_is_read_once(write):
    name = f"{write(SIGN)}:SignDescent"
    before = load(name)
    write(SIGN + "# changed")
    assert load(name) == before


WRONG_NAMES = {
    "no such file": ("nowhere/mine.py:A", "there is no file {here}/nowhere/mine.py, and no folder"),
    "a file misspelt": ("mien.py:SignDescent", "did you mean {here}/mine.py?"),
    "a folder": ("folder.py:A", "{here}/folder.py cannot be read: Is a directory"),
    "no such module": ("no_such_module:A", "there is no installed module 'no_such_module'. The "),
    "no such submodule": ("keras.nothing:A", "there is no installed module 'keras.nothing'."),
    "no such class": (
        "mine.py:SignDecent",
        "mine.py has no class 'SignDecent'; did you mean 'SignDescent'? Its optimizers: SignDesc",
    ),
    "no optimizer": ("plain.py:Plain", "Plain must be a subclass of keras.optimizers.Optimizer"),
    "a function": ("plain.py:function", "function must be a subclass of keras.optimizers.Optimi"),
    "no class at all": ("plain.py:Sign", "plain.py has no class 'Sign'. It defines no optimizer"),
    "an import that fails": ("fails.py:A", "cannot be imported: {here}/fails.py:3: ZeroDivisionE"),
    "a syntax error": ("syntax.py:A", "cannot be imported: {here}/syntax.py:2: SyntaxError: inva"),
    "a script that exits": ("exits.py:A", "cannot be imported: {here}/exits.py:2: SystemExit: 3"),
    "no text": ("bytes.py:A", "cannot be imported: "),
    "no class name": ("mine.py:", "must be my_module:MyOptimizer or path/to/file.py:MyOptimizer;"),
    "no module name": (":A", "must be my_module:MyOptimizer or path/to/file.py:MyOptimizer; rec"),
    "a path without .py": ("folder/mine:A", "must be my_module:MyOptimizer or path/to/file.py:My"),
    "a file without class": ("mine.py", "must name the class too, as in my_module:MyOptimizer or"),
    "no update": ("idle.py:Idle", "Idle must define `update_step(self, gradient, variable, learn"),
    "no step": ("idle.py:Stepless", "Stepless must define `step(self, gradient_at, variables)`"),
    "several of its own": (
        "idle.py:Several",
        "Several must be a subclass of optimizers.SeveralGradients: it states 2 evaluations",
    ),
}


@pytest.mark.parametrize(("name", "expected"), WRONG_NAMES.values(), ids=WRONG_NAMES)
def test_a_name_that_leads_nowhere_is_answered(name, expected, write, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.py").mkdir()
    write(SIGN)
    write("class Plain: pass\ndef function(): pass", "plain.py")
    write("def f():\n    pass\nx = 1 / 0", "fails.py")
    write("x = 1\nx = = 2", "syntax.py")
    write("import sys\nsys.exit(3)", "exits.py")
    (tmp_path / "bytes.py").write_bytes(b"\xff\xfe")
    write(
        """
        import keras
        from optrun.optimizers import SeveralGradients

        class Idle(keras.optimizers.Optimizer):
            pass

        class Stepless(SeveralGradients):
            evaluations = 2

        class Several(keras.optimizers.SGD):
            evaluations = 2
        """,
        "idle.py",
    )
    [(path, message)] = messages({"name": name})
    assert path == "name"
    assert expected.format(here=tmp_path) in message
    assert "Traceback" not in message


WRONG_ARGUMENTS = {
    "misspelt": (
        {"momentun": 0.9},
        "momentun",
        "SignDescent takes no 'momentun'; did you mean 'momentum'? It takes: learning_rate, mom",
    ),
    "unknown to all": ({"zzz": 1}, "zzz", "SignDescent takes no 'zzz'. It takes: learning_rate, "),
    "another name": ({"wd": 1}, "wd", "SignDescent calls this `weight_decay`"),
    "withheld": ({"use_ema": True}, "use_ema", "SignDescent does not take it here: validation"),
    "rate is text": ({"learning_rate": "x"}, "learning_rate", "must be a number above 0 or"),
    "rate is null": ({"learning_rate": None}, "learning_rate", "must be a number above 0"),
    "float by default": ({"momentum": "x"}, "momentum", "must be a number; received the text 'x'"),
    "bool for float": ({"momentum": True}, "momentum", "must be a number; received true"),
    "int by annotation": ({"period": 2.5}, "period", "must be a whole number; received 2.5"),
    "bool by default": ({"nesterov": 1}, "nesterov", "must be true or false; received 1"),
    "text by default": ({"mode": 1}, "mode", "must be a text; received 1"),
    "optional": ({"scale": "x"}, "scale", "must be a number or null; received the text 'x'"),
    "of the base": ({"clipnorm": 0}, "clipnorm", "must be a number above 0 or null; rece"),
    "not finite": ({"anything": math.nan}, "anything", "must be finite numbers, texts, true, fa"),
    "two clippings": ({"clipnorm": 1, "clipvalue": 1}, "clipvalue", "only one kind of clipping"),
    "schedule": (
        {"learning_rate": {"schedule": "cosin", "initial_learning_rate": 1}},
        "learning_rate.schedule",
        "must be one of constant, cosine, ",
    ),
}


@pytest.mark.parametrize(("given", "where", "text"), WRONG_ARGUMENTS.values(), ids=WRONG_ARGUMENTS)
def test_arguments_are_checked_against_the_signature(given, where, text, sign):
    [(path, message)] = messages(sign | given)
    assert path == where
    assert message.startswith(text)


def test_what_fits_the_signature_is_taken(sign):
    given = {
        "learning_rate": {"schedule": "cosine", "initial_learning_rate": 1},
        "momentum": 0,
        "period": 5,
        "nesterov": True,
        "mode": "other",
        "scale": None,
        "kind": "b",
        "anything": {"a": [1, "x", None]},
    }
    assert messages(sign | given) == []
    optimizer = parse(sign | given).build(total_updates=10)
    assert optimizer.momentum == 0.0
    assert isinstance(optimizer.momentum, float)
    assert float(optimizer.learning_rate) == 1.0


@pytest.mark.parametrize(
    ("signature", "expected"),
    [
        ("learning_rate, factor", ["factor", "learning_rate"]),
        ("learning_rate=0.1, factor=2.0", ["learning_rate"]),
        ("*args, factor, **kwargs", ["factor"]),
        ("learning_rate: float = 0.1, *, factor: 'Unreadable' = 1", ["learning_rate"]),
    ],
)
def test_what_must_be_stated_is_missed(signature, expected, write):
    file = write(
        f"""
        import keras

        class Own(keras.optimizers.SGD):
            def __init__(self, {signature}):
                pass
        """
    )
    assert sorted(path for path, _ in messages({"name": f"{file}:Own"})) == expected


def test_through_kwargs_the_arguments_of_the_class_above_are_taken_with_their_bounds(write):
    file = write(
        """
        import keras

        class Own(keras.optimizers.SGD):
            def __init__(self, learning_rate, extra=1.0, **kwargs):
                super().__init__(learning_rate, **kwargs)

        class Closed(keras.optimizers.SGD):
            def __init__(self, learning_rate):
                super().__init__(learning_rate)
        """
    )
    own = {"name": f"{file}:Own", "learning_rate": 0.1}
    assert messages(own | {"momentum": 0.5, "nesterov": True, "clipnorm": 1.0}) == []
    assert messages(own | {"momentum": 2}) == [
        ("momentum", "must be a number from 0 to 1; received 2")
    ]
    closed = {"name": f"{file}:Closed", "learning_rate": 0.1}
    assert messages(closed | {"momentum": 0.5}) == [
        ("momentum", "Closed takes no 'momentum'. It takes: learning_rate")
    ]


def test_what_its_init_raises_is_told_with_the_line(sign):
    with pytest.raises(UserOptimizerError) as caught:
        parse(sign | {"momentum": 2}).build(total_updates=1)
    file = sign["name"].partition(":")[0]
    assert str(caught.value) == (
        f"cannot be made with these arguments: {file}:12: ValueError: momentum must be below 1, "
        "received 2.0"
    )
    assert caught.value.path == ("name",)
    with pytest.raises(UserOptimizerError) as caught:
        parse({"name": "lookahead", "inner_optimizer": sign | {"momentum": 2}}).build(
            total_updates=1
        )
    assert caught.value.path == ("inner_optimizer", "name")


def test_an_inner_optimizer_that_the_wrapper_refuses_is_told(write):
    file = write(
        """
        import keras

        class Averaged(keras.optimizers.SGD):
            def __init__(self, learning_rate):
                super().__init__(learning_rate, use_ema=True)
        """
    )
    inner = {"name": f"{file}:Averaged", "learning_rate": 0.1}
    with pytest.raises(UserOptimizerError, match="cannot be built: Lookahead cannot wrap Averaged"):
        parse({"name": "lookahead", "inner_optimizer": inner}).build(total_updates=1)


def test_wrappers_go_around_it_and_it_can_be_a_wrapper(sign, write):
    optimizer = parse(
        {"name": "soft_batch", "batches_per_update": 2, "inner_optimizer": sign}
    ).build(total_updates=1)
    assert type(optimizer.inner_optimizer).__name__ == "SignDescent"
    file = write(
        """
        from optrun.optimizers import Lookahead

        class Mine(Lookahead):
            def __init__(self, inner_optimizer, sync_period: int = 3):
                super().__init__(inner_optimizer, sync_period=sync_period)
        """,
        "wrapper.py",
    )
    outer = {"name": f"{file}:Mine", "inner_optimizer": sign}
    assert parse(outer | {"sync_period": 7}).build(total_updates=1).sync_period == 7
    assert messages({"name": f"{file}:Mine"}) == [
        ("inner_optimizer", "must be stated for Mine: the optimizer that it works around")
    ]
    assert messages(outer | {"inner_optimizer": sign | {"momentun": 1}})[0][0] == (
        "inner_optimizer.momentun"
    )
    assert messages(outer | {"learning_rate": 0.1})[0][0] == "learning_rate"


def test_several_gradients_are_counted_and_refused_inside_a_soft_batch(write):
    file = write(TWICE)
    twice = {"name": f"{file}:Twice", "learning_rate": 0.1}
    often = {"name": f"{file}:Often", "learning_rate": 0.1}
    assert parse(twice).gradient_evaluations == 2
    assert parse({"name": "lookahead", "inner_optimizer": twice}).gradient_evaluations == 2
    assert parse(often).gradient_evaluations == 3
    assert parse(often | {"times": 5}).gradient_evaluations == 5
    for inner in (twice, often):
        soft = {"name": "soft_batch", "batches_per_update": 2, "inner_optimizer": inner}
        [(path, message)] = messages(soft)
        assert path == "inner_optimizer"
        assert message.startswith(f"cannot be {inner['name']}: its later gradients are taken on")


def test_an_ordinary_one_takes_one_gradient(sign):
    assert parse(sign).gradient_evaluations == 1


def test_without_importing_the_stated_arguments_are_known_in_their_order(tmp_path):
    name = f"{tmp_path}/absent.py:Mine"
    stated = {"name": name, "beta": 1, "learning_rate": 1, "flag": True, "off": None, "text": "x"}
    assert problems(stated) == []
    resolved = parse(stated).as_mapping()
    assert list(resolved) == list(stated)
    assert resolved["learning_rate"] == 1.0
    assert parse(resolved).as_mapping() == resolved
    assert parse(stated).description == "Mine 1, beta 1, flag, off off, text x"
    inside = {"name": "lookahead", "inner_optimizer": stated}
    assert parse(inside).description == f"Lookahead({parse(stated).description}), sync 5, slow 0.5"


def test_without_importing_the_forms_are_checked_all_the_same(tmp_path):
    name = f"{tmp_path}/absent.py:Mine"
    found = problems(
        {
            "name": name,
            "learning_rate": {"schedule": "cosin"},
            "inner_optimizer": {"name": "sdg"},
            "x": math.inf,
        }
    )
    assert [".".join(one.path) for one in found] == [
        "learning_rate.schedule",
        "inner_optimizer.name",
        "x",
    ]
    assert [one.path for one in problems({"name": "a b:C"})] == [("name",)]


def test_a_soft_batch_inside_an_own_wrapper_is_counted(tmp_path):
    soft = {
        "name": "soft_batch",
        "batches_per_update": 4,
        "tail": "drop",
        "inner_optimizer": {"name": "sgd", "learning_rate": 0.1},
    }
    mine = {"name": f"{tmp_path}/absent.py:Mine", "inner_optimizer": soft, "batches_per_update": 9}
    assert parse(mine).batches_per_update == 4
    assert parse(mine).updates(batches_per_epoch=10, epochs=1) == 2
