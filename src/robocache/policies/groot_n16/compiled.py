"""The velocity of the action head through torch.compile."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from robocache.core.errors import ConfigError
from robocache.policies.groot_n16.action_head import ActionHead


class CompiledVelocity:
    """`ActionHead.velocity`, compiled when it is first called; on CUDA with CUDA graphs.

    It compiles once more for the second length of a prompt, and then serves all lengths on the CPU;
    CUDA graphs are recorded for each length.

    Args:
        head: whose weights are used as they are at each call.
        backend: of torch.compile.
    """

    def __init__(self, head: ActionHead, backend: str = "inductor") -> None:
        self._head, self._backend = head, backend
        self._compiled: Callable[..., Tensor] | None = None

    def __call__(self, x_BHA: Tensor, *rest: Any) -> Tensor:
        """See `ActionHead.velocity`; what it gives holds until the next call.

        Raises:
            ConfigError: it cannot be compiled here.
        """
        cuda = x_BHA.device.type == "cuda" and self._backend == "inductor"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of torch's own modules, as they are loaded
            if self._compiled is None:
                self._compiled = torch.compile(
                    self._head.velocity,
                    backend=self._backend,
                    fullgraph=True,
                    mode="reduce-overhead" if cuda else None,
                )
            if cuda:
                torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call]
            try:
                return self._compiled(x_BHA, *rest)
            except RuntimeError as error:
                if not type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
                    raise
                reason = str(error).strip().partition("\n")[0]
                raise ConfigError(
                    f"the network cannot be compiled on {x_BHA.device.type} here ({reason}): "
                    f"install a C++ compiler (on CUDA also triton), or act with "
                    f"policy.network.compile=false"
                ) from error
