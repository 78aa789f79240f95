"""Settings of a policy server."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field

from robocache.core.errors import ConfigError
from robocache.serving.scan import Limits


@dataclass(frozen=True, kw_only=True)
class ServerConfig:
    """How a policy is served.

    Attributes:
        host: address of the interface to listen on; any but a loopback one needs a token.
        port: TCP port; 0 takes a free one.
        token: what every request must bring as `api_token`; None: nothing, and `kill` is refused.
        max_batch: requests of different clients in one call of the policy.
        queue: requests that may wait; one more is refused at once.
        timeout_s: a request that waited longer is refused and not computed.
        linger_s: how long the policy waits for the clients it has just answered to ask again, or a
            tenth of its last computation if that is longer; one client alone never waits.
        limits: size and depth of a message.
        seed: root of the seeds of requests that bring none; request n gets a function of it and n.
    """

    host: str = "127.0.0.1"
    port: int = 5555
    token: str | None = field(default=None, repr=False)
    max_batch: int = 8
    queue: int = 64
    timeout_s: float = 10.0
    linger_s: float = 0.002
    limits: Limits = field(default_factory=Limits)
    seed: int = 0

    def __post_init__(self) -> None:
        if self.token == "":
            raise ConfigError("the API token is empty; give one, or none at all")
        if self.token is None and not _is_loopback(self.host):
            raise ConfigError(
                f"host {self.host} can be reached by others: set ROBOCACHE_TOKEN, or listen on "
                f"127.0.0.1"
            )
        if not 0 <= self.port < 65536:
            raise ConfigError(f"port must lie in 0..65535, got {self.port}")
        for name in ("max_batch", "queue", "timeout_s"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"{name} must be above 0, got {getattr(self, name)}")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
