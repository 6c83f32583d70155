"""What can be given, one row each: response (kS, f, chance of non-response), for whom the evidence holds, what it is.

A prior is one of three kinds. Rows calibrated to ORR, CR and median PFS of one arm (domain notes, section 1b): SD of
ln kS 0.5, of logit f 1. Rows with an outcome but no such calibration, and rows without one (BY_CLASS): medians of their
class, wide. `population.nc` draws the rows of a class around a common median (make_population.py), so that a row without
an outcome of its own is as uncertain as its class is varied.

Regimens in mg and days of a cycle; eligibility of the trials from memory unless said otherwise.
"""

from dataclasses import dataclass, field

from bayestwin.specification import Eligibility, Treatment

from . import access

CAR_T, BISPECIFIC, CONJUGATE, ANTIBODY, OTHER = "BCMA CAR-T", "bispecific", "antibody-drug conjugate", "anti-CD38", "other"
BY_CLASS = "no outcome of its own here: response as its class, wide as that is"


def lines(minimum, maximum=None):
    """So many prior lines."""
    return Eligibility("prior_lines", minimum=minimum, maximum=maximum, counts_lines=True)


def free_of(covariate, text):
    """The patient is not that."""
    return Eligibility(covariate, equals=0, text=text)


TRIPLE = Eligibility("triple_class_exposed", equals=1, text="triple-class exposed")
NO_BCMA = free_of("prior_bcma", "no prior BCMA therapy")
CD38 = free_of("anti_cd38_refractory", "not refractory to anti-CD38 antibodies")
LEN = free_of("lenalidomide_refractory", "not refractory to lenalidomide")
BORT = free_of("bortezomib_refractory", "not refractory to bortezomib")
POM = free_of("pomalidomide_refractory", "not refractory to pomalidomide")
CARF = free_of("carfilzomib_refractory", "not refractory to carfilzomib")


@dataclass(frozen=True)
class Row:
    """One treatment: prior medians and SDs of its response parameters, and what is printed of it.

    kS 1/day, f resistant fraction, omega_f its SD between patients (logit), p chance of non-response
    harm : of what is directed at normal plasma cells, relative to BCMA-directed cells
    infection : factor on the hazard of death of infection; igg_kappa : holds an antibody that immunofixation sees
    by_request : forecast only where it is asked for by name
    lasts : days after which it is over, None: given until something else is; the burden grows untreated then
    """

    label: str
    group: str
    kS: float
    f: float
    omega_f: float
    p: float
    given: str
    evidence: str
    eligibility: tuple = ()
    source: str = ""
    mark: str = "derived"
    sd: tuple[float, float, float] = (0.5, 1.0, 0.5)
    harm: float = 0.0
    infection: float = 1.0
    igg_kappa: bool = False
    assumption: str = "started at once and continued"
    by_request: bool = True
    lasts: float | None = None
    sets: tuple = ()
    more: dict = field(default_factory=dict)


WIDE, BY_GROUP = (0.6, 1.3, 0.8), (0.8, 1.5, 0.9)
BCMA = (("prior_bcma", 1),)
T_CELL = {"harm": 1.0, "infection": 7.0}  # of a BCMA bispecific, assumed
SHIELD = {"harm": 0.3, "igg_kappa": True}  # anti-CD38, assumed
PRE = "after fludarabine 30 and cyclophosphamide 300 mg/m2 on three days"

