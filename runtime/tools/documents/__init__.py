"""Documents: a folder the person names becomes searchable.

``walk`` finds the files, ``load`` reads them (``html`` and ``pdf`` hold the two libraries), ``passages`` cuts them,
``index`` keeps them, ``search`` finds them, ``reading`` opens one, ``tools`` shows them to agents.

Rules: nothing outside the folder is ever read; text is kept verbatim; a file that cannot be read is a
:class:`Problem` in the summary, never an exception.
"""
