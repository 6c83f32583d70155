"""How many particles and islands there can be."""

from types import SimpleNamespace

import numpy as np
import pytest

from bayestwin.errors import FitError
from bayestwin.twin.oracle import MOST_PARTICLES, refuse_uneven

RECORD = SimpleNamespace(key="P-017")


@pytest.mark.parametrize("number", [0, -8, 80.0, "80", None, True, 10**22])
def test_a_number_of_particles_or_islands_that_cannot_be_is_named_with_the_patient(number):
    with pytest.raises(FitError, match="patient P-017, particles: there cannot be so many .* 1 to 1,000,000"):
        refuse_uneven(number, 8, RECORD)
    with pytest.raises(FitError, match="patient P-017, islands: there cannot be so many"):
        refuse_uneven(80, number, RECORD)
    with pytest.raises(FitError, match="patient P-017, population draws: there cannot be so many"):
        refuse_uneven(80, 8, RECORD, number)


def test_numbers_of_numpy_and_the_most_there_can_be_are_taken():
    refuse_uneven(np.int64(80), np.int64(8), RECORD)
    refuse_uneven(MOST_PARTICLES, 8, RECORD)
    with pytest.raises(FitError, match="there cannot be so many"):
        refuse_uneven(MOST_PARTICLES + 8, 8, RECORD)


def test_one_island_is_refused_since_nothing_would_say_how_exact_it_is():
    with pytest.raises(FitError, match="patient P-017, islands: there cannot be so many .* 2 to 1,000,000"):
        refuse_uneven(80, 1, RECORD)
    refuse_uneven(80, 2, RECORD)
