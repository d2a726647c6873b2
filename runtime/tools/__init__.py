"""Tools: what an agent can do beside talking. ``tool`` has the decorator, ``registry`` finds them, ``invoke`` runs them."""
