"""A job done without a network, and what both engines share: what is kept, and how it is pasted back. Torch-free."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy

from ...imaging.errors import BadCall
from ..interface import Cancelled
from .classical import background_of, classical, with_body
from .jobs import SynthesisJob, Synthesized
from .priors import Prior, of_tissue, prior
from .scales import Float, Made

FEATHER_VOXELS = 1.0  # width of the soft edge around structures painted by their prior; our choice
Progress = Callable[[float, str], None]


def synthesize_classical(job: SynthesisJob, progress: Progress, cancelled: Callable[[], bool]) -> Synthesized:
    """The image of a job by priors, grain, blur and noise; see `runtime.synthesize`."""
    progress(0.1, "painting tissues")
    rng = np.random.default_rng(job.seed)
    if job.task == "translate":
        raise BadCall("The classical engine paints labels and cannot translate an image. Use engine='auto'.")
    labels = np.load(job.labels_path, allow_pickle=False)
    priors = {label: prior(name, job.modality, job.kinds.get(name, ())) for label, name in job.names.items()}
    spacing = job.grid.spacing_mm if job.grid.spacing_known else None
    kind = background_of(job.background, job.grid.shape, spacing)
    soft = _surrounding(list(priors.values()), job.modality)
    value = max(job.names, default=0) + 1
    if kind == "body":
        labels = with_body(labels, spacing, value)
    outside = soft if kind == "tissue" else None
    if cancelled():
        raise Cancelled
    progress(0.5, "adding grain and noise")
    picture = classical(labels, {**priors, value: soft}, job.modality, rng, outside=outside)
    array = np.rint(picture).astype(np.int16)
    if job.task == "inpaint":
        array = pasted(job, picture)
    return Synthesized(array, tuple(job.names.values()))


def _surrounding(priors: list[Prior], modality: Made) -> Prior:
    """What unlabelled tissue looks like: white matter among brain structures, else fat and muscle's soft middle."""
    brain = bool(priors) and all(one.tissue in ("grey", "white", "water") for one in priors)
    return of_tissue("white" if brain else "soft", modality)


def source_of(job: SynthesisJob) -> npt.NDArray[Any]:
    """The image a job starts from, mapped."""
    return np.asarray(np.load(job.source_path, mmap_mode="r", allow_pickle=False))


def kept_voxels(job: SynthesisJob, labels: npt.NDArray[np.integer]) -> npt.NDArray[np.bool_]:
    """Which voxels of the source an inpainting keeps, on the job's grid."""
    labelled = labels > 0
    if job.keep_labelled:
        if job.dilate:
            labelled = scipy.ndimage.binary_dilation(labelled, iterations=job.dilate)
        return np.asarray(labelled)
    return np.asarray(~labelled)


def pasted(job: SynthesisJob, values: Float) -> npt.NDArray[np.int16]:
    """What is kept comes from the source, voxel by voxel and unrounded where it is whole."""
    source = source_of(job)
    labels = np.load(job.labels_path, allow_pickle=False)
    keep = kept_voxels(job, labels)
    if job.modality == "mr":  # the source's own scale, so that both parts agree
        low, high = np.percentile(source, (0.5, 99.5))
        values = low + values / 1000.0 * (high - low)
    return np.where(keep, source, np.rint(values)).astype(source.dtype if source.dtype.kind in "iu" else np.float32)


def with_priors(values: Float, job: SynthesisJob, names: list[str]) -> Float:
    """`values` with these structures painted by their prior, softly joined outside of them."""
    labels = np.load(job.labels_path, allow_pickle=False)
    wanted = {label: name for label, name in job.names.items() if name in names}
    priors = {label: prior(name, job.modality, job.kinds.get(name, ())) for label, name in wanted.items()}
    where = np.isin(labels, list(wanted))
    picture = classical(labels, priors, job.modality, np.random.default_rng(job.seed))
    sigma = [FEATHER_VOXELS / 2 if side > 1 else 0.0 for side in where.shape]
    weight = np.maximum(scipy.ndimage.gaussian_filter(where.astype(np.float32), sigma), where)
    answer: Float = weight * np.where(where, picture, values) + (1 - weight) * values
    return answer
