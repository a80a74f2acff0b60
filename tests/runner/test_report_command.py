"""`optrun report`: one file with what `optrun compare` says, for any reader, and safe to open."""

import csv
import html
import io
import json
import re
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote

import pytest
from click.testing import CliRunner, Result
from optrun.runner.commands.compare import compare as compare_command
from optrun.runner.commands.report import report as report_command
from optrun.runner.errors import UserError
from optrun.runner.report.inline_svg import (
    GROUNDS,
    LEAST_CONTRAST,
    Mark,
    contrast,
    inline,
    on_dark,
    style_rules,
)
from optrun.runner.report.stylesheet import INKS
from optrun.runner.ui.wording import number_of

MakeRun = Callable[..., Path]
ROOT = Path(__file__).resolve().parents[2]
RECORDS = ROOT / "tests" / "runner" / "records" / "runs"
EMPTY = {"meta", "input", "br"}
EVIL = '<script>alert(1)</script>"\'&amp;$x$ url(#a) id="b"'
MIB = 2**20


class Page(HTMLParser):
    """A page as a strict reader takes it: every element closed by its own end."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []  # with the element around it
        self.open: list[str] = []
        self.feed(source)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(dict(attrs)) == len(attrs), f"an attribute twice in {tag}"
        self.elements.append((tag, dict(attrs)))
        if tag not in EMPTY:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert "svg" in self.open
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append((self.open[-1] if self.open else "", data))

    def text_of(self, tag: str) -> list[str]:
        return [text for around, text in self.texts if around == tag]

    def attributes(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def text(self) -> str:
        return " ".join(" ".join(text for _, text in self.texts).split())


def call(*arguments: object) -> Result:
    result = CliRunner().invoke(report_command, [str(argument) for argument in arguments])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def compared(*arguments: object) -> str:
    return CliRunner().invoke(compare_command, [str(one) for one in arguments]).stdout


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of the committed records, which are runs of every kind in four tables."""
    path = tmp_path_factory.mktemp("report") / "report.html"
    assert call(RECORDS, "-o", path).exit_code == 0
    return path


@pytest.fixture(scope="module")
def page(path: Path) -> Page:
    return Page(path.read_text())


def test_a_page_says_what_compare_says_and_no_other_sentence_first(page: Page) -> None:
    tables = json.loads(compared(RECORDS, "--format", "json"))["tables"]
    said = [sentence for table in tables for sentence in (*table["conclusions"], *table["notes"])]
    items = page.text_of("li")
    assert [item for item in items if item in said] == said
    assert items[0] == tables[0]["conclusions"][0]


def test_a_page_has_the_numbers_of_compare_in_its_order(page: Page) -> None:
    lines = compared(RECORDS, "--format", "markdown").splitlines()
    rows = [
        line.strip("| ").split(" | ") for line in lines if re.match(r"\| .*Sgd|\| .*Adam", line)
    ]
    assert len(rows) > 3
    for name, _, _, *numbers in rows:
        wanted = " ".join(numbers)
        assert f"{wanted}" in page.text, name


def test_options_are_those_of_compare(tmp_path: Path) -> None:
    options = ("--metric", "test_log_loss", "--baseline", "adam", "--margin", "0.01")
    call(RECORDS, *options, "-o", tmp_path / "a.html")
    tables = json.loads(compared(RECORDS, *options, "--format", "json"))["tables"]
    items = Page((tmp_path / "a.html").read_text()).text_of("li")
    assert items[0] == tables[0]["conclusions"][0]
    with pytest.raises(UserError, match="Did you mean test_accuracy"):
        call(RECORDS, "--metric", "test_acuracy", "-o", tmp_path / "b.html")


def test_a_page_is_one_file_that_asks_for_nothing(path: Path, page: Page) -> None:
    source = path.read_text()
    assert "//" not in re.sub(r'href="data:[^"]*"', "", source)
    assert not {"script", "link", "img", "iframe", "object", "image"} & {
        name for name, _ in page.elements
    }
    for _, attributes in page.elements:
        href = attributes.get("href") or "#"
        assert href.startswith(("#", "data:text/csv;"))
        assert "src" not in attributes
        assert not any(name.startswith("on") for name in attributes)
    assert not re.search(r"@import|url\((?!#)", source)
    assert len(source.encode()) < MIB


