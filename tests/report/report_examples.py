"""Invented report inputs: a calm three-treatment patient, the worst case of everything, a concentration twin."""

import dataclasses

import numpy as np

from bayestwin.report.model import (
    BridgeStep,
    Change,
    Clock,
    Comparator,
    Comparison,
    CourseEvent,
    EventForecast,
    LabEntry,
    Landmark,
    LatestValue,
    ModelFacts,
    NextLab,
    NumericalCheck,
    ObservedResponse,
    Outcomes,
    Output,
    PastForecast,
    Patient,
    RefusedRow,
    ReportInput,
    ResponseDepth,
    Support,
    TrackRecord,
    Trajectory,
    TreatmentForecast,
)
from bayestwin.report.summaries import weighted_quantiles

CUT, INFUSION, MONTH = 175.0, 49.0, 30.4375
LEVELS = (0.025, 0.1, 0.25, 0.5, 0.75, 0.9, 0.975)
HOSTILE = '<script>alert(1)</script>"><img src=x onerror=alert(2)>{{7*7}}{% raw %}$x^2$ '
HOSTILE += "\u05e9\u05dc\u05d5\u05dd \u202egnp.exe\u0007"


def event_draws(scale, seed, cured=0.2, size=4000):
    rng = np.random.default_rng(seed)
    months = scale * rng.weibull(1.25, size)
    months = np.where(rng.random(size) < cured, np.inf, months)
    return np.where(months > 36, np.inf, months), rng.random(size) < 0.15


def landmarks(draws, width=0.15, approximate=False):
    marks = []
    for month in (6.0, 12.0, 24.0):
        p = float(np.mean(draws > month))
        doubt = p * (1 - p)
        marks.append(
            Landmark(
                month=month,
                chance=p,
                mcse=0.009,
                approximate=approximate,
                knowledge={
                    0.5: (max(0, p - width / 2), min(1, p + width / 2)),
                    0.8: (max(0, p - width), min(1, p + width)),
                    0.95: (max(0, p - 1.5 * width), min(1, p + 1.5 * width)),
                },
                doubt=(0.44 * doubt, 0.21 * doubt, 0.35 * doubt),
                doubt_mcse=0.012,
            )
        )
    return tuple(marks)


def course(output, seed, regrowth, start, low):
    """Baseline, bridging without much response, fall after the infusion, forecast that spreads."""
    times = np.concatenate([np.arange(0, CUT + 1, 7.0), np.arange(CUT + 14, CUT + 36 * MONTH, 14.0)])
    rng = np.random.default_rng(seed)
    after = np.clip(times - INFUSION, 0, None)
    base = np.log(
        start * np.where(times < INFUSION, np.exp(0.002 * times), np.exp(0.1) * (np.exp(-after / 22) + low / start))
    )
    ahead = np.clip(times - CUT, 0, None) / MONTH
    paths = (
        base
        + ahead * rng.normal(regrowth, 0.09, (2000, 1))
        + 0.1 * rng.normal(size=(2000, 1))
        + 0.07 * rng.normal(size=(2000, times.size))
    )
    paths = np.minimum(np.exp(paths), start * 2.2)
    quantiles = np.quantile(paths, LEVELS, axis=0)
    return Trajectory(output=output, times=times, quantiles=quantiles, samples=paths[:12])


def lab(number, output, day, value, unit, **more):
    shown = more.pop("shown", f"{value:g}" if value is not None else "")
    before = None
    if value and more.get("state", "used") in ("used", "censored", "late", "corrected") and day > 20:
        centre = more.pop("expected", value * (1.06 if number % 2 else 0.93))
        before = {
            q: float(centre * np.exp(0.14 * z)) for q, z in zip(LEVELS, (-1.96, -1.28, -0.67, 0, 0.67, 1.28, 1.96))
        }
        more.setdefault("pit", (0.35 + 0.03 * (number % 9),) * 2)
    return LabEntry(
        lab_id=f"L{number:03d}",
        output=output,
        time=day,
        known_time=more.pop("known", day),
        shown=shown,
        value=value,
        unit=unit,
        when=f"day {day:g}",
        forecast_before=before,
        assay_sd=value * 0.05 if value else None,
        **more,
    )


