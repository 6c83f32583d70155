"""The shipped data are found in a checkout; a wrong name is answered with the right ones."""

import pytest

from bayestwin.errors import RecordError
from bayestwin.jobs.shipped_data import shipped_data


def test_the_demo_patients_are_found(demo_data):
    assert shipped_data("demo_patients") == demo_data / "demo_patients"
    assert (shipped_data("demo_patients") / "labs.csv").is_file()


def test_a_wrong_name_is_answered_with_the_names_there_are():
    with pytest.raises(RecordError, match="found 'real_patients'.*one of .*demo_patients"):
        shipped_data("real_patients")
