"""Mortality of the general population, below which no patient's hazard of death is let fall.

A period life table gives q(x), the chance to die between ages x and x + 1; within a year of age the hazard is constant,
-ln(1 - q). From 100 years on it stays what it is there. Where the sex is not known the lower hazard of the two counts,
so that the floor holds whoever the patient is; where the age is not known there is no floor.

Germany 2020/22: Statistisches Bundesamt (Destatis), table 12621-0001, as of 9 December 2025 (read in a public copy of
that file, all figures to 1e-5; the published life expectancy at 65, 17.63 and 20.90 years, comes out of them).
"""

from dataclasses import dataclass

import numpy as np

from bayestwin.errors import ModelError
from bayestwin.specification.load import model_part

YEAR = 365.25  # days
FIRST_AGE = 18
_MALE = """
    37 45 40 42 43 43 43 43 47 46 46 51 54 56 61 64 76 81 92 106 111 120 131 140 153 172 187 196 215 240 267 305
    340 373 413 449 502 575 637 701 787 872 977 1087 1195 1316 1450 1595 1744 1896 2063 2232 2386 2601 2774 3063
    3263 3621 3854 4272 4671 5059 5743 6364 7117 7988 9007 10299 11664 13348 14799 16886 18892 20911 23680 25746
    28397 30859 34012 35548 36901 39304 41781
"""
_FEMALE = """
    17 17 18 19 17 18 16 19 18 20 23 23 25 30 33 36 42 46 46 52 59 65 66 78 82 94 100 107 121 129 158 170 186
    203 219 245 278 305 333 371 413 461 521 562 618 688 759 835 911 975 1082 1193 1298 1426 1567 1737 1882 2117
    2312 2603 2895 3202 3671 4139 4770 5493 6346 7465 8652 10097 11417 13150 15143 17120 19328 21503 23919 26336
    29354 31303 34171 35863 37814
"""


@dataclass(frozen=True)
class LifeTable:
    """q(x) by sex, in 1e-5, from `FIRST_AGE` on."""

    name: str
    source: str
    male: tuple[int, ...]
    female: tuple[int, ...]

    def yearly_hazard(self, sex: str | None = None) -> np.ndarray:
        """Hazard of each year of age from `FIRST_AGE` on, 1/year."""
        male, female = (-np.log1p(-1e-5 * np.array(q)) for q in (self.male, self.female))
        return {"male": male, "female": female}.get(sex, np.minimum(male, female))

    def hazard_integral(self, age_years: float, sex: str | None, days) -> np.ndarray:
        """Integral of the hazard from an age over times (V,) in days.

        Before 18 years the hazard is that of 18.
        """
        yearly = self.yearly_hazard(sex)
        edges = FIRST_AGE + np.arange(len(yearly) + 1.0)
        reached = np.concatenate([[0.0], np.cumsum(yearly)])

        def until(age):
            outside = np.maximum(age - edges[-1], 0.0) * yearly[-1] + np.minimum(age - FIRST_AGE, 0.0) * yearly[0]
            return np.interp(age, edges, reached) + outside

        return until(age_years + np.asarray(days, dtype=float) / YEAR) - until(age_years)


TABLES = {
    "germany_2020_2022": LifeTable(
        "germany_2020_2022",
        "Destatis, period life table Germany 2020/22, 12621-0001",
        tuple(map(int, _MALE.split())),
        tuple(map(int, _FEMALE.split())),
    )
}


def life_table(name: str) -> LifeTable:
    """The life table of that name."""
    if name in TABLES:
        return TABLES[name]
    raise ModelError("no such life table", value=name, allowed=f"one of {', '.join(TABLES)}")


def life_table_of(model) -> LifeTable | None:
    """The life table that a model's folder names (LIFE_TABLE in endpoints.py), or None."""
    name = getattr(model_part(model, "endpoints"), "LIFE_TABLE", None)
    return None if name is None else life_table(name)


def background_integral(table: LifeTable | None, covariates, now_days: float, days) -> np.ndarray | None:
    """The population's hazard integral from the data cut over times (V,) in days, for one patient.

    covariates : with `age_years` at time zero, and `sex`; None without a table or without an age
    """
    age = covariates.get("age_years")
    if table is None or not isinstance(age, int | float) or age != age:
        return None
    return table.hazard_integral(float(age) + now_days / YEAR, covariates.get("sex"), days)


def not_below(integral, background) -> np.ndarray:
    """Hazard integrals (..., V) with no step smaller than that of the population (V,), both from the data cut."""
    if background is None:
        return integral
    own, least = (np.diff(np.asarray(h, dtype=float), axis=-1, prepend=0.0) for h in (integral, background))
    return np.cumsum(np.maximum(own, least), axis=-1)
