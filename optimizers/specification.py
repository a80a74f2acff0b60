"""A specification: which optimizer, with which arguments. Read and checked once, then a value.

    {"name": "lookahead", "sync_period": 5, "slow_step_size": 0.5,
     "inner_optimizer": {"name": "sgd", "learning_rate": 1e-4, "momentum": 0.9}}

`parse` makes a `Specification` of such a mapping, or says everything that is wrong with it. Nothing
here imports Keras until an optimizer is built, or a person's own (`user_defined`) is asked.
"""

import importlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from optrun.optimizers import user_defined
from optrun.optimizers.argument_checks import Path, Problem, problems
from optrun.optimizers.entry import GRADIENT_CENTRALIZATION, Argument, Arguments, Entry, Shape
from optrun.optimizers.registry import ENTRIES, SCHEDULES

if TYPE_CHECKING:
    import keras

# More than any schedule's warm-up, for an optimizer that is made to be asked and not to train.
_MANY_UPDATES = 2**31 - 1
# Of a person's own that can't be asked: as many as Adam keeps, which is what most do.
_ASSUMED_COPIES = 2
_PROBE_SHAPES: tuple[Shape, ...] = ((3, 3, 16, 32), (32,))


class SpecificationError(ValueError):
    """A specification that cannot be used; the message has every problem, one a line."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = problems
        lines = (f"{'.'.join(one.path) or 'optimizer'}: {one.message}" for one in problems)
        super().__init__("\n".join(lines))


def parse(stated: object, *, import_user_code: bool = False) -> "Specification":
    """The specification of a mapping as a person writes it: checked, with every default filled in.

    Whole numbers become floats where the argument is one, so equal settings are equal. Of a
    person's own optimizer, unless `import_user_code`, which runs the person's code, nothing but
    the form of a rate, a schedule and an inner optimizer is checked.

    Example:
        >>> sgd = parse({"name": "sgd", "learning_rate": 1})
        >>> sgd.arguments["learning_rate"], sgd.arguments["momentum"]
        (1.0, 0.0)
    """
    found = problems(stated, import_user_code=import_user_code)
    if found or not isinstance(stated, Mapping):
        raise SpecificationError(found)
    return _completed(stated)


@dataclass(frozen=True)
class Specification:
    """An optimizer that is fully specified; `parse` makes it. It can be pickled.

    Example:
        >>> sgd = {"name": "sgd", "learning_rate": 1e-4, "momentum": 0.9}
        >>> lookahead = parse({"name": "lookahead", "inner_optimizer": sgd})
        >>> print(lookahead.description)
        Lookahead(SGD 1e-4, momentum 0.9), sync 5, slow 0.5
        >>> lookahead.gradient_evaluations, lookahead.updates(batches_per_epoch=10, epochs=3)
        (1, 30)
    """

    name: str  # of its entry in the registry, or a person's own, "my_module:MyOptimizer"
    # Every one with its value: a number, a text, a boolean, None or a tuple of them; a schedule is
    # a mapping, the inner optimizer a Specification.
    arguments: Arguments

    def __post_init__(self) -> None:
        object.__setattr__(self, "arguments", _frozen(self.arguments))

    def __reduce__(self) -> tuple[Any, ...]:
        return Specification, (self.name, _plain(self.arguments, nested=lambda inner: inner))

    @property
    def entry(self) -> Entry:
        """What the registry says of it; of a person's own, what the specification states."""
        if self.name in ENTRIES:
            return ENTRIES[self.name]
        return user_defined.entry_as_stated(self.name, self.arguments)

    @property
    def inner(self) -> "Specification | None":
        inner = self.arguments.get("inner_optimizer")
        return inner if isinstance(inner, Specification) else None

    def chain(self) -> Iterator["Specification"]:
        """This one, the one inside, and so on."""
        one: Specification | None = self
        while one is not None:
            yield one
            one = one.inner

    @property
    def user_defined_names(self) -> list[str]:
        """The names of a person's own optimizers in it, outermost first, each once."""
        return user_defined.names_in(self.as_mapping())

    def as_mapping(self) -> dict[str, Any]:
        """Plain YAML types, nested, with every argument; parsed again, it gives an equal one."""
        return {"name": self.name, **_plain(self.arguments, nested=Specification.as_mapping)}

    def renamed(self, new_name: Callable[[str], str]) -> "Specification":
        """The same with other names, for it and what is inside."""
        inner = self.inner
        changed = {} if inner is None else {"inner_optimizer": inner.renamed(new_name)}
        return replace(self, name=new_name(self.name), arguments={**self.arguments, **changed})

    @property
    def description(self) -> str:
        """For a table: what defines it or is no default; no two are described alike."""
        head = self.entry.class_name
        if self.inner is not None:
            head += f"({self.inner.description})"
        if "learning_rate" in self.arguments:
            head += f" {_rate(self.arguments['learning_rate'])}"
        parts = [head]
        for argument in self.entry.arguments:
            value = self.arguments[argument.name]
            is_shown = bool(argument.label and argument.kind != "bool") or value != argument.default
            if argument.kind not in ("optimizer", "learning_rate") and is_shown:
                parts.append(_setting(argument, value))
        return ", ".join(parts)

    @property
    def gradient_evaluations(self) -> int:
        """In one step on one batch; a person's own is imported for this, and made if need be."""
        most = 1
        for one in self.chain():
            count: int | None = one.entry.evaluations
            if user_defined.is_user_defined(one.name):
                count = user_defined.stated_evaluations(user_defined.load(one.name).optimizer_class)
            if count is None:
                from optrun.optimizers.wrapper import with_several_evaluations

                return getattr(with_several_evaluations(self.try_out()), "evaluations", 1)
            most = max(most, count)
        return most

    @property
    def batches_per_update(self) -> int:
        """Batches whose gradients go into one update: a soft batch's count, otherwise 1."""
        soft = self._soft_batch()
        return 1 if soft is None else int(str(soft.arguments["batches_per_update"]))

    def updates(self, *, batches_per_epoch: int, epochs: int) -> int:
        """Updates of the weights in a training: what a schedule counts."""
        soft = self._soft_batch()
        if soft is None or soft.entry.count_updates is None:
            return batches_per_epoch * epochs
        return soft.entry.count_updates(soft.arguments, batches_per_epoch, epochs)

    def warmups(self) -> Iterator[tuple[Path, int]]:
        """The warm-up of each schedule in it, in updates, and the keys that lead there."""
        path: Path = ()
        for one in self.chain():
            for argument in one.entry.arguments:
                rate = one.arguments.get(argument.name)
                if argument.kind == "learning_rate" and isinstance(rate, Mapping):
                    yield (*path, argument.name, "warmup_updates"), int(rate["warmup_updates"])
            path = (*path, "inner_optimizer")

    @property
    def sync_periods(self) -> list[int]:
        """Of each Lookahead in it, the updates between two syncs."""
        found = (one.arguments.get("sync_period") for one in self.chain())
        return [period for period in found if isinstance(period, int)]

    def _soft_batch(self) -> "Specification | None":
        return next((one for one in self.chain() if one.entry.count_updates is not None), None)

    def state_floats(self, shapes: Sequence[Shape], *, track_fast_weights: bool = False) -> int:
        """Numbers in the optimizer's variables, but for its few counters, for weights like these.

        A person's own optimizer, which alone knows, is made for this.
        """
        weights = sum(map(math.prod, shapes))
        if self.user_defined_names:
            return math.ceil(self._asked_floats_per_weight(track_fast_weights) * weights)
        floats = 0
        for one in self.chain():
            tracked = track_fast_weights and one.entry.tracks_fast_weights
            floats += (one.entry.extra_weight_copies + tracked) * weights
            if one.entry.more_state is not None:
                floats += sum(one.entry.more_state(one.arguments, shape) for shape in shapes)
        return floats

    def _asked_floats_per_weight(self, track_fast_weights: bool) -> float:
        """Of an optimizer made and built around a small layer."""
        import keras

        try:
            weights = [keras.Variable(keras.ops.zeros(shape)) for shape in _PROBE_SHAPES]
            optimizer = self.try_out(track_fast_weights=track_fast_weights)
            optimizer.build(weights)
            kept = [math.prod(variable.shape) for variable in optimizer.variables]
        except Exception:  # noqa: BLE001 (a person's code; training says what is wrong with it)
            return _ASSUMED_COPIES
        # Counters, of which there are a handful, would weigh too much beside so few weights.
        return float(sum(count for count in kept if count > 1) / sum(map(math.prod, _PROBE_SHAPES)))

    def build(
        self, *, total_updates: int, track_fast_weights: bool = False
    ) -> "keras.optimizers.Optimizer":
        """The optimizer, ready for `compile`.

        `total_updates` are those of the whole training: a schedule without `decay_updates` spans
        them, and its warm-up must leave one. `track_fast_weights` is for a Lookahead in it.
        UserOptimizerError is what a person's own optimizer, or one around it, raised.
        """
        return _built(self, total_updates, track_fast_weights, ())

    def try_out(self, *, track_fast_weights: bool = False) -> "keras.optimizers.Optimizer":
        """The optimizer, made to see whether it can be, or to ask it something; see `build`."""
        return self.build(total_updates=_MANY_UPDATES, track_fast_weights=track_fast_weights)


