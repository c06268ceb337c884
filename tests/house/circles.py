"""Strongly connected components: nodes that reach themselves along arrows."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping


def components(nodes: Collection[str], arrows: Iterable[tuple[str, str]]) -> list[frozenset[str]]:
    """Split a graph into strongly connected components (Kosaraju), each after all those with arrows to it."""
    forwards: dict[str, list[str]] = defaultdict(list)
    backwards: dict[str, list[str]] = defaultdict(list)
    for importer, imported in sorted(arrows):
        forwards[importer].append(imported)
        backwards[imported].append(importer)
    seen: set[str] = set()
    finished = [node for start in sorted(nodes) for node in _finished(start, forwards, seen)]
    seen.clear()
    found = [frozenset(_finished(start, backwards, seen)) for start in reversed(finished)]
    return [component for component in found if component]


def circles(nodes: Collection[str], arrows: Iterable[tuple[str, str]]) -> list[list[str]]:
    """Return the components of more than one node, each sorted."""
    return sorted(sorted(component) for component in components(nodes, arrows) if len(component) > 1)


def circles_of_imports(imports: Collection[tuple[str, str]]) -> list[list[str]]:
    """Return the circles of modules, and of what stands side by side in a package: its modules and its packages."""
    neighbours = {found for arrow in imports if (found := _neighbours(*arrow)) is not None}
    rings = [*_circles(imports), *_circles(neighbours)]
    return [list(ring) for ring in sorted({tuple(ring) for ring in rings})]


def _circles(arrows: Collection[tuple[str, str]]) -> list[list[str]]:
    return circles({node for arrow in arrows for node in arrow}, arrows)


def _neighbours(importer: str, imported: str) -> tuple[str, str] | None:
    """Return the importer and the imported one as seen in the package that holds both; None if it is one of them."""
    one, other = importer.split("."), imported.split(".")
    depth = next((depth for depth, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), None)
    return None if depth is None else (".".join(one[: depth + 1]), ".".join(other[: depth + 1]))


def _finished(start: str, arrows: Mapping[str, list[str]], seen: set[str]) -> list[str]:
    """Search depth-first from `start`, and return the new nodes in postorder."""
    if start in seen:
        return []
    seen.add(start)
    order: list[str] = []
    path = [(start, iter(arrows.get(start, ())))]
    while path:
        node, others = path[-1]
        for other in others:
            if other not in seen:
                seen.add(other)
                path.append((other, iter(arrows.get(other, ()))))
                break
        else:
            order.append(node)
            path.pop()
    return order
