"""The open term lists the anatomy table is grown from: BodyParts3D (FMA) and the Human Reference Atlas.

Only read when the table or the corpus is built, by `build_structures` and `build_corpus`; a user never needs the files.

Source: BodyParts3D, (c) The Database Center for Life Science, CC BY-SA 2.1 Japan (names and FMA ids);
HuBMAP Human Reference Atlas, ASCT+B tables and 3D reference organs, CC BY 4.0; hippocampus sizes: Medical
Segmentation Decathlon, Task04, CC BY-SA 4.0.
"""

from __future__ import annotations

import csv
import json
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

FMA, HRA, MSD, OWN = "BodyParts3D (FMA)", "Human Reference Atlas", "Medical Segmentation Decathlon", "ostensor"
LICENCES = {FMA: "CC-BY-SA-2.1-JP", HRA: "CC-BY-4.0", MSD: "CC-BY-SA-4.0", OWN: "Apache-2.0"}

# Classes, clusters and leftovers of an ontology that nobody points at in a picture.
_ABSTRACT = re.compile(
    r"^((branch|tributary|zone|region|subdivision|subdivisionof|set|segment|content|compartment|wall|cavity|lamina|septum"
    r"|white matter|gr[ae]y matter|nucleus|part|division|layer|lobe|lobule|capsule|phalanx|cusp|leaflet|leaf|muscle"
    r"|musculature|ligament|process|head|trunk|area|nerve|skeleton|space|dorsum|root|back|cortex|duct|gray) "
    r"(of|to) (?!thymus|(left |right )?(biceps|triceps|gastrocnemius)|caudate lobe))"
    r"|\b(entity|anatomical|organ|organs|cluster|component|cardinal|neuraxis|tissue|variant|subsegmental|hepatovenous"
    r"|hairs?|immaterial|heterogeneous|subsector|sector|region|typical|atypical|zone|intrinsic|extrinsic|in vivo"
    r"|subdivision|anastomosis|vasculature|division|appendage|integument|tree|vascular|branch|compartment|myocardial"
    r"|part|side of|segmental (artery|vein)|terminal|systemic|free|check|proper|musculoskeletal|alimentary|neural"
    r"|subsuperior|lobar|hollow|solid|parenchyma|human body|pneumatized|(flat|long|short|irregular) bone|curtain"
    r"|(venous|nerve|arterial) trunk|lobular|ring of|nonskeletal|(true|false|floating) rib|symphysis|incisure"
    r"|orifice|skeletal|chest|subdivisionof|content|fascial system|segment of trunk|wall|subcortex|body cavity|superficial muscle|deep .*muscle of|terminal|junction|tissue)\b"
    r"|^(artery|vein|nerve|duct|ganglion|tendon|retinaculum|decussation|membranous layer|trunk|lobe|muscle|head|bone"
    r"|atrium|ventricle|chamber of eyeball|canine tooth|molar tooth|brachium .*|gemellus|appendicular artery)$"
)
_MICROSCOPIC = re.compile(
    r"epitheli|endotheli|stroma|mucosa|lamina|capillar|cell|follic|fiber|fibre|layer|tissue|tubul|nephron|vessel"
    r"|gland acin|duct/|/|\(|#|zone|vasculat|muscularis|serosa|matrix|lymphoid|smooth muscle|channel|pathway|\d\)"
    r"|mesenchyme|mesotheli|trabecul|part of|belly of|head of|fascicle|compartment|compartmet|portion|adult|fetal|embryonic"
)
_HRA_TABLES = {
    "asct-b-vh-muscular-system.csv": "muscle",
    "asct-b-allen-brain.csv": "part of the brain",
    "asct-b-vh-lymph-vasculature.csv": "lymphatic vessel",
    "ASCT-B_VH_Peripheral_Nervous_System.csv": "nerve",
    "asct-b-vh-spinal-cord.csv": "central nervous system",
    "asct-b-vh-skeleton.csv": "bone",
    "ASCT-B_VH_Heart.csv": "part of the heart",
}
_TOO_GENERAL = re.compile(
    r"^(nerves?|nerve plexus|vein|artery|.* compartment .*|(abdomen|arm|back|chest|cranial|hand|leg|neck|laryngeal|palatal"
    r"|external ear|extrinsic tongue|intrinsic tongue|intrinsic eye|middle ear|perineal|pelvic floor|segmental back"
    r"|intermediate back|.* wall|masticatory|lateral vertebral|anterior vertebral|.* pharyngeal|dorsum of foot"
    r"|sole of foot|.* hand) muscle|.* region|.* region bone|.*zone|caudal vertebra|ulnare|.* bone \d|(hand|foot|arm|leg"
    r"|cranial) bone|rib \d+|\w+ vertebra \d+|septum|central nuclear group|lateral nucleus|medial nucleus|nucleus|cortex)$"
    r"|branch|ramus|communicat|\bproper\b|nerve to|nerve of \w+ (finger|toe)|digital nerve"
)


@dataclass
class Term:
    """A name out of a source, with what the source says about it.

    Attributes:
        part_of, is_a: names of the wholes and of the kinds.
        group: the source's own grouping, such as "muscle".
    """

    name: str
    source: str
    code: str = ""
    part_of: list[str] = field(default_factory=list)
    is_a: list[str] = field(default_factory=list)
    group: str = ""


def fma_terms(folder: Path) -> dict[str, Term]:
    """Every usable name of BodyParts3D with its trees."""
    terms = _fma_all(folder)
    return {name: term for name, term in terms.items() if not _ABSTRACT.search(name)}


