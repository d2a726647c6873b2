"""The log of every run: journal and stream in one.

``log`` is the port (memory and SQLite keep it), ``hub`` the one writer to it (``sequencer``) and feeder of doors (``presence``),
``publisher`` the sending end in every other process. An event is durable before it is visible.
"""
