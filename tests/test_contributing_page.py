"""docs/contributing.md: its example of an optimizer, carried out in a copy of the tree."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "contributing.md").read_text()

STEP = """
import keras
from optrun.optimizers.specification import parse
from optrun.optimizers.signum import Signum

specification = parse({"name": "signum", "learning_rate": 0.5, "momentum": 0.5})
optimizer = specification.build(total_updates=10)
assert type(optimizer) is Signum
weight = keras.Variable([1.0, -2.0])
optimizer.apply([keras.ops.convert_to_tensor([3.0, -0.1])], [weight])
print(specification.description, weight.numpy().tolist())
"""


@pytest.fixture
def run(tmp_path: Path):
    """Runs Python in a copy of the tree to which the example was added as the page says."""
    for room in ("optimizers", "runner", "data"):
        shutil.copytree(ROOT / room, tmp_path / "optrun" / room)
    shutil.copy(ROOT / "tools" / "optrun" / "__init__.py", tmp_path / "optrun")
    (example,) = re.findall(r"<!-- example: begin -->\n.*?```python\n(.*?)```", PAGE, re.S)
    (tmp_path / "optrun" / "optimizers" / "signum.py").write_text(example)
    registry = tmp_path / "optrun" / "optimizers" / "registry.py"
    registry.write_text(registry.read_text().replace('"radam")', '"radam", "signum")'))

    def call(*arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, *arguments],
            env={**os.environ, "PYTHONPATH": str(tmp_path)},
            cwd=tmp_path,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return call


def test_an_added_optimizer_has_a_card_without_keras_and_makes_its_step(run) -> None:
    card = run("-m", "optrun.runner.cli", "optimizers", "signum")
    assert "m ← μ m + (1 − μ) g" in card
    assert "Bernstein et al. 2018" in card
    light = "import sys, optrun.optimizers.registry as r; print('keras' in sys.modules, *r.ENTRIES)"
    keras_is_loaded, *names = run("-c", light).split()
    assert keras_is_loaded == "False"
    assert names[-1] == "signum"
    assert run("-c", STEP) == "Signum 0.5, momentum 0.5 [0.5, -1.5]\n"
