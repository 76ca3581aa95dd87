"""The answer to an ordinary question: for each want the verdict or number first, then what it rests on."""

from __future__ import annotations

import re

from ...imaging.formats.table import MASK_FORMATS
from ...tools.desk.results import CUT
from ..reply import Reply, Statement
from .answers import said_of_masks
from .comparing import compared, in_range
from .numbers import parts_wanted, said_numbers
from .phrases import phrase
from .talk import names as format_names
from .turn import Found, Turn, cite, tell
from .wants import Want
from .wording import name_in
from .work import (
    FOREIGN_FORMATS,
    all_structures,
    draws,
    format_of,
    is_lesion_only,
    is_named,
    is_pair_of,
    masks_of,
    needs_numbers,
    seen_lesions,
    structures_of,
    whole_of,
)

_MOST = 12


def answer(turn: Turn) -> Reply:
    """Everything that was asked, in its order."""
    said: list[Statement] = []
    for want in turn.task.wants:
        said += _of(turn, want)
    said += _missing(turn)
    made = _picture(turn) + _written(turn)
    if (
        all(set(want.aspects) <= {"export", "render", "segment", "where", "phases", "list"} for want in turn.task.wants)
        and made
    ):
        said = made + said  # the file or picture is the answer; the verdicts are its evidence
    else:
        said += made
    said = _contrast(turn) + said + _spacing(turn) + _notes(turn)
    unique = list({one.text: one for one in said}.values())
    if not unique:
        return said_of_masks(turn.all("segment"))
    return Reply(kind="refusal" if _declines_all(turn) else "answer", statements=unique)


def _declines_all(turn: Turn) -> bool:
    return not turn.found and all(is_lesion_only(want) for want in turn.task.wants)


def _of(turn: Turn, want: Want) -> list[Statement]:
    asks, said = set(want.aspects), list[Statement]()
    lesion = (want.lesions or "lesion" in asks) and not seen_lesions(turn, want)
    if lesion and (is_lesion_only(want) or not masks_of(turn, want)):
        return [_lesion(turn, want), *([_offer(turn, want)] if want.structures else [])]
    if asks & {"list", "draft"}:
        said += _listed(turn, want)
    if "thickness" in asks:
        said.append(
            tell("Wall thickness is measured by no tool here, so it cannot be given.", *cite(turn.last("segment")))
        )
    if "error" in asks and "compare" not in asks:
        said += [_sureness(one) for one in masks_of(turn, want)]
    if "enlarged" in asks:
        tubes = [one for one in masks_of(turn, want) if turn.table.is_tube(one.name) and one.measured is not None]
        said += [_tube(turn, one) for one in tubes] + in_range(turn, want)
    derived = compared(turn, want)
    first = asks & {"volume", "size", "length", "diameter", "density"}  # numbers that can be given all the same
    said += [one for one in derived if not (first and _is_refusal(turn, one))]
    if "list" in asks:
        pass
    elif "count" in asks and "parts" not in asks:
        said += _count(turn, want)
    elif asks & {"presence", "segment"} or not (needs_numbers(want) or asks & {"render", "export", "list", "contrast"}):
        said += [_verdict(turn, one) for one in _rows(turn, want) if one.mask_id]
    if "edge" in asks:
        said += [_edge(one) for one in masks_of(turn, want)]
    if needs_numbers(want) and "draft" not in asks:
        said += _numbers(turn, want)
    said += [one for one in derived if first and _is_refusal(turn, one)]
    if "error" in asks and "compare" in asks:
        said += [_sureness(one) for one in masks_of(turn, want)]
    if "where" in asks:
        said = [_side(one) for one in masks_of(turn, want) if one.row.get("side")] + said
    if lesion:
        said.append(_lesion(turn, want))
    return said + _caveats(turn, want)


def _is_refusal(turn: Turn, one: Statement) -> bool:
    """Whether a statement only says why a number was not derived."""
    return any(call.is_error and call.call_id == cited.call_id for call in turn.all("derive") for cited in one.cites)


def _rows(turn: Turn, want: Want) -> list[Found]:
    """What was looked for, for a want: masks, and what was not found."""
    names = structures_of(turn, want)
    there = {one.name for one in turn.found if one.mask_id}
    rows = [one for one in turn.found if is_named(turn, one, names)]
    return [one for one in rows if not is_pair_of(turn, one, there) and not (_is_other_half(turn, one) and there)]


