"""Where a result comes from, and no more of it than its owner would want kept."""

import importlib.metadata
import re
import stat
import subprocess
import tomllib
from pathlib import Path

import pytest
from optrun.runner import provenance
from optrun.runner.plan.single_run import _write_private


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository of one committed file."""
    (tmp_path / "update_rule.py").write_text("before\n")
    for arguments in (["init"], ["add", "."], ["commit", "-m", "Start"]):
        subprocess.run(
            ["git", "-c", "user.name=A", "-c", "user.email=a@b", *arguments],
            cwd=tmp_path,
            check=True,
            capture_output=True,
        )
    return tmp_path


def test_a_small_change_is_kept_whole(repository: Path) -> None:
    (repository / "update_rule.py").write_text("after\n")
    assert provenance.uncommitted_changes(repository).endswith("-before\n+after")
    assert provenance.collect(repository)["git_dirty"] is True


def test_a_huge_change_is_cut(repository: Path) -> None:
    (repository / "update_rule.py").write_text(("x" * 79 + "\n") * 100_000)
    diff = provenance.uncommitted_changes(repository)
    assert diff.endswith("[cut: there is more]\n")
    assert len(diff) < provenance.DIFF_LIMIT_BYTES + 100


def test_outside_a_repository_there_is_none(tmp_path: Path) -> None:
    assert provenance.uncommitted_changes(tmp_path) == ""
    assert provenance.collect(tmp_path)["git_commit"] is None


def test_every_package_that_can_change_a_number_is_recorded() -> None:
    pyproject = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    needed = {re.split(r"[<>=\[]", line)[0] for line in pyproject["project"]["dependencies"]}
    recorded = provenance.packages()
    assert {name.lower().replace("_", "-") for name in needed} <= recorded.keys()
    assert recorded["ml-dtypes"] == importlib.metadata.version("ml_dtypes")
    assert not {"ruff", "pytest", "mypy"} & recorded.keys()


def test_the_libraries_of_a_graphics_card_are_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "nvidia_cudnn_cu12-9.1.dist-info").mkdir()
    (tmp_path / "nvidia_cudnn_cu12-9.1.dist-info" / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: nvidia_cudnn_cu12\nVersion: 9.1\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    assert provenance.packages()["nvidia-cudnn-cu12"] == "9.1"


def test_the_change_is_readable_by_its_owner_alone(tmp_path: Path) -> None:
    _write_private(tmp_path / "git.diff", "+password")
    assert stat.S_IMODE((tmp_path / "git.diff").stat().st_mode) == 0o600
