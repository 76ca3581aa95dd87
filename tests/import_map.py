"""Who imports whom: `python tests/import_map.py [CHECKOUT]` prints wings, folder sizes and circles as Markdown."""

import ast
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

Edge = tuple[Path, Path]
Modules = dict[tuple[str, ...], Path]


def modules(root: Path) -> Modules:
    """Every module below the packages of a checkout, by its dotted parts below `ostensor`."""
    found: Modules = {}
    for wing in sorted(file.parent for file in root.glob("*/__init__.py")):
        for file in sorted(wing.rglob("*.py")):
            path = file.relative_to(root)
            found[path.parent.parts if path.name == "__init__.py" else path.with_suffix("").parts] = path
    return found


def imported(root: Path, file: Path) -> Iterator[tuple[str, ...]]:
    """Everything a file imports, absolute; what is ours without the leading `ostensor`.

    Lazy imports and those under TYPE_CHECKING count like any other.
    """
    for node in ast.walk(ast.parse((root / file).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (tuple(alias.name.removeprefix("ostensor.").split(".")) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            words = tuple((node.module or "").split(".")) if node.module else ()
            if node.level:
                words = (*file.parent.parts[: len(file.parent.parts) - node.level + 1], *words)
            elif words[0] == "ostensor":
                words = words[1:]
            yield from ((*words, alias.name) for alias in node.names)


def edges(root: Path) -> set[Edge]:
    """Who imports whom among our own files; a name of a module counts as the module."""
    known = modules(root)
    found = set()
    for file in known.values():
        for words in imported(root, file):
            target = known.get(words) or known.get(words[:-1])
            if target is not None:
                found.add((file, target))
    return {(one, other) for one, other in found if one != other}


def circle(arrows: set[tuple[str, str]]) -> list[str]:
    """Nodes that reach themselves, or nothing: what is left after all sources and sinks are taken away."""
    while True:
        starts, ends = {one for one, _ in arrows}, {other for _, other in arrows}
        kept = {(one, other) for one, other in arrows if one in ends and other in starts}
        if kept == arrows:
            return sorted(starts)
        arrows = kept


def sizes(root: Path) -> dict[str, int]:
    """Folder -> modules in it, without `__init__` and `__main__`."""
    return dict(
        Counter(str(file.parent) for file in modules(root).values() if file.name not in ("__init__.py", "__main__.py"))
    )


def described(root: Path) -> str:
    """The map as Markdown."""
    found = edges(root)
    wings: dict[str, Counter[str]] = {}
    for one, other in found:
        if one.parts[0] != other.parts[0]:
            wings.setdefault(one.parts[0], Counter())[other.parts[0]] += 1
    lines = ["| wing | files | imports from |", "|---|---|---|"]
    for wing in sorted({file.parts[0] for file in modules(root).values()}):
        count = sum(file.parts[0] == wing for file in modules(root).values())
        lines.append(
            f"| {wing} | {count} | {', '.join(f'{w} ({n})' for w, n in sorted(wings.get(wing, {}).items()))} |"
        )
    largest = sorted(sizes(root).items(), key=lambda item: -item[1])[:4]
    files = circle({(str(one), str(other)) for one, other in found})
    between = circle({(one.parts[0], other.parts[0]) for one, other in found if one.parts[0] != other.parts[0]})
    lines += [
        "",
        f"Largest folders: {', '.join(f'{name} {count}' for name, count in largest)}. "
        f"Files in circles: {len(files)}. Wings in circles: {', '.join(between) or 'none'}.",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    print(described(Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).resolve().parents[1]).resolve()))  # noqa: T201