def _is_other_half(turn: Turn, one: Found) -> bool:
    """A half that no model knows, beside a pair that one does: the hippocampi of a crop without sides."""
    there = {other.name for other in turn.found if other.mask_id}
    above = turn.table.above(one.name)[:1]
    kin = {*above, *(part for name in above for part in turn.table.expand(name))}
    row = turn.table.get(above[0]) if above else None
    return (
        one.row["verdict"] == "unsupported"
        and row is not None
        and row.side == "both"
        and len(kin) > 3
        and bool(kin & there)
    )


def _numbers(turn: Turn, want: Want) -> list[Statement]:
    parts = parts_wanted(want.aspects, turn.task.text)
    phases = len(turn.images) > 1
    masks = [one for one in masks_of(turn, want) if one.measured is not None]
    order = sorted(masks, key=lambda one: one.row["verdict"] != "present")
    said = [
        said_numbers(one, parts, turn.task.text, turn.task.language, phase=f" in {one.image_id}" if phases else "")
        for one in order[:_MOST]
    ]
    said += [_verdict(turn, one, volume=False) for one in order if one.row["verdict"] == "unsure"]
    if turn.last("measure") is not None and turn.last("measure").is_error:  # type: ignore[union-attr]
        call = turn.last("measure")
        said.append(tell(call.text if call else "", *cite(call)))
    return said


def _verdict(turn: Turn, one: Found, *, volume: bool = True) -> Statement:
    place = f" in {one.image_id}" if len(turn.images) > 1 else ""
    row = one.row if volume else {**one.row, "volume_ml": None}
    verdict = str(row["verdict"]).replace("_", " ")
    found = "found and " if row["verdict"] == "present" and turn.task.asks("presence") else ""
    size = ""
    if row.get("volume_ml") is not None:
        size = f", {row['volume_ml']:g} ml{CUT if row.get('volume_is') == 'cut by the edge' else ''}"
    text = phrase("present", turn.task.language, name=one.name, found=found, verdict=verdict, place=place, size=size)
    if row["verdict"] == "unsure":
        text += " Do not rely on this mask."
    return tell(text, *cite(one.seen, one.mask_id))


def _missing(turn: Turn) -> list[Statement]:
    """What was looked for and has no mask, each with its verdict; unfound is not called absent here unless `segment` does."""
    rows = [
        one for want in turn.task.wants for one in _rows(turn, want) if not one.mask_id and not _is_everything(turn)
    ]
    return [_not_found(turn, one) for one in {(one.image_id, one.name): one for one in rows}.values()][:_MOST]


def _is_everything(turn: Turn) -> bool:
    return not turn.task.structures and bool(turn.models) and len(all_structures(turn)) > 1


def _not_found(turn: Turn, one: Found) -> Statement:
    verdict = str(one.row["verdict"]).replace("_", " ")
    name = name_in(one.name, turn.task.language)
    place = f" in {one.image_id}" if len(turn.images) > 1 else ""
    if one.row["verdict"] == "unsupported":
        text = (
            f"The {name} is unsupported{place}: no model here segments it on this scan, so I cannot say anything of it."
        )
    else:
        text = f"The {name} is {verdict}{place}: the model did not find it; it may be missed, and why it is not found cannot be inferred."
    return tell(text, *cite(one.seen))


def _lesion(turn: Turn, want: Want) -> Statement:
    names, word = ", ".join(want.lesions), _disease_word(turn.task.text)
    if not names or (names not in turn.task.text and word[:4] not in names and "I do not screen" not in word):
        names = word if not names else f"{word} ({names})"
    where = ""
    if want.structures and turn.task.language == "en":
        where = f" for the {' and the '.join(want.structures[:2])}"
    elif want.structures:
        where = f" ({', '.join(name_in(name, turn.task.language) for name in want.structures[:2])})"
    text = phrase("lesion", turn.task.language, where=where, what=names)
    if "why" in want.aspects:
        text = f"Because no model here was trained to find {names}: I cannot say, and a silent model must not be read as 'none'."
    asked = re.search(r"\bwhite matter lesions?\b", turn.task.text)
    if asked is not None:
        text = text.replace(names, f"{asked.group()} ({names})")
    call = turn.last("list_models")
    return tell(text, *cite(call), *cite(turn.last("segment")))


