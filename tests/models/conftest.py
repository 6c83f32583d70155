"""The contract suite's patients: per model folder a treated record, draws of the prior, compiled programs."""

from functools import lru_cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest

from bayestwin.dynamics import Accuracy
from bayestwin.individual import class_likelihood, compile_record, draw_prior, total_log_likelihood
from bayestwin.individual.residuals import draw_observation
from bayestwin.population.hyper import assemble, hyper_sites
from bayestwin.population.program import distribution
from bayestwin.records.record import ClinicalEvent, Lab, PatientRecord
from bayestwin.specification import load_model, models_folder

FOLDERS = sorted(p.parent.name for p in models_folder().glob("*/model.py"))
# Drugs that are two compartments put together from the same blocks as elranatamab, which has most of them: what
# compiles for ten seconds and more (200 patients of the prior with their gradients) runs on that one, and on these in
# `make validate`.
AS_ELRANATAMAB = ("daratumumab", "isatuximab", "teclistamab", "tocilizumab")
# Of the three models for any drug, whose numbers and priors are one set, the longest has the other two in it.
IN_THREE_COMPARTMENTS = ("one_compartment", "two_compartment")
# One linear compartment, whose course has a test of its own beside this suite.
AS_THEOPHYLLINE = ("phenobarbital",)
# These programs run once: compiling them without optimisation takes a third of the time.
QUICK = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}


@pytest.hookimpl(tryfirst=True)  # before pytest leaves out what is marked
def pytest_collection_modifyitems(items):
    """The costly part of the contract is for `make validate` where a drug is built as another."""
    for item in items:
        chosen = getattr(item, "callspec", None)
        model = chosen and chosen.params.get("model")
        if "patients" in getattr(item, "fixturenames", ()) and model in (
            *AS_ELRANATAMAB,
            *IN_THREE_COMPARTMENTS,
            *AS_THEOPHYLLINE,
        ):
            item.add_marker(pytest.mark.validate)


@pytest.fixture(scope="module", autouse=True)
def sixty_four_bits():
    """All numbers of these tests are 64-bit; the flag is put back."""
    with jax.enable_x64(True):
        yield


@pytest.fixture(scope="module", params=FOLDERS)
def model(request):
    """Every model in models/."""
    return load_model(request.param)


def record_under(model, treatment):
    """A patient who starts `treatment` at time zero and is measured eight times, values at the lower plausible end."""
    span = 24.0 if model.time_unit == "h" else 365.0
    times = span * np.array([0.01, 0.04, 0.08, 0.15, 0.25, 0.5, 0.75, 1.0])
    labs = []
    for o in model.observations:
        value = max(o.plausible[0], o.lower_limit or 0.0, 1e-3 * o.plausible[1])
        value = o.lab_spec.some_value if o.discrete else value
        labs += [Lab(f"{o.output}{t}", o.output, float(t), value, float(t)) for t in times]
    doses, events = (), ()
    if treatment is not None and treatment.starts_with == "dose":
        how = {"start": 0.0, "time_unit": model.time_unit, "dose_unit": model.dose_unit}
        doses = treatment.regimen.events(covariates={"weight_kg": 70.0}, **how)
    elif treatment is not None:
        events = (ClinicalEvent(treatment.starts_with, 0.0, 0.0, treatment.name),)
    return PatientRecord("P-001", labs=tuple(labs), doses=tuple(doses), events=events)