def test_a_page_is_ordered_for_whoever_hears_it(page: Page) -> None:
    assert page.attributes("html") == [{"lang": "en"}]
    levels = [int(name[1]) for name, _ in page.elements if re.fullmatch(r"h[1-6]", name)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    said = [f"{title}. " for title in page.text_of("h4")]
    for svg, start in zip(page.attributes("svg"), said, strict=True):
        assert svg["role"] == "img"
        assert str(svg["aria-label"]).startswith(start)
        assert str(svg["aria-label"]).removeprefix(start) in page.text_of("p")
    assert all(one["scope"] in ("col", "row") for one in page.attributes("th"))


def test_an_id_occurs_once_and_what_is_referred_to_is_there(path: Path, page: Page) -> None:
    ids = Counter(one["id"] for _, one in page.elements if "id" in one)
    assert max(ids.values()) == 1
    source = path.read_text()
    wanted = set(re.findall(r"url\(#([^)]*)\)", source))
    wanted |= {str(one["href"])[1:] for one in page.attributes("use")}
    wanted |= {str(one["aria-labelledby"]) for one in page.attributes("section")}
    wanted |= set(re.findall(r"#(table-[\w-]+)[:{ ]", "".join(page.text_of("style"))))
    assert wanted <= ids.keys()


def test_a_name_from_disk_is_shown_as_text(make_run: MakeRun, tmp_path: Path) -> None:
    results = make_run("<b>evil", name=EVIL, result={"test_accuracy": 0.9}).parent
    make_run(name="adam")
    call(results, "-o", tmp_path / "page.html", "--figures", tmp_path / "figures")
    page = Page((tmp_path / "page.html").read_text())
    names = {name for name, _ in page.elements}
    assert not {"script", "b"} & names
    assert EVIL in page.text_of("th")
    assert EVIL[:24] in "".join(page.text_of("text"))
    assert all("alert" not in key for _, found in page.elements for key in found)


def test_settings_and_surroundings_from_disk_are_text_too(
    make_run: MakeRun, tmp_path: Path
) -> None:
    folder = make_run(
        "one",
        name="sgd",
        optimizer={"description": EVIL, "specification": {"name": EVIL, EVIL: "<i>x</i>"}},
        provenance={"hardware": {"<u>": EVIL}, "packages": {"tensorflow": "<s>2"}},
    )
    (folder / "config.yaml").write_text(f"training:\n  epochs: {json.dumps(EVIL)}\n")
    call(folder.parent, "-o", tmp_path / "page.html")
    page = Page((tmp_path / "page.html").read_text())
    assert not {"script", "i", "u", "s"} & {name for name, _ in page.elements}
    assert page.text.count("<script>alert(1)</script>") >= 4


def tables_of_figures(page: Page) -> list[list[list[str]]]:
    """What the links of a page hold, each as lines of cells."""
    links = [one for one in page.attributes("a") if "download" in one]
    assert all(str(link["download"]).endswith(".csv") for link in links)
    texts = [unquote(str(link["href"]).partition(",")[2]) for link in links]
    return [list(csv.reader(io.StringIO(text))) for text in texts]


def as_shown(cell: str) -> str:
    """A number of a CSV as a table has it."""
    if re.fullmatch(r"-?\d+\.\d+(e-?\d+)?", cell):
        return f"{float(cell):.6g}"
    return cell or "–"


def test_each_figure_has_its_numbers_as_a_table_and_as_csv(page: Page) -> None:
    found = tables_of_figures(page)
    assert len(found) == len(page.attributes("figure")) >= 4
    cells, names = page.text_of("td"), page.text_of("th")
    for head, first, *_ in found:
        assert head[0] == "experiment"
        assert first[0] in names
        assert {as_shown(cell) for cell in first[1:]} <= set(cells)


def test_a_mark_tells_its_numbers_on_hover(path: Path, page: Page) -> None:
    found = re.findall(r"<use [^>]*><title>([^<]*)</title></use>", path.read_text())
    cells: dict[str, set[str]] = {}
    for _, *lines in tables_of_figures(page):
        for name, *values in lines:
            cells.setdefault(name, set()).update(map(as_shown, values))
    assert len(found) >= 12
    for text in found:
        *_, value = text.partition(": ")
        named = [name for name in cells if text.startswith(name)]
        known = [cells[name] for name in named or cells]
        assert any(value.split("\n")[0] in of_row for of_row in known), text


def test_the_command_of_a_row_trains_its_seeds_from_its_own_settings(
    make_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for seed in (1, 2, 3, 7):
        make_run(f"sgd-s{seed}", name="sgd", seed=seed, started=f"2026-11-2{seed}T00:00:00+00:00")
    call("results", "-o", "page.html")
    assert Page(Path("page.html").read_text()).text_of("code") == [
        "optrun train results/sgd-s7/config.yaml --seeds 1-3",
        "optrun train results/sgd-s7/config.yaml --seed 7",
    ]


def test_figures_are_written_as_png_svg_and_pdf_with_their_numbers(
    make_run: MakeRun, tmp_path: Path
) -> None:
    folder = make_run("one", name="sgd").parent
    make_run("two", name="adam")
    out = call(folder, "-o", tmp_path / "a.html", "--figures", tmp_path / "new").stdout
    files = sorted((tmp_path / "new").iterdir())
    count = sum(file.suffix == ".csv" for file in files)
    assert Counter(file.suffix for file in files) == {
        ".csv": count,
        **dict.fromkeys((".png", ".svg", ".pdf"), 2 * count),
    }
    starts = {".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF", ".csv": b'"experiment"'}
    assert all(file.read_bytes().startswith(starts[file.suffix]) for file in files)
    assert f"2 rows and {number_of(count, 'figure')}" in out
    assert f"{7 * count} files" in out


def test_the_same_runs_give_the_same_page(path: Path, tmp_path: Path) -> None:
    call(RECORDS, "-o", tmp_path / "again.html")
    assert (tmp_path / "again.html").read_bytes() == path.read_bytes()


def test_two_hundred_runs_take_seconds_and_stay_small(make_run: MakeRun, tmp_path: Path) -> None:
    for number in range(200):
        experiment, seed = divmod(number, 4)
        result = {"test_accuracy": 0.8 + number / 2000}
        folder = make_run(name=f"experiment{experiment}", seed=seed, result=result)
        (folder / "config.yaml").write_text((ROOT / "configs" / "vgg19.yaml").read_text())
    begin = time.process_time()
    call(folder.parent, "-o", tmp_path / "page.html")
    assert time.process_time() - begin < 20
    assert (tmp_path / "page.html").stat().st_size < 3 * MIB


def test_a_page_of_diverged_runs_alone_says_so(make_run: MakeRun, tmp_path: Path) -> None:
    folder = make_run("a", state="diverged", result=None, name="sgd").parent
    make_run("b", state="diverged", result=None, name="adam")
    call(folder, "-o", tmp_path / "page.html")
    assert "none of 2 runs completed, all diverged" in (tmp_path / "page.html").read_text()


@pytest.mark.parametrize("content", ["nothing", "a running run", "a cut off run"])
def test_without_a_run_that_ended_nothing_is_written(
    make_run: MakeRun, tmp_path: Path, content: str
) -> None:
    (tmp_path / "results").mkdir()
    if content == "a running run":
        make_run("running", state="running", result=None)
    elif content == "a cut off run":
        (make_run("cut") / "run.json").write_text('{"format": 1, "name"')
    with pytest.raises(UserError, match="RESULTS must hold a run that has completed") as caught:
        call(tmp_path / "results", "-o", tmp_path / "page.html")
    assert caught.value.exit_code == 2
    assert not (tmp_path / "page.html").exists()


def test_an_output_that_cannot_be_written_leaves_nothing_behind(
    make_run: MakeRun, tmp_path: Path
) -> None:
    folder = make_run().parent
    with pytest.raises(UserError, match=r"--output must be a file that can be written") as caught:
        call(folder, "-o", tmp_path / "none" / "page.html", "--figures", tmp_path / "figures")
    assert caught.value.exit_code == 2
    assert list(tmp_path.iterdir()) == [folder]


def test_an_output_that_is_a_folder_is_refused_at_once(make_run: MakeRun, tmp_path: Path) -> None:
    result = call(make_run().parent, "-o", tmp_path)
    assert result.exit_code == 2
    assert "is a directory" in result.stderr


def test_a_file_in_the_way_of_the_figures_leaves_no_page(make_run: MakeRun, tmp_path: Path) -> None:
    folder = make_run().parent
    (tmp_path / "figures").write_text("mine")
    with pytest.raises(UserError, match=r"--figures must be a folder that can be written"):
        call(folder, "-o", tmp_path / "page.html", "--figures", tmp_path / "figures")
    assert {one.name for one in tmp_path.iterdir()} == {"results", "figures"}
    assert (tmp_path / "figures").read_text() == "mine"


def test_text_stands_out_from_the_page_it_is_on() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.005)  # WebAIM's checker
    for theme, inks in INKS.items():
        assert all(contrast(ink, GROUNDS[theme]) >= 4.5 for ink in inks.values()), theme


@pytest.mark.parametrize("colour", ["#0072b2", "#d55e00", "#009e73", "#aa4499", "#222222"])
def test_a_picture_s_colour_stands_out_on_a_dark_page(colour: str) -> None:
    assert contrast(on_dark(colour), GROUNDS["dark"]) >= LEAST_CONTRAST


def test_a_picture_keeps_its_words_whatever_they_look_like() -> None:
    svg = (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9"><style>*{}</style>'
        '<clipPath id="a"/><path id="b" clip-path="url(#a)" d="M 1.2345 2.0 L 3 4" '
        'style="fill: #0072b2"/><text>url(#a) id="a" #0072b2 1.2345 &lt;b&gt;</text></svg>'
    )
    found = inline(svg.encode(), prefix="t-key", description="d")
    [name] = re.findall(r"\.(\w+)\{fill:var\(--c0072b2\)\}", style_rules(found.styles))
    assert found.svg == (
        '<svg viewBox="0 0 9 9" role="img" aria-label="d"><clipPath id="t-key-0" />'
        f'<path clip-path="url(#t-key-0)" d="M 1.2 2 3 4" class="{name}" />'
        '<text>url(#a) id="a" #0072b2 1.2345 &lt;b&gt;</text></svg>'
    )
    assert found.colours == {"#0072b2"}


def test_points_have_their_values_in_the_order_in_which_they_are_drawn() -> None:
    points = '<use href="#m" x="1"/><use href="#m" x="2"/>'
    svg = f'<svg viewBox="0 0 9 9"><path id="m"/><g id="mark-0">{points}</g></svg>'

    def titles(*values: str) -> list[tuple[str, str]]:
        marks = [Mark("row-7", "sgd", values)]
        found = inline(svg.encode(), prefix="p", description="d", marks=marks).svg
        assert '<g class="row-7">' in found
        return re.findall(r'x="(.)"><title>([^<]*)</title>', found)

    assert titles("loss: 3", "loss: 4") == [("1", "sgd\nloss: 3"), ("2", "sgd\nloss: 4")]
    assert titles("loss: 3", "loss: 4", "loss: 5") == []  # which is which is unknown


# In a real browser, where there is one.


NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
BROWSER = next(filter(None, map(shutil.which, NAMES)), None)
needs_browser = pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed")
MEASURE = """<script>addEventListener("load", () => {
  const seen = {
    window: innerWidth,
    wide: document.documentElement.scrollWidth - document.documentElement.clientWidth,
    ground: getComputedStyle(document.body).backgroundColor,
    empty: [...document.querySelectorAll("svg")].filter(one =>
      one.getClientRects().length && !one.getBBox().width).length,
    cut: [...document.querySelectorAll("svg text")].filter(one => {
      const box = one.getBoundingClientRect();
      const around = one.closest("svg").getBoundingClientRect();
      return box.left < around.left - 1 || box.right > around.right + 1;
    }).length,
  };
  const shown = () => [...document.querySelectorAll(".table-1-row-0")].filter(one =>
    one.getClientRects().length).length;
  seen.before = shown();
  document.querySelector("#table-1-show-0").click();
  seen.after = shown();
  document.querySelector("#table-1 button").click();
  seen.again = shown();
  parent.document.title = JSON.stringify(seen);
})</script>"""


def browse(tmp_path: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    fixed = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage")
    profile = f"--user-data-dir={tmp_path / 'profile'}"
    command = [str(BROWSER), *fixed, profile, "--enable-logging=stderr", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)


@pytest.fixture
def measured(path: Path, tmp_path: Path) -> Callable[..., dict[str, object]]:
    def measure(width: int, *more: str) -> dict[str, object]:
        watched = tmp_path / "watched.html"
        # In a frame, since a browser's own window does not become as narrow as a phone.
        framed = html.escape(path.read_text().replace("</body>", f"{MEASURE}</body>"))
        style = f"width: {width}px; height: 900px; border: 0"
        watched.write_text(f'<title></title><iframe style="{style}" srcdoc="{framed}"></iframe>')
        done = browse(tmp_path, *more, "--dump-dom", watched.as_uri())
        assert "CONSOLE" not in done.stderr
        [title] = re.findall(r"<title>(\{.*?\})</title>", done.stdout)
        seen: dict[str, object] = json.loads(title)
        return seen

    return measure


@needs_browser
@pytest.mark.parametrize("width", [390, 1280])
def test_a_page_is_no_wider_than_its_window(
    measured: Callable[..., dict[str, object]], width: int
) -> None:
    seen = measured(width)
    assert seen["window"] == width
    assert seen["wide"] == seen["empty"] == seen["cut"] == 0
    assert seen["ground"] == "rgb(255, 255, 255)"


@needs_browser
def test_a_box_hides_its_experiment_in_tables_and_pictures(
    measured: Callable[..., dict[str, object]],
) -> None:
    seen = measured(1280)
    assert (seen["after"], seen["before"]) == (0, seen["again"])
    assert int(str(seen["before"])) >= 4  # in the table, the picture, the settings, the commands


@needs_browser
def test_a_page_is_dark_where_a_reader_wants_it_so(
    measured: Callable[..., dict[str, object]],
) -> None:
    seen = measured(390, "--blink-settings=preferredColorScheme=0")
    assert seen["ground"] == "rgb(20, 24, 29)"


@needs_browser
def test_a_page_prints(path: Path, tmp_path: Path) -> None:
    printed = tmp_path / "page.pdf"
    browse(tmp_path, f"--print-to-pdf={printed}", path.as_uri())
    assert printed.read_bytes().startswith(b"%PDF")
    assert len(re.findall(rb"/Type\s*/Page\b", printed.read_bytes())) >= 4
