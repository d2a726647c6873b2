"""Layer 3, the orchestrator: asks planner, titler and guardrail in parallel, validates, stores the plan or the stop reason.

Rules: it plans and never executes a todo; every result is validated before it is stored; an agent is asked once to mend a
malformed one; a titler can be late or fail and nobody waits for it.
"""
