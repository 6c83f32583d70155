"""What a posterior owes to its population draws being few.

The particles of all islands rest on the same M draws of the population posterior, and the patient's labs weigh them:
draw m has weight s_m, and a mean is f = sum s_m f_m. Where few draws hold the weight, another M of them would have
given another f, which no spread between islands shows, for they share the draws. It is the error of a ratio of means
over draws, by the jackknife (draw m left out, the others reweighted):

    f without m, minus f  =  s_m (f - f_m) / (1 - s_m)
    error^2               =  sum over m of (s_m (f_m - f) / (1 - s_m))^2  -  variance / ESS

The last term is what the particles' own noise puts into the f_m, known from the islands already.

Source: Owen (2013), Monte Carlo theory, methods and examples, 9.2 (ratio estimators); Efron and Stein (1981), Annals of
Statistics 9:586.
"""

import numpy as np

FEWEST_DRAWS = 10.0  # effective draws under which the jackknife itself is not to be believed


def draws_error(values, weights, draw) -> np.ndarray:
    """Error of the weighted means of `values` (P,) or (P, K) because population draws are few, () or (K,).

    weights (P,) : sum to one; draw (P,) : the population draw of each
    """
    values, weights, draw = np.asarray(values, dtype=float), np.asarray(weights), np.asarray(draw)
    columns = values.reshape(len(values), -1).T
    share = np.bincount(draw, weights)
    mean = columns @ weights
    apart = np.stack([np.bincount(draw, weights * (x - centre)) for x, centre in zip(columns, mean)])
    noise = ((columns - mean[:, None]) ** 2 @ weights) * (weights**2).sum()
    squares = ((apart / np.maximum(1.0 - share, 1e-9)) ** 2).sum(axis=1)
    return np.sqrt(np.maximum(squares - noise, 0.0)).reshape(values.shape[1:])
