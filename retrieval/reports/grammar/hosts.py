"""The usual place of a lesion by the words for it, and the only place of some, whatever is named beside them."""

from __future__ import annotations

from functools import cache

from ...anatomy.structures import StructureTable
from ..lexicon import Phrases, form_of, report_words
from .entries import Entry

_CHEST = (
    "lung",
    "lobe of",
    "rib",
    "diaphragm",
    "thorax",
    "chest",
    "bronch",
    "mediast",
    "lingula",
    "hilum",
    "pleura",
    "phrenic",
    "pulmon",
)

_SPACES = ("subarachnoid space", "subdural space", "epidural space")
_FED_BY = {"kidneys": "renal artery", "spleen": "splenic artery", "liver": "hepatic artery", "femora": "femoral artery",
           "radius": "radial artery", "ulna": "ulnar artery", "mesentery": "superior mesenteric artery"}  # fmt: skip
_TENDON_AT = {"patella": "patellar ligament", "quadriceps femoris": "quadriceps tendon", "rotator cuff": "rotator cuff"}
_HEADS = {"head of humerus": "shoulder joint", "head of femur": "hip joint", "femoral head": "hip joint"}
_OF_DISC = ("protrusion", "extrusion", "herniation", "bulge", "sequestration", "disc osteophyte complex")
_OF_BONE = ("vertebra", "femur", "femora", "head of", "plateau", "bone")
_ON_THE_PLEURA = (
    "plaque",
    "thickening",
    "mass",
    "nodule",
    "calcification",
    "metastasis",
    "deposit",
    "lesion",
    "carcinomatosis",
)

LARGE = (
    "brain",
    "lungs",
    "intestine",
    "liver",
)  # usual places that are wide: a named part of them is nearer the truth


def usual_place(said: str, kind: str) -> str:
    """Where a lesion usually is, by the words for it ("gallstone") or its kind; "" when it may be anywhere."""
    for words in (said, kind):
        found = _hosts().find(words.split())
        if found and found[0].last - found[0].first == len(words.split()):
            return found[0].value
    form = form_of(said) if said.isalpha() else None
    return form.structure if form is not None else ""


def only_place(entry: Entry) -> str:
    """The one place a kind of lesion has whatever is named beside it: an effusion beside a lung is in the pleura."""
    organ = entry.place.organ if entry.place else ""
    if entry.lesion == "embolus" and "pulmonary" not in organ and organ.endswith(("artery", "trunk", "aorta")):
        return ""  # "SMA embolus"
    if entry.lesion in values("always"):
        return values("always")[entry.lesion]
    if entry.lesion == "effusion" and any(part in organ for part in _CHEST):
        return "pleural cavity"
    if organ == "hilum of lung" and entry.usual in ("bile duct", "liver", "kidneys", "spleen"):
        return entry.usual  # "cholangiocarcinoma at the hilum"
    if organ == "hilum of lung" and entry.lesion in values("oflung"):
        return "lungs"  # "perihilar haze"
    if entry.lesion.startswith(("tendin", "tenosyn")) and organ in _TENDON_AT:
        return _TENDON_AT[organ]  # "patellar tendinopathy"
    if entry.lesion in ("aneurysm", "pseudoaneurysm", "dissection") and organ in _FED_BY:
        return _FED_BY[organ]  # "aneurysm at the renal hilum"
    if entry.lesion in ("avascular necrosis", "osteonecrosis") and organ == "hip joint":
        return "head of femur"
    if entry.lesion in ("haemorrhage", "haematoma") and entry.names_place and entry.usual in _SPACES:
        return entry.usual  # "subarachnoid haemorrhage in the sylvian fissure"
    if entry.lesion in ("dislocation", "subluxation") and organ in _HEADS:
        return _HEADS[organ]
    if organ == "neural foramen" and entry.lesion in _OF_DISC:
        return "intervertebral disc"  # "right foraminal protrusion"
    if entry.lesion == "stenosis" and organ.startswith("intervertebral dis"):
        return "spinal canal"
    if organ == "pleural cavity" and entry.lesion in _ON_THE_PLEURA:
        return "pleura"
    if entry.lesion == "effusion" and entry.side and organ in ("heart", "left ventricle", "right ventricle"):
        return "pleural cavity"
    if entry.lesion == "effusion" and organ in ("heart", "left ventricle", "right ventricle"):
        return "pericardium"
    return ""


def within(organ: str, usual: str, table: StructureTable) -> bool:
    """Whether a structure named before lies in the usual place of the lesion."""
    if organ == usual:
        return True
    row, wide = table.get(organ), table.get(usual)
    if usual not in LARGE or row is None or wide is None:
        return False
    if usual == "brain":
        return "brain" in row.regions or row.part_of == "brain"
    return organ != usual and usual.rstrip("s") in f"{row.name} {row.part_of} {row.parent}"


def may_collapse(entry: Entry) -> bool:
    """Whether a collapse is a lesion there: of a lung or a bone, not of bowel or bladder. True of every other lesion."""
    organ = entry.place.organ if entry.place is not None else ""
    return entry.lesion != "collapse" or any(part in organ for part in (*_CHEST, *_OF_BONE))


def pairs(table: StructureTable, name: str) -> bool:
    """Whether a structure is a pair."""
    row = table.get(name)
    return row is not None and row.side == "both"


@cache
def values(kind: str) -> dict[str, str]:
    """The words of a kind and what they mean."""
    return dict(report_words()[kind])


@cache
def _hosts() -> Phrases[str]:
    return Phrases(report_words()["host"], plurals=True)