def _disease_word(text: str) -> str:
    found = re.search(
        r"\b(white matter lesions?|metasta\w+|stones?|gallstones?|strokes?|infarct\w*|ruptur\w+|aneurysm\w*|fractur\w+|bleed\w*|nodul\w+|benign|cancer\w*|"
        r"\w*cysts?|tumou?rs?|mass|abscess\w*|thromb\w+|embol\w+|inflam\w+|\w+itis)\b",
        text,
    )
    return found.group(1) if found else "abnormalities in general (I do not screen for disease)"


def _offer(turn: Turn, want: Want) -> Statement:
    known = [name for name in want.structures if any(name in row["structures"] for row in turn.models)]
    if not known:
        return tell("A person has to read the scan.")
    return tell(
        f"I can outline and measure the {' and the '.join(known)} and show pictures.", *cite(turn.last("list_models"))
    )


def _count(turn: Turn, want: Want) -> list[Statement]:
    rows = _rows(turn, want)
    masks = [one for one in rows if one.mask_id and one.row["verdict"] in ("present", "unsure")]
    lesions = seen_lesions(turn, want)
    if lesions:
        text = f"Only the model for {', '.join(lesions)} looked; other lesions are not counted, so a total cannot be given."
        return [tell(text, *cite(turn.last("list_models")), *cite(turn.last("segment")))]
    if not masks:
        return []
    sides = ", ".join(
        f"the {one.name} ({one.row['volume_ml']:g} ml)" if one.row.get("volume_ml") is not None else f"the {one.name}"
        for one in masks
    )
    word = {1: "One", 2: "Two"}.get(len(masks), "")
    cites = [one for mask in masks for one in cite(mask.seen, mask.mask_id)]
    text = f"{word} found: {sides}." if word else f"Found: {sides}."
    return [tell(text, *cites)]


def _listed(turn: Turn, want: Want) -> list[Statement]:
    masks = masks_of(turn, want)
    there = [one for one in masks if one.row["verdict"] == "present"]
    models = sorted({str(one.row["provenance"].get("model")) for one in there if one.row.get("provenance")})
    modality = {"ct": "CT", "mr": "MR", "pet": "PET"}.get(turn.modality, turn.modality)
    cites = [one for mask in there for one in cite(mask.seen, mask.mask_id)]
    if "draft" in want.aspects:
        lines = [f"{one.name} {one.row['volume_ml']:g} ml" for one in there if one.row.get("volume_ml") is not None]
        text = (
            f"Machine draft, to be checked by a person; nothing but these volumes was looked for: {', '.join(lines)}."
        )
        return [tell(text, *cites)]
    names = ", ".join(one.name for one in there)
    text = f"{len(there)} structures were found on this {modality}: {names}; they can be measured, compared and exported ({', '.join(models)})."
    rest = [one.name for one in turn.found if not one.mask_id and one.row["verdict"] != "unsupported"]
    more = (
        [tell(f"Not found, perhaps outside the scan: {', '.join(rest[:8])}.", *cite(turn.last("segment")))]
        if rest
        else []
    )
    return [tell(text, *cites), *more]


def _side(one: Found) -> Statement:
    side = str(one.row["side"])
    place = f"on the patient's {side}" if side in ("left", "right") else "at or across the patient's middle"
    return tell(f"The {one.name} lies {place}.", *cite(one.seen, one.mask_id))


def _tube(turn: Turn, one: Found) -> Statement:
    numbers = said_numbers(one, ("lengths",), turn.task.text, turn.task.language)
    return tell(
        f"{numbers.text} No reference range for its diameter is on file, and breathing changes a vein's.", *one.cites
    )


def _edge(one: Found) -> Statement:
    faces = one.row.get("truncated_at") or []
    if faces:
        text = f"The {one.name} reaches the {', '.join(faces)} edge of the scan, so it is cut off and its volume is a lower bound."
    else:
        text = f"The mask of the {one.name} does not touch the edge of the scan, so the whole of what was marked lies inside."
    return tell(text, *cite(one.seen, one.mask_id))


def _sureness(one: Found) -> Statement:
    known = one.row.get("confidence")
    ends = one.row.get("volume_90_ml")
    said = f"an expected Dice of {known:.2f}" if known is not None else "no calibrated confidence"
    if ends:
        said += f", and nine of ten true volumes lie in the interval {ends[0]:g} to {ends[1]:g} ml".replace(
            "nine of ten true volumes lie", "the 90 % volume error spans"
        )
    text = f"The mask of the {one.name} has {said}; tilt, noise and the mask's border add an error of about a voxel to lengths."
    return tell(text.replace(" in the interval", " the interval"), *cite(one.seen, one.mask_id))


