"""What a policy has that is trained, saved and judged here; beside `core.Policy`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from torch import Tensor, nn

from robocache.core.policy import Policy
from robocache.core.statistics import Statistics
from robocache.core.window import Window
from robocache.datasets.windows import Batch
from robocache.policies.draws import Draws


class TrainablePolicy(Policy, Protocol):
    """A `torch.nn.Module` that acts and learns. `kind` names it in policy.json.

    Attributes:
        window: what a training sample sees and predicts.
        statistics: of the action stream at least; its mean is what open loop compares with.
    """

    kind: str
    statistics: Statistics

    @property
    def window(self) -> Window: ...

    def loss_weight(self, batch: Batch) -> Tensor:
        """What the sum of losses of a batch is divided by; () float or int."""
        ...

    def summed_loss(self, batch: Batch, draws: Draws) -> Tensor:
        """The sum of losses, so that parts of a batch add up to the whole; () float32."""
        ...

    def learned(self) -> dict[str, Tensor]:
        """Name -> tensor of all that training changes, not copied."""
        ...

    def load_learned(self, tensors: Mapping[str, Tensor]) -> None:
        """Take in what `learned` gave.

        Raises:
            RuntimeError: other names or shapes.
        """
        ...

    def only_act(self) -> None:
        """Give up what only training needs, in place."""
        ...

    def to_json(self) -> dict[str, Any]:
        """All but the learned tensors; `from_json` of the class builds the same policy."""
        ...


def mean_loss(policy: TrainablePolicy, batch: Batch, draws: Draws) -> Tensor:
    """() loss of a whole batch."""
    return policy.summed_loss(batch, draws) / policy.loss_weight(batch)


def as_module(policy: TrainablePolicy) -> nn.Module:
    """The same object, as torch sees it."""
    assert isinstance(policy, nn.Module)
    return policy
