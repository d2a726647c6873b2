"""Who asks, and whether they may: keys, tokens, the gate that every request passes, and the audit log.

Nothing a credential says is fetched, and nothing about it is told: whatever is wrong with one, the answer is the same 401.
"""