def _built(
    specification: Specification, total_updates: int, track_fast_weights: bool, path: Path
) -> "keras.optimizers.Optimizer":
    """See `Specification.build`; `path` leads here from the outermost specification."""
    from optrun.optimizers.gradient_centralization import GradientCentralization
    from optrun.optimizers.schedules import build_schedule

    stated = specification.as_mapping()
    user = None
    if user_defined.is_user_defined(specification.name):
        user = user_defined.load(specification.name)
        entry, optimizer_class = user_defined.entry_of(user), user.optimizer_class
    else:
        entry = specification.entry
        optimizer_class = getattr(importlib.import_module(entry.module), entry.class_name)
    given: dict[str, Any] = {}
    for argument in entry.arguments:
        if argument.name not in stated:
            continue  # of a person's own optimizer, whose class knows its defaults
        value = stated[argument.name]
        if argument.kind == "optimizer" and specification.inner is not None:
            here = (*path, argument.name)
            value = _built(specification.inner, total_updates, track_fast_weights, here)
        elif argument.kind == "learning_rate" and isinstance(value, Mapping):
            value = build_schedule(value, total_updates=total_updates)
        elif argument.kind == "float" and isinstance(value, int):
            value = float(value)
        if argument.of_class:
            given[argument.name] = value
    if track_fast_weights and entry.tracks_fast_weights:
        given["track_fast_weights"] = True
    try:
        optimizer = optimizer_class(**given)
    except Exception as error:
        # What a person's own, or one around it, raises says where it stands.
        if user is not None:
            said = user_defined.failure(error, user.file)
            message = f"cannot be made with these arguments: {said}"
        elif specification.user_defined_names and isinstance(error, TypeError | ValueError):
            message = f"cannot be built: {error}"
        else:
            raise
        raise user_defined.UserOptimizerError(message, (*path, "name")) from error
    if GRADIENT_CENTRALIZATION in entry.arguments and stated[GRADIENT_CENTRALIZATION.name]:
        return GradientCentralization(optimizer)
    return optimizer


