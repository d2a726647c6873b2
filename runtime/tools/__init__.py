"""Tools: what an agent can do but talk. ``tool`` has the decorator, ``registry`` finds them, ``invoke`` runs them."""
