"""Layer 4, the pipeline: stages built from the plan at run time, joined by post-hooks.

Rules: it decides what may run and what a finished stage means; it neither plans nor talks to a model. Stages never reach
into one another: what a later stage knows is what an earlier one's hook handed on.
"""
