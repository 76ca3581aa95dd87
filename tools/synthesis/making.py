"""`synthesize_image`, `translate_image`, `inpaint_image`: images of nobody, marked for life."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from ...imaging.errors import BadCall
from ...models.synthesis.jobs import Quality
from ...models.synthesis.scales import Background, Made
from ..desk.desk import Answer, Call, Desk
from .work import Wanted, answered, chosen_engine, chosen_translator, made_modality, named_masks

Seed = Annotated[int, Field(description="Same seed, same image.", ge=0, le=2**31 - 1)]
QualityWish = Annotated[Quality, Field(description="draft 4, standard 8, fine 30 denoising steps.")]
Steps = Annotated[int | None, Field(description="Denoising steps, instead of quality.", ge=1, le=200)]
Engine = Annotated[
    str, Field(description="'auto'; 'classical' (priors, grain, blur, noise; no network); or a network's name.")
]
SaveAs = Annotated[
    str | None,
    Field(description="Also write it inside a root: name.nii.gz, .nrrd, .png (middle slice), or name.dicom (folder)."),
]
Wait = Annotated[float, Field(description="Seconds to wait before a job_id is returned instead.", ge=0, le=300)]


def synthesize_image(
    desk: Desk,
    call: Call,
    modality: Annotated[Made, Field(description="What to make: ct (HU) or mr (T1-like, 0 to 1000).")],
    mask_ids: Annotated[list[str] | None, Field(description="Masks of one grid.", max_length=100)] = None,
    structures: Annotated[
        list[str] | None, Field(description="Names for mask_ids, in order, where they have none or others are meant.")
    ] = None,
    label_image_id: Annotated[
        str | None, Field(description="Instead of mask_ids: an opened image whose values are labels.")
    ] = None,
    label_names: Annotated[
        list[str] | None, Field(description="For label_image_id: 'value=structure', e.g. ['1=liver', '2=spleen'].")
    ] = None,
    engine: Engine = "auto",
    background: Annotated[
        Background, Field(description="Classical engine, unlabelled voxels: air, a body around the masks, or tissue.")
    ] = "auto",
    quality: QualityWish = "standard",
    steps: Steps = None,
    seed: Seed = 0,
    save_as: SaveAs = None,
    wait_s: Wait = 20.0,
) -> Answer:
    """Make a CT- or MR-like image whose anatomy is given by masks; the masks come along onto it.

    The image is synthetic for life: measure, check_report and predict_prognosis refuse it. Structures
    the network was never taught get their tissue's usual value. What is not labelled is invented. For
    training, testing and teaching, never as a patient's scan.
    Example: synthesize_image(modality="ct", mask_ids=["msk_..."], engine="classical")
    """
    masks = named_masks(desk, mask_ids, structures, label_image_id, label_names)
    wanted = Wanted(
        task="synthesize",
        engine=chosen_engine(desk, engine, modality, [mask.structure for mask in masks]),
        modality=modality,
        masks=masks,
        seed=seed,
        quality=quality,
        steps=steps,
        background=background,
        save_as=save_as,
    )
    return answered(desk, call, "synthesize_image", wanted, wait_s)


def translate_image(
    desk: Desk,
    call: Call,
    image_id: Annotated[str, Field(description="A CT or MR image.")],
    modality: Annotated[Made, Field(description="What to make of it: mr of a CT, ct of an MR.")],
    quality: QualityWish = "standard",
    steps: Steps = None,
    seed: Seed = 0,
    save_as: SaveAs = None,
    wait_s: Wait = 20.0,
) -> Answer:
    """Make an MR-like image of a CT or a CT-like image of an MR, on the same grid.

    Learned from pictures of a phantom, not from patients. The grey values are no measurements: never
    use them for dose or density. Example: translate_image(image_id="img_...", modality="mr")
    """
    image = desk.store.image(image_id)
    source = made_modality(image.modality, "translate")
    if source == modality:
        raise BadCall(f"'{image_id}' is {source} already. Translation makes mr of ct or ct of mr.")
    wanted = Wanted(
        task="translate",
        engine=chosen_translator(desk),
        modality=modality,
        image_id=image_id,
        seed=seed,
        quality=quality,
        steps=steps,
        save_as=save_as,
    )
    return answered(desk, call, "translate_image", wanted, wait_s)


def inpaint_image(
    desk: Desk,
    call: Call,
    image_id: Annotated[str, Field(description="The CT or MR image to repaint.")],
    mask_ids: Annotated[list[str], Field(description="Masks on its grid.", min_length=1, max_length=100)],
    keep: Annotated[
        Literal["labelled", "background"], Field(description="Keep what the masks cover, or keep everything else.")
    ] = "labelled",
    structures: Annotated[list[str] | None, Field(description="Names for mask_ids, in order.")] = None,
    margin_voxels: Annotated[
        int, Field(description="With keep='labelled': also keep so many voxels around the masks.", ge=0, le=20)
    ] = 3,
    engine: Engine = "auto",
    quality: QualityWish = "standard",
    steps: Steps = None,
    seed: Seed = 0,
    save_as: SaveAs = None,
    wait_s: Wait = 20.0,
) -> Answer:
    """Repaint an image around its labelled structures, or only those; kept voxels stay bit by bit.

    Gives new training images whose masks still hold (AugPaint's idea). The masks come along onto the
    new image, which is synthetic for life. Read seam_ratio before use.
    Example: inpaint_image(image_id="img_...", mask_ids=["msk_..."], seed=1)
    """
    image = desk.store.image(image_id)
    modality = made_modality(image.modality, "inpaint")
    masks = named_masks(desk, mask_ids, structures, None, None)
    if not masks[0].mask.grid.same_as(image.grid):
        raise BadCall(f"The masks lie on another grid than '{image_id}'. Give masks of this image.")
    wanted = Wanted(
        task="inpaint",
        engine=chosen_engine(desk, engine, modality, [mask.structure for mask in masks]),
        modality=modality,
        masks=masks,
        image_id=image_id,
        seed=seed,
        quality=quality,
        steps=steps,
        save_as=save_as,
        keep_labelled=keep == "labelled",
        margin_voxels=margin_voxels if keep == "labelled" else 0,
    )
    return answered(desk, call, "inpaint_image", wanted, wait_s)
