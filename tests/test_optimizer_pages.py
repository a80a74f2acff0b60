"""The pages on the optimizers: up to date, whole, and leading somewhere."""

import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from optrun.optimizers.registry import ENTRIES

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
WRITER = ROOT / "tools" / "write_optimizer_pages.py"
PAGES = [DOCS / "optimizers.md", *sorted((DOCS / "optimizers").glob("*.md"))]
LARGEST_IMAGE = 300_000  # bytes


@pytest.fixture(scope="module")
def writer() -> ModuleType:
    specification = importlib.util.spec_from_file_location("write_optimizer_pages", WRITER)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub makes of a page's headings."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.M)
    return {re.sub(r"[^\w -]", "", one.lower()).replace(" ", "-") for one in headings}


def test_no_page_is_out_of_date() -> None:
    result = subprocess.run(
        [sys.executable, WRITER, "--check"], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize(
    ("page", "right", "wrong"),
    [
        ("optimizers/lookahead.md", "| 5 | whole, ≥ 1 |", "| 6 | whole, ≥ 1 |"),
        ("optimizers/heun.md", "Gradients per step: 2.", "Gradients per step: 1."),
        ("optimizers/keras.md", "## adamw", "## adamx"),
        ("optimizers.md", "| 2 | 0 |", "| 1 | 0 |"),
    ],
)
def test_an_outdated_page_is_noticed(
    page: str,
    right: str,
    wrong: str,
    writer: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shutil.copytree(DOCS, tmp_path / "docs")
    monkeypatch.setattr(writer, "DOCS", tmp_path / "docs")
    text = (tmp_path / "docs" / page).read_text()
    assert right in text
    (tmp_path / "docs" / page).write_text(text.replace(right, wrong))
    monkeypatch.setattr(sys, "argv", ["write_optimizer_pages.py", "--check"])
    with pytest.raises(SystemExit, match=f"Out of date: {Path(page).name}"):
        writer.main()
    monkeypatch.setattr(sys, "argv", ["write_optimizer_pages.py"])
    writer.main()
    assert (tmp_path / "docs" / page).read_text() == text


@pytest.mark.parametrize("name", list(ENTRIES))
def test_every_optimizer_is_in_the_index_and_on_a_page(name: str) -> None:
    match = re.search(rf"\[`{name}`\]\(([^)#]+)", (DOCS / "optimizers.md").read_text())
    assert match is not None
    page = (DOCS / match.group(1)).read_text()
    assert ENTRIES[name].rule in page
    assert all(f"| `{argument.name}` |" in page for argument in ENTRIES[name].arguments)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_pictures_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)]+)\)", page.read_text()):
        path, _, anchor = target.partition("#")
        linked = (page.parent / path) if path else page
        assert linked.exists(), target
        assert not anchor or anchor in anchors(linked), target


def test_pages_of_our_own_optimizers_say_when_and_what_to_expect() -> None:
    for page in PAGES:
        if page.name in ("optimizers.md", "keras.md"):
            continue
        headings = re.findall(r"^## (.*)$", page.read_text(), re.M)
        assert {"On two functions", "When to use it", "What to expect"} <= set(headings), page.name


def test_pictures_are_small() -> None:
    for picture in (DOCS / "images").glob("*.png"):
        assert picture.stat().st_size <= LARGEST_IMAGE, picture.name
