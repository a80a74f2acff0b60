import pickle
import subprocess
import sys

import pytest
from optrun.runner.engine import hardware as machine
from optrun.runner.errors import UserError


@pytest.mark.parametrize(
    ("flags", "capability", "precision"),
    [
        (set(), None, "float32"),
        ({"avx512f"}, None, "float32"),
        ({"avx512_bf16"}, None, "mixed_bfloat16"),
        ({"amx_bf16"}, None, "mixed_bfloat16"),
        ({"amx_bf16"}, (6, 1), "float32"),
        (set(), (7, 0), "mixed_float16"),
        (set(), (8, 0), "mixed_bfloat16"),
        (set(), (12, 0), "mixed_bfloat16"),
    ],
)
def test_flags_decide_on_the_precision(
    flags: set[str], capability: tuple[int, int] | None, precision: str
) -> None:
    assert machine.best_precision(frozenset(flags), gpu_capability=capability) == precision


def test_auto_takes_what_the_processor_computes_natively(native_bfloat16: bool) -> None:
    found = machine.prepare("cpu", precision="auto", jit_compile="auto", deterministic=False)
    assert found.precision == ("mixed_bfloat16" if native_bfloat16 else "float32")


def test_a_process_that_a_test_starts_has_the_same_processor(native_bfloat16: bool) -> None:
    code = "from optrun.runner.engine import hardware; print(*hardware.processor_flags())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == ("avx512_bf16\n" if native_bfloat16 else "avx2\n")


def test_it_can_be_sent_to_another_process() -> None:
    found = machine.prepare("cpu", precision="float32", jit_compile=False, deterministic=False)
    assert pickle.loads(pickle.dumps(found)) == found  # noqa: S301 (our own)


def test_a_gpu_asked_for_where_there_is_none_is_refused() -> None:
    with pytest.raises(UserError, match=r"--device gpu needs a GPU .* or train on the processor"):
        machine.prepare("gpu", precision="auto", jit_compile="auto", deterministic=False)


def test_what_must_be_deterministic_is_not_compiled_as_a_whole() -> None:
    # Refused before TensorFlow is told, which would hold for the rest of this process.
    with pytest.raises(UserError, match="exclude each other"):
        machine.prepare("cpu", precision="float32", jit_compile=True, deterministic=True)


def test_xla_is_off_on_the_processor_unless_chosen() -> None:
    prepared = {
        choice: machine.prepare("cpu", precision="float32", jit_compile=choice, deterministic=False)
        for choice in ("auto", True, False)
    }
    assert {choice: found.jit_compile for choice, found in prepared.items()} == {
        "auto": False,
        True: True,
        False: False,
    }
    assert prepared["auto"].device == "cpu"


@pytest.mark.parametrize(
    ("device", "precision", "emulated"),
    [
        ("cpu", "float32", (False, False)),
        ("cpu", "mixed_bfloat16", (True, False)),
        ("cpu", "mixed_float16", (True, True)),
        ("gpu", "mixed_float16", (False, False)),
    ],
)
def test_a_precision_that_the_processor_lacks_is_known(
    device: str, precision: str, emulated: tuple[bool, bool], native_bfloat16: bool
) -> None:
    chosen = machine.Machine(device, "one", precision, jit_compile=False, threads=2)
    assert machine.is_emulated(chosen) is emulated[native_bfloat16]