def labs():
    m = [
        lab(k, "m_protein", d, v, "g/L")
        for k, (d, v) in enumerate([(0, 28.1), (21, 29.4), (49, 31.0), (63, 17.6), (77, 9.8), (91, 5.3)])
    ]
    m += [
        lab(10, "m_protein", 105, 3.1, "g/L", state="late", known=140.0),
        lab(11, "m_protein", 119, 2.0, "g/L", state="corrected", old_value=20.0, replaces="20"),
        lab(12, "m_protein", 133, 11.5, "g/L", state="rejected", reason="unit missing", reason_letter="u"),
        lab(13, "m_protein", 147, 1.3, "g/L"),
        lab(14, "m_protein", 172, 1.1, "g/L", new=True),
        lab(15, "m_protein", 161, None, "g/L", state="missing", shown=""),
        lab(16, "m_protein", 168, 1.0, "g/L", shown="1 to 1.5", upper=1.5),
    ]
    f = [
        lab(20 + k, "involved_flc", d, v, "mg/L")
        for k, (d, v) in enumerate([(0, 640.0), (21, 702.0), (49, 731.0), (63, 91.0), (91, 14.0), (119, 11.0)])
    ]
    f += [lab(27, "involved_flc", 147, 12.0, "mg/L"), lab(28, "involved_flc", 172, 13.5, "mg/L", new=True)]
    t = [
        lab(30 + k, "transgene", d, v, "copies/ug")
        for k, (d, v) in enumerate([(52, 900.0), (56, 61000.0), (63, 120000.0), (77, 21000.0), (105, 2500.0)])
    ]
    t += [
        lab(
            36,
            "transgene",
            172,
            50.0,
            "copies/ug",
            state="censored",
            comparator="<",
            limit=50.0,
            shown="<50",
            new=True,
            pit=(0.0, 0.41),
            pit_drawn=0.2,
        )
    ]
    return tuple(m + f + t)


OUTPUTS = (
    Output(
        "m_protein",
        "M-protein",
        "g/L",
        limit=0.5,
        reference_lines=((14.05, "half of baseline"), (2.81, "a tenth of baseline"), (6.1, "nadir + 5 g/L")),
    ),
    Output("involved_flc", "Involved free light chain", "mg/L", limit=1.0),
    Output(
        "transgene", "CAR transgene", "copies/ug", limit=50.0, note="copies/ug are not comparable between products."
    ),
)


def treatment(name, label, role, scale, seed, cured, regrowth, width, **more):
    months, died = event_draws(scale, seed, cured)
    progression = np.where(died, np.inf, months)
    return TreatmentForecast(
        name=name,
        label=label,
        role=role,
        event=EventForecast.from_draws(months, died=died),
        landmarks=landmarks(months, width),
        progression=EventForecast.from_draws(progression, endpoint="progression"),
        progression_landmarks=landmarks(progression, width),
        outcomes=tuple(Outcomes(m, *_outcomes(months, died, m)) for m in (6.0, 12.0, 24.0)),
        responses=(ResponseDepth(30, 0.08, 0.31, 0.38, 0.15, 0.08), ResponseDepth(90, 0.22, 0.4, 0.2, 0.09, 0.09)),
        trajectories=(
            course("m_protein", seed, regrowth, 29.0, 0.9),
            course("involved_flc", seed + 1, regrowth, 700.0, 11.0),
        ),
        **more,
    )


def _outcomes(months, died, month):
    free = float(np.mean(months > month))
    dead = float(np.mean((months <= month) & died))
    return free, 1 - free - dead, dead


