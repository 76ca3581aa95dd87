"""UNet++: columns that are left out, the mean of the columns, and both published layouts."""

from typing import Any

import pytest
import torch

from ostensor.imaging.errors import BadCall
from ostensor.models.backbones.convolution import unetpp
from ostensor.models.backbones.network import mean_of_answers
from ostensor.models.backbones.table import backbone

ORIGINAL = {"form": "original", "widths": [3, 4, 5, 6]}
NNUNET = {
    "form": "nnunet",
    "widths": [3, 4, 5],
    "strides": [[1, 2, 2], [2, 2, 1]],
    "kernels": [[1, 3, 3], 3, 3],
    "kernels_up": [3, [3, 3, 1]],
    "convolutions": 3,
}


def built(dims: int, options: dict[str, Any]) -> unetpp.UNetPlusPlus:
    torch.manual_seed(3)
    net = backbone("unetpp").build(dims, 2, 3, options).eval()
    assert isinstance(net, unetpp.UNetPlusPlus)
    return net


def image(*sides: int) -> torch.Tensor:
    return torch.randn(1, 2, *sides, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("columns", [1, 2, 3])
def test_a_pruned_network_says_what_the_whole_one_says_on_that_column_and_computes_no_more(columns: int) -> None:
    whole, pruned = built(2, ORIGINAL), built(2, {**ORIGINAL, "prune": columns})
    pruned.load_state_dict(whole.state_dict())
    computed: list[str] = []
    for name, node in pruned.nodes.items():
        node.register_forward_hook(lambda *_, name=name: computed.append(name))
    with torch.no_grad():
        said, of_all = pruned(image(8, 16)), whole(image(8, 16))
    heads = {int(one.tag.removeprefix("column.")): one.logits for one in of_all.aux} | {3: of_all.logits}
    assert torch.equal(said.logits, heads[columns])
    assert sorted(computed) == sorted(f"{i}_{j}" for i in range(columns + 1) for j in range(columns + 1 - i))


def test_training_a_pruned_network_trains_all_of_it() -> None:
    net = built(2, {**ORIGINAL, "prune": 1}).train()
    assert [one.tag for one in net(image(16, 16)).aux] == ["column.1", "column.2"]


def test_the_mean_of_the_columns_is_a_mean_of_probabilities() -> None:
    net = built(2, {**ORIGINAL, "mode": "mean"})
    with torch.no_grad():
        said = net(image(8, 8))
        node = net.grid(image(8, 8))
        each = [torch.sigmoid(head(node(0, int(j))).double()) for j, head in net.heads.items()]
    assert torch.allclose(torch.sigmoid(said.logits).double(), sum(each) / 3, atol=1e-6)


def test_the_mean_survives_logits_whose_probability_rounds_to_one() -> None:
    certain = torch.tensor([90.0, -200.0])
    assert torch.allclose(mean_of_answers([certain, certain]), certain)


def named_officially(net: unetpp.UNetPlusPlus) -> dict[str, torch.Tensor]:
    """The authors' keys, as the notes of the fixtures spell them."""
    columns, found = net.columns, {}
    for key, value in net.state_dict().items():
        part, place, *rest = key.split(".")
        if part == "heads":
            theirs = f"final{place}" if net.aligned else f"seg_outputs.{columns - int(place)}"
        else:
            i, j = (int(one) for one in place.split("_"))
            shorter = columns - i - j
            if part == "grow":
                theirs = f"up{shorter}.{j - 1}"
            else:
                unit, layer = int(rest[0]), int(rest[1])
                split = j > 0 or i == columns
                inner = f"{int(unit == 2)}.blocks.{unit % 2}" if split else f"blocks.{unit}"
                home = f"loc{shorter}.{j - 1}" if j else f"conv_blocks_context.{i}"
                theirs = (
                    f"conv{i}_{j}.{('conv', 'bn')[layer]}{unit + 1}"
                    if net.aligned
                    else f"{home}.{inner}.{('conv', 'instnorm')[layer]}"
                )
        found[f"{theirs}.{rest[-1]}"] = value
    return found


@pytest.mark.parametrize(("dims", "options"), [(2, ORIGINAL), (3, NNUNET)])
def test_published_files_of_both_layouts_are_read(dims: int, options: dict[str, Any]) -> None:
    net = built(dims, options)
    theirs = named_officially(net)
    read = unetpp.convert({"state_dict": theirs})
    ours = {key: value for key, value in read.items() if not key.endswith("num_batches_tracked")}
    wanted = {key: value for key, value in net.state_dict().items() if not key.endswith("num_batches_tracked")}
    assert ours.keys() == wanted.keys()
    assert all(torch.equal(ours[key], value) for key, value in wanted.items())
    again = unetpp.build(**unetpp.sizes_of(ours))
    assert {key: value.shape for key, value in again.state_dict().items()} == {
        key: value.shape for key, value in net.state_dict().items()
    }
    assert again.steps == net.steps
    with pytest.raises(BadCall, match=r"'td\.0\.weight', which is unknown"):
        unetpp.convert({**theirs, "td.0.weight": torch.zeros(1)})


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"form": "third"}, "form is one of original, nnunet"),
        ({"heads": False, "mode": "mean"}, "the mean and pruning need `heads`"),
        ({"prune": 9}, "prune is 0 to 4"),
        ({"strides": [1, 2, 2, 2]}, "halves every axis"),
    ],
)
def test_options_that_make_no_network_are_refused(options: dict[str, Any], why: str) -> None:
    with pytest.raises(BadCall, match=why):
        backbone("unetpp").build(2, 1, 2, {"preset": "paper", **options})
