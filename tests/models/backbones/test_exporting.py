"""Every backbone's OpenVINO model answers as the network; one that would not is not handed out."""

import logging
from pathlib import Path

import openvino
import pytest
import torch

from ostensor.imaging.errors import BadCall, Unavailable
from ostensor.models.backbones.exporting import TOLERANCE, export_network
from ostensor.models.backbones.network import SegmentationNetwork, SegOutput
from ostensor.models.backbones.row import Backbone
from ostensor.models.backbones.table import BACKBONES, backbone

# Many windows or steps of a scan, which are many constants and nodes.
SLOW = {"dinounet", "hbformer", "lightmunet", "mambaclinix", "msvmunet", "pctnet", "qtseg", "swinunetr", "xlstmunet"}
CASES = [
    pytest.param(row, dims, id=f"{row.name}-{dims}d", marks=[pytest.mark.slow] if n or row.name in SLOW else [])
    for row in BACKBONES
    for n, dims in enumerate(row.dims)
]


def least(net: SegmentationNetwork) -> list[int]:
    """The smallest patch, one side longer."""
    sides = [-(-side // by) * by for side, by in zip(net.minimum, net.divisor, strict=True)]
    return [sides[0] + net.divisor[0], *sides[1:]]


@pytest.mark.parametrize(("row", "dims"), CASES)
def test_the_exported_model_answers_as_the_network(row: Backbone, dims: int) -> None:
    """`export_network` compares them itself; that it notices is shown below."""
    torch.manual_seed(0)
    net = row.build(dims, 2, 3, {})
    with torch.no_grad():
        for name, value in net.named_buffers():
            if name.endswith("running_var"):
                value.uniform_(0.5, 1.5, generator=torch.Generator().manual_seed(1))
    exported = export_network(net, least(net))
    assert exported.error <= TOLERANCE
    assert net.training
    assert list(exported.model.input(0).shape) == [1, 2, *least(net)]
    assert list(exported.model.output(0).shape) == [1, 3, *least(net)]


def test_a_saved_model_is_read_by_openvino_alone(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = backbone("unet").build(2, 1, 3, {})
    exported = export_network(net, [16, 24])
    exported.save(tmp_path / "new" / "unet.xml")
    model = openvino.Core().read_model(tmp_path / "new" / "unet.xml")
    image = torch.randn(1, 1, 16, 24)
    compiled = openvino.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    with torch.no_grad():
        expected = net.eval()(image).logits
    assert torch.allclose(torch.from_numpy(compiled([image.numpy()])[0]), expected, atol=1e-4)
    assert sorted(file.name for file in (tmp_path / "new").iterdir()) == ["unet.bin", "unet.xml"]
    with pytest.raises(BadCall, match=r"Let it end in \.xml"):
        exported.save(tmp_path / "unet.onnx")


def test_a_patch_the_network_does_not_take_is_refused() -> None:
    net = backbone("unet").build(2, 1, 3, {})
    with pytest.raises(BadCall, match="A patch of 16 x 20 does not fit: sides are multiples of 8 x 8"):
        export_network(net, [16, 20])
    with pytest.raises(BadCall, match="does not fit"):
        export_network(net, [16, 16, 16])


class Wayward(SegmentationNetwork):
    """Keeps a number of the image it was traced with; or does what no converter knows."""

    def __init__(self, strange: bool) -> None:
        super().__init__(2, 1, 1, [1, 1], [1, 1])
        self.strange = strange

    def answer(self, image: torch.Tensor) -> SegOutput:
        """Something."""
        if self.strange:
            return SegOutput(torch.linalg.eigvals(image).real[..., None] * image)
        return SegOutput(image + float(image.mean()))


def test_a_model_that_answers_otherwise_and_one_that_is_not_converted_are_not_handed_out() -> None:
    root = logging.getLogger()
    before = root.level, list(root.filters), list(root.handlers)
    with pytest.raises(Unavailable, match="is off by"):
        export_network(Wayward(strange=False), [4, 4])
    with pytest.raises(Unavailable, match="cannot be converted to OpenVINO"):
        export_network(Wayward(strange=True), [4, 4])
    assert (root.level, root.filters, root.handlers) == before, "warnings are still heard"