def example(**changes) -> ReportInput:
    """A calm report: Ide-cel in month four, two options, everything computed."""
    rows = (
        treatment(
            "ide_cel",
            "Ide-cel",
            "current",
            22,
            3,
            0.10,
            0.10,
            0.13,
            tested_outside=True,
            regimen=("single infusion on day 49, already given",),
            assumption="no further therapy until progression.",
            evidence="single arm, 128 patients, prior BCMA therapy excluded.",
        ),
        treatment(
            "dara_pd",
            "Dara-Pd",
            "option",
            13,
            5,
            0.04,
            0.17,
            0.16,
            regimen=(
                "daratumumab 16 mg/kg weekly, then every 2 and 4 weeks",
                "pomalidomide 4 mg on 21 of 28 days",
                "dexamethasone 40 mg weekly",
            ),
            assumption="started at the data cut.",
            evidence="randomised trial arm, 151 patients, not refractory to anti-CD38.",
            support=Support(similar=42),
        ),
        treatment(
            "teclistamab",
            "Teclistamab",
            "option",
            17,
            8,
            0.15,
            0.13,
            0.18,
            regimen=("1.5 mg/kg weekly after step-up",),
            assumption="started at the data cut.",
            evidence="single arm, 165 patients, prior BCMA therapy excluded.",
        ),
        TreatmentForecast(
            "cilta_cel",
            "Cilta-cel",
            "option",
            regimen=("single infusion",),
            evidence="single arm, 97 patients, prior BCMA therapy excluded.",
            support=Support(False, "prior BCMA-directed therapy; the trial excluded it"),
        ),
    )
    a, b, c = (row.landmark(12.0).chance for row in rows[:3])
    pairs = tuple(
        Comparison(
            "ide_cel",
            name,
            difference=other - a,
            p80=(other - a - 0.15, other - a + 0.12),
            by_rho=tuple(
                (rho, other - a + shift, other - a + shift - 0.12, other - a + shift + 0.12)
                for rho, shift in ((0.0, 0.08), (0.5, 0.0), (0.9, -0.07))
            ),
            pairs=(0.55, 0.31, 0.14),
            confidence_b_higher=0.24,
            months_gained=-3.4,
            months_gained_p80=(-7.2, 1.1),
        )
        for name, other in (("dara_pd", b), ("teclistamab", c))
    )
    now = a
    given = ReportInput(
        identity="data 91aa model 77bc seed 20260314",
        report_number=7,
        clock=Clock(
            data_cut="14 Mar 2026",
            data_cut_time=CUT,
            generated="2026-03-15T02:10:00Z",
            time_zero="referral",
            data_cut_date="2026-03-14",
            time_zero_date="2025-09-20",
            statement="Month 0 is the data cut, 14 Mar 2026, day 126 after infusion. Waiting time and bridging lie "
            "before it.",
        ),
        patient=Patient(
            "P-017",
            "Multiple myeloma",
            "IgG kappa",
            "M-protein in serum",
            4,
            ("lenalidomide", "pomalidomide", "bortezomib"),
            "Ide-cel",
            126,
            ObservedResponse("VGPR", "11 Mar 2026", True, ("M-protein",)),
            (
                LatestValue("M-protein", "1.1", "g/L", "11 Mar 2026"),
                LatestValue("Involved FLC", "13.5", "mg/L", "11 Mar 2026"),
                LatestValue("Transgene", "<50", "copies/ug", "11 Mar 2026"),
                LatestValue("MRD"),
                LatestValue("Haemoglobin", "10.9", "g/dL", "11 Mar 2026"),
                LatestValue("Creatinine", "88", "umol/L", "11 Mar 2026"),
            ),
        ),
        model=ModelFacts(
            "myeloma_car_t",
            "0.1.0",
            "c0ffee" * 8,
            "5eed" * 12,
            "da7a" * 12,
            (("population", 11), ("twin", 20260314)),
            (("bayestwin", "0.1.0"), ("jax", "0.8.0"), ("numpy", "2.3.1")),
            purpose="Explore forecasts of progression under listed treatments in research.",
            made_for=("adults with relapsed multiple myeloma",),
            not_for=("AL amyloidosis", "plasma cell leukaemia", "children"),
            trained_on="400 simulated patients.",
            synthetic=True,
            known_limits=("infections are not modelled",),
            prior_sources=("published arms",),
            owner="bayestwin",
        ),
        numbers=NumericalCheck(
            "PASS",
            "rejuvenate",
            (),
            4000,
            400,
            2412.0,
            233.0,
            0.41,
            3120,
            0.31,
            0.8,
            (("chance at 12 months, ide_cel", 0.009),),
            False,
            1.004,
            0.0,
            812.0,
            655.0,
            0.0,
            2.1,
        ),
        outputs=OUTPUTS,
        labs=labs(),
        events=(CourseEvent(3, "bridging Dara-Pd"), CourseEvent(49, "infusion Ide-cel")),
        refused=(
            RefusedRow(
                "labs.csv",
                "12",
                "value",
                "11.5",
                "no unit, g/dL or g/L possible",
                "a unit",
                "say unit=g/L or unit=g/dL in that row",
            ),
        ),
        treatments=rows,
        comparisons=pairs,
        change=Change(
            "report 6 of 14 Feb 2026",
            "14 Feb 2026",
            (
                BridgeStep("time", "28 days without progression", now - 0.12, now - 0.09, (0.35, 0.65), (0.4, 0.68)),
                BridgeStep("labs", "3 labs used, 1 rejected", now - 0.09, now - 0.02, (0.4, 0.68), (0.46, 0.74)),
                BridgeStep("amended", "1 late, 1 corrected", now - 0.02, now, (0.46, 0.74), (0.47, 0.75)),
                BridgeStep("doses", "none new", now, now, (0.47, 0.75), (0.47, 0.75)),
                BridgeStep("version", "unchanged", now, now, (0.47, 0.75), (0.47, 0.75)),
            ),
            largest_lab="M-protein of 11 Mar 2026",
            largest_lab_moved=0.06,
            expected_share=0.38,
            narrowed=0.35,
        ),
        history=tuple(
            PastForecast(t, f"day {t:g}", p, lim, "0.1.0", mcse=0.009)
            for t, p, lim in (
                (0.0, 0.4, (0.2, 0.6)),
                (49.0, 0.33, (0.18, 0.52)),
                (77.0, None, None),
                (105.0, 0.5, (0.34, 0.66)),
                (147.0, now - 0.12, (0.35, 0.65)),
                (175.0, now, (0.47, 0.75)),
            )
        ),
        track=TrackRecord("same hospitals", 212, 0.78, (0.72, 0.83)),
        fit_p=0.41,
        next_lab=NextLab(
            "Bone marrow MRD",
            "12 Apr 2026",
            0.28,
            0.2,
            (("negative at one in 100 000", 0.72, (0.58, 0.82)), ("positive", 0.48, (0.33, 0.63))),
        ),
        comparators=(
            Comparator("linear extrapolation of M-protein", 0.55, "last 3 values"),
            Comparator("R-ISS group", None, reason="LDH missing"),
        ),
        assumptions=(
            "Responses to two treatments are related by an assumed correlation, shown at 0, 0.5 and 0.9.",
            "Growth may drift slowly over time.",
        ),
    )
    return dataclasses.replace(given, **changes)


