"""The second derivation: a model and a cohort as a PyMC program, from the model file's words and not from our program.

    typical, omega, beta, sigma ~ the model file's priors                L ~ LKJ, over the parameters it names
    centred:      psi_i ~ Normal(h(typical) + beta x_i, omega),          together  ~ MvNormal(..., chol = diag(omega) L)
    non-centred:  psi_i = h(typical) + beta x_i + omega * z_i,           together  omega * (L z_i),   z ~ Normal(0, 1)
    values_i = h^-1(psi_i)        expected_i = the model's equations at values_i        labs_i ~ the residual error

Priors, transforms, covariates, hierarchy, residual errors and censoring are PyMC's here. The equations are solved by
the code that every other part uses, unless a closed form is given. Site names are those of a fit.
No result comes from this program: it is what a fit is compared with.
"""

import numpy as np

from bayestwin.dynamics import Accuracy
from bayestwin.errors import ModelError
from bayestwin.population.centring import centred_mask
from bayestwin.population.crosscheck.correlation import pair_or_default
from bayestwin.population.crosscheck.covariates import add_covariates, refuse_missing
from bayestwin.population.crosscheck.prediction import solved, value_names
from bayestwin.population.crosscheck.priors import variable
from bayestwin.population.crosscheck.residuals import add_departing_labs, add_labs, lab_rows
from bayestwin.records.record import covariate_changes
from bayestwin.specification.correlation import between_patients
from bayestwin.specification.horseshoe import horseshoes
from bayestwin.specification.other_priors import with_priors
from bayestwin.specification.parameters import Category, Power, Slope


def refuse_unsupported(model, cohort) -> None:
    """ModelError for what the PyMC program cannot say; nothing is left out silently."""
    speaks = {
        "response classes": [c.parameter for c in model.response_classes],
        "a response correlation": model.response_correlation and model.response_correlation.parameters,
        "hazards of an endpoint": model.hazard_names if model.progression is not None else (),
        "variability between occasions": model.occasions and tuple(model.occasions.sd),
        "errors that differ between laboratories": [o.output for o in model.observations if o.assay_levels],
        "missing covariates that are individual parameters": tuple(model.latent_covariates),
        "a horseshoe over markers": [one.group for one in horseshoes(model)],
        "what is counted or graded": [model.observations[k].output for k in model.discrete],
    }
    for what, names in speaks.items():
        if names:
            raise ModelError(
                f"the cross-check cannot say {what} in PyMC",
                subject=f"model {model.name}",
                value=", ".join(names),
                allowed="models without classes, hazards, occasions, horseshoes, latent covariates and "
                "assay_scale or assay_bias, whose outputs are all measured",
                next_step="Cross-check a copy of the model without them; `check-fit` needs no second program.",
            )
    refuse_missing(model, cohort)
    departing = [model.observations[k].output for k in model.serial]
    for record in cohort:
        beyond = [lab.output for lab in record.labs if lab.output in departing and lab.censoring != "none"]
        if beyond:
            raise ModelError(
                "the cross-check takes measured labs only where departures are serially correlated",
                subject=f"patient {record.key}",
                value=f"{len(beyond)} labs of {beyond[0]} beyond a limit",
                next_step="Leave them out of both fits.",
            )
        between = [lab.output for lab in record.labs if lab.upper is not None]
        if between:
            raise ModelError(
                "the cross-check takes labs with a value or beyond one limit",
                subject=f"patient {record.key}",
                value=f"{len(between)} labs of {between[0]} between two limits",
                next_step="Leave them out of both fits.",
            )
        changing = dict.fromkeys(name for _, name, _ in covariate_changes(record, model.acting_covariates))
        if changing:
            raise ModelError(
                "the cross-check takes covariates that stay as they are",
                subject=f"patient {record.key}",
                value=", ".join(changing),
                allowed="patients whose covariates do not change in time",
                next_step="Leave that patient out of both fits.",
            )


def pymc_program(
    model,
    cohort,
    *,
    centred: bool | tuple[str, ...] = False,
    priors=None,
    closed_form=None,
    accuracy: Accuracy = Accuracy(),
):
    """A `pymc.Model` of the population of a cohort.

    Parameters
    ----------
    centred : bool          parameterisation of the individual effects; or names of parameters that are centred, of
                            those under one LKJ prior all or none
    priors : dict           site -> prior instead of the model file's, as in `fit_population`
    closed_form : callable  (values, records) -> {output: expected values of its labs, all patients' in turn}, with
                            values name -> (N,) PyTensor vector of natural values; None: the model's equations are
                            solved with JAX

    Raises
    ------
    ModelError              the model or a record holds what PyMC is not told here
    """
    import pymc as pm
    import pytensor.tensor as pt

    refuse_unsupported(model, cohort)
    model, records = with_priors(model, priors or {}), tuple(cohort)
    with long_numbers(), pm.Model() as program:
        values = individual_values(model, records, centred)
        add_covariates(model, records, same_level)
        sigma = {name: variable(name, prior) for name, prior in model.residual_parameters.items()}
        rows = lab_rows(model, records)
        if closed_form is None:
            table = pt.stack([values[name] for name in value_names(model)], axis=1)
            expected = solved(model, cohort, accuracy)(table)
            pm.Potential("solved", pt.switch(pt.all(expected[:, -1] > 0), 0.0, -np.inf))
        else:
            expected = as_table(closed_form(values, records), rows, records)
        for observation in model.observations:
            mine = rows[observation.output]
            if observation.error.serial is None:
                add_labs(observation, sigma, mine, expected)
            elif len(mine.value):
                add_departing_labs(observation, sigma, mine, expected, values)
    return program


