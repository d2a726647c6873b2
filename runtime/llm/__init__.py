"""Models. ``client`` is the port; each other module is one adapter, chosen only by ``runtime.bootstrap``."""
