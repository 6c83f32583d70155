"""The reader of evidence.toml: what it makes of a good file, and what it says of every kind of mistake.

All numbers are invented.
"""

import pytest

from bayestwin.errors import ModelError
from bayestwin.specification import (
    Constant,
    HazardRatio,
    Shares,
    Spread,
    load_model,
    read_evidence,
    read_hazard_ratios,
    read_mix,
)

GOOD = """
[[arm]]
name = "invented_a"
label = "Invented, arm A"
trial = "Invented"
treatment = "ide_cel"
n = 120
counted_from = "randomisation"
visit_every = 28.0
not_started = 0.1
instead = "dara_pd"
wait = 49.0
drop_out_per_year = 0.05
source = "made up"
[arm.mix]
age_years = { mean = 63, sd = 9, minimum = 30, maximum = 90 }
iss = { "1" = 0.40, "2" = 0.35, "3" = 0.25 }
isotype = { IgG = 0.6, IgA = 0.25, light_chain = 0.15 }
prior_lines = { "2" = 0.4, "3" = 0.6 }
extramedullary = { "1" = 0.24, "0" = 0.76 }
prior_bcma = 0
sex = "male"
[arm.mix_marks]
iss = "memory"
[[arm.outcome]]
what = "response"
value = 0.71
low = 0.66
high = 0.77
[[arm.outcome]]
what = "pfs_at"
month = 12
value = 0.55
mark = "memory"
[[arm.outcome]]
what = "pfs_median"
value = 13.8
use = "shown"

[[arm]]
name = "invented_b"
treatment = "dara_pd"
n = 60
"""


@pytest.fixture(scope="module")
def model():
    return load_model("myeloma_car_t")


@pytest.fixture
def read(tmp_path, model):
    def read(text):
        path = tmp_path / "evidence.toml"
        path.write_text(text, encoding="utf-8")
        return read_evidence(path, model)

    return read


def test_a_file_becomes_arms_with_their_patients_and_outcomes(read):
    first, second = read(GOOD)
    assert (first.trial, first.n, first.instead, first.not_started) == ("Invented", 120, "dara_pd", 0.1)
    assert first.mix["age_years"] == Spread(63.0, 9.0, 30.0, 90.0)
    assert first.mix["iss"] == Shares((1.0, 2.0, 3.0), (0.40, 0.35, 0.25))
    assert first.mix["isotype"].levels == ("IgG", "IgA", "light_chain") and first.mix["prior_bcma"] == Constant(0.0)
    assert first.mix_marks == {"iss": "memory"}
    assert [one.name for one in first.outcomes] == ["response", "pfs_at_12", "pfs_median"]
    assert first.outcome("response").high == 0.77 and first.outcome("pfs_median").use == "shown"
    assert first.outcome("pfs_at_12").mark == "memory" and first.outcome("os_median") is None
    assert (second.trial, second.visit_every, second.wait, second.mix) == ("invented_b", 28.0, 0.0, {})


