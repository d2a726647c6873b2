"""Layer 1, the event generator: opens the HTTP stream at once and keeps it right until the end.

Rules: it knows runs, events and readers, and nothing of todos, agents or models; every failure is put into words in one
place (``problems``); what was completed is always shown; a reader is a cursor over the log.
"""
