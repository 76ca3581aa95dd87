"""The labelled sets a network that is pointed at is taught on or measured on: one row each, with its terms.

What is pointed at needs no name, so label values are used as they are; 0 is background, or not labelled.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import nibabel
import numpy as np
import numpy.typing as npt
from PIL import Image

from ...imaging.errors import Unavailable

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Labelled:
    """One picture (rows columns) or scan (x y z) with its labels.

    Attributes:
        image: None where a picture is painted from the labels.
        holds_ct: values are HU and want a window.
        exact: the labels fill the picture, so that one may be painted from them.
    """

    patient: str
    name: str
    image: Array | None
    labels: Array
    holds_ct: bool = False
    exact: bool = False


@dataclass(frozen=True)
class LabelledSet:
    """A source.

    Attributes:
        use: what weights taught on it may be shipped for; "evaluation" sets are never trained on.
        modality: for tables: ct, mr, pet, us, xray, light (photographs by light), painted.
    """

    name: str
    folder: str
    modality: str
    licence: str
    use: Literal["any", "research-only", "evaluation"]
    load: Callable[[Path], Iterator[Labelled]]

    def all(self, data: Path) -> list[Labelled]:
        """Everything in it.

        Raises:
            Unavailable: the folder is not there.
        """
        folder = data / self.folder
        if not folder.is_dir():
            raise Unavailable(
                f"The data set '{self.name}' is not there. It is looked for in '{self.folder}' of the data folder. "
                "Say --data FOLDER, or set OSTENSOR_DATA to the folder that holds it."
            )
        return list(self.load(folder))


def is_kept_out(patient: str) -> bool:
    """Whether a patient of a set that is trained on is kept for measuring: one in seven, by the name's checksum."""
    return zlib.crc32(patient.encode()) % 7 == 0


def _pictures(folder: Path, *, start: str = "") -> Iterator[Labelled]:
    """Pictures beside NAME_label.png; patients are told apart by the start of the name."""
    for path in sorted(folder.glob(f"{start}*_label.png")):
        name = path.stem.removesuffix("_label")
        image = next(one for one in (path.with_name(f"{name}{end}") for end in (".jpg", ".png")) if one.exists())
        patient = name.rsplit("_", 1)[0] if "_" in name else name.split("-")[0]
        yield Labelled(patient, name, _grey(image), _grey(path))


def _grey(path: Path) -> Array:
    with Image.open(path) as picture:
        return np.asarray(picture if picture.mode in ("L", "P", "I") else picture.convert("L"))


def _pairs(folder: Path, *, images: str, labels: str, ct: bool = False, exact: bool = False) -> Iterator[Labelled]:
    """Scans `images` and their labels, named alike but for what the star stands for."""
    before, after = images.split("*")
    for path in sorted(folder.glob(images)):
        name = str(path.relative_to(folder))[len(before) : -len(after) or None]
        yield _scan(folder, name, str(path.relative_to(folder)), labels.replace("*", name), ct=ct, exact=exact)


def _named(
    folder: Path, *, files: tuple[tuple[str, str], ...], ct: bool = False, exact: bool = False
) -> Iterator[Labelled]:
    for image, labels in files:
        yield _scan(folder, image.split(".")[0], image, labels, ct=ct, exact=exact)


def _scan(folder: Path, name: str, image: str, labels: str, *, ct: bool, exact: bool) -> Labelled:
    array = np.asarray(nibabel.load(folder / image).dataobj)
    found = np.asarray(nibabel.load(folder / labels).dataobj)
    return Labelled(name, name, array, found.astype(np.int32), ct, exact)


def _maps(folder: Path, *, files: str) -> Iterator[Labelled]:
    for path in sorted(folder.glob(files)):
        name = path.name.split(".")[0]
        yield Labelled(name, name, None, np.asarray(nibabel.load(path).dataobj).astype(np.int32), exact=True)


def _stacks(folder: Path, *, files: str) -> Iterator[Labelled]:
    for path in sorted(folder.glob(files)):
        with np.load(path) as stored:
            yield Labelled("_".join(path.stem.split("_")[:-1]), path.stem, stored["image"], stored["label"])


def _masked(folder: Path) -> Iterator[Labelled]:
    for path in sorted((folder / "images").iterdir()):
        mask = next(one for one in (folder / "masks").iterdir() if one.stem == path.stem)
        yield Labelled(path.stem, path.stem, _grey(path), (_grey(mask) > 127).astype(np.int32))


def _scribbled(folder: Path) -> Iterator[Labelled]:
    for path in sorted(folder.glob("*/*.npz")):
        if path.parent.name == "SCD":  # the same hearts may be in sunnybrook_cine, which is trained on
            continue
        with np.load(path) as stored:
            labels = (stored["seg"] >= 128).astype(np.int32)
            yield Labelled(
                f"{path.parent.name}/{path.stem}", f"{path.parent.name}/{path.stem}", stored["image"], labels
            )


def _many(name: str, modality: str, licence: str, use: Literal["any", "evaluation"]) -> LabelledSet:
    return LabelledSet(name, f"slices_many/{name}", modality, licence, use, _pictures)