def long_numbers():
    """While a program is built and its density derived: PyTensor else keeps Python numbers in the shortest float that
    holds them, and logarithms of such, in PyMC's own formulae too, are right to eight digits only."""
    import pytensor

    return pytensor.config.change_flags(cast_policy="numpy+floatX")


def individual_values(model, records, centred) -> dict:
    """Natural value of every parameter and drift step for every patient, name -> (N,)."""
    import pytensor.tensor as pt

    mask = centred_mask(model, centred)
    chosen = {name for name, is_centred in zip(model.individual_names, mask) if is_centred}

    means = {p.name: mean_of(p, records) for p in model.parameters}
    omega = {p.name: variable(f"omega_{p.name}", p.between) for p in model.parameters if p.between is not None}
    for drift in model.drift:
        omega |= dict.fromkeys(drift.names, variable(f"drift_sd_{drift.parameter}", drift.sd))
        means |= dict.fromkeys(drift.names, pt.zeros(len(records)))
    blocks = between_patients(model)
    together = {name for lkj in blocks for name in lkj.over}
    alone = tuple(name for name in omega if name not in together)
    psi = means | independent(alone, means, omega, len(records), chosen)
    for lkj in blocks:
        ending = f"_{lkj.over[0]}" if len(blocks) > 1 else ""
        psi |= correlated(lkj, means, omega, len(records), wholly(chosen, lkj.over), ending)
    scales = {p.name: p.scale for p in model.parameters}
    return {name: to_natural(value, scales.get(name, "identity")) for name, value in psi.items()}


def mean_of(parameter, records):
    """Typical value with the patient's covariates on the transformed scale, (N,)."""
    import pytensor.tensor as pt

    typical = variable(f"{parameter.name}_pop", parameter.typical)
    match parameter.scale:
        case "log":
            mean = pt.log(typical)
        case "logit":
            mean = pt.log(typical) - pt.log1p(-typical)
        case _:
            mean = typical
    mean = mean * pt.ones(len(records))
    for effect in parameter.covariates:
        given = [record.covariates.get(effect.covariate) for record in records]
        match effect:
            case Power(reference=reference, exponent=prior):
                ending, x = "", [0.0 if v is None else np.log(float(v)) - np.log(reference) for v in given]
            case Slope(reference=reference, slope=prior):
                ending, x = "", [0.0 if v is None else float(v) - reference for v in given]
            case Category(level=level, shift=prior, unknown=unknown):
                ending, x = f"_{level}", [unknown if v is None else float(same_level(v, level)) for v in given]
        mean = mean + variable(f"beta_{parameter.name}_{effect.covariate}{ending}", prior) * np.array(x)
    return mean


def same_level(value, level: str) -> bool:
    """True where a recorded covariate is this level: the same word, or the same number written otherwise."""
    try:
        return float(value) == float(level)
    except (TypeError, ValueError):
        return str(value) == level


def wholly(chosen: set, over) -> bool:
    """Are the parameters under one LKJ prior centred? ModelError where some are."""
    left = [name for name in over if name not in chosen]
    if left and len(left) < len(over):
        raise ModelError(
            "the cross-check centres all parameters of a correlation or none",
            place="centred",
            value=", ".join(name for name in over if name in chosen),
            allowed=f"all or none of {', '.join(over)}",
        )
    return not left


def independent(names, means, omega, count: int, chosen: set) -> dict:
    """Transformed individual values of parameters without correlation, name -> (N,); `chosen` are centred."""
    import pymc as pm

    def one(name):
        if name in chosen:
            return pm.Normal(f"psi_{name}", mu=means[name], sigma=omega[name], shape=count)
        return means[name] + omega[name] * pm.Normal(f"z_{name}", shape=count)

    return {name: one(name) for name in names}


def correlated(lkj, means, omega, count: int, centred: bool, ending: str) -> dict:
    """The same of the parameters under an LKJ prior; `ending` tells the sites of several apart."""
    import pymc as pm
    import pytensor.tensor as pt

    size = len(lkj.over)
    lower = pm.LKJCorr(f"correlation_cholesky{ending}", n=size, eta=lkj.concentration, **pair_or_default(size))
    mean = pt.stack([means[name] for name in lkj.over], axis=1)
    sd = pt.stack([omega[name] for name in lkj.over])
    if centred:
        psi = pm.MvNormal(f"psi{ending}", mu=mean, chol=sd[:, None] * lower, shape=(count, len(lkj.over)))
    else:
        psi = mean + sd * pt.dot(pm.Normal(f"z{ending}", shape=(count, len(lkj.over))), lower.T)
    return {name: psi[:, k] for k, name in enumerate(lkj.over)}


def to_natural(value, scale: str):
    """From the transformed scale, where effects add, to the one on which a parameter is read."""
    import pytensor.tensor as pt

    return pt.exp(value) if scale == "log" else pt.sigmoid(value) if scale == "logit" else value


def as_table(expected: dict, rows: dict, records):
    """Expected values by output as one table (N, L), as the solver gives them."""
    import pytensor.tensor as pt

    longest = max(max((part.row.max(initial=0) for part in rows.values()), default=0) + 1, 1)
    table = pt.ones((len(records), longest))
    for name, part in rows.items():
        if len(part.value):
            table = table[part.patient, part.row].set(expected[name])
    return table
