"""How often one key, and one tenant, may ask: kept in memory, decided in under a microsecond."""

MOST = 65_536
"""Keys, or tenants, remembered at once; more only come together where many are long at rest."""

_ROUNDING = 1e-6  # seconds: sums of floats must not cost anybody a request


class Rates:
    """The generic cell rate algorithm (ITU-T I.371): one number for each key and each tenant.

    The number is when its bucket will be full again. A request moves it on by ``1 / rate``
    seconds and is let through as long as it lies no further ahead than a burst. Whoever is
    refused pays nothing, and what a key is refused is not taken from its tenant.

    Args:
        per_key: requests a second, and how many at once, of one key.
        per_tenant: the same for all keys of a tenant together.
    """

    def __init__(self, per_key: tuple[float, float], per_tenant: tuple[float, float]) -> None:
        (key_rate, key_burst), (tenant_rate, tenant_burst) = per_key, per_tenant
        self._key_step, self._tenant_step = 1 / key_rate, 1 / tenant_rate
        self._key_ahead = (max(key_burst, 1) - 1) / key_rate + _ROUNDING
        self._tenant_ahead = (max(tenant_burst, 1) - 1) / tenant_rate + _ROUNDING
        self._keys: dict[str, float] = {}
        self._tenants: dict[str, float] = {}

    def take(self, key_id: str, tenant: str, now: float) -> float:
        """Take one request; 0, or how many seconds to wait until there is one again.

        Args:
            tenant: the key's own, whatever it asks for; empty for an operator's, who has none.
            now: seconds of a monotonic clock.
        """
        key_full = self._keys.get(key_id, now)
        if key_full < now:
            key_full = now
        wait = key_full - now - self._key_ahead
        if wait > 0:
            return wait
        if tenant:
            tenant_full = self._tenants.get(tenant, now)
            if tenant_full < now:
                tenant_full = now
            wait = tenant_full - now - self._tenant_ahead
            if wait > 0:
                return wait
            self._tenants[tenant] = tenant_full + self._tenant_step
        self._keys[key_id] = key_full + self._key_step
        if len(self._keys) > MOST or len(self._tenants) > MOST:
            self._forget(now)
        return 0.0

    def _forget(self, now: float) -> None:
        """A full bucket is as good as none."""
        self._keys = {name: full for name, full in self._keys.items() if full > now}
        self._tenants = {name: full for name, full in self._tenants.items() if full > now}