MISTAKES = {
    "an unknown treatment": (
        'treatment = "ide_cel"',
        'treatment = "ide_cell"',
        ("treatment", "ide_cell", "Did you mean ide_cel"),
    ),
    "an unknown covariate": ("age_years = {", "age = {", ("mix, age", "age_years")),
    "shares of 0.9": ('"3" = 0.25', '"3" = 0.15', ("mix, iss", "do not add to 1", "0.9")),
    "a level of nobody": ("IgG = 0.6", "IGG = 0.6", ("isotype", "IGG", "IgG")),
    "a level that the distribution of the covariate lacks": (
        '"3" = 0.25',
        "III = 0.25",
        ("no such level of iss", "III", "one of 1, 2, 3"),
    ),
    "a share for a flag": (
        'extramedullary = { "1" = 0.24, "0" = 0.76 }',
        "extramedullary = 0.24",
        ('"1" = 0.24', "0, 1"),
    ),
    "words for a number": (
        'prior_lines = { "2" = 0.4, "3" = 0.6 }',
        'prior_lines = { two = 0.4, "3" = 0.6 }',
        ("prior_lines", "two"),
    ),
    "a mean of levels": (
        "isotype = { IgG = 0.6, IgA = 0.25, light_chain = 0.15 }",
        "isotype = { mean = 1, sd = 1 }",
        ("isotype", "share"),
    ),
    "limits exchanged": ("minimum = 30, maximum = 90", "minimum = 90, maximum = 30", ("minimum", "90")),
    "an albumin in g/dL": ("prior_bcma = 0", "albumin_g_per_l = 4.0", ("mix, albumin_g_per_l", "4.0", "5 to 80")),
    "an age of nobody": (
        "minimum = 30, maximum = 90",
        "minimum = 30, maximum = 640",
        ("age_years, maximum", "640", "0 to 120"),
    ),
    "lines below nought": ('prior_lines = { "2"', 'prior_lines = { "-2"', ("prior_lines", "-2.0", "0 to 30")),
    "lines that are no number": ('prior_lines = { "2"', 'prior_lines = { "nan"', ("prior_lines", "nan", "0 to 30")),
    "an SD of nothing": ("sd = 9", "sd = 0", ("age_years, sd", "above 0")),
    "an unknown field": ("visit_every = 28.0", "visits_every = 28.0", ("visits_every", "Did you mean visit_every")),
    "patients below nought": ("n = 120", "n = -120", ("invented_a, n", "-120", "whole number from 1")),
    "half a patient": ("n = 120", "n = 120.5", ("120.5", "whole number")),
    "no patients said": ("n = 120\n", "", ("a field is missing", "invented_a, n")),
    "no name": ('name = "invented_a"\n', "", ("arm number 1, name", "a field is missing")),
    "two arms of one name": ("invented_b", "invented_a", ("two arms have one name", "invented_a")),
    "a landmark without its month": ("month = 12\n", "", ("outcome pfs_at, month", "missing")),
    "a median with a month": (
        'what = "pfs_median"',
        'what = "pfs_median"\nmonth = 12',
        ("only a landmark has a month",),
    ),
    "a share in per cent": ("value = 0.71", "value = 71", ("outcome response, value", "71", "0 to 1")),
    "an interval beside its value": ("low = 0.66", "low = 0.72", ("low", "does not hold the value", "0.71")),
    "an outcome of another kind": ('what = "response"', 'what = "orr"', ("orr", "complete_response")),
    "an outcome twice": (
        'what = "pfs_median"\nvalue = 13.8',
        'what = "response"\nvalue = 0.7',
        ("given twice", "response"),
    ),
    "a mark of nobody": ('mark = "memory"', 'mark = "sure"', ("mark", "sure", "verified")),
    "everybody untreated": ("not_started = 0.1", "not_started = 1.0", ("not_started", "below 1")),
    "a wait before time zero": ('counted_from = "randomisation"', 'counted_from = "infusion"', ("wait", "infusion")),
    "something instead of nothing": ("not_started = 0.1\n", "", ("instead", "not_started above 0")),
    "responses before the treatment": (
        "wait = 49.0",
        "wait = 49.0\nresponse_by = 1.5",
        ("response_by", "1.5", "above 1.6"),
    ),
    "a wait that is no number": ("wait = 49.0", "wait = true", ("wait", "True")),
    "patients beyond counting": ("n = 120", "n = 1000000000000", ("invented_a, n", "1 to 100000")),
    "digits without end": ("drop_out_per_year = 0.05", f"drop_out_per_year = {'9' * 400}", ("more than 30 digits",)),
    "a hazard of drop-out of nobody": ("drop_out_per_year = 0.05", "drop_out_per_year = 1e300", ("0 to 100",)),
    "a visit every moment": ("visit_every = 28.0", "visit_every = 1e-9", ("visit_every", "1 to 3650")),
    "a wait of ages": ("wait = 49.0", "wait = 1e300", ("wait", "0 to 3650")),
    "half a line": ('prior_lines = { "2" = 0.4, "3" = 0.6 }', "prior_lines = 3.5", ("prior_lines", "whole number")),
    "a level that is no number": ('iss = { "1" = 0.40', "iss = { nan = 0.40", ("iss", "nan")),
    "digits that TOML does not take": (GOOD, "x = " + "9" * 5000, ("cannot be read",)),
    "brackets without end": (GOOD, "x = " + "[" * 3000 + "]" * 3000, ()),  # not read, or no such field
    "brackets that TOML still takes": (GOOD, "x = " + "[" * 200 + "]" * 200, ("no such field",)),
    "no arms": (GOOD, "arm = 3", ("no arms", "[[arm]]")),
    "no TOML": (GOOD, "[[arm", ("cannot be read",)),
}


@pytest.mark.parametrize("kind", MISTAKES)
def test_every_mistake_is_an_error_that_names_file_place_value_and_what_is_allowed(read, kind):
    right, wrong, said = MISTAKES[kind]
    assert right in GOOD
    with pytest.raises(ModelError) as found:
        read(GOOD.replace(right, wrong))
    assert all(part in str(found.value) for part in ("evidence.toml", *said)), str(found.value)