LONG = (
    "Idecabtagen vicleucel nach \u00dcberbr\u00fcckung mit Daratumumab, Pomalidomid und Dexamethason "
    "(Behandlungsarm S\u00fcd-\u00d6sterreich {})"
)


def worst() -> ReportInput:
    """Long German labels, two reasons, four estimated rows: page 1 must still fit."""
    base = example()
    rows = tuple(
        dataclasses.replace(row, label=LONG.format(k), evidence=row.evidence + " " + LONG.format(k))
        for k, row in enumerate(base.treatments[:3])
    )
    extra = dataclasses.replace(
        base.treatments[1], name="zz", label="\u00dcberlange Behandlungsbezeichnung mit Umlauten"
    )
    wrong = lab(60, "m_protein", 173, 11.0, "g/L", expected=1.1, new=True, pit=(0.9999, 0.9999))
    return dataclasses.replace(
        base,
        treatments=(*rows, extra),
        labs=(*base.labs, wrong),
        change=dataclasses.replace(base.change, version_changed=True),
        patient=dataclasses.replace(
            base.patient,
            diagnosis="Multiples Myelom, Rezidiv nach autologer Stammzelltransplantation",
            refractory=(
                "Lenalidomid",
                "Pomalidomid",
                "Bortezomib",
                "Carfilzomib",
                "Daratumumab",
                "Belantamab-Mafodotin",
            ),
            treatment_now=LONG.format(0),
        ),
    )


