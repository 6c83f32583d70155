"""A population of theophylline around the published values (nlmixr2, FOCEI), made without NUTS."""

import numpy as np


def published_draws(n: int = 100) -> dict:
    """Natural-scale draws, name -> (n, ...): typical values and SDs within 10 %."""
    rng = np.random.default_rng(2)
    medians = {"ka_pop": 1.6, "CL_pop": 2.8, "V_pop": 32.0, "omega_ka": 0.5, "omega_CL": 0.25, "omega_V": 0.15}
    draws = {name: value * np.exp(0.1 * rng.standard_normal(n)) for name, value in medians.items()}
    draws["sigma_add_concentration"] = 0.6 * np.exp(0.05 * rng.standard_normal(n))
    draws["beta_CL_weight_kg"] = 0.75 + 0.1 * rng.standard_normal(n)
    draws["beta_V_weight_kg"] = 1.0 + 0.1 * rng.standard_normal(n)
    lower = np.tile(np.eye(3), (n, 1, 1))
    lower[:, 2, 1], lower[:, 2, 2] = 0.5, np.sqrt(0.75)
    return draws | {"correlation_cholesky": lower}
