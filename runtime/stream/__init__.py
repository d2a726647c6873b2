"""The three phases every event goes through before it is appended: transform, enrich, process.

Each is a list of small functions that users extend: mark a function with ``@transform``, ``@enrich`` or ``@process`` in a
module named in ``settings.modules``. An exception in transform is a bug and fails the turn; in enrich an I/O failure, and the
event goes on without the data; in process a rule's failure, and the event is withheld.
"""
