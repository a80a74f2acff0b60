"""The verdict on a table of runs: which baseline, which pairs, in which words."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from optrun.runner.compare.comparison import compare
from optrun.runner.compare.judgement import Verdict, verdict
from optrun.runner.compare.notes import notes
from optrun.runner.runs.reader import read_all
from optrun.runner.verdict.conclusions import Conclusion
from optrun.runner.verdict.metrics import BY_KEY, DEFAULT_METRIC

MakeRun = Callable[..., Path]
MakeRuns = Callable[..., None]
Answer = tuple[int, str, str]
Optrun = Callable[..., Answer]


@pytest.fixture
def make_runs(make_run: MakeRun) -> MakeRuns:
    """Runs of one experiment, seeds 1 to `count`, around an accuracy."""

    def make(name: str, count: int, accuracy: float = 0.9, **more: Any) -> None:
        rule = more.get("rule", name)
        description = more.get("description", rule.title())
        for seed in range(1, count + 1):
            make_run(
                name=name,
                seed=seed + more.get("after", 0),
                experiment=f"{name} {description}",
                optimizer={"description": description, "specification": {"name": rule}},
                result={"test_accuracy": accuracy + seed * 1e-3 + (seed % 2) * 1e-4 * len(name)},
                batch_size=more.get("batch_size", 16),
                images_per_update=more.get("images_per_update", 16),
                provenance={
                    "initial_weights": f"{more.get('start', 'w')}{seed + more.get('after', 0)}",
                    "first_batches": f"{more.get('batches', 'b')}{seed + more.get('after', 0)}",
                },
            )

    return make


@pytest.fixture
def judged(tmp_path: Path) -> Callable[..., Verdict]:
    def judge(**options: object) -> Verdict:
        [group] = compare(*read_all([tmp_path / "results"])).groups
        found = verdict(group, BY_KEY[DEFAULT_METRIC], **options)
        return replace(found, notes=tuple(notes(group, found)))

    return judge


def test_the_winner_is_said_with_how_much_and_how_sure(
    make_runs: MakeRuns, judged: Callable[..., Verdict]
) -> None:
    make_runs("sgd", 8)
    make_runs("lookahead", 8, 0.92)
    found = judged()
    assert found.baseline == "sgd"
    [sentence] = found.sentences
    assert sentence.startswith("lookahead is better than sgd: +2.0")
    assert " points of test accuracy [" in sentence
    assert sentence.endswith("better in 8 of 8 seeds, p = 0.0078.")
    assert found.judged[0].paired
    assert "these photos, this network and this budget" in found.notes[-1]


@pytest.mark.parametrize(
    ("count", "others", "expected"),
    [
        (1, 0, "One experiment: nothing to compare it with."),
        (4, 0, "One experiment: nothing to compare it with."),
        (1, 1, "No conclusion about b and a: 1 paired seed can never give p < 0.05; 6 seeds each"),
        (3, 8, "No conclusion about b and a: 3 paired seeds can never give p < 0.05; 6 seeds each"),
    ],
)
def test_too_few_are_said_to_be_too_few(
    make_runs: MakeRuns, judged: Callable[..., Verdict], count: int, others: int, expected: str
) -> None:
    make_runs("a", count)
    if others:
        make_runs("b", others)
    assert judged().sentences[0].startswith(expected)


def test_the_commands_that_run_what_is_missing_are_named(
    make_runs: MakeRuns,
    judged: Callable[..., Verdict],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    make_runs("sgd", 3)
    make_runs("adam", 3)
    make_runs("heun", 5)
    found = judged()
    [sentence] = [one for one in found.sentences if "adam" in one]
    assert "3 paired seeds can never give p < 0.05 in 2 comparisons; 7 seeds each can." in sentence
    commands = [note for note in found.notes if "optrun train" in note]
    runs = r"results/{}-s1-\w+/config.yaml"
    pair = f"{runs.format('sgd')} {runs.format('adam')}"
    assert len(commands) == 2
    assert re.fullmatch(rf"What is missing runs by: optrun train {pair} --seeds 4-7", commands[0])
    assert re.fullmatch(rf".*optrun train {runs.format('heun')} --seeds 6-7", commands[1])


def missing(found: Verdict) -> list[tuple[list[str], str]]:
    """The experiments and the seeds of each command."""
    commands = [one for one in found.notes if one.startswith("What is missing runs by: ")]
    return [
        (re.findall(r"(\w+)-s\d+-\w+/config\.yaml", one), one.rpartition("--seeds ")[2].split()[0])
        for one in commands
    ]


def test_a_command_is_named_for_each_range_of_missing_seeds(
    make_runs: MakeRuns, judged: Callable[..., Verdict]
) -> None:
    make_runs("sgd", 5)
    make_runs("adam", 3, after=2)
    # Six pairs are the fewest: of the seeds 1 to 6, one lacks the last, the other three.
    assert missing(judged()) == [(["adam"], "1-2"), (["sgd", "adam"], "6-6")]


def test_rows_that_are_no_pairs_each_need_so_many_seeds_whichever(
    make_runs: MakeRuns, judged: Callable[..., Verdict]
) -> None:
    make_runs("sgd", 3)
    make_runs("adam", 2, after=10, start="elsewhere")
    # Of three and four values 35 deals are possible, of four and four 70: 2 / 70 < 0.05.
    assert missing(judged()) == [(["sgd"], "4-4"), (["adam"], "13-14")]


def test_a_seed_that_diverged_is_not_asked_for_again(
    make_runs: MakeRuns, make_run: MakeRun, judged: Callable[..., Verdict]
) -> None:
    make_runs("sgd", 3)
    make_runs("adam", 2)
    make_run(
        name="adam",
        seed=3,
        experiment="adam Adam",
        state="diverged",
        result=None,
        optimizer={"description": "Adam", "specification": {"name": "adam"}},
        provenance={"initial_weights": "w3", "first_batches": "b3"},
    )
    assert missing(judged()) == [(["sgd", "adam"], "4-7")]


@pytest.mark.parametrize(
    ("rows", "stated", "expected"),
    [
        ({"mine": "adam", "plain": "sgd"}, None, "plain"),
        ({"long": "lookahead", "short": "adam"}, None, "short"),
        ({"mine": "adam", "plain": "sgd"}, "ADAM", "mine"),
        ({"mine": "adam", "plain": "sgd"}, "mine", "mine"),
        ({"mine": "adam", "plain": "sgd"}, "heun", None),
    ],
)
def test_the_baseline_is_what_is_asked_for_else_sgd_else_the_plainest(
    make_runs: MakeRuns,
    judged: Callable[..., Verdict],
    rows: dict[str, str],
    stated: str | None,
    expected: str | None,
) -> None:
    for name, rule in rows.items():
        make_runs(name, 2, rule=rule)
    found = judged(baseline=stated)
    assert found.baseline == expected
    assert bool(found.judged) == (expected is not None)


def test_of_two_sgds_described_at_equal_length_the_plainer_is_the_baseline(
    make_runs: MakeRuns, judged: Callable[..., Verdict]
) -> None:
    make_runs("sgd_batch64_vgg19", 2, rule="sgd", description="SGD 2e-4", batch_size=64)
    make_runs("sgd_vgg19", 2, rule="sgd", description="SGD 1e-4")
    make_runs("adam_vgg19", 2, rule="adam")
    assert judged().baseline == "sgd_vgg19"


def test_runs_that_did_not_begin_alike_are_no_pairs(
    make_runs: MakeRuns, judged: Callable[..., Verdict]
) -> None:
    make_runs("sgd", 6)
    make_runs("batch64", 6, 0.92, batch_size=64, batches="others")
    make_runs("elsewhere", 6, 0.94, start="other")
    make_runs("order", 6, 0.96, batches="others")
    paired = {one.candidate: one.paired for one in judged().judged}
    assert paired == {"batch64": True, "elsewhere": False, "order": False}
    assert any("Not paired with the baseline: elsewhere, order" in one for one in judged().notes)


def test_random_weights_of_one_seed_that_came_out_otherwise_are_no_pairs_in_one_table(
    make_run: MakeRun, judged: Callable[..., Verdict]
) -> None:
    for seed in range(1, 7):
        for name, drawn in (("sgd", "w"), ("adam", "w"), ("heun", "other")):
            make_run(
                name=name,
                seed=seed,
                comparable={"model": {"weights": "random"}},
                provenance={"initial_weights": f"{drawn}{seed}", "first_batches": f"b{seed}"},
            )
    found = judged()  # of the only table
    assert {one.candidate: one.paired for one in found.judged} == {"adam": True, "heun": False}
    assert found.judged[1].seeds == (6, 6)


def test_how_far_the_seed_alone_moves_a_run_is_told(
    make_run: MakeRun, judged: Callable[..., Verdict]
) -> None:
    for name in ("sgd", "adam"):
        for seed in (1, 2):
            make_run(
                name=name,
                seed=seed,
                result={"test_accuracy": 0.95},
                provenance={"photos_by_part": {"test": 308}},
            )
    # 308 photos at an error of 5 %: sqrt(0.05 / 616), 0.9 points.
    said = "Runs that differ in the seed alone scatter by about 0.9 points (by the number"
    assert [note for note in judged().notes if note.startswith(said)]


def test_a_margin_is_in_the_unit_of_the_table(
    make_runs: MakeRuns, judged: Callable[..., Verdict]
) -> None:
    make_runs("sgd", 8)
    make_runs("adam", 8, 0.9001)
    assert judged(margin=0.5).judged[0].conclusion is Conclusion.SAME
    assert judged(margin=0.5).sentences[0].startswith("No difference that matters between adam and")
    assert judged(margin=0.005).judged[0].conclusion is not Conclusion.SAME


@pytest.mark.parametrize(
    ("count", "after", "said"),
    [
        (8, 0, None),
        (8, 6, "8 and 8 seeds, 2 in common; the others are no part of the verdict."),
        (1, 7, "1 and 8 seeds, 1 in common; the others are no part of the verdict."),
        (8, 8, "8 and 8 seeds, none in common."),
    ],
)
def test_where_seeds_differ_it_is_said_how_many_are_in_common(
    make_runs: MakeRuns, judged: Callable[..., Verdict], count: int, after: int, said: str | None
) -> None:
    make_runs("sgd", 8)
    make_runs("adam", count, after=after)
    found = [note for note in judged().notes if "in common" in note]
    assert found == ([] if said is None else [f"adam and sgd: {said}"])


def test_two_rows_of_one_name_are_told_apart(
    make_runs: MakeRuns, judged: Callable[..., Verdict]
) -> None:
    make_runs("sgd", 6)
    make_runs("adam", 6, description="Adam 1e-3", rule="adam")
    make_runs("adam", 6, 0.93, description="Adam 1e-4", rule="adam2")
    names = {one.candidate for one in judged().judged}
    assert names == {"adam (Adam 1e-3)", "adam (Adam 1e-4)"}


def test_many_comparisons_take_few_lines(
    make_runs: MakeRuns, judged: Callable[..., Verdict]
) -> None:
    make_runs("sgd", 2)
    for number in range(30):
        make_runs(f"x{number}", 2)
    found = judged()
    assert len(found.judged) == 30
    assert len(found.sentences) == 1
    assert "x0, x1, x10 and 27 more against sgd" in found.sentences[0]
    assert len(found.notes) < 12


def test_the_command_shows_the_verdict_first_and_json_has_it_whole(
    make_runs: MakeRuns, optrun: Optrun, tmp_path: Path
) -> None:
    make_runs("sgd", 8)
    make_runs("adam", 8, 0.88)
    code, out, err = optrun("compare", tmp_path / "results")
    assert (code, err) == (0, "")
    assert out.splitlines()[1].startswith("adam is worse than sgd: −2.0")
    text = optrun("compare", tmp_path / "results", "--format", "json", "--metric", "test-log-loss")[
        1
    ]
    [table] = json.loads(text)["tables"]
    assert (table["metric"], table["baseline"]) == ("test_log_loss", "sgd")
    [one] = table["comparisons"]
    assert one["conclusion"] == "no conclusion"
    assert one["seeds"] == [1, 2, 3, 4, 5, 6, 7, 8]
    for arguments, said in (
        (["--baseline", "sdg"], "received: sdg. Did you mean sgd? There are: adam, sgd."),
        (["--metric", "accuracy"], "--metric must be a measure, received: accuracy. Did you mean"),
    ):
        code, _, err = optrun("compare", tmp_path / "results", *arguments)
        assert (code, said in err) == (2, True), err


def test_what_is_required_is_met_or_ends_with_4(
    make_runs: MakeRuns, optrun: Optrun, tmp_path: Path
) -> None:
    make_runs("sgd", 8)
    make_runs("lookahead", 8, 0.92)
    make_runs("adam", 3)
    compare = ("compare", tmp_path / "results", "--require")
    for text in ("lookahead>=sgd", "lookahead >= SGD", "sgd>=sgd_of_another_name"):
        if "another" in text:
            code, _, err = optrun(*compare, text)
            assert (code, "--require must name an experiment or an optimizer" in err) == (2, True)
        else:
            assert optrun(*compare, text)[::2] == (0, "")
    code, _, err = optrun(*compare, "sgd>=lookahead")
    assert code == 4
    assert err.startswith("optrun: sgd>=lookahead is not met: sgd is worse than lookahead: ")
    code, _, err = optrun(*compare, "adam>=sgd")
    assert (code, "3 paired seeds can never give" in err) == (4, True)
    assert optrun(*compare, "sgd")[0] == 2


def test_each_seed_can_be_seen_and_one_far_out_is_marked(
    make_runs: MakeRuns, make_run: MakeRun, optrun: Optrun, tmp_path: Path
) -> None:
    make_runs("sgd", 6)
    make_runs("adam", 5, 0.91)
    make_run(
        name="adam",
        seed=6,
        experiment="adam Adam",
        optimizer={"description": "Adam", "specification": {"name": "adam"}},
        result={"test_accuracy": 0.5},
        provenance={},
    )
    out = " ".join(optrun("compare", tmp_path / "results", "--per-seed")[1].split())
    assert "sgd by seed: 1: 90.13, 2: 90.20, 3: 90.33, " in out
    assert "adam by seed: 1: 91.14 (+1.01), " in out
    assert "6: 50.00 (-40.60) far out" in out


def test_rows_that_share_neither_batches_nor_updates_are_not_judged_unless_allowed(
    make_runs: MakeRuns, judged: Callable[..., Verdict], tmp_path: Path
) -> None:
    make_runs("sgd", 6)
    make_runs("soft", 6, batch_size=16, images_per_update=64)
    make_runs("large", 6, batch_size=64, images_per_update=64)
    found = judged()
    assert [one.candidate for one in found.judged] == ["soft"]
    assert (
        "Not judged: large, whose batches are of 64 photos and updates of 64, where those of sgd "
        "are of 16 and 16 (--allow batch_size)."
    ) in found.notes
    assert {one.candidate for one in judged(baseline="soft").judged} == {"sgd", "large"}
    assert {one.candidate for one in judged(allow=["batch_size"]).judged} == {"soft", "large"}


def test_what_must_be_equal_may_be_allowed_to_differ_and_the_table_says_so(
    make_run: MakeRun, optrun: Optrun, tmp_path: Path
) -> None:
    for name, epochs in (("sgd", 3), ("adam", 4)):
        make_run(name=name, comparable={"epochs": epochs, "image_size": 64})
    compare = ("compare", tmp_path / "results")
    assert "2 tables, since the runs differ in epochs" in optrun(*compare)[1]
    out = optrun(*compare, "--allow", "epochs")[1]
    assert out.startswith("Real photos · ALLOWED TO DIFFER: epochs 3, 4\n")
    assert "2 tables" not in out
    assert "No conclusion about adam and sgd" in out
    [table] = json.loads(optrun(*compare, "--allow", "epochs", "--format", "json")[1])["tables"]
    assert table["allowed"] == {"epochs": {"3": 1, "4": 1}}
    code, _, err = optrun(*compare, "--allow", "epoch")
    assert (code, "received: epoch. Did you mean epochs?" in err) == (2, True)


def test_versions_that_differ_are_named_and_may_be_allowed_by_name(
    make_run: MakeRun, optrun: Optrun, tmp_path: Path
) -> None:
    for name, version in (("sgd", "2.20.0"), ("adam", "2.21.0")):
        make_run(name=name, provenance={"packages": {"tensorflow": version, "keras": "3.15.1"}})
    compare = ("compare", tmp_path / "results")
    out = optrun(*compare)[1]
    assert out.startswith("2 tables, since the runs differ in tensorflow: numbers of")
    assert "Real photos · tensorflow 2.20.0\n" in out
    assert "Real photos · tensorflow 2.21.0\n" in out
    out = optrun(*compare, "--allow", "tensorflow")[1]
    assert out.startswith("Real photos · ALLOWED TO DIFFER: tensorflow 2.20.0, 2.21.0\n")
    assert "Differs within this table" not in out
