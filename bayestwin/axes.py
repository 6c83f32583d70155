"""Names of array axes and result dimensions, said once.

Axis letters used in docstrings: N patients, P particles, D individual parameters, M population draws,
C response classes, S model states, O observations of one patient, E events (doses, treatment starts),
K outputs, V visits, X treatments. Dimension names in saved results follow ArviZ.
"""

CHAIN, DRAW = "chain", "draw"
PATIENT, OBSERVATION, PARAMETER, OUTPUT, STATE = "patient", "obs", "parameter", "output", "state"
PARTICLE, POPULATION_DRAW, ISLAND = "particle", "population_draw", "island"
RESPONSE_CLASS, TREATMENT, TIME, VISIT = "response_class", "treatment", "time", "visit"

DAYS_PER_MONTH = 30.4375
