"""The log of every run: journal and stream in one.

``log`` is the port (memory and SQLite keep it), ``hub`` the sequencer that alone writes to it and feeds the doors,
``publisher`` the sending end in every other process. An event is durable before it is visible.
"""
