"""Scripts that come with Headrace, as package data; their format is in :mod:`runtime.llm.script`."""
