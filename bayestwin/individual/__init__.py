"""One patient given parameters: the only likelihood, used by population fit, twin and forecast alike."""

from bayestwin.individual.data import (
    PatientData,
    Sizes,
    beginning,
    bucket,
    compile_record,
    information_time,
    padded_alike,
    used_sizes,
    vital_facts,
    with_seen,
)
from bayestwin.individual.likelihood import (
    ClassLikelihood,
    class_likelihood,
    first_state,
    outputs_at,
    total_log_likelihood,
)
from bayestwin.individual.missing import first_covariates
from bayestwin.individual.occasions import begun_effects
from bayestwin.individual.parameters import (
    Hyper,
    class_log_probability,
    covariate_course,
    covariate_terms,
    draw_prior,
    log_levels,
    log_prior,
    natural_values,
    prior_mean,
    prior_moments,
    response_structure,
)

__all__ = [
    "ClassLikelihood",
    "Hyper",
    "PatientData",
    "Sizes",
    "beginning",
    "begun_effects",
    "bucket",
    "class_likelihood",
    "class_log_probability",
    "compile_record",
    "covariate_course",
    "covariate_terms",
    "draw_prior",
    "first_covariates",
    "first_state",
    "information_time",
    "log_levels",
    "log_prior",
    "natural_values",
    "outputs_at",
    "padded_alike",
    "prior_mean",
    "prior_moments",
    "response_structure",
    "total_log_likelihood",
    "used_sizes",
    "vital_facts",
    "with_seen",
]
