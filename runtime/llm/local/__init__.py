"""A real language model on this machine: llama.cpp behind a small facade that speaks the Messages API on loopback.

The same Anthropic adapter drives it, so nothing above this package knows that it exists. llama.cpp's own ``/v1/messages``
drops tools with some templates and ignores tool choice and output schemas; the facade turns both into grammars.

- ``wire`` reads requests, ``grammar`` and ``prompt`` decide what the model sees and may write, ``small`` does so for weights
  that need guidance, ``turn`` makes events of tokens: all pure;
- ``engine`` is the port to a model in memory, ``llama`` the adapter; ``desk`` gives it one job at a time;
- ``facade`` is the HTTP application, ``server`` starts and stops it, ``note`` is how it introduces itself.

``xllamacpp`` is imported when a model is loaded and not before: it is an optional extra.
"""
