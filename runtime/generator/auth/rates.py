"""How many requests a tenant may make: a bucket of tokens for each, at this door."""

from __future__ import annotations

import math
from collections import OrderedDict
from typing import Final

from runtime.errors import OverQuota
from runtime.tenancy import TenantLimits

MOST: Final = 10_000
"""Tenants; the one that asked longest ago is forgotten, and finds a full bucket when it comes back."""


class Rates:
    """The buckets. Several doors count each for itself."""

    def __init__(self) -> None:
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, tenant_id: str, limits: TenantLimits, now: float) -> None:
        """One request at ``now`` (monotonic). Raises ``OverQuota`` (``too_many_requests``)."""
        if limits.requests_per_s is None:
            return
        size = float(limits.burst or max(1, math.ceil(limits.requests_per_s)))
        left, since = self._buckets.pop(tenant_id, (size, now))
        left = min(size, left + (now - since) * limits.requests_per_s)
        enough = left >= 1
        self._buckets[tenant_id] = (left - 1 if enough else left, now)
        while len(self._buckets) > MOST:
            self._buckets.popitem(last=False)
        if not enough:
            wait_s = (1 - left) / limits.requests_per_s
            raise OverQuota("These are too many requests; ask more slowly.", "too_many_requests", wait_s)