def fma_kinds(folder: Path) -> dict[str, list[str]]:
    """Name -> its is-a ancestors, nearest first, abstract ones too."""
    terms = _fma_all(folder)

    def climb(name: str, seen: tuple[str, ...]) -> tuple[str, ...]:
        for above in terms[name].is_a if name in terms else ():
            if above not in seen:
                seen = climb(above, (*seen, above))
        return seen

    return {name: list(climb(name, ())) for name in terms}


def fma_wholes(folder: Path) -> dict[str, list[str]]:
    """Name -> its part-of ancestors, nearest first."""
    terms = _fma_all(folder)

    def climb(name: str, seen: tuple[str, ...]) -> tuple[str, ...]:
        for above in terms[name].part_of if name in terms else ():
            if above not in seen:
                seen = climb(above, (*seen, above))
        return seen

    return {name: list(climb(name, ())) for name in terms}


def _fma_all(folder: Path) -> dict[str, Term]:
    terms = {row["name"]: Term(row["name"], FMA, row["fma_id"]) for row in _rows(folder / "fma_names.tsv")}
    for file, relation in (("bodyparts3d_isa_inclusion.tsv", "is_a"), ("bodyparts3d_partof_inclusion.tsv", "part_of")):
        for row in _rows(folder / file):
            child = terms.setdefault(row["child name"], Term(row["child name"], FMA, row["child id"]))
            above = getattr(child, relation)
            if row["parent name"] not in above:
                above.append(row["parent name"])
    return terms


def hra_terms(folder: Path) -> dict[str, Term]:
    """Every usable name of the ASCT+B tables, in the table's own wording, without the word "muscle"."""
    terms: dict[str, Term] = {}
    for row in _rows(folder / "hra_asctb_partonomy.tsv"):
        group = _HRA_TABLES.get(row["table"])
        name = hra_name(row["child"])
        if group is None or not name or _MICROSCOPIC.search(row["child"]) or _TOO_GENERAL.search(row["child"]):
            continue
        if group == "bone" and " of " in name:
            continue  # grooves and facets: a thousand of them
        term = terms.setdefault(name, Term(name, HRA, group=group))
        if row["child_id"].startswith("UBERON:"):
            term.code = term.code or row["child_id"]
        whole = hra_name(row["parent"])
        if whole and whole not in term.part_of:
            term.part_of.append(whole)
    return terms


def hra_codes(folder: Path) -> dict[str, str]:
    """Name -> UBERON code, where the Human Reference Atlas gives one and only one."""
    found: dict[str, set[str]] = defaultdict(set)
    for row in _rows(folder / "hra_asctb_partonomy.tsv"):
        for side in ("child", "parent"):
            if row[f"{side}_id"].startswith("UBERON:"):
                found[hra_name(row[side])].add(row[f"{side}_id"])
    return {name: codes.pop() for name, codes in found.items() if len(codes) == 1}


def hra_edges(folder: Path) -> Iterator[tuple[str, str, str]]:
    """(part, whole, table) of the ASCT+B tables, as written there."""
    for row in _rows(folder / "hra_asctb_partonomy.tsv"):
        yield row["child"].strip(), row["parent"].strip(), row["table"]


def hra_volumes_ml(folder: Path) -> dict[str, tuple[float, float]]:
    """Name -> (smaller, larger) volume in ml of the two reference bodies.

    Only solids that both bodies have in one piece: tubes are painted at least a voxel thick, so small vessels are too fat.
    """
    sizes: dict[str, list[float]] = defaultdict(list)
    for sex in ("male", "female"):
        facts = json.loads((folder / f"hra_{sex}_2mm.json").read_text(encoding="utf-8"))
        for label in facts["labels"]:
            if label["present"] and label["label"] > 1 and label["mode"] != "tube" and label["components"] == 1:
                sizes[label["name"]].append(float(label["volume_ml"]))
    return {name: (min(ml), max(ml)) for name, ml in sizes.items() if len(ml) == 2}


def hippocampus_volumes_ml(folder: Path) -> dict[str, tuple[float, float]]:
    """Name -> 5th and 95th percentile in ml of the 200 expert-drawn crops of the Medical Segmentation Decathlon."""
    import nibabel
    import numpy as np

    sizes: dict[str, list[float]] = {"anterior hippocampus": [], "posterior hippocampus": []}
    for file in sorted((folder / "labels").glob("*.nii.gz")):
        image = nibabel.load(file)
        voxel_ml = float(abs(np.linalg.det(image.affine[:3, :3]))) / 1000
        counts = np.bincount(np.asarray(image.dataobj).astype(np.int64).ravel(), minlength=3)
        for value, name in enumerate(sizes, start=1):
            sizes[name].append(float(counts[value]) * voxel_ml)
    return {name: (float(np.percentile(ml, 5)), float(np.percentile(ml, 95))) for name, ml in sizes.items()}


def hra_name(text: str) -> str:
    """The Atlas's name in the table's form: 'adductor brevis muscle' -> 'adductor brevis'."""
    plain = re.sub(r"\s+", " ", text.strip().lower())
    bare = re.sub(r"(?<=\w) (extraocular|extra-ocular)? ?muscle$", "", plain)
    plain = plain if re.fullmatch(r"\w+(al|ar|verse|ior)", bare) else bare
    return re.sub(r"(?<=\w)capit(us|ius) ", "capitis ", plain)


def _rows(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines, delimiter="\t"))
