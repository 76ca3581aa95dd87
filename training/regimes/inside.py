"""What an objective finds inside the network it is given."""

from __future__ import annotations

from torch import nn

from ...imaging.errors import BadCall
from ...models.backbones.network import SegmentationNetwork
from ...models.language.satmini.fixed_classes import FixedClasses


def backbone_in(net: nn.Module) -> SegmentationNetwork:
    """The backbone that a run's network is or holds.

    Raises:
        BadCall: there is none.
    """
    inner = net.net if isinstance(net, FixedClasses) else net
    if not isinstance(inner, SegmentationNetwork):
        raise BadCall("This objective needs a backbone with one channel per structure. Set `backbone` in [network].")
    return inner