def _completed(stated: Mapping[str, Any]) -> Specification:
    name = stated["name"]
    entry = ENTRIES.get(name) or user_defined.entry_as_stated(name, stated)
    return Specification(name, _all_arguments(stated, entry))


def _all_arguments(stated: Arguments, entry: Entry) -> dict[str, object]:
    return {one.name: _value(stated.get(one.name, one.default), one) for one in entry.arguments}


def _value(value: Any, argument: Argument) -> object:
    if isinstance(value, Mapping) and argument.kind == "optimizer":
        return _completed(value)
    if isinstance(value, Mapping) and argument.kind == "learning_rate":
        schedule = SCHEDULES[value["schedule"]]
        return {"schedule": schedule.name} | _all_arguments(value, schedule)
    if argument.kind in ("float", "learning_rate") and isinstance(value, int | float):
        return float(value)
    return value


def _frozen(value: Any) -> Any:
    if isinstance(value, Mapping):
        return MappingProxyType({key: _frozen(one) for key, one in value.items()})
    return tuple(_frozen(one) for one in value) if isinstance(value, list | tuple) else value


def _plain(value: Any, *, nested: Callable[[Specification], object]) -> Any:
    if isinstance(value, Specification):
        return nested(value)
    if isinstance(value, Mapping):
        return {key: _plain(one, nested=nested) for key, one in value.items()}
    if isinstance(value, tuple):
        return [_plain(one, nested=nested) for one in value]
    return value


def _setting(argument: Argument, value: object) -> str:
    label = argument.label or argument.name.replace("_", " ")
    if isinstance(value, bool):
        return label if value else f"no {label}"
    return f"{label} {_text(value)}"


def _rate(rate: Any) -> str:
    if not isinstance(rate, Mapping):
        return _text(rate)
    settings = ", ".join(
        _setting(argument, rate[argument.name])
        for argument in SCHEDULES[rate["schedule"]].arguments
        if argument.name != "initial_learning_rate"
        and (argument.required or rate[argument.name] != argument.default)
    )
    inside = f" ({settings})" if settings else ""
    return f"{_text(rate['initial_learning_rate'])} {rate['schedule']}{inside}"


def _text(value: object) -> str:
    """A value in a table: numbers in full and as short as they go, 1e-4 rather than 0.0001."""
    if value is None:
        return "off"
    if isinstance(value, float):
        # repr is the shortest text that reads back as the same float: no two rates look alike.
        decimal = Decimal(repr(value)).normalize()
        exponent = decimal.adjusted()
        if value == 0 or -3 <= exponent < 5:
            return f"{decimal:f}"
        return f"{decimal.scaleb(-exponent).normalize():f}e{exponent}"
    plain = _plain(value, nested=Specification.as_mapping)
    return "+".join(map(str, plain)) if isinstance(plain, list) else str(plain)