def _caveats(turn: Turn, want: Want) -> list[Statement]:
    """What a careful reader would add to what was asked."""
    text, asks, said = turn.task.text, set(want.aspects), list[Statement]()
    call = turn.last("segment")
    if "ratio" in asks and re.search(r"\bbody\b|\bscanned\b", text):
        said.append(
            tell("No model here outlines the whole body, so the share of the body cannot be given.", *cite(call))
        )
    if "uptake" in asks and not any(one.measured for one in masks_of(turn, want)) and masks_of(turn, want):
        said.append(tell("SUV cannot be given.", *cite(call)))
    if re.search(r"\bhilum\b|\bbranches\b|\bhead of\b|\blobes?\b", text):
        said.append(tell("The hilum, branches and parts of an organ are labelled by no model here.", *cite(call)))
    if re.search(r"\bweigh\w*|\bheav(?:y|ier)\b", text):
        said.append(tell("Weight is measured by no tool; the volume is given.", *cite(call)))
    for name in want.structures:
        whole = whole_of(turn, name)
        there = {one.name for one in turn.found if one.mask_id}
        if whole in there and name not in there:
            said.append(tell(f"No model labels the {name} by itself; measured is the {whole}.", *cite(call)))
    if re.search(r"\bbicaudate\b", text):
        said.append(tell("The bicaudate distance is not offered by any tool.", *cite(call)))
    if "density" in asks:
        said += _density_caveats(turn, want)
    if seen_lesions(turn, want):
        said.append(tell("It is a model's outline, not checked by a person, and not a diagnosis."))
    return said


def _density_caveats(turn: Turn, want: Want) -> list[Statement]:
    text = turn.task.text
    greys = [(one, (one.measured or {}).get("intensity")) for one in masks_of(turn, want)]
    units = {grey["unit"] for _one, grey in greys if grey}
    said = []
    if units and "HU" not in units:
        said.append(tell("The scan is not in Hounsfield units: MR and PET have none, so HU cannot be given."))
    limit = re.search(r"\b(below|above|under|over|less than|more than) (\d+)\b", text)
    if limit is not None and "HU" in units:
        one, grey = next((one, grey) for one, grey in greys if grey)
        below = limit.group(1) in ("below", "under", "less than")
        holds = (grey["mean"] < float(limit.group(2))) == below
        quote = turn.question[max(0, turn.question.lower().find(limit.group(0))) :][: len(limit.group(0))]
        said.append(
            tell(
                f"{'Yes' if holds else 'No'} to “{quote}”: contrast shifts HU, and the diagnosis is a doctor's.",
                *one.cites,
            )
        )
    if re.search(r"\barterial\b|\bvenous\b|\bphase\b|\bcontrast\b", text):
        said.append(
            tell("The phase of contrast cannot be told for sure from HU alone; compare the aorta with the veins.")
        )
    return said


def _spacing(turn: Turn) -> list[Statement]:
    call = turn.last("list_handles")
    if call is None or not turn.task.asks("spacing"):
        return []
    rows = [row for row in call.result.get("handles", []) if row.get("handle") in turn.images]
    said = []
    if len(rows) > 1:
        slices = sorted({row["shape"][2] for row in rows})
        images = [one for row in rows for one in cite(call, str(row["handle"]))]
        said.append(
            tell(f"{len(rows)} images (phases) are open, each of {', '.join(map(str, slices))} slices.", *images)
        )
    for row in rows[: 1 if len(rows) > 1 else 4]:
        shape, spacing = row["shape"], row.get("spacing_mm")
        size = f"voxels of {' x '.join(f'{mm:g}' for mm in spacing)} mm, slices {spacing[-1]:g} mm apart" if spacing else (
            "its voxel size is not known"
        )  # fmt: skip
        text = f"The scan ({str(row.get('modality', '')).upper()}) has {shape[-1]} slices; {size}."
        said.append(tell(text, *cite(call, str(row["handle"]))))
    return said


