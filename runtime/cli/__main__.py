"""``python -m runtime.cli``: the same as ``headrace``."""

from runtime.cli import main

main()
