"""`bayestwin virtual-trial`: arms of a file and of one's own, what is written, every wrong command, and the page of it.

The model is that of tests/prognosis/trial_model.py: what responds is known, and it is solved in a moment.
"""

import importlib.util
import json
import sys
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

sys.path.insert(0, str(Path(__file__).parents[1] / "twin"))
sys.path.insert(0, str(Path(__file__).parents[1] / "prognosis"))

from trial_model import trial_population

from bayestwin.cli import app
from bayestwin.jobs.virtual_trials import in_sample, own_arm
from bayestwin.population import load_population
from bayestwin.specification import load_model, read_evidence

EVIDENCE = """
[[arm]]
name = "one"
label = "Invented, the drug"
trial = "Invented"
treatment = "drug"
n = 40
[arm.mix]
fast = { "1" = 0.25, "0" = 0.75 }
[[arm.outcome]]
what = "response"
value = 0.6
[[arm.outcome]]
what = "pfs_at"
month = 6
value = 0.7
[[arm.outcome]]
what = "pfs_median"
value = 9.0
[[arm]]
name = "two"
label = "Another, the drug"
trial = "Another"
treatment = "drug"
n = 30
[[arm.outcome]]
what = "pfs_at"
month = 6
value = 0.75
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model, its population and an evidence file."""
    folder = tmp_path_factory.mktemp("trial")
    population = trial_population(folder / "trial", coder=True)
    population.tree.attrs.update(method="variational", method_note="made by hand", verdict="approximate")
    population.save(folder / "population.nc")
    (folder / "evidence.toml").write_text(EVIDENCE, encoding="utf-8")
    (folder / "mix.toml").write_text("fast = 1\n", encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def run(folder):
    def run(*words, small=True):
        which = ("--model", folder / "trial", "--population", folder / "population.nc")
        few = ("--draws", 20, "--per-draw", 8, "--months", 24) if small else ()
        return CliRunner().invoke(app, [str(w) for w in ("virtual-trial", *which, *few, *words)], terminal_width=200)

    return run


def test_a_trial_that_is_none_of_the_arms_is_not_passed_over(run, folder):
    answer = run("--evidence", folder / "evidence.toml", "--out", folder / "none", "--not-learnt", "Anothr")
    assert answer.exit_code == 2 and not (folder / "none").exists()
    assert "--not-learnt" in answer.output and "Anothr" in answer.output and "Another" in answer.output


def test_arms_of_a_file_stand_beside_what_was_published(run, folder):
    out = folder / "out"
    answer = run("--evidence", folder / "evidence.toml", "--out", out, "--not-learnt", "Another")
    assert answer.exit_code == 0, answer.output
    assert "Invented, the drug: 40 patients" in answer.stdout and "published 60" in answer.stdout
    table = pd.read_csv(out / "outcomes.csv")
    assert table["outcome"].tolist() == ["response", "pfs_at_6", "pfs_median", "pfs_at_6"]
    assert table["in_sample"].tolist() == [True, True, True, False]
    assert (table["predicted_low"] <= table["predicted_high"]).all() and table["pit"].between(0, 1).all()
    assert table["meta_analysis_trials"].dropna().tolist() == [1, 1]
    curves = pd.read_csv(out / "curves.csv")
    one = curves[(curves["arm"] == "one") & (curves["endpoint"] == "pfs")]
    assert (one["predicted_low"] <= one["low"] + 0.05).all() and one["mean"].is_monotonic_decreasing
    assert (out / "one.png").stat().st_size > 10_000 and "<svg" in (out / "two.svg").read_text()[:2000]
    said = json.loads((out / "provenance.json").read_text())
    assert said["random_seed"] == 1 and said["arms"]["one"]["measurable_at_screening"] == 1.0
    assert said["population_hash"] and said["model_hash"] and said["evidence"] == "evidence.toml"


RATIO = """
[[hazard_ratio]]
treated = "one"
control = "idle"
endpoint = "pfs"
value = 0.5
low = 0.4
high = 0.7
"""
IDLE = """
[[arm]]
name = "idle"
label = "Invented, the other drug"
trial = "Invented"
treatment = "other_drug"
n = 40
[[arm.outcome]]
what = "pfs_median"
value = 2.5
"""


def test_a_hazard_ratio_of_two_arms_stands_beside_what_was_published(run, folder):
    file, out = folder / "ratio.toml", folder / "ratio"
    file.write_text(EVIDENCE + IDLE + RATIO, encoding="utf-8")
    answer = run("--evidence", file, "--out", out)
    assert answer.exit_code == 0, answer.output
    row = pd.read_csv(out / "hazard_ratios.csv").iloc[0]
    assert row[["treated", "control", "endpoint"]].tolist() == ["one", "idle", "pfs"] and row["in_sample"]
    assert 0.0 < row["predicted_low"] < row["expectation"] < row["predicted_high"] < 0.8 and 0 < row["pit"] <= 1
    assert "one / idle, hazard ratio of pfs: " in answer.stdout and "published 0.50" in answer.stdout
    assert row["followed"] == 24.0 and row["no_events"] == 0.0
    file.write_text(EVIDENCE + IDLE + RATIO + "followed = 40\n", encoding="utf-8")
    answer = run("--evidence", file, "--out", folder / "ratio_longer")  # the arms are simulated so far
    assert answer.exit_code == 0, answer.output
    assert pd.read_csv(folder / "ratio_longer" / "hazard_ratios.csv")["followed"].tolist() == [40.0]
    answer = run("--evidence", file, "--arm", "one", "--out", folder / "ratio_alone")
    assert answer.exit_code == 0 and not (folder / "ratio_alone" / "hazard_ratios.csv").exists()


def test_arms_that_cannot_be_paired_stand_without_their_hazard_ratio(run, folder, monkeypatch):
    """Of large arms fewer are simulated, of each draw as many as fit: here ten of 40 patients and twenty of 20."""
    monkeypatch.setattr("bayestwin.prognosis.arm_outcomes.MOST_DRAWN", 20 * 40 * 10)
    file, out = folder / "unequal.toml", folder / "unequal"
    file.write_text(EVIDENCE + IDLE.replace("n = 40", "n = 20") + RATIO, encoding="utf-8")
    answer = run("--evidence", file, "--out", out)
    assert answer.exit_code == 1 and "different population draws" in answer.output
    assert set(pd.read_csv(out / "outcomes.csv")["arm"]) == {"one", "two", "idle"}
    assert "one_idle_pfs" in json.loads((out / "provenance.json").read_text())["failed"]


def test_one_arm_alone_has_the_meta_analysis_of_all_the_others(run, folder):
    out = folder / "alone"
    answer = run("--evidence", folder / "evidence.toml", "--arm", "two", "--out", out)
    assert answer.exit_code == 0, answer.output
    table = pd.read_csv(out / "outcomes.csv")
    assert table["arm"].tolist() == ["two"] and table["meta_analysis_trials"].tolist() == [1]
    assert table["crps_meta_analysis"].notna().all()


def test_a_short_horizon_holds_the_published_median_all_the_same(run, folder):
    """With 6 months asked for, half of all arms are at "not reached" on either side of a published median of 9."""
    places = {}
    for months in (6, 36):
        out = folder / f"months_{months}"
        few = ("--draws", 20, "--per-draw", 8, "--months", months)
        answer = run("--evidence", folder / "evidence.toml", "--out", out, *few, small=False)
        assert answer.exit_code == 0, answer.output
        table = pd.read_csv(out / "outcomes.csv").set_index(["arm", "outcome"])
        places[months] = table.loc[("one", "pfs_median"), "pit"]
    assert places[6] == pytest.approx(places[36], abs=0.05) and places[6] > 0.0


def test_an_arm_is_in_sample_by_its_trial_whatever_it_is_called(folder):
    population = load_population(folder / "population.nc", load_model(folder / "trial"))
    population.tree.attrs.update(trials=json.dumps(["Invented"]), arms=json.dumps(["of another name"]))
    one, two = read_evidence(folder / "evidence.toml", population.model)
    assert in_sample(population, one, ()) and not in_sample(population, two, ("Invented",))


def test_who_is_counted_from_is_said_and_treated_patients_do_not_wait(run, folder):
    file = folder / "treated.toml"
    file.write_text(EVIDENCE.replace("n = 40", 'n = 40\ncounted_from = "infusion"'), encoding="utf-8")
    answer = run("--evidence", file, "--arm", "one", "--out", folder / "treated")
    assert answer.exit_code == 0 and "counted from infusion" in answer.stdout
    assert pd.read_csv(folder / "treated" / "outcomes.csv")["counted_from"].unique().tolist() == ["infusion"]
    said = json.loads((folder / "treated" / "provenance.json").read_text())
    assert said["arms"]["one"]["counted_from"] == "infusion"
    for option, value in (("--wait", 49), ("--not-started", 0.1)):
        answer = run("--evidence", file, "--arm", "one", "--out", folder / "waits", option, value)
        assert answer.exit_code == 2 and "treated patients only" in answer.output and option in answer.output
    assert not (folder / "waits").exists()


def test_cells_of_ones_own_arm_are_counted_from_infusion_unless_they_are_waited_for():
    model = load_model("myeloma_car_t")
    for design, said in (({}, "infusion"), ({"wait": 49.0}, "randomisation"), ({"not_started": 0.1}, "randomisation")):
        assert own_arm(model, "ide_cel", None, design).counted_from == said
    assert own_arm(model, "dara_rd", None, {}).counted_from == "randomisation"


def test_an_arm_of_ones_own_needs_no_file_and_the_same_seed_gives_the_same_tables(run, folder):
    tables = []
    for name in ("own", "again"):
        mix = ("--mix", folder / "mix.toml")
        answer = run("--treatment", "other_drug", *mix, "--patients", 50, "--visit-every", 56, "--out", folder / name)
        assert answer.exit_code == 0, answer.output
        tables.append((folder / name / "outcomes.csv").read_text() + (folder / name / "curves.csv").read_text())
    assert tables[0] == tables[1]
    table = pd.read_csv(folder / "own" / "outcomes.csv")
    assert set(table["n"]) == {50} and table["published"].isna().all() and table["pit"].isna().all()
    assert table.set_index("outcome").loc["response", "expectation"] == 0.0  # the other drug does nothing


def test_patients_for_whom_the_model_is_not_meant_need_a_word_for_it(tmp_path):
    mix = tmp_path / "mix.toml"
    mix.write_text("isotype = { IgG = 0.5, non_secretory = 0.5 }\n", encoding="utf-8")
    words = (
        "virtual-trial",
        "--treatment",
        "dara_pd",
        "--mix",
        mix,
        "--draws",
        20,
        "--per-draw",
        4,
        "--out",
        tmp_path / "o",
    )
    answer = CliRunner().invoke(app, [str(w) for w in words], terminal_width=200)
    assert answer.exit_code == 2 and "non_secretory" in answer.output and "IgG, IgA, light_chain" in answer.output
    assert not (tmp_path / "o").exists()


def test_wrong_commands_are_usage_errors_that_say_what_is_wrong(run, folder):
    evidence, out = ("--evidence", folder / "evidence.toml"), ("--out", folder / "wrong")
    for words, said in (
        ((), "either --evidence"),
        ((*evidence, "--treatment", "drug"), "either --evidence"),
        ((*evidence, "--mix", folder / "mix.toml"), "--mix goes with --treatment"),
        (("--treatment", "drug", "--arm", "one"), "--arm names arms of --evidence"),
        ((*evidence, "--arm", "three"), "no such arm"),
        (("--treatment", "pill"), "unknown treatment"),
        (("--treatment", "drug", "--per-draw", 6), "a multiple of 4"),
    ):
        answer = run(*words, *out, small=False)
        assert answer.exit_code == 2 and said in answer.output, (words, answer.output)
    assert not (folder / "wrong").exists()


@pytest.fixture(scope="module")
def page_script():
    path = Path(__file__).parents[1] / "validation" / "virtual_trials.py"
    spec = importlib.util.spec_from_file_location("virtual_trials_page", path)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    return script


def test_the_page_goes_on_where_it_was_and_marks_what_the_population_saw(page_script, folder, monkeypatch, capsys):
    left_out, page, rows = folder / "left_out", folder / "page.md", folder / "rows.json"
    left_out.mkdir()
    (left_out / "another.nc").write_bytes((folder / "population.nc").read_bytes())
    evidence = folder / "page.toml"
    evidence.write_text(EVIDENCE + IDLE + RATIO, encoding="utf-8")
    words = ["--model", folder / "trial", "--evidence", evidence, "--draws", 20, "--patients", 8]
    words += ["--population", folder / "population.nc", "--left-out", left_out, "--rows", rows, "--write", page]
    monkeypatch.setattr(sys, "argv", ["virtual_trials.py", *map(str, words)])
    page_script.main()
    assert "two: " in capsys.readouterr().out
    text = page.read_text(encoding="utf-8")
    assert "**Trial left out, within the context of use**: 1 arms, 1 outcomes" in text
    assert "| Invented, the drug | 40 | response | 60 % |" in text and "in-sample" in text
    assert all((folder / f"page_{name}.png").is_file() for name in ("shares", "medians", "pfs"))
    assert "| Invented, the drug / Invented, the other drug | PFS | 0.50 (0.40 to 0.70) |" in text
    page_script.main()
    assert "two: " not in capsys.readouterr().out  # read from the file of rows
    with pytest.raises(SystemExit, match="TRIAL one of Invented, Another"):
        monkeypatch.setattr(sys, "argv", [*sys.argv, "--population-without", "Nobody=x.nc"])
        page_script.main()
