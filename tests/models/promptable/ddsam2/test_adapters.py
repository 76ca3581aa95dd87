"""DD-SAM2's adapters: not nothing at the start, two functions that must not be mixed up, reach by dilation."""

import pytest
import torch

from ostensor.imaging.errors import BadCall
from ostensor.models.promptable.ddsam2.adapters import ChainedDilatedAdapter, DilatedAdapter
from ostensor.models.promptable.ddsam2.weights import load_adapter


def test_it_is_not_nothing_at_the_start() -> None:
    torch.manual_seed(0)
    with torch.no_grad():
        assert DilatedAdapter(12)(torch.randn(1, 9, 13, 12)).abs().max() > 0.05


def test_both_kinds_differ_even_with_the_same_weights_and_rates() -> None:
    torch.manual_seed(0)
    plain, chained = DilatedAdapter(12), ChainedDilatedAdapter(12, (1, 3))
    state = plain.state_dict()
    names = {"dw2_1.": "blk.0.", "dw2_2.": "blk.1."}
    renamed = {
        next((key.replace(old, new) for old, new in names.items() if key.startswith(old)), key): value
        for key, value in state.items()
    }
    chained.load_state_dict(renamed)
    x = torch.randn(1, 9, 13, 12)
    with torch.no_grad():
        assert (plain(x) - chained(x)).abs().max() > 1e-3


@pytest.mark.parametrize(("adapter", "reach"), [(DilatedAdapter(8), 3), (ChainedDilatedAdapter(8), 9)])
def test_a_token_is_heard_as_far_as_the_dilations_reach(adapter: torch.nn.Module, reach: int) -> None:
    """Side by side the farthest counts, 3; one after the other they add up, 1 + 3 + 5."""
    for value in adapter.parameters():
        torch.nn.init.uniform_(value, 0.1, 0.5)
    x = torch.zeros(1, 25, 25, 8)
    with torch.no_grad():
        before = adapter(x)
        x[0, 12, 12] = 1
        heard = (adapter(x) - before).abs().amax((0, 3)) > 1e-6
    places = heard.nonzero()
    assert places.amin(0).tolist() == [12 - reach, 12 - reach]
    assert places.amax(0).tolist() == [12 + reach, 12 + reach]


def test_weights_tell_the_kind_and_other_files_are_refused() -> None:
    plain, chained = DilatedAdapter(12), ChainedDilatedAdapter(12)
    assert isinstance(load_adapter(plain.state_dict()), DilatedAdapter)
    assert isinstance(load_adapter(chained.state_dict()), ChainedDilatedAdapter)
    with pytest.raises(BadCall, match="no adapter of DD-SAM2"):
        load_adapter({"x": torch.zeros(1)})
    with pytest.raises(BadCall, match="two dilations, not 3"):
        load_adapter(plain.state_dict(), (1, 2, 3))
    with pytest.raises(BadCall, match="2 unexpected"):
        load_adapter(chained.state_dict(), (1, 3))