def hostile() -> ReportInput:
    """Markup, template code, mathtext, right-to-left and control characters in every text a file can bring."""
    base = worst()
    rows = tuple(
        dataclasses.replace(
            row, label=row.label[:9] + HOSTILE, evidence=HOSTILE, assumption=HOSTILE, regimen=(HOSTILE,)
        )
        for row in base.treatments
    )
    return dataclasses.replace(
        base,
        treatments=rows,
        assumptions=base.assumptions + (HOSTILE,),
        events=base.events + (CourseEvent(90, HOSTILE),),
        labs=tuple(
            dataclasses.replace(item, shown=item.shown + HOSTILE, lab_id=item.lab_id + HOSTILE, reason=HOSTILE)
            for item in base.labs
        ),
        patient=dataclasses.replace(
            base.patient,
            study_key="P-017" + HOSTILE,
            isotype=HOSTILE,
            latest=(LatestValue(HOSTILE, HOSTILE, HOSTILE, HOSTILE),),
        ),
        refused=base.refused
        + (RefusedRow("labs.csv" + HOSTILE, "7", HOSTILE, "will recommend best 100 %", HOSTILE, HOSTILE, HOSTILE),),
        outputs=tuple(
            dataclasses.replace(output, label=output.label + " $x^2$ <b>" + HOSTILE, unit=output.unit + "<i>")
            for output in base.outputs
        ),
    )


def withheld() -> ReportInput:
    """The calm patient with a numerical check that did not pass."""
    base = example()
    return dataclasses.replace(
        base, numbers=dataclasses.replace(base.numbers, verdict="WITHHELD", reasons=("islands disagree",))
    )


def concentration() -> ReportInput:
    """A theophylline-like twin: hours, one output, no event."""
    times = np.linspace(0, 24, 49)
    rng = np.random.default_rng(4)
    ka, k, a = (
        rng.lognormal(0.4, 0.2, (1000, 1)),
        rng.lognormal(-2.5, 0.1, (1000, 1)),
        rng.lognormal(2.3, 0.1, (1000, 1)),
    )
    paths = a * ka / (ka - k) * (np.exp(-k * times) - np.exp(-ka * times)) + 0.4 * rng.normal(size=(1000, 49))
    quantiles = np.array([weighted_quantiles(column, LEVELS, np.ones(1000)) for column in paths.T]).T
    labs_ = tuple(
        lab(k, "concentration", t, v, "mg/L")
        for k, (t, v) in enumerate(((0.5, 4.6), (1.0, 7.1), (2.0, 8.4), (5.0, 7.2)))
    )
    row = TreatmentForecast(
        "observed",
        "One dose of 320 mg",
        "current",
        ("320 mg by mouth once",),
        evidence="twelve adults.",
        trajectories=(Trajectory("concentration", times, quantiles, paths[:12]),),
    )
    base = example()
    return dataclasses.replace(
        base,
        clock=Clock("hour 5", 5.0, "2026-03-15T02:10:00Z", "first dose", "h", horizon_months=36),
        outputs=(Output("concentration", "Theophylline", "mg/L", scale="linear"),),
        labs=labs_,
        events=(CourseEvent(0, "320 mg"),),
        refused=(),
        treatments=(row,),
        comparisons=(),
        change=Change(),
        history=(),
        next_lab=None,
        comparators=(),
        endpoint_reason="this model declares no event",
        track=TrackRecord(),
        patient=Patient("S-3", phase="none"),
    )
