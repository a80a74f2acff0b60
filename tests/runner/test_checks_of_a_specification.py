"""An optimizer is parsed and checked once for each config of a training, and never after that."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from optrun.optimizers import specification

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
THREE = [CONFIGS / f"{name}_vgg19.yaml" for name in ("sgd", "lookahead", "soft_batch")]
TINY = (
    *("data.image_size=32", "data.limit=80", "model.width=0.125", "model.trainable=head"),
    "training.epochs=1",
)

Optrun = Callable[..., tuple[int, str, str]]


@pytest.fixture
def checked(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[object]]:
    """What was checked, in order."""
    seen: list[object] = []
    check = specification.problems

    def counting(stated: object, **more: bool) -> list[specification.Problem]:
        seen.append(stated)
        return check(stated, **more)

    monkeypatch.setattr(specification, "problems", counting)
    return seen


def overrides() -> Iterator[str]:
    for setting in TINY:
        yield from ("--set", setting)


def test_a_training_of_three_configs_checks_three_specifications(
    tmp_path: Path,
    optrun: Optrun,
    shallow: Callable[[], AbstractContextManager[None]],
    checked: list[object],
) -> None:
    with shallow():
        code, _, error = optrun("train", *THREE, "--sample", *overrides(), "--results", tmp_path)
    assert code == 0, error
    assert len(checked) == 3


def test_what_the_sample_section_makes_of_the_optimizer_is_checked_where_it_differs(
    tmp_path: Path, optrun: Optrun, checked: list[object]
) -> None:
    same = tmp_path / "same.yaml"
    same.write_text(
        "training: {epochs: 1}\noptimizer: {name: sgd, learning_rate: 0.1}\n"
        "sample: {training: {epochs: 2}}\n"
    )
    assert optrun("config", "show", same)[0] == 0
    assert len(checked) == 1
    checked.clear()
    other = tmp_path / "other.yaml"
    other.write_text(
        "training: {epochs: 1}\noptimizer: {name: sgd, learning_rate: 0.1}\n"
        "sample: {optimizer: {learning_rate: 0.2}}\n"
    )
    assert optrun("config", "show", other)[0] == 0
    assert [dict(one)["learning_rate"] for one in checked] == [0.1, 0.2]  # type: ignore[call-overload]
