"""Which calls an ordinary question needs, in order: look, measure, derive, hold against ranges, draw, export."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from ...imaging.formats.table import MASK_FORMATS
from .asking.talk import ready
from .asking.wants import Want
from .turn import Found, Turn, Wanted

WAIT_S = 120.0  # no client of ours gives up before
_FORMATS = (
    ("stl", r"\bstl\b|\bprintable\b|\b3-?d[- ]print|\bmesh\b"), ("dicom_seg", r"\bdicom ?-?seg|\bdicomseg|\bseg (?:file|object)|\bpacs\b|\bdicom\b"),
    ("rtstruct", r"\brt ?-?struct"), ("nrrd", r"\bnrrd\b|\bslicer\b"), ("nifti", r"\bnifti\b|\bnii\b"), ("png", r"\bpng\b"),
)  # fmt: skip
FOREIGN_FORMATS = re.compile(
    r"\b(obj|fbx|ply|vtk|vtp|glb|gltf|3mf|step|dxf|pdf|docx?|pptx?|xlsx?|excel|csv|json|jpe?g|mha|mgz)\b"
)
_NUMBERS = ("heart_mass", "compare", "ratio", "sum", "parts", "edge", "error", "draft", "phases")
_MOST = 40  # masks measured or exported at once


def needs_numbers(want: Want) -> bool:
    """Whether its structures must be measured."""
    return want.is_measured or any(aspect in _NUMBERS for aspect in want.aspects)


def is_lesion_only(want: Want) -> bool:
    """Whether only a disease is asked for, and its organ need not be looked at."""
    other = set(want.aspects) & {"render", "export", "segment", "parts", "list"}
    return bool(want.lesions or "lesion" in want.aspects) and not want.is_measured and not (other and want.structures)


def seen_lesions(turn: Turn, want: Want) -> tuple[str, ...]:
    """Lesions of the wanted kind that a ready model looks for on this kind of scan."""
    if not (want.lesions or "lesion" in want.aspects) or want.structures:
        return ()
    claimed = [
        name
        for row in ready(turn.models)
        if not turn.modality or turn.modality in row["modalities"]
        for name in row["structures"]
        if (known := turn.table.get(name)) is not None and known.parent == "lesion"
    ]
    generic = not want.lesions or any(
        word in ("tumour", "mass", "lesion", "neoplasm", "malignancy") for word in want.lesions
    )
    if re.search(r"\babnormal|\bok\b|\bwrong\b|\bhealthy\b", turn.task.text):
        return ()
    return tuple(dict.fromkeys(n for n in claimed if generic or any(word in n for word in want.lesions)))


def structures_of(turn: Turn, want: Want) -> tuple[str, ...]:
    """What to look for, for a want."""
    own = () if is_lesion_only(want) else want.structures
    if _wants_all(turn, want):
        own = all_structures(turn)
    wholes = tuple(whole for name in own if (whole := whole_of(turn, name)))
    return tuple(dict.fromkeys((*own, *wholes, *seen_lesions(turn, want))))


def whole_of(turn: Turn, name: str) -> str:
    """What a stretch of a vessel belongs to ("aorta" of "abdominal aorta"), for models that know the whole alone; or ""."""
    row = turn.table.get(name)
    whole = "" if row is None else row.is_a.removeprefix("segment of ")
    return whole if row is not None and whole != row.is_a and turn.table.get(whole) is not None else ""


def _wants_all(turn: Turn, want: Want) -> bool:
    """Everything the models know is wanted: "what is in this scan", "all labels", a draft, or a file of nobody knows what."""
    if want.structures or want.lesions:
        return False
    every = re.search(r"\ball (?:labels|masks|organs|structures)\b|\beverything\b|\bany organ\b", turn.task.text)
    return "list" in want.aspects or "draft" in want.aspects or bool(every) or (
        want.aspects != () and set(want.aspects) <= {"export"} and turn.modality != "ct"
    )  # fmt: skip


def all_structures(turn: Turn) -> tuple[str, ...]:
    """Every structure the ready models claim for this kind of scan; halves and not pairs."""
    names = [n for row in ready(turn.models) if turn.modality in row["modalities"] for n in row["structures"]]
    names = list(dict.fromkeys(names))
    return tuple(name for name in names if not any(part in names for part in turn.table.expand(name) if part != name))


def next_calls(turn: Turn) -> list[Wanted]:
    """What is still to be called; [] when everything is there."""
    task = turn.task
    asks_models = any(w.lesions or "lesion" in w.aspects or _wants_all(turn, w) for w in task.wants) or task.asks(
        "list", "draft"
    )
    nameless = task.asks("export") and not task.structures and not turn.masks_named
    if (asks_models or nameless or task.asks("spacing")) and turn.last("list_handles") is None and turn.images:
        return [Wanted("list_handles", {"kind": "images"})]
    if asks_models and turn.last("list_models") is None:
        return [Wanted("list_models", {})]
    return looks(turn) or _measures(turn) or _derives(turn) or _ranges(turn) or _pictures(turn) or _files(turn)


def looks(turn: Turn) -> list[Wanted]:
    """Segmentation of what is wanted on every image."""
    names = list(dict.fromkeys(name for want in turn.task.wants for name in structures_of(turn, want)))
    if turn.task.asks("contrast") and not names:
        names = ["aorta"]
    had = {call.arguments.get("image_id", call.result.get("image_id")) for call in turn.all("segment")}
    had |= {call.result.get("image_id") for call in turn.all("segment")}
    left_over = [image for image in dict.fromkeys(turn.images) if image not in had]
    return [
        Wanted("segment", {"image_id": image, "structures": names[:100], "wait_s": WAIT_S})
        for image in left_over
        if names
    ]


def masks_of(turn: Turn, want: Want) -> list[Found]:
    """Masks of a want, a pair left out where its halves are there."""
    names = structures_of(turn, want)
    found = [one for one in turn.found if one.mask_id and (not names or is_named(turn, one, names))]
    there = {one.name for one in found}
    return [one for one in found if not is_pair_of(turn, one, there)]


def is_named(turn: Turn, one: Found, names: Sequence[str]) -> bool:
    """Whether a row answers one of these names: as asked, as called, or as a part of it."""
    return bool({one.name, str(one.row.get("asked_as")), *turn.table.above(one.name)} & set(names))


def is_pair_of(turn: Turn, one: Found, there: set[str]) -> bool:
    """Whether a row is a pair whose halves, or other parts, are there themselves."""
    row = turn.table.get(one.name)
    parts = set(turn.table.expand(one.name)) - {one.name}
    return row is not None and row.side == "both" and bool(parts & there)


def _measures(turn: Turn) -> list[Wanted]:
    wanted = [want for want in turn.task.wants if needs_numbers(want)]
    masks = turn.masks_named or [one.mask_id for want in wanted for one in masks_of(turn, want)]
    if turn.task.asks("contrast") and not masks:
        masks = [one.mask_id for one in turn.found if one.mask_id]
    if not masks or turn.last("measure") is not None or not (wanted or turn.task.asks("contrast")):
        return []
    return [Wanted("measure", _synthetic(turn, {"mask_ids": list(dict.fromkeys(masks))[:_MOST]}))]


def _synthetic(turn: Turn, arguments: dict[str, Any]) -> dict[str, Any]:
    return {**arguments, "allow_synthetic": True} if turn.task.allow_synthetic else arguments


def pair_of(turn: Turn, want: Want) -> tuple[Found, Found] | None:
    """The two masks that a comparison or ratio is of."""
    masks = at_phase(turn, want)
    if len(turn.images) > 1 and len({one.name for one in masks}) == 1 and len(masks) == len(turn.images):
        return masks[-1], masks[0]  # the later scan first
    if "sum" in want.aspects or (len(masks) >= 2 and _lacks(turn, want)):
        return None
    if len(masks) < 2:
        return None
    turned = re.search(r"\b(?:percent\w*|fraction|share|proportion) of\b", turn.task.text) is not None
    return (masks[1], masks[0]) if turned and "ratio" in want.aspects else (masks[0], masks[1])


def _lacks(turn: Turn, want: Want) -> bool:
    """Whether one of what is to be compared was not found, so that the two masks at hand are not the pair meant."""
    named = [one for one in turn.found if one.name in structures_of(turn, want)]
    there = {one.name for one in named if one.mask_id}
    missing = {one.name for one in named if not one.mask_id}
    return any(not is_half_of(turn, name, there) for name in missing) and "density" not in want.aspects


def is_half_of(turn: Turn, name: str, there: set[str]) -> bool:
    """Whether a pair is there in other parts, or the pair of a half is."""
    return bool(set(turn.table.expand(name)) & there or set(turn.table.above(name)[:1]) & there) and name not in there


def at_phase(turn: Turn, want: Want) -> list[Found]:
    """Masks of a want on one image: of several phases that with the largest (or smallest) first structure."""
    masks = masks_of(turn, want)
    images = list(dict.fromkeys(one.image_id for one in masks))
    names = {one.name for one in masks}
    if len(images) < 2 or (len(names) == 1 and "ejection" not in want.aspects and not is_one_phase(turn)):
        return masks
    sizes = {image: next(one.row.get("volume_ml") or 0 for one in masks if one.image_id == image) for image in images}
    choose = min if re.search(r"systol", turn.task.text) and not re.search(r"diastol", turn.task.text) else max
    best = choose(sizes, key=lambda image: sizes[image])
    return [one for one in masks if one.image_id == best]


def is_one_phase(turn: Turn) -> bool:
    """Whether the words mean one phase of a heartbeat."""
    return bool(re.search(r"systol", turn.task.text)) != bool(re.search(r"diastol", turn.task.text))


def derivations(turn: Turn) -> list[tuple[Want, str, list[str]]]:
    """(want, quantity, masks) of every number to derive."""
    found: list[tuple[Want, str, list[str]]] = []
    for want in turn.task.wants:
        asks = set(want.aspects)
        if "heart_mass" in asks:
            found += [
                (want, "myocardial_mass", [one.mask_id]) for one in at_phase(turn, want) if "myocardium" in one.name
            ][:1]
        if "uptake" in asks:
            found += [(want, "suv", [one.mask_id]) for one in masks_of(turn, want)[:2]]
        if "ejection" in asks or ("phases" in asks and not is_one_phase(turn) and len(turn.images) > 1):
            for name in dict.fromkeys(one.name for one in masks_of(turn, want)):
                beat = [one.mask_id for one in masks_of(turn, want) if one.name == name]
                if len(beat) > 1 and "ventricle" in name:
                    found.append((want, "ejection_fraction", beat))
            continue
        if "sum" in asks and len(masks_of(turn, want)) > 1:
            masks = masks_of(turn, want)
            summed = masks[1:] if "compare" in asks and len(masks) > 2 else masks
            found.append((want, "sum", [one.mask_id for one in summed]))
        pair = pair_of(turn, want)
        if pair is None or not asks & {"compare", "ratio"}:
            continue
        two = [one.mask_id for one in pair]
        if asks & {"density", "spread"}:
            found.append((want, "hu_difference", two))
        elif "ratio" in asks and "surface" not in asks:
            found.append((want, "ratio", two))
        if "ratio" not in asks and (not asks & {"density", "spread"} or asks & {"volume", "size"}):
            found += [(want, "difference", two), (want, "asymmetry", two)]
    return found


def _derives(turn: Turn) -> list[Wanted]:
    if "derive" not in turn.tools:
        return []
    return [
        Wanted("derive", _synthetic(turn, {"quantity": quantity, "mask_ids": masks}))
        for _want, quantity, masks in derivations(turn)
        if turn.with_arguments("derive", quantity=quantity, mask_ids=masks) is None
    ]


def _ranges(turn: Turn) -> list[Wanted]:
    """Usual ranges of what may be enlarged: the check of the volume holds them with their source."""
    if "assess_mask" not in turn.tools:
        return []
    masks = [one.mask_id for want in turn.task.wants if "enlarged" in want.aspects for one in at_phase(turn, want)]
    return [
        Wanted("assess_mask", {"mask_id": mask_id, "methods": ["plausibility"]})
        for mask_id in dict.fromkeys(masks)
        if turn.with_arguments("assess_mask", mask_id=mask_id) is None
    ]


def draws(turn: Turn) -> bool:
    """Whether a picture is wanted; a PNG of a whole scan is one, too."""
    return turn.task.asks("render") or (turn.task.asks("where") and not turn.task.lesions and turn.task.asks("spacing")) or (
        turn.task.asks("export") and re.search(r"\bpng\b|\bslides\b", turn.task.text) is not None
    )  # fmt: skip


def _pictures(turn: Turn) -> list[Wanted]:
    if not draws(turn) or turn.last("render") is not None or not turn.images:
        return []
    wants = [want for want in turn.task.wants if "render" in want.aspects or "export" in want.aspects] or list(
        turn.task.wants
    )
    masks = turn.masks_named or list(dict.fromkeys(one.mask_id for want in wants for one in masks_of(turn, want)))
    text = turn.task.text
    named = [handle for handle in turn.task.handles if handle.startswith("img_")]
    calls = []
    for image in [*named, *dict.fromkeys(turn.images)][
        : 1 if not turn.task.asks("phases") and "beating" not in text and "play" not in text else 4
    ]:
        mine = [m for m in masks if any(one.mask_id == m and one.image_id == image for one in turn.found)] or (
            masks if turn.masks_named else []
        )
        if not mine and turn.task.structures:
            continue
        arguments: dict[str, Any] = {"image_id": image, "mask_ids": mine[:20], "view": view_of(text)}
        if re.search(r"\bmip\b|\bmaximum.intensity\b|\bprojection\b", text):
            arguments |= {"kind": "mip", "view": view_of(text, "coronal")}
        elif re.search(r"\b3-?d\b|\bsurface\b|\bthree.dimensional\b", text) and mine:
            arguments |= {"kind": "surface", "view": view_of(text, "coronal")}
        if re.search(r"\bcontours?\b|\boutlines?\b", text):
            arguments["style"] = "contour"
        if re.search(r"\bzoom|\bclose-?up\b", text):
            arguments["zoom"] = True
        calls.append(Wanted("render", arguments))
    return calls


def view_of(text: str, usual: str = "montage") -> str:
    """The plane named, or the usual one."""
    if re.search(r"\bfrom (?:above|below|top)\b|\bslice\b|\bscroll\b|\bcross.section\b", text):
        usual = "axial"
    return next((view for view in ("coronal", "sagittal", "montage", "axial") if view in text), usual)


def format_of(text: str) -> str:
    """The mask format a question names; NIfTI when it names none."""
    return next((name for name, pattern in _FORMATS if name in MASK_FORMATS and re.search(pattern, text)), "nifti")


def _files(turn: Turn) -> list[Wanted]:
    if not turn.task.asks("export") or turn.last("export") is not None or "export" not in turn.tools:
        return []
    if FOREIGN_FORMATS.search(turn.task.text) and not re.search(
        _FORMATS[0][1].replace(r"|\bmesh\b", ""), turn.task.text
    ):
        return []
    form = format_of(turn.task.text)
    if form == "png":
        return []
    wants = [want for want in turn.task.wants if "export" in want.aspects]
    masks = turn.masks_named or [one.mask_id for want in wants for one in exported(turn, want)]
    if not masks:
        return []
    arguments: dict[str, Any] = {"mask_ids": list(dict.fromkeys(masks))[:_MOST], "folder": "."}
    return [
        Wanted("export", arguments if form == "nifti" and not _names_format(turn) else {**arguments, "format": form})
    ]


def _names_format(turn: Turn) -> bool:
    return any(re.search(pattern, turn.task.text) for _name, pattern in _FORMATS)


def exported(turn: Turn, want: Want) -> list[Found]:
    """Masks that go into files: of all that was looked for only what is there."""
    masks = at_phase(turn, want) if is_one_phase(turn) else masks_of(turn, want)
    return [one for one in masks if one.row["verdict"] == "present"] if _wants_all(turn, want) else masks
