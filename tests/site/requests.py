"""The addresses that a browser would ask other hosts for, to show a page of the site."""

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

_LOADING = {"script": "src", "img": "src", "source": "src", "iframe": "src", "audio": "src", "video": "src"} | {
    "object": "data",
    "embed": "src",
    "link": "href",
    "image": "href",
    "use": "href",
}
"""The attribute by which an element loads something."""
_OTHER_HOST = re.compile(r"(?:https?:)?//")
_IN_STYLE = re.compile(r"""(?:url\(\s*|@import\s+)["']?((?:https?:)?//[^"')\s]+)""")
_IN_SCRIPT = re.compile(r"""(?:fetch|import|importScripts|open)\(\s*(?:["']GET["'],\s*)?["']((?:https?:)?//[^"']+)""")


class _Elements(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        for value in (values.get(_LOADING.get(tag, "")), values.get("xlink:href") if tag != "a" else None):
            if value and _OTHER_HOST.match(value):
                self.found.append(value)
        pictures = (values.get("srcset") or "").split(",")
        self.found += (part.split()[0] for part in pictures if _OTHER_HOST.match(part.strip()))
        self.found += _IN_STYLE.findall(values.get("style") or "")


def to_other_hosts(text: str) -> list[str]:
    """Return the addresses that a page, a picture, a style sheet or a script loads from other hosts."""
    elements = _Elements()
    elements.feed(text)
    return [*elements.found, *_IN_STYLE.findall(text), *_IN_SCRIPT.findall(text)]


def of_site(site: Path) -> Iterator[tuple[str, str]]:
    """Yield each file of a site that would load something from another host, with the address."""
    for path in sorted(site.rglob("*")):
        if path.suffix in {".html", ".css", ".js", ".svg"}:
            yield from ((path.relative_to(site).as_posix(), address) for address in to_other_hosts(path.read_text()))
