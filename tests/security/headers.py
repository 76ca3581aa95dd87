"""Text headers that nobody should write, drawn from a grammar with a seed: spellings of a key, of a sign, of white space, of a place."""

import random
from pathlib import Path

SHAPE = (5, 7, 11)
MARK = b"canary of another caller's scan "
BLANKS = (*("",) * 24, " ", "\t", "  ", "\v", "\f", "\0", "\r", "\xa0", "\u2003", "\ufeff", "\x1f", "\\", "#", "\x85")
ENDS = ("\n", "\n", "\n", "\r\n", "\r", "\n\r", "\v\n", "\f", "\x85", "\u2028", "\0", " \n", "\n\n", "\r\r\n")
META_KEYS = (
    "ElementDataFile", "ElementDataFile", "ElementDataFile", "elementdatafile", "ELEMENTDATAFILE", "ElementDataFile ",
    "Element DataFile", "ElementDataFileName", "xElementDataFile", "Comment = x\rElementDataFile", "ElementDatafile",
)  # fmt: skip
NRRD_KEYS = (
    "data file", "data file", "datafile", "Data File", "DATAFILE", "data  file", "data\tfile", "dataFile", "content: x\rdata file",
)  # fmt: skip
META_SIGNS = (*(" = ",) * 8, "=", ":", " : ", ": ", " =", "\t=\t", "==", ":=", " ", "", "\v=", "=\f")
NRRD_SIGNS = (*(": ",) * 8, ":", ":=", " : ", "= ", ":\t", ":  ", "\v: ")


def places(root: Path, canary: Path) -> tuple[str, ...]:
    """Ways to name the canary outside the root, each of which some reader somewhere follows."""
    up, name = f"../{canary.name}", canary.name
    return (
        str(canary), up, f"./../{name}", f"sub/../../{name}", "link.raw", "./link.raw", f"file://{canary}", f"'{canary}'",
        f'"{up}"', f"{up} ", f" {up}", f"LIST\n{up}", f"LIST 2D\n{canary}", f"LIST 3\n{up}", f"list\n{canary}", f"{up}%s",
        f"../{name[:-5]}%01d{name[-4:]} 1 1 1", f"{str(canary)[:-5]}%d{name[-4:]} 1 1 1", "LOCAL", "Local", "local", "LoCaL",
        f"LOCAL {canary}", f"LOCAL\r{canary}", f"LOCAL:{canary}", "link.raw LOCAL", f"..\\{name}", f"//{canary}", "sub/link.raw",
        f"%2e%2e/{name}", "link.raw\0", "link.raw\v", "link.raw:", ":link.raw", "linked/" + name, "own.raw", "",
    )  # fmt: skip


def meta_header(draw: random.Random, place: str) -> str:
    """A MetaImage header with one to three lines about its data file."""
    size = " ".join(map(str, SHAPE))
    lines = ["ObjectType = Image", "NDims = 3", f"DimSize = {size}", "ElementType = MET_UCHAR", "BinaryData = True"]
    if draw.random() < 0.1:
        lines.append("Comment = " + "x" * draw.choice((70, 40_000, (1 << 20) + 5)))
    if draw.random() < 0.2:
        lines.append(
            draw.choice(
                ("CompressedData = True", "HeaderSize = -1", "ElementNumberOfChannels = 1", "Name : a", "Nonsense = 1")
            )
        )
    if draw.random() < 0.2:
        draw.shuffle(lines)
    told = [
        draw.choice(BLANKS)
        + draw.choice(META_KEYS)
        + draw.choice(BLANKS)
        + draw.choice(META_SIGNS)
        + draw.choice(BLANKS)
        + place
        for _ in range(draw.choice((1, 1, 1, 2, 3)))
    ]
    if draw.random() < 0.3:
        told.insert(draw.randrange(len(told) + 1), "ElementDataFile = " + draw.choice(("LOCAL", "own.raw", place)))
    return _joined(draw, [*lines, *told])


def nrrd_header(draw: random.Random, place: str) -> str:
    """An NRRD header with one to three lines about its data file."""
    size = " ".join(map(str, SHAPE))
    lines = [f"NRRD000{draw.randrange(1, 7)}", "type: uint8", "dimension: 3", f"sizes: {size}", "encoding: raw"]
    if draw.random() < 0.1:
        lines.append("# " + "x" * draw.choice((70, 40_000, (1 << 20) + 5)))
    if draw.random() < 0.2:
        lines.append(draw.choice(("byte skip: -1", "line skip: 1", "key:=value", "nonsense: 1", "endian: little")))
    lines += [
        draw.choice(BLANKS) + draw.choice(NRRD_KEYS) + draw.choice(NRRD_SIGNS) + draw.choice(BLANKS) + place
        for _ in range(draw.choice((1, 1, 1, 2)))
    ]
    return _joined(draw, lines)


def _joined(draw: random.Random, lines: list[str]) -> str:
    odd = draw.random() < 0.25
    return "".join(line + (draw.choice(ENDS) if odd else "\n") for line in lines) + draw.choice(("", "\n", "\r\n\r\n"))


def drawn(draw: random.Random, root: Path, canary: Path) -> tuple[str, bytes]:
    """A file name and its content."""
    place = draw.choice((str(canary), f"../{canary.name}", "link.raw", *[draw.choice(places(root, canary))] * 3))
    made = (nrrd_header if draw.random() < 0.4 else meta_header)(draw, place)
    ending = draw.choice((".nrrd",) if made.startswith("NRRD") and draw.random() < 0.8 else (".mha", ".mhd", ".nrrd"))
    body = bytes(draw.randrange(256) for _ in range(8)) * 60 if draw.random() < 0.5 else b""
    return f"case{ending}", made.encode("utf-8") + body


def stage(folder: Path) -> tuple[Path, Path]:
    """A root with links out of it, and the canary beside the root."""
    root = folder / "root"
    (root / "sub").mkdir(parents=True)
    canary = folder / "secret1.raw"
    canary.write_bytes(MARK * 40)
    for link in (root / "link.raw", root / "sub" / "link.raw", root / ":link.raw"):
        link.symlink_to(canary)
    (root / "linked").symlink_to(folder)
    (root / "own.raw").write_bytes(b"\x07" * 385)
    return root, canary
