"""Jobs that end with something to look at or to hold."""

from __future__ import annotations

import io

import numpy as np
import numpy.typing as npt
import PIL.Image

from .assistant import Assistant
from .scans import AFFINE, ORGANS, filled, ml, save, torso

_TRIANGLE = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])


def pictures_for_a_talk(a: Assistant) -> None:
    """ "A montage, a surface and a close view of liver and spleen for my slides." """
    save(a.folder / "ct.nii.gz", torso())
    image = a.call("open_image", path="ct.nii.gz")["image_id"]
    rows = a.call("segment", image_id=image, structures=["liver", "spleen"])["masks"]
    masks = [row["mask_id"] for row in rows]
    whole = a.call("render", image_id=image, view="montage")
    plain = _colour(a.pictures[0])
    views: list[dict[str, object]] = [{"view": "montage"}, {"kind": "surface", "view": "coronal"}, {"zoom": True}]
    for how in views:
        drawn = a.call("render", image_id=image, mask_ids=masks, **how)
        a.check(f"{how}: size of the PNG", list(PIL.Image.open(io.BytesIO(a.pictures[0])).size), drawn["size"])
        a.check(f"{how}: masks are in colour", _colour(a.pictures[0]) > plain + 0.005, True)
    a.check("a close view cuts through a mask", 12 <= drawn["shown"][0] < 26, True)
    a.check("without masks a montage has no colour", (plain < 0.005, len(whole["shown"])), (True, 1))


def _colour(png: bytes) -> float:
    """Share of pixels that are not grey."""
    pixels = np.asarray(PIL.Image.open(io.BytesIO(png)).convert("RGB")).astype(int)
    return float((np.ptp(pixels, axis=2) > 40).mean())


def liver_to_print(a: Assistant) -> None:
    """ "The liver as an STL for the printer." """
    save(a.folder / "ct.nii.gz", torso())
    image = a.call("open_image", path="ct.nii.gz")["image_id"]
    liver = a.call("segment", image_id=image, structures=["liver"])["masks"][0]["mask_id"]
    file = a.call("export", mask_ids=[liver], format="stl")["files"][0]
    corners = _corners((a.folder / file["path"]).read_bytes())
    signed = np.einsum("ij,ij->i", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])) / 6
    a.check(
        "ml inside the surface, outwards", float(signed.sum()) / 1000, ml(ORGANS["liver"]), 0.05 * ml(ORGANS["liver"])
    )
    index = np.argwhere(filled(ORGANS["liver"])).mean(axis=0)
    ras = (AFFINE @ [*index, 1])[:3]
    middle = (corners.reshape(-1, 3).min(axis=0) + corners.reshape(-1, 3).max(axis=0)) / 2
    a.check("middle, mm, LPS", bool(np.abs(middle - ras * [-1, -1, 1]).max() < 0.5), True)


def _corners(stl: bytes) -> npt.NDArray[np.float64]:
    """Corners of the triangles of a binary STL, (n 3 3) mm, read by its published layout."""
    count = int(np.frombuffer(stl, "<u4", 1, offset=80)[0])
    return np.frombuffer(stl, _TRIANGLE, count, offset=84)["corners"].astype(np.float64)
