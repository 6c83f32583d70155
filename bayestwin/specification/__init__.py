"""What a model is: parameters with priors, covariate effects, observations, treatments, endpoints.

Model files import everything they need from here. Nothing in this room computes.
"""

from bayestwin.dosing import Regimen
from bayestwin.specification.discrete import Bernoulli, NegativeBinomial, Ordinal, Poisson
from bayestwin.specification.dose_parameters import Dosing
from bayestwin.specification.endpoints import Progression, SerologicalRule
from bayestwin.specification.evidence import Constant, HazardRatio, Outcome, Shares, Spread, TrialArm
from bayestwin.specification.horseshoe import Horseshoe
from bayestwin.specification.load import load_model, model_folder, models_folder
from bayestwin.specification.missing_covariates import CategoryCovariate, LogNormalCovariate, NormalCovariate
from bayestwin.specification.model import Model
from bayestwin.specification.observations import (
    Additive,
    Combined,
    LogNormalError,
    Observation,
    Proportional,
    SerialCorrelation,
)
from bayestwin.specification.occasions import Occasions
from bayestwin.specification.parameters import (
    Adaptive,
    Category,
    Drift,
    Linear,
    Parameter,
    Power,
    ResponseClass,
    ResponseCorrelation,
    Slope,
    Steps,
    omega_from_cv,
)
from bayestwin.specification.parts import Part, part_of
from bayestwin.specification.priors import (
    LKJ,
    Beta,
    Exponential,
    Fixed,
    Gamma,
    HalfCauchy,
    HalfNormal,
    InverseGamma,
    LogitNormal,
    LogNormal,
    Normal,
    StudentT,
    TruncatedNormal,
    Uniform,
)
from bayestwin.specification.read_evidence import read_evidence, read_hazard_ratios, read_mix
from bayestwin.specification.sites import Sites
from bayestwin.specification.treatments import Delay, Eligibility, Treatment

__all__ = [
    "LKJ",
    "Adaptive",
    "Additive",
    "Bernoulli",
    "Beta",
    "Category",
    "CategoryCovariate",
    "Combined",
    "Constant",
    "Delay",
    "Dosing",
    "Drift",
    "Eligibility",
    "Exponential",
    "Fixed",
    "Gamma",
    "HalfCauchy",
    "HalfNormal",
    "HazardRatio",
    "Horseshoe",
    "InverseGamma",
    "LogNormal",
    "LogNormalCovariate",
    "LogNormalError",
    "LogitNormal",
    "Model",
    "NegativeBinomial",
    "Normal",
    "NormalCovariate",
    "Observation",
    "Occasions",
    "Outcome",
    "Ordinal",
    "Parameter",
    "Part",
    "Poisson",
    "Power",
    "Progression",
    "Proportional",
    "Regimen",
    "ResponseClass",
    "ResponseCorrelation",
    "SerialCorrelation",
    "SerologicalRule",
    "Shares",
    "Sites",
    "Slope",
    "Spread",
    "Linear",
    "Steps",
    "StudentT",
    "Treatment",
    "TrialArm",
    "TruncatedNormal",
    "Uniform",
    "load_model",
    "model_folder",
    "models_folder",
    "omega_from_cv",
    "part_of",
    "read_evidence",
    "read_hazard_ratios",
    "read_mix",
]
