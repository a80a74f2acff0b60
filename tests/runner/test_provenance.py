"""Where a result comes from, and no more of it than its owner would want kept."""

import stat
import subprocess
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


def test_the_change_is_readable_by_its_owner_alone(tmp_path: Path) -> None:
    _write_private(tmp_path / "git.diff", "+password")
    assert stat.S_IMODE((tmp_path / "git.diff").stat().st_mode) == 0o600
