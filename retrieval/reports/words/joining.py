"""Names side by side: one structure said in two words, and words that a list leaves to its last member."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ...anatomy.structures import Structure, StructureTable
from ..mentions import whole
from .naming import Item, index, item_of

JOINTS = frozenset({",", "and", "or", "/", "nor"})
_BETWEEN = JOINTS | {"the", "left", "right", "both"}
_SPAN = 12  # words between a shared head and the first that shares it
_BESIDE_DISCS = ("neural foramen", "facet joint", "nerve root")
_PARTS = frozenset(
    {"head", "heads", "base", "bases", "shaft", "shafts", "neck", "necks", "body", "bodies", "wall", "walls"}
)
_AFTER_OPERATION = frozenset({"status", "post", "after", "partial", "subtotal", "total", "prior", "previous", ","})
_OF_LOBES = ("white matter", "cerebral cortex", "brain", "periventricular white matter", "cerebral white matter")
_SIDES_OF_BONE = frozenset({"superior", "inferior", "anterior", "posterior", "upper", "lower", "end"})


def joined(found: Sequence[Item], words: Sequence[str], table: StructureTable) -> list[Item]:
    """ "Infrarenal abdominal aortic", "L4 nerve root": names side by side that mean one structure become the last."""
    made: list[Item] = []
    for item in found:
        before = made[-1] if made else None
        near = before is not None and set(words[before.last : item.first]) <= _SIDES_OF_BONE
        if before is not None and item.name == "scalp" and before.sort == "organ" and before.last == item.first:
            made[-1] = replace(item, first=before.first)  # "left parietal scalp"
            continue
        if before is not None and item.how == "part" and before.sort == "organ" and before.last == item.first:
            part = table.get(f"{item.name} of {before.name}") or table.get(f"{before.name} {item.name}")
            made[-1] = replace(before, name=part.name if part is not None else before.name, last=item.last)
            continue
        if before is not None and before.last == item.first and before.name.endswith("lobe") and item.name in _OF_LOBES:
            made[-1] = replace(before, last=item.last)  # "left frontal white matter"
            continue
        if (
            before is not None
            and before.last == item.first
            and before.name == item.name
            and {before.how, item.how} <= {"name", "adjective"}
        ):
            made[-1] = replace(before, last=item.last, how="name", plural=item.plural)  # "MCA M1 segment"
            continue
        if before is not None and item.how == "surgery" and _of_it(before, item, words, table):
            made[-1] = replace(item, name=before.name, first=before.first, side=before.side)
            continue  # "medial meniscus, status post partial meniscectomy"
        comma = before is not None and words[before.last : item.first] == [","]
        if before is not None and comma and before.sort == item.sort == "organ" and before.name == item.name == "liver":
            made[-1] = replace(before, last=item.last)  # "liver, segment 3"
            continue
        if before is not None and near and before.sort == item.sort == "organ":
            row, whole_row = table.get(item.name), table.get(before.name)
            of_level = whole_row is not None and whole_row.name.endswith("vertebra") and item.how != "surgery"
            of_level = of_level or ("intervertebral dis" in before.name and item.name in _BESIDE_DISCS)
            inside = (
                row is not None
                and before.how == "adjective"
                and (before.name == item.name or row.part_of == before.name)
            )
            if of_level and item.name in ("vertebral endplate", "vertebral body", "vertebra", "vertebral column"):
                made[-1] = replace(before, last=item.last)
                continue
            if (of_level or inside) and before.last == item.first:
                made[-1] = replace(item, first=before.first, side=item.side or before.side)
                continue
        made.append(item)
    return made


def _of_it(before: Item, item: Item, words: Sequence[str], table: StructureTable) -> bool:
    """Whether an operation is told of the structure right before it."""
    row = table.get(before.name)
    alike = row is not None and item.name in (row.name, row.part_of, row.parent)
    return before.sort == "organ" and alike and set(words[before.last : item.first]) <= _AFTER_OPERATION


def unglued(found: Sequence[Item], words: Sequence[str], table: StructureTable) -> list[Item]:
    """ "Mitral and tricuspid regurgitation": a lesion's own adjective is taken apart where another shares its noun."""
    made: list[Item] = []
    for item in found:
        before = made[-1] if made else None
        head = item.last - 1
        if (
            before is not None
            and item.sort == "lesion"
            and head > item.first
            and before.sort == "organ"
            and before.how in ("name", "adjective")
            and words[before.last : item.first] in (["and"], ["or"], ["/"], [","])
        ):
            own = index(table).find(words[item.first : head])
            noun = index(table).find(words[head : item.last])
            if len(own) == len(noun) == 1 and own[0].value[0] == "organ" and noun[0].value[0] == "lesion":
                made.append(replace(item_of(own[0], words[item.first : head], table), first=item.first, last=head))
                made.append(replace(item, name=noun[0].value[1], first=head))
                continue
        made.append(item)
    return made


def shared_heads(words: Sequence[str], found: Sequence[Item], taken: set[int], table: StructureTable) -> list[Item]:
    """Names that leave their head to a later one: "portal, splenic and hepatic veins", "4th and 5th ribs"."""
    made: list[Item] = []
    firm = {n for item in found if item.how != "adjective" for n in range(item.first, item.last)}
    for item in found:
        full = list(words[item.first : item.last])
        if item.sort != "organ" or len(full) < 2:
            continue
        at = item.first
        while item.first - at < _SPAN and at > 1 and words[at - 1] in _BETWEEN:
            last = at
            while last > 0 and words[last - 1] in _BETWEEN:
                last -= 1
            if not any(word in JOINTS for word in words[last:at]):
                break
            sharer = _sharer(words, last, full, firm, table)
            if sharer is None:
                break
            at, row = sharer
            side = "plural" if item.plural and row.side == "both" and set(row.regions) != {"limb"} else ""
            made.append(Item("organ", whole(table, row.name), at, last, "name", side, plural=item.plural))
    return made


def _sharer(
    words: Sequence[str], last: int, full: Sequence[str], firm: set[int], table: StructureTable
) -> tuple[int, Structure] | None:
    """The longest run of up to three words before `last` that makes a name with the end of the full one."""
    for at in range(max(0, last - 3), last):
        if any(n in firm or words[n] in _BETWEEN for n in range(at, last)):
            continue
        for cut in range(1, len(full)):
            name = [*words[at:last], *full[cut:]]
            if full[-1] in _PARTS and cut < len(full) - 1:
                name.pop()  # "2nd and 3rd metacarpal heads"
            match = index(table).find(name)
            if len(match) == 1 and match[0].first == 0 and match[0].last == len(name) and match[0].value[0] == "organ":
                row = table.get(match[0].value[1])
                if row is not None:
                    return at, row
    return None
