"""The offline engine: an extractive answerer behind the model port. It is no language model and says so.

Rules of this room:

- every statement it writes is a sentence of a document, verbatim or shortened by deletion, with its citation; the only
  words of its own are the fixed headings and remarks of ``statements`` and ``compose``;
- the same request gives the same chunks: no clock, chance or set order decides what is said;
- odd input (empty, emoji, ten kilobytes, another language) gets an honest answer, never an exception.
"""
