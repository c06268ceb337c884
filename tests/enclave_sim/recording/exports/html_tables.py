"""The tables of a report in HTML."""

from typing import Any
from xml.etree import ElementTree


def words(element: Any) -> str:
    return " ".join(" ".join(element.itertext()).split())


def tables(page: str) -> dict[str, list[list[str]]]:
    """The rows of each table, by the heading above."""
    found: dict[str, list[list[str]]] = {}
    body = ElementTree.fromstring(page.partition("<body>")[2].partition("</body>")[0])
    heading = ""
    for element in body:
        if element.tag == "h2":
            heading = words(element)
        elif element.tag == "table":
            found[heading] = [[words(cell) for cell in row] for row in element]
    return found