def _contrast(turn: Turn) -> list[Statement]:
    if not turn.task.asks("contrast") or turn.task.structures:
        return []
    aorta = next((one for one in turn.found if one.measured and one.measured.get("intensity")), None)
    if aorta is None:
        return [
            tell(
                "I cannot say whether contrast was given: neither the header nor a vessel says so.",
                *cite(turn.last("segment")),
            )
        ]
    mean = aorta.measured["intensity"]["mean"] if aorta.measured else 0
    text = f"I cannot say for sure whether contrast was given; the {aorta.name} has a mean of {mean:g} HU, which is an indication only."
    return [tell(text, *aorta.cites)]


def _notes(turn: Turn) -> list[Statement]:
    text = turn.task.text
    said = []
    if draws(turn) and not turn.found and not turn.masks_named and not re.search(r"\bmip\b|\bprojection\b", text):
        said.append(tell("No structure was named; which one shall be marked?"))
    if re.search(r"\bpicture left|\bleft in the picture\b|\bright in the picture\b", text):
        said.append(tell("The picture's left is the patient's right."))
    return said


def _picture(turn: Turn) -> list[Statement]:
    calls = turn.all("render")
    if not draws(turn):
        return []
    if not calls:
        if turn.masks_named or turn.found or turn.task.structures:
            return []
        return [tell("Which structure shall the picture show? Name one.")]
    said = []
    for call in calls:
        if call.is_error:
            said.append(tell(call.text, *cite(call)))
            continue
        row = call.result
        kind = {"mip": "projection (MIP)", "surface": "surface in three dimensions (3D)", "slice": "view"}[row["kind"]]
        shown = ", ".join(dict.fromkeys(one.name for one in turn.found if one.mask_id in row["mask_ids"])) or "the scan"
        slices = f", slice {', '.join(map(str, row['shown']))} of {row['slices']}" if row["shown"] else ""
        files = " ".join(f"{name}.png" for name in dict.fromkeys(re.findall(r"\bpic_\w+", call.text)))
        what = f"{row['view']} {kind} of {shown}{slices}; {files}"
        said.append(
            tell(
                phrase("drawn", turn.task.language, what=what.replace("(3D)", "").strip()),
                *cite(call),
                *cite(turn.last("segment")),
            )
        )
    if re.search(r"\bblue\b|\bred\b|\bgreen\b|\byellow\b", turn.task.text):
        said.append(tell("Colours cannot be chosen; the legend in the picture names each."))
    if re.search(r"\bplay\b|\banimat|\bbeating\b|\bvideo\b|\bmovie\b", turn.task.text):
        said.append(tell("An animation is not offered; there is a picture for each phase."))
    return said


def _written(turn: Turn) -> list[Statement]:
    if not turn.task.asks("export"):
        return []
    known = ", ".join(format_names(MASK_FORMATS))
    foreign = FOREIGN_FORMATS.search(turn.task.text)
    call = turn.last("export")
    if call is None:
        if foreign is not None:
            which = "" if turn.task.structures else " Which structure shall be written?"
            return [tell(f"{foreign.group(1).upper()} is not offered. Masks are written as {known}.{which}")]
        if format_of(turn.task.text) == "png" and turn.all("render"):
            return []
        return [] if turn.found else [tell("Which structure shall be exported? Name one.")]
    if call.is_error:
        return [tell(f"Nothing was exported. {call.text}", *cite(call))]
    paths = ", ".join(dict.fromkeys(str(row["path"]) for row in call.result.get("files", [])))
    form = format_names([str(call.result["files"][0]["format"])])[0] if call.result.get("files") else ""
    notes = []
    if form == "STL":
        notes.append(tell("STL is in mm, scale one to one; not for implants or treatment."))
    if form in ("DICOM SEG", "RTSTRUCT"):
        warned = list(dict.fromkeys(w for row in call.result["files"] for w in row["warnings"]))
        notes += [tell(text, *cite(call)) for text in warned[:2]]
        notes.append(tell("Nothing is sent to a PACS; it needs a DICOM series as source to belong to a patient."))
    if re.search(r"systol", turn.task.text):
        images = ", ".join(
            dict.fromkeys(
                one.image_id for one in turn.found if any(one.mask_id == row["mask_id"] for row in call.result["files"])
            )
        )
        notes.append(tell(f"Written is the phase of {images}, chosen by volume.", *cite(call)))
    if "one file" in turn.task.text and form == "NIfTI":
        notes.append(
            tell(
                "NIfTI holds a file per mask here; the file's name tells its structure, and all lie on the scan's grid."
            )
        )
    return [tell(f"{phrase('written', turn.task.language)} {form}: {paths}.", *cite(call)), *notes]
