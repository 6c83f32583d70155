"""`bayestwin fit --approximate`: a first look that says what it is, and that other commands take up with a note."""

from functools import partial

import pytest
from test_patient_commands import run, write_population
from test_replay_command import write_tables

from bayestwin import population as room

pytestmark = pytest.mark.slow  # compiles one program


def without_a_fit(made, called):
    """Stands in for the variational fit, which tests/population has: draws of a file, marked as it marks its own."""

    def approximate(model, cohort, *, random_seed, **more):
        called.append((model.name, [record.key for record in cohort], random_seed))
        found = room.load_population(made, model)
        found.tree.attrs.update(method="variational", method_note="stands in", random_seed=random_seed)
        return found

    return approximate


@pytest.fixture(scope="module", params=["stand-in", pytest.param("whole", marks=pytest.mark.validate)])
def fitted(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("fit")
    tables = write_tables(folder / "tables", ("T-1", "T-2", "T-3"), 2)
    given = [word for name in ("patients", "doses", "labs") for word in (f"--{name}", tables / f"{name}.csv")]
    with pytest.MonkeyPatch.context() as patch:
        called = []
        whole = partial(room.approximate_population, steps=300)
        made = without_a_fit(write_population(folder / "made.nc", seed=1), called)
        patch.setattr(room, "approximate_population", whole if request.param == "whole" else made)
        command = ("fit", "--model", "theophylline", *given, "--approximate", "--out", folder / "pop.nc")
        answers = run(*command), run(*command, "--warmup", "100")
        assert request.param == "whole" or called == [("theophylline", ["T-1", "T-2", "T-3"], 1)]
        return folder, given, *answers


def test_an_approximate_fit_is_written_and_labelled(fitted):
    folder, _, answer, _ = fitted
    assert answer.exit_code == 0, answer.output
    assert "APPROXIMATE" in answer.output and "CL_pop" in answer.output
    assert room.load_population(folder / "pop.nc").diagnostics.approximate


def test_lengths_of_chains_do_not_belong_to_an_approximate_fit(fitted):
    assert fitted[3].exit_code == 2 and "--warmup" in fitted[3].output


def test_a_twin_started_from_it_says_so(fitted):
    folder, given, _, _ = fitted
    tables = write_tables(folder / "others", ("P-1",), 3)
    given = [word for name in ("patients", "doses") for word in (f"--{name}", tables / f"{name}.csv")]
    answer = run("start", "--population", folder / "pop.nc", *given, "--particles", "400", "--out", folder / "t.nc")
    assert answer.exit_code == 0 and "APPROXIMATE" in answer.output


def test_a_method_that_does_not_exist_is_told_before_any_file_is_read():
    answer = run("fit", "--model", "theophylline", "--labs", __file__, "--method", "gips", "--out", "pop.nc")
    assert answer.exit_code == 2 and "--method gips: choose nuts, gibbs, approximate" in answer.output
    both = ("--method", "gibbs", "--approximate")
    answer = run("fit", "--model", "theophylline", "--labs", __file__, *both, "--out", "pop.nc")
    assert answer.exit_code == 2 and "leave out one of --approximate and --method gibbs" in answer.output


def test_what_a_file_of_priors_changes_is_said_before_the_fit(tmp_path):
    (tmp_path / "priors.toml").write_text(
        'CL_pop = "LogNormal(median=2.8, sd_log=0.5)"\ncorrelation = "LKJ(concentration=2)"\n', encoding="utf-8"
    )
    tables = write_tables(tmp_path / "tables", ("T-1",), 2)
    (tables / "labs.csv").write_text((tables / "labs.csv").read_text().splitlines()[0] + "\n")
    given = [word for name in ("patients", "doses", "labs") for word in (f"--{name}", tables / f"{name}.csv")]
    priors = ("--priors", tmp_path / "priors.toml")
    answer = run("fit", "--model", "theophylline", *given, *priors, "--out", tmp_path / "pop.nc")
    assert answer.exit_code == 3 and "no lab was accepted" in answer.output
    for said in ("prior of CL_pop, from priors.toml: ", "2.8", "prior of correlation, from priors.toml: LKJ(concent"):
        assert said in answer.output