ROWS = {
    "ide_cel": Row(
        "Ide-cel (BCMA CAR-T)", CAR_T, 0.12, 0.0015, 2.3, 0.29, f"150 to 540 million cells once, {PRE}",
        "KarMMa-3, one randomised arm, 254 patients, response 71 %, median PFS 13.8 months",
        (lines(2, 4), TRIPLE, NO_BCMA), "KarMMa-3 ORR, CR, PFS", sets=BCMA, by_request=False,
        assumption="leukapheresis after 14 days, infused 49 days later, what is in force goes on until then; those never infused are inside, on standard care",
        more=access.way_to("ide_cel")),
    "cilta_cel": Row(
        "Cilta-cel (BCMA CAR-T)", CAR_T, 0.25, 0.0001, 2.07, 0.02, f"0.75 million cells per kg once, {PRE}",
        "CARTITUDE-1, single arm, 97 patients, response 98 %, median PFS 34.9 months",
        (lines(3), TRIPLE, NO_BCMA), "CARTITUDE-1 ORR, CR, PFS", sets=BCMA, by_request=False,
        assumption="leukapheresis after 14 days, infused 44 days later, what is in force goes on until then; those never infused are inside, on standard care",
        more=access.way_to("cilta_cel")),
    "teclistamab": Row(
        "Teclistamab (BCMA bispecific)", BISPECIFIC, 0.05, 0.0025, 2.6, 0.36, "SC 0.06, 0.3, then 1.5 mg/kg weekly; every two weeks in CR for six months",
        "MajesTEC-1, single arm, 165 patients, response 63 %, median PFS 11.3 months",
        (lines(3), TRIPLE, NO_BCMA), "MajesTEC-1 ORR, CR, PFS", sets=BCMA, by_request=False, **T_CELL),
    "teclistamab_dara": Row(
        "Teclistamab, daratumumab", BISPECIFIC, 0.05, 0.0025, 2.6, 0.30, "teclistamab 1.5 mg/kg and daratumumab 1800 mg SC, weekly, later every four weeks",
        BY_CLASS, (lines(1), NO_BCMA, CD38), "bispecific antibodies as a class", "assumed", BY_GROUP, sets=BCMA, igg_kappa=True, **T_CELL),
    "elranatamab": Row(
        "Elranatamab (BCMA bispecific)", BISPECIFIC, 0.05, 0.0025, 2.6, 0.36, "SC 12 mg day 1, 32 mg day 4, then 76 mg weekly; every two weeks after week 24",
        BY_CLASS, (lines(3), TRIPLE, NO_BCMA), "bispecific antibodies as a class", "assumed", BY_GROUP, sets=BCMA, **T_CELL),
    "talquetamab": Row(
        "Talquetamab (GPRC5D bispecific)", BISPECIFIC, 0.05, 0.0025, 2.6, 0.36, "SC 0.01, 0.06, then 0.4 mg/kg weekly or 0.8 mg/kg every two weeks (memory)",
        BY_CLASS, (lines(3), TRIPLE), "bispecific antibodies as a class", "assumed", BY_GROUP, harm=0.3, infection=3.0),
    "belantamab_vd": Row(
        "Belantamab, bortezomib, dexamethasone", CONJUGATE, 0.04, 0.002, 2.3, 0.05, "belantamab 2.5 mg/kg every three weeks (memory) with Vd for eight cycles",
        "DREAMM-7 (memory), one randomised arm, about 243 patients, response 83 %, median PFS 36.6 months",
        (lines(1), NO_BCMA, BORT), "DREAMM-7 ORR, PFS", "memory", WIDE, harm=0.7, infection=2.0, sets=BCMA),
    "belantamab_pd": Row(
        "Belantamab, pomalidomide, dexamethasone", CONJUGATE, 0.04, 0.002, 2.3, 0.05, "belantamab 2.5 then 1.9 mg/kg every four weeks (memory) with Pd",
        "DREAMM-8 (memory), one randomised arm, about 155 patients, response 77 %, median PFS not reached",
        (lines(1), NO_BCMA, POM), "DREAMM-8 ORR", "memory", WIDE, harm=0.7, infection=2.0, sets=BCMA),
    "dara_rd": Row(
        "Daratumumab, lenalidomide, dexamethasone", ANTIBODY, 0.0149, 3.3e-5, 2.07, 0.02, "daratumumab 16 mg/kg weekly x 8, every two weeks x 8, then every four weeks, with Rd",
        "POLLUX, one randomised arm, 286 patients, response 93 %, median PFS 45.8 months",
        (lines(1), CD38, LEN), "POLLUX ORR, CR, PFS", **SHIELD),
    "dara_vd": Row(
        "Daratumumab, bortezomib, dexamethasone", ANTIBODY, 0.0302, 0.0085, 2.07, 0.02, "daratumumab 16 mg/kg weekly x 9, every three weeks x 5, then every four weeks (memory), with Vd for eight cycles",
        "CASTOR, one randomised arm, 251 patients, response 84 % (memory), median PFS 16.7 months",
        (lines(1), CD38, BORT), "CASTOR ORR, CR, PFS", **SHIELD),
    "dara_pd": Row(
        "Daratumumab, pomalidomide, dexamethasone", ANTIBODY, 0.05, 0.010, 2.67, 0.22, "daratumumab 1800 mg SC weekly x 8, every two weeks x 8, then every four weeks, with Pd",
        "APOLLO, one randomised arm, 151 patients, response 69 %, median PFS 12.4 months (memory)",
        (lines(1), CD38, POM), "APOLLO ORR, CR, PFS", "memory", by_request=False, **SHIELD),
    "isa_pd": Row(
        "Isatuximab, pomalidomide, dexamethasone", ANTIBODY, 0.05, 0.010, 2.3, 0.10, "isatuximab 10 mg/kg weekly x 4, then every two weeks, with Pd",
        "ICARIA (memory), one randomised arm, 154 patients, response 60 %, median PFS 11.5 months",
        (lines(2), CD38, POM), "ICARIA ORR, PFS", "memory", WIDE, **SHIELD),
    "isa_kd": Row(
        "Isatuximab, carfilzomib, dexamethasone", ANTIBODY, 0.03, 0.003, 2.3, 0.05, "isatuximab 10 mg/kg weekly x 4, then every two weeks, with Kd",
        BY_CLASS, (lines(1, 3), CD38, CARF), "anti-CD38 combinations as a class", "assumed", BY_GROUP, **SHIELD),
    "kd": Row(
        "Carfilzomib, dexamethasone", OTHER, 0.03, 0.02, 2.2, 0.03, "carfilzomib 20, then 56 mg/m2 on days 1, 2, 8, 9, 15, 16 of 28",
        BY_CLASS, (lines(1, 3), CARF), "combinations without an antibody as a class", "assumed", BY_GROUP),
    "krd": Row(
        "Carfilzomib, lenalidomide, dexamethasone", OTHER, 0.0148, 0.00138, 2.07, 0.02, "carfilzomib 20, then 27 mg/m2 on days 1, 2, 8, 9, 15, 16 of 28, with Rd",
        "ASPIRE, one randomised arm, 396 patients, response 87 % (memory), median PFS 26.3 months",
        (lines(1, 3), LEN, CARF), "ASPIRE ORR, CR, PFS"),
    "rd": Row(
        "Lenalidomide, dexamethasone", OTHER, 0.0174, 0.0096, 2.07, 0.02, "lenalidomide 25 mg on days 1 to 21 of 28, dexamethasone 40 mg weekly",
        "POLLUX and ASPIRE, two randomised arms, 283 and 396 patients, response 76 and 67 % (memory), median PFS 17.5 and 17.6 months",
        (lines(1), LEN), "POLLUX ORR, CR, PFS"),
    "vd": Row(
        "Bortezomib, dexamethasone", OTHER, 0.113, 0.19, 2.07, 0.02, "bortezomib 1.3 mg/m2 on days 1, 4, 8, 11 of 21, dexamethasone 20 mg around each, eight cycles (memory)",
        "CASTOR, one randomised arm, 247 patients, response 63 % (memory), median PFS 7.1 months",
        (lines(1), BORT), "CASTOR ORR, CR, PFS", lasts=168.0, assumption="started at once, over after eight cycles of 21 days"),
    "pd": Row(
        "Pomalidomide, dexamethasone", OTHER, 0.0255, 0.2, 2.07, 0.02, "pomalidomide 4 mg on days 1 to 21 of 28, dexamethasone 40 mg weekly",
        "APOLLO and ICARIA (both memory), two randomised arms, 153 each, response 46 and 35 %, median PFS 6.9 and 6.5 months",
        (lines(1), POM), "APOLLO ORR, CR, PFS"),
    "pvd": Row(
        "Pomalidomide, bortezomib, dexamethasone", OTHER, 0.04, 0.02, 2.2, 0.05, "pomalidomide 4 mg on days 1 to 14 of 21 with Vd (memory)",
        "DREAMM-8 (memory), one randomised arm, about 147 patients, response 72 %, median PFS 12.7 months",
        (lines(1), BORT, POM), "DREAMM-8 ORR, PFS", "memory", WIDE),
    "standard_care": Row(
        "Standard care, triple-class exposed", OTHER, 0.37, 0.42, 2.07, 0.05, "one of the usual regimens, by choice of the physician",
        "KarMMa-3 control, 132 patients, response 42 %, median PFS 4.4 months; LocoMMotion, 248 patients (memory), median PFS 4.6 months",
        (lines(2), TRIPLE), "KarMMa-3 control and LocoMMotion ORR, CR, PFS"),
}

