"""What the viewer's page is told: planes, slices, masks and points, against the scan itself."""

import base64
import zlib
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from mcp_types import CallToolResult

from ostensor.imaging.geometry import reorient_array
from ostensor.imaging.pictures.planes import PLANES, cut
from ostensor.server.mcp.viewer_app import viewer_html
from ostensor.tools import registry
from ostensor.tools.desk.desk import Desk
from ostensor.tools.desk.settings import VIEWER_URI
from ostensor.tools.running import use

from ...toys.desks import AFFINE, Ask, save


def unpacked(text: str) -> bytes:
    return zlib.decompress(base64.b64decode(text))


@pytest.fixture
def masks(ask: Ask, image_id: str) -> dict[str, str]:
    found = ask("segment", image_id=image_id, structures=["liver", "spleen"]).result["masks"]
    return {row["structure"]: row["mask_id"] for row in found}


def test_a_scan_is_opened_where_its_masks_are(ask: Ask, desk: Desk, image_id: str, masks: dict[str, str]) -> None:
    opened = ask("viewer_open", image_id=image_id, mask_ids=[masks["liver"]]).result
    ras, grid = reorient_array(desk.store.mask(masks["liver"]).array, desk.store.image(image_id).grid, "RAS")
    start = {plane["view"]: plane["start"] for plane in opened["planes"]}
    for name, plane in PLANES.items():
        assert cut(ras, plane, start[name]).any(), name
    by_view = {plane["view"]: plane for plane in opened["planes"]}
    assert by_view["axial"]["pixel_mm"] == pytest.approx([0.8, 0.9])
    assert by_view["sagittal"]["pixel_mm"] == pytest.approx([0.9, 3.0])
    assert (by_view["coronal"]["width"], by_view["coronal"]["height"]) == (61, 29)
    assert opened["shape"] == list(grid.shape)
    assert opened["presets"]["lung"] == [-600, 1500]
    shown = opened["masks"][0]
    assert shown["volume_ml"] == pytest.approx(17 * 20 * 12 * 0.8 * 0.9 * 3.0 / 1000, abs=0.01)
    assert shown["colour"] == "#e69f00"


@pytest.mark.parametrize("view", ["axial", "coronal", "sagittal"])
def test_slices_are_the_scan_and_its_masks(
    ask: Ask, root: Path, image_id: str, masks: dict[str, str], view: str
) -> None:
    """Expected from the file as nibabel turns it, cut by hand with plain indexing."""
    scan = nibabel.as_closest_canonical(nibabel.load(root / "ct.nii.gz"))
    array = np.asarray(scan.dataobj)
    by_hand = {"axial": lambda n: array[::-1, ::-1, n].T, "coronal": lambda n: array[::-1, n, ::-1].T}
    by_hand["sagittal"] = lambda n: array[n, ::-1, ::-1].T
    got = ask(
        "viewer_slices", image_id=image_id, view=view, first=9, count=5, mask_ids=[masks["liver"], masks["spleen"]]
    )
    rows = got.result["slices"]
    assert [row["index"] for row in rows] == [9, 10, 11, 12, 13]
    for row in rows:
        expected = by_hand[view](row["index"])
        grey = np.frombuffer(unpacked(row["grey"]), "<i2").reshape(expected.shape)
        np.testing.assert_array_equal(grey * row["slope"] + row["intercept"], expected)
        for value, text in zip((100, 130), row["masks"], strict=True):
            bits = np.unpackbits(np.frombuffer(unpacked(text), np.uint8)) if text else np.zeros(expected.size, np.uint8)
            np.testing.assert_array_equal(bits[: expected.size].reshape(expected.shape), expected == value)


def test_values_that_are_no_whole_numbers_come_within_a_65535th_of_the_range(ask: Ask, root: Path) -> None:
    array = np.random.default_rng(3).normal(0, 1e4, (7, 11, 13)).astype(np.float32)
    save(root / "pet.nii.gz", array, np.diag([2.0, 3.0, 5.0, 1.0]))
    image = ask("open_image", path="pet.nii.gz", modality="pet").result["image_id"]
    row = ask("viewer_slices", image_id=image, view="axial", first=4, count=1).result["slices"][0]
    grey = np.frombuffer(unpacked(row["grey"]), "<i2").reshape(11, 7) * row["slope"] + row["intercept"]
    span = array[:, :, 4].max() - array[:, :, 4].min()
    np.testing.assert_allclose(grey, array[::-1, ::-1, 4].T, atol=span / 65535)