RATIO = """
[[hazard_ratio]]
treated = "invented_a"
control = "invented_c"
endpoint = "os"
value = 0.6
low = 0.4
high = 0.9
followed = 36
mark = "memory"
"""
RATIOS = GOOD + '[[arm]]\nname = "invented_c"\ntrial = "Invented"\ntreatment = "dara_pd"\nn = 60\n' + RATIO


def test_hazard_ratios_are_of_two_arms_of_one_trial(tmp_path, model):
    path = tmp_path / "evidence.toml"
    path.write_text(RATIOS, encoding="utf-8")
    assert len(read_evidence(path, model)) == 3
    assert read_hazard_ratios(path, model) == (
        HazardRatio("invented_a", "invented_c", "os", 0.6, 0.4, 0.9, 36.0, "memory"),
    )
    path.write_text(GOOD, encoding="utf-8")
    assert read_hazard_ratios(path, model) == ()


WRONG_RATIOS = {
    "arms of two trials": ('control = "invented_c"', 'control = "invented_b"', ("two arms of one trial", "Invented")),
    "an arm beside itself": ('control = "invented_c"', 'control = "invented_a"', ("two arms of one trial",)),
    "an arm of nobody": ('control = "invented_c"', 'control = "invented_x"', ("no such control", "invented_c")),
    "an endpoint of nobody": ('endpoint = "os"', 'endpoint = "ttp"', ("endpoint", "ttp", "pfs, os")),
    "a ratio of nought": ("value = 0.6", "value = 0.0", ("value", "a ratio above 0")),
    "an interval beside its ratio": ("low = 0.4", "low = 0.7", ("does not hold the value", "at most 0.6")),
    "a field of nobody": ("followed = 36", "month = 36", ("no such field", "month")),
    "twice": (RATIO, RATIO + RATIO, ("given twice", "hazard_ratio number 2")),
    "no table": (RATIO, "", ("hazard ratios are tables", "hazard_ratio")),
}


@pytest.mark.parametrize("kind", WRONG_RATIOS)
def test_a_wrong_hazard_ratio_is_an_error_that_says_where(tmp_path, model, kind):
    right, wrong, said = WRONG_RATIOS[kind]
    text = RATIOS.replace(right, wrong)
    path = tmp_path / "evidence.toml"
    path.write_text("hazard_ratio = 0.5\n" + text if kind == "no table" else text, encoding="utf-8")
    with pytest.raises(ModelError) as found:
        read_hazard_ratios(path, model)
    assert all(part in str(found.value) for part in ("evidence.toml", *said)), str(found.value)


def test_overall_survival_asks_for_a_hazard_of_death(tmp_path):
    tumours, path = load_model("tumour_lesions"), tmp_path / "evidence.toml"
    arm = f'name = "a"\ntreatment = "{tumours.treatment_names[0]}"\nn = 3\nvisit_every = 28'
    path.write_text(f'[[arm]]\n{arm}\n[[arm.outcome]]\nwhat = "os_median"\nvalue = 3\n')
    with pytest.raises(ModelError, match="no hazard of death"):
        read_evidence(path, tumours)
    other = arm.replace('"a"', '"b"\ntrial = "a"')
    ratio = '[[hazard_ratio]]\ntreated = "a"\ncontrol = "b"\nendpoint = "os"\nvalue = 0.5\n'
    path.write_text(f"[[arm]]\n{arm}\n[[arm]]\n{other}\n{ratio}")
    with pytest.raises(ModelError, match="no hazard of death"):
        read_hazard_ratios(path, tumours)


def test_a_spread_without_ends_is_cut_off_where_a_human_body_ends(tmp_path, model):
    path = tmp_path / "mix.toml"
    path.write_text("age_years = { mean = 63, sd = 9 }\negfr = { mean = 60, sd = 25, maximum = 120 }\n")
    mix = read_mix(path, model)
    assert mix["age_years"] == Spread(63.0, 9.0, 0.0, 120.0) and mix["egfr"] == Spread(60.0, 25.0, 1.0, 120.0)


def test_a_mix_stands_in_a_file_of_its_own_with_or_without_a_heading(tmp_path, model):
    path = tmp_path / "mix.toml"
    for heading in ("", "[mix]\n"):
        path.write_text(f'{heading}isotype = "IgA"\nprior_lines = 3\n')
        assert read_mix(path, model) == {"isotype": Constant("IgA"), "prior_lines": Constant(3.0)}
    path.write_text("[mix]\nheight = 3\n")
    with pytest.raises(ModelError, match="mix.toml, mix, height"):
        read_mix(path, model)
