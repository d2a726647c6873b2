"""Layer 2, the executor: owns runs. Plan, guardrail check, build the pipeline, run it under recovery, finish.

Rules: ``decide`` is pure, from the folded log to the next command; ``drive`` performs commands and never sees a token; the
state is read back from the log after each, so a takeover is the ordinary path with another reader.
"""