def test_answers_stay_small_and_large_pictures_come_coarser(ask: Ask, root: Path) -> None:
    noise = np.random.default_rng(5).integers(-1000, 1000, (701, 353, 5), dtype=np.int16)
    save(root / "wide.nii.gz", noise)
    image = ask("open_image", path="wide.nii.gz", modality="ct").result["image_id"]
    plane = ask("viewer_open", image_id=image).result["planes"][0]
    assert (plane["step"], plane["width"], plane["height"]) == (2, 351, 177)
    got = ask("viewer_slices", image_id=image, view="axial", first=0, count=5).result["slices"]
    assert 1 <= len(got) < 5
    assert sum(len(row["grey"]) for row in got) <= 256 * 1024


def test_a_point_is_placed_and_named(ask: Ask, image_id: str, masks: dict[str, str]) -> None:
    """The affine of the test's scan is the expected value; the liver's block lies around index (15, 20, 10)."""
    ras = [61 - 1 - 15, 53 - 1 - 20, 10]
    got = ask("viewer_point", image_id=image_id, ras_index=ras, positive=False, mask_id=masks["spleen"])
    assert got.result["index"] == [15, 20, 10]
    assert got.result["point_mm"] == pytest.approx((AFFINE @ (15, 20, 10, 1))[:3].tolist())
    assert got.result["value"] == 100
    assert got.result["masks"] == ["liver"]
    assert "does not belong to spleen" in got.text
    assert "No mask was changed" in got.text


@pytest.mark.parametrize(
    ("tool", "arguments", "fact"),
    [
        ("viewer_open", {"image_id": "img_none"}, "Unknown image"),
        ("viewer_open", {"mask_ids": ["msk_none"]}, "Unknown mask"),
        ("viewer_slices", {"view": "axial", "first": 29}, "slices 0 to 28"),
        ("viewer_slices", {"view": "oblique", "first": 0}, "axial"),
        ("viewer_slices", {"view": "axial", "first": 0, "count": 99}, "count"),
        ("viewer_point", {"ras_index": [61, 0, 0]}, "outside the scan of 61 x 53 x 29"),
        ("viewer_point", {"ras_index": [-1, 0, 0]}, "outside the scan"),
        ("viewer_point", {"ras_index": [1, 2]}, "ras_index"),
    ],
)
def test_what_the_page_cannot_ask(ask: Ask, image_id: str, tool: str, arguments: dict[str, Any], fact: str) -> None:
    refused = ask(tool, **{"image_id": image_id, **arguments})
    assert refused.is_error
    assert fact in refused.text


def test_masks_of_another_scan_are_refused(ask: Ask, root: Path, masks: dict[str, str]) -> None:
    save(root / "other.nii.gz", np.full((7, 11, 13), 40, np.int16))
    other = ask("open_image", path="other.nii.gz", modality="ct").result["image_id"]
    for tool, arguments in (("viewer_open", {}), ("viewer_slices", {"view": "axial", "first": 0})):
        assert "belongs to" in ask(tool, image_id=other, mask_ids=[masks["liver"]], **arguments).text


def test_the_page_needs_nothing_from_anywhere_else() -> None:
    page = viewer_html()
    for outside in ("http://", "https://", "src=", "@import", "<link", "innerHTML", "eval("):
        assert outside not in page, outside
    assert len(page) < 40_000


def test_hosts_without_apps_get_words_and_a_picture(ask: Ask, image_id: str, masks: dict[str, str]) -> None:
    shown = ask("render", image_id=image_id, mask_ids=list(masks.values()))
    assert shown.pictures == 1
    assert "liver" in shown.text


def test_the_page_is_offered_with_the_viewers_tools_alone(desk: Desk) -> None:
    import anyio
    from mcp import Client

    from ostensor.server.mcp.exposed import expose
    from ostensor.server.mcp.server import build_server

    async def read() -> CallToolResult:
        async with Client(build_server(desk)) as client:
            return (await client.read_resource(VIEWER_URI)).contents[0]

    found = anyio.run(read)
    assert found.mime_type == "text/html;profile=mcp-app"
    assert found.text == viewer_html()
    without = desk.seen_with(("core",))
    assert expose(registry.tool("render"), without).meta is None
    assert expose(registry.tool("render"), desk).meta == {
        "ui": {"resourceUri": VIEWER_URI, "visibility": ["model", "app"]}
    }
    assert use(desk, "list_models").text
