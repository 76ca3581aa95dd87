"""Any objective, of which a network's adapters alone learn: what `[adapters]` makes of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from ...objective import Batches, Objective, Roles, State
from .adapters import Adapters, list_adapters, wrap_


@dataclass(frozen=True, eq=False)
class Adapted(Objective):
    """The objective with adapters on its network, and on what it makes of it, as a teacher.

    Networks without adapters, as a discriminator, learn as they would. Batch norms of those with adapters keep what they know.
    """

    inner: Objective
    how: Adapters

    @property
    def name(self) -> str:  # type: ignore[override]  # told by both
        """Of the objective, and the kind of adapters."""
        return f"{self.inner.name}, {self.how.name}"

    @property
    def paper(self) -> str:  # type: ignore[override]  # told by both
        """Of the objective, and of the adapters."""
        return f"{self.inner.paper}; LoRA on U-Net, arXiv 2508.01772"

    @property
    def streams(self) -> tuple[str, ...]:  # type: ignore[override]  # the objective's
        """The objective's."""
        return self.inner.streams

    def roles(self, model: nn.Module) -> dict[str, nn.Module]:
        """The objective's, around the network with adapters."""
        wrap_(model, self.how)
        return self.inner.roles(model)

    def groups(self, roles: Roles) -> dict[str, list[nn.Parameter]]:
        """The objective's, of networks with adapters those alone."""
        frozen: set[int] = set()
        for net in roles.values():
            if adapters := list_adapters(net):
                learning = {id(value) for value in adapters.values()}
                frozen |= {id(value) for value in net.parameters()} - learning
        found = self.inner.groups(roles)
        return {group: [value for value in some if id(value) not in frozen] for group, some in found.items()}

    def optimizer(
        self, group: str, parameters: Sequence[nn.Parameter], learning_rate: float, weight_decay: float
    ) -> torch.optim.Optimizer:
        """The objective's."""
        return self.inner.optimizer(group, parameters, learning_rate, weight_decay)

    def phases(self, state: State) -> tuple[str, ...]:
        """The objective's."""
        return self.inner.phases(state)

    def losses(self, phase: str, roles: Roles, batches: Batches, state: State) -> Mapping[str, torch.Tensor]:
        """The objective's; batch norms answer as they will when the network is used."""
        for net in roles.values():
            if list_adapters(net):
                for module in net.modules():
                    if isinstance(module, nn.modules.batchnorm._BatchNorm):
                        module.eval()
        return self.inner.losses(phase, roles, batches, state)

    def after_step(self, roles: Roles, state: State) -> None:
        """The objective's."""
        self.inner.after_step(roles, state)

    def exported(self, roles: Roles) -> nn.Module:
        """The objective's; its adapters are merged when it is used."""
        return self.inner.exported(roles)

    def state_dict(self) -> dict[str, Any]:
        """The objective's."""
        return self.inner.state_dict()

    def load_state_dict(self, values: Mapping[str, Any]) -> None:
        """The objective's."""
        self.inner.load_state_dict(values)
