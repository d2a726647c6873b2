"""The protocols that front ends already speak, each a pure projection of a run's log: one room for each.

Rules: a projection takes events and gives the other protocol's events; it has no clock, no ids and no randomness of its own, so
a replay gives the same bytes as the live stream. It never changes what a run records. Everything else (asking, saying, following,
cancelling) is done as the native API does it.
"""