SETS: Mapping[str, LabelledSet] = {
    one.name: one
    for one in (
        _many("aorta_cta", "ct", "CC BY 4.0", "any"),
        _many("hepatic_vessel_ct", "ct", "CC BY-SA 4.0", "any"),
        _many("lung_tumor_ct", "ct", "CC BY-SA 4.0", "any"),
        _many("brain_hemorrhage_ct", "ct", "CC BY 4.0", "any"),
        _many("brain_hemorrhage_ct_b", "ct", "CC BY-SA 4.0", "any"),
        _many("spine_mr_t2", "mr", "CC BY 4.0", "any"),
        _many("whole_heart_mr", "mr", "CC BY 4.0", "any"),
        _many("kidney_mr_t2", "mr", "CC BY 4.0", "any"),
        _many("knee_bones_mr", "mr", "CC BY 4.0", "any"),
        _many("brain_tumor_mr", "mr", "CC BY 4.0", "any"),
        _many("breast_us_busi", "us", "CC0", "any"),
        _many("bowel_mr", "mr", "of its authors", "evaluation"),
        _many("breast_us_busbra", "us", "not stated", "evaluation"),
        _many("breast_us_lesions", "us", "not stated", "evaluation"),
        _many("chest_ct", "ct", "unknown", "evaluation"),
        _many("congenital_heart_ct", "ct", "Apache-2.0 as stated", "evaluation"),
        _many("head_tissues_mr", "mr", "CC BY-NC-SA 4.0", "evaluation"),
        _many("kidney_pancreas_liver_ct", "ct", "CC BY-NC 4.0", "evaluation"),
        _many("left_atrium_mr", "mr", "EU ODP legal notice", "evaluation"),
        _many("optic_disc_fundus", "light", "CC0 as stated", "evaluation"),
        _many("prostate_mr", "mr", "not stated", "evaluation"),
        _many("skin_lesion", "light", "CC BY-NC 4.0", "evaluation"),
        LabelledSet("sunnybrook", "sunnybrook_cine", "mr", "public domain", "any", _pictures),
        LabelledSet(
            "montgomery", "cxr_lungs", "xray", "NLM, free with attribution", "any", partial(_pictures, start="MCUCXR_")
        ),
        LabelledSet(
            "shenzhen", "cxr_lungs", "xray", "masks not verified", "evaluation", partial(_pictures, start="CHNCXR_")
        ),
        LabelledSet("kvasir", "kvasir_polyp", "light", "research and education", "evaluation", _masked),
        LabelledSet("medscribble", "medscribble", "many", "of their sources", "evaluation", _scribbled),
        LabelledSet("acdc", "acdc_cine", "mr", "CC BY-NC-SA 4.0", "evaluation", partial(_stacks, files="patient*.npz")),
        LabelledSet("btcv", "btcv_slices", "ct", "not verified", "evaluation", partial(_stacks, files="ABD_*.npz")),
        LabelledSet(
            "hippocampus",
            "hippocampus_msd",
            "mr",
            "CC BY-SA 4.0",
            "any",
            partial(_pairs, images="images/*.nii.gz", labels="labels/*.nii.gz"),
        ),
        LabelledSet(
            "headneck",
            "headneck_ct",
            "ct",
            "MIT",
            "any",
            partial(_pairs, images="*_ct.nii.gz", labels="*_label.nii.gz", ct=True),
        ),
        LabelledSet(
            "sarcoma_mr",
            "sts_ibsi/nifti",
            "mr",
            "CC BY 3.0",
            "any",
            partial(_pairs, images="*/MR_T1_image.nii.gz", labels="*/MR_T1_mask.nii.gz"),
        ),
        LabelledSet(
            "sarcoma_pet",
            "sts_ibsi/nifti",
            "pet",
            "CC BY 3.0",
            "any",
            partial(_pairs, images="*/PET_image.nii.gz", labels="*/PET_mask.nii.gz"),
        ),
        LabelledSet(
            "heads",
            "brain_t1_more",
            "mr",
            "BSD-3",
            "any",
            partial(
                _named,
                files=(("colin27_T1.nii.gz", "colin27_aal.nii.gz"), ("ecog_T1.nii.gz", "ecog_aparc+aseg.nii.gz")),
            ),
        ),
        LabelledSet(
            "example_ct",
            "totalsegmentator_example",
            "ct",
            "Apache-2.0",
            "any",
            partial(_named, files=(("example_ct.nii.gz", "example_seg_fast_force_split.nii.gz"),), ct=True),
        ),
        LabelledSet(
            "example_mr",
            "totalsegmentator_example",
            "mr",
            "Apache-2.0",
            "any",
            partial(_named, files=(("example_mr_sm.nii.gz", "example_seg_mr.nii.gz"),)),
        ),
        LabelledSet(
            "head_maps", "brain_labels_synthseg", "painted", "Apache-2.0", "any", partial(_maps, files="*.nii.gz")
        ),
        LabelledSet("bodies", "hra_phantom", "painted", "CC BY 4.0", "any", partial(_maps, files="*_3mm.nii.gz")),
        LabelledSet(
            "spine_mr",
            "spine_mr",
            "mr",
            "not verified",
            "evaluation",
            partial(_pairs, images="*_mr.nii.gz", labels="*_label.nii.gz"),
        ),
        LabelledSet(
            "lung_mr",
            "lung_mr_lobes",
            "mr",
            "none stated",
            "evaluation",
            partial(_pairs, images="*_mr.nii.gz", labels="*_lobes.nii.gz"),
        ),
    )
}