def prior_population(model, key, count):
    """`count` draws of the population and one patient from each, by the model's own priors."""
    sites = hyper_sites(model)
    # one program for models of any number of sites: a key hangs on its place alone
    keys, key_chol, key_psi = keys_of(key, count, -(-len(sites) // 128) * 128)
    natural = sampled(sites, keys)
    if model.correlation is not None:
        law = dist.LKJCholesky(len(model.correlation.over), model.correlation.concentration)
        natural["correlation_cholesky"] = jax.jit(jax.vmap(law.sample))(key_chol)
    hyper = assemble(model, natural, model.response_correlation.rho if model.response_correlation else 0.0)
    return hyper, patient_of_each(model)(key_psi, hyper)


def sampled(sites, keys):
    """Draws of every site, name -> (count,). Priors of one kind are one program with their numbers as arguments: a
    program for each of some hundred sites takes half a minute to compile."""
    kinds = {}
    for number, (name, prior) in enumerate(sites.items()):
        leaves, kind = jax.tree.flatten(distribution(prior))
        kinds.setdefault(kind, []).append((number, name, leaves))
    natural = {}
    for kind, members in kinds.items():
        numbers, names, leaves = zip(*members)
        laws = jax.tree.unflatten(kind, [filled(np.stack(np.broadcast_arrays(*one))) for one in zip(*leaves)])
        drawn = draw_each(laws, keys, filled(np.array(numbers)))
        natural.update(zip(names, np.asarray(drawn)))  # as NumPy: to cut it would be another program
    return {name: natural[name] for name in sites}


def filled(rows):
    """Rows, the last one repeated up to a power of two, so that models of other numbers of priors share programs."""
    return np.concatenate([rows, np.repeat(rows[-1:], (1 << (len(rows) - 1).bit_length()) - len(rows), axis=0)])


@jax.jit
def draw_each(laws, keys, numbers):
    """One draw of every law with every key of its number, (law, key)."""
    return jax.vmap(lambda law, own: jax.vmap(law.sample)(own), in_axes=(0, 1))(laws, keys[:, numbers])


@partial(jax.jit, static_argnums=(1, 2))
def keys_of(key, count, sites):
    """Keys of `count` population draws: of every site (count, sites), of correlation and patient (count,)."""
    key_sites, *others = jnp.moveaxis(jax.vmap(lambda k: jax.random.split(k, 3))(jax.random.split(key, count)), 1, 0)
    return jax.vmap(lambda k: jax.random.split(k, sites))(key_sites), *others


@lru_cache
def patient_of_each(model):
    """One program: a patient of every population draw."""
    return jax.jit(jax.vmap(lambda key, hyper: draw_prior(model, key, hyper, jnp.zeros(len(model.effects)))))


@lru_cache
def programs(model):
    """One program: total log-likelihood, all its pieces, and the gradient, of many patients."""
    rho = model.response_correlation.rho if model.response_correlation else 0.0

    def pieces(psi, hyper, data):
        return class_likelihood(model, psi, hyper, data, rho=rho, accuracy=Accuracy())

    def total(psi, hyper, data):
        found = pieces(psi, hyper, data)
        return total_log_likelihood(found), found

    many = jax.vmap(jax.value_and_grad(total, argnums=(0, 1), has_aux=True), in_axes=(0, 0, None))
    return jax.jit(many, compiler_options=QUICK)


class PriorPatients:
    """200 patients of the prior under each treatment; pieces(treatment) and gradients(treatment, count)."""

    def __init__(self, model):
        self.model, self.done = model, {}
        self.hyper, self.psi = prior_population(model, jax.random.key(11), 200)

    def data(self, treatment):
        record = record_under(self.model, treatment)
        sizes = (64, 320) if self.model.time_unit == "h" else None
        data = compile_record(self.model, record, sizes=sizes)
        if len(data.classes) > 1 or not self.model.response_classes:
            return data
        # Without a class to tell it is summed over once; twice the same class, its program is that of all others.
        return data._replace(classes=np.repeat(data.classes, 2, axis=0))

    def everything(self, treatment):
        name = treatment and treatment.name
        if name not in self.done:
            self.done[name] = programs(self.model)(self.psi, self.hyper, self.data(treatment))
        return self.done[name]

    def pieces(self, treatment):
        (_, pieces), _ = self.everything(treatment)
        return pieces

    def gradients(self, treatment):
        (value, _), slope = self.everything(treatment)
        return value, slope

    def observations(self, pieces, treatment):
        """A simulated lab for every prediction of the responder class, (200, N), and the output of each column."""
        data = self.data(treatment)
        found = np.zeros(np.shape(pieces.prediction[:, 0]))
        for k in range(len(self.model.observations)):
            sigma = np.asarray(self.hyper.sigma)[:, None, :]
            drawn = draw_observation(self.model, k, np.random.default_rng(k), pieces.prediction[:, 0], sigma)
            found = np.where(data.output == k, drawn, found)
        return found, data.output, data.mask > 0


@pytest.fixture(scope="module")
def measured(model):
    """The model, where it has labs: a drug without them is a part of others, and has no likelihood of its own."""
    if not model.observations:
        pytest.skip(f"{model.name} measures nothing")
    return model


@pytest.fixture(scope="module")
def patients(measured):
    return PriorPatients(measured)


@pytest.fixture(scope="module")
def first_record(measured):
    """A patient under the first treatment of the model."""
    return record_under(measured, measured.treatments[0] if measured.treatments else None)


@pytest.fixture(scope="module")
def draws(measured):
    """200 population draws of the prior with a patient each."""
    return prior_population(measured, jax.random.key(7), 200)
