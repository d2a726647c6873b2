"""Protocols that other front ends speak, each as a pure projection of the log.

A projection takes a run's events in order and gives that protocol's bytes; the same events give the same bytes, so a replay is the
live stream again. It never changes what a run records.
"""