# Responses are more alike within these: one target, or one drug beside dexamethasone [assumed]
SAME_TARGET = (
    ("ide_cel", "cilta_cel", "teclistamab", "teclistamab_dara", "elranatamab", "belantamab_vd", "belantamab_pd"),
    ("dara_rd", "dara_vd", "dara_pd", "isa_pd", "isa_kd"),
    ("kd", "krd"),
    ("pd", "pvd"),
)

# Who progressed under a regimen, or within 60 days of its end, is refractory to what it holds
HELD = {
    "anti_cd38_refractory": ("teclistamab_dara", "dara_rd", "dara_vd", "dara_pd", "isa_pd", "isa_kd"),
    "lenalidomide_refractory": ("dara_rd", "krd", "rd"),
    "pomalidomide_refractory": ("belantamab_pd", "dara_pd", "isa_pd", "pd", "pvd"),
    "bortezomib_refractory": ("belantamab_vd", "dara_vd", "vd", "pvd"),
    "carfilzomib_refractory": ("isa_kd", "kd", "krd"),
}

OBSERVATION = Treatment(
    "observation", label="No treatment", evidence="growth of the model without treatment; no trial", by_request=True, pause=True,
    given="nothing; what was given before is stopped", assumption="nothing is given from now on", source="by definition",
)


def _treatment(name: str, row: Row) -> Treatment:
    return Treatment(
        name, label=row.label, evidence=row.evidence, eligibility=row.eligibility, assumption=row.assumption,
        given=row.given, group=row.group, source=f"{row.source} [{row.mark}]; eligibility from memory",
        by_request=row.by_request, sets=row.sets, lasts=row.lasts,
        refractory=tuple((flag, 1) for flag, names in HELD.items() if name in names), **row.more,
    )


TREATMENTS = (*(_treatment(name, row) for name, row in ROWS.items()), OBSERVATION)
