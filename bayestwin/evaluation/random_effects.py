"""What a fit says of each patient's random effects: how far they are the patient's own, and whether covariates show.

eta = psi - mean given covariates, on the transformed scale, from the joint draws of a fit that kept its individuals.
Shrinkage of one parameter is taken on SDs, and on variances as Monolix prints it:

    1 - SD(posterior means of eta) / omega        1 - Var(posterior means of eta) / omega^2

with omega its posterior mean; near 1 the labs say little of that parameter, and what is seen of eta against covariates
is mostly the population speaking (Savic and Karlsson 2009, AAPS J 11:558).
"""

import numpy as np

from bayestwin.errors import FitError
from bayestwin.individual import covariate_terms, first_covariates, prior_moments
from bayestwin.population.diagnostics import moving

DRAWS = 400


def fitted_records(population, cohort) -> list:
    """The records of `cohort` whose individual parameters the fit kept; an error where there are none."""
    if "individuals" not in population.tree.children:
        raise FitError(
            "this fit kept no individual parameters",
            subject=f"model {population.model.name}",
            next_step="Use the result of fit_population itself, or `bayestwin fit --keep-individuals`.",
        )
    known = [record for record in cohort if population.individual_draws(record) is not None]
    if not known:
        raise FitError("none of these patients was in the fit", subject=f"model {population.model.name}")
    return known


def random_effects(population, cohort, *, draws: int = DRAWS):
    """Posterior of every patient's eta.

    Returns
    -------
    DataFrame       one row per patient and parameter: patient, parameter, mean, sd, low_50, high_50, low_80, high_80

    Raises
    ------
    FitError        the fit kept no individual parameters, or not of these patients
    """
    import jax
    import pandas as pd

    model = population.model
    known = fitted_records(population, cohort)
    hyper, take = population.hyper_draws(draws)
    rows = []
    with jax.enable_x64(True):
        for record in known:
            terms = covariate_terms(model, first_covariates(model, record))
            mean = np.asarray(jax.vmap(lambda h: prior_moments(model, h, terms)[0])(hyper))  # noqa: B023
            eta = population.individual_draws(record)[take] - mean
            q = np.quantile(eta, [0.25, 0.75, 0.1, 0.9], axis=0)
            for d, name in enumerate(model.individual_names):
                limits = dict(zip(("low_50", "high_50", "low_80", "high_80"), q[:, d]))
                middle = {"mean": eta[:, d].mean(), "sd": eta[:, d].std(ddof=1)}
                rows.append({"patient": record.key, "parameter": name} | middle | limits)
    return pd.DataFrame(rows)


def shrinkage(population, effects):
    """Shrinkage of every parameter that varies between patients.

    effects : of `random_effects`

    Returns
    -------
    DataFrame       parameter, omega, sd_of_means, shrinkage_sd, shrinkage_variance, patients
    """
    import pandas as pd

    posterior, rows = moving(population.posterior), []
    for name, part in effects.groupby("parameter", sort=False):
        if f"omega_{name}" in posterior:
            omega, spread = float(posterior[f"omega_{name}"].mean()), float(part["mean"].std(ddof=1))
            shrunk = {"shrinkage_sd": 1 - spread / omega, "shrinkage_variance": 1 - (spread / omega) ** 2}
            rows.append({"parameter": name, "omega": omega, "sd_of_means": spread} | shrunk | {"patients": len(part)})
    return pd.DataFrame(rows)


def against_covariates(effects, cohort):
    """Do random effects go with covariates? Numbers by Spearman's rank correlation, words by Kruskal and Wallis.

    Returns
    -------
    DataFrame       parameter, covariate, test, statistic, p (smallest first), p_adjusted (Holm), patients
    """
    import pandas as pd
    from scipy import stats

    from bayestwin.evaluation.scores import holm

    wide = effects.pivot(index="patient", columns="parameter", values="mean")
    about = pd.DataFrame({record.key: dict(record.covariates) for record in cohort}).T.reindex(wide.index)
    rows = []
    for covariate in about.columns:
        column = about[covariate].dropna()
        numbers = pd.to_numeric(column, errors="coerce")
        for parameter in wide.columns:
            eta = wide.loc[column.index, parameter]
            if eta.std() < 1e-9:  # no between-patient variability
                continue
            if numbers.notna().all() and numbers.nunique() > 2:
                test, found = "Spearman", stats.spearmanr(eta, numbers)
            else:
                groups = [eta[column == level] for level in column.unique()]
                if len(groups) < 2 or min(len(group) for group in groups) < 3:
                    continue
                test, found = "Kruskal-Wallis", stats.kruskal(*groups)
            place = {"parameter": parameter, "covariate": covariate, "test": test}
            rows.append(place | {"statistic": found.statistic, "p": float(found.pvalue), "patients": len(eta)})
    columns = ["parameter", "covariate", "test", "statistic", "p", "p_adjusted", "patients"]
    table = pd.DataFrame(rows, columns=[c for c in columns if c != "p_adjusted"])
    table["p_adjusted"] = holm(table["p"].to_numpy(float))
    return table[columns].sort_values("p", kind="stable", ignore_index=True)
