"""Theophylline written straight from the documentation of NumPyro and diffrax, as a rival: one dose at time zero."""

import diffrax
import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist


def flows(t, y, rates):
    """Amounts in depot and central compartment, mg/h."""
    ka, k = rates
    return jnp.array([-ka * y[0], ka * y[0] - k * y[1]])


def concentration(times, dose, ka, clearance, volume):
    """mg/L at these times, by diffrax's recommended adaptive solver."""
    solution = diffrax.diffeqsolve(
        diffrax.ODETerm(flows),
        diffrax.Tsit5(),
        t0=0.0,
        t1=times[-1],
        dt0=None,
        y0=jnp.array([dose, 0.0]),
        args=(ka, clearance / volume),
        saveat=diffrax.SaveAt(ts=times),
        stepsize_controller=diffrax.PIDController(rtol=1e-6, atol=1e-6),
        max_steps=4096,
        throw=False,
    )
    return solution.ys[:, 1] / volume


def plain_program(times, dose, weight, observed):
    """The model of models/theophylline: the same priors, covariates and correlation; times (T,), observed (N, T)."""
    patients = observed.shape[0]
    typical = jnp.stack(
        [
            numpyro.sample("ka_pop", dist.LogNormal(jnp.log(1.5), 0.5)),
            numpyro.sample("CL_pop", dist.LogNormal(jnp.log(2.8), 0.5)),
            numpyro.sample("V_pop", dist.LogNormal(jnp.log(32.0), 0.5)),
        ]
    )
    omega = jnp.stack([numpyro.sample(f"omega_{name}", dist.HalfNormal(0.5)) for name in ("ka", "CL", "V")])
    slopes = jnp.stack(
        [
            0.0,
            numpyro.sample("beta_CL_weight_kg", dist.Normal(0.75, 0.2)),
            numpyro.sample("beta_V_weight_kg", dist.Normal(1.0, 0.2)),
        ]
    )
    sigma = numpyro.sample("sigma_add_concentration", dist.HalfNormal(1.0))
    lower = numpyro.sample("correlation_cholesky", dist.LKJCholesky(3, 2.0))
    with numpyro.plate("patient", patients):
        z = numpyro.sample("z", dist.Normal(0.0, 1.0).expand([3]).to_event(1))
    ka, clearance, volume = jnp.exp(
        jnp.log(typical) + slopes * jnp.log(weight / 70.0)[:, None] + z @ (omega[:, None] * lower).T
    ).T
    predicted = jax.vmap(concentration, (None, None, 0, 0, 0))(times, dose, ka, clearance, volume)
    # a solve that fails in warm-up gives inf, which validation would stop the run for
    numpyro.sample("labs", dist.Normal(predicted, sigma, validate_args=False).to_event(2), obs=observed)
