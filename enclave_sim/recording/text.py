"""Text for display on a terminal or in a page: text from a recording, counts and sizes.

Text from a payload, such as an import's name, must never reach a terminal as control characters.
"""


def printable(text: str) -> str:
    """Return the text with unprintable characters escaped."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def one_line(text: str) -> str:
    """Return the text on one line, with unprintable characters escaped."""
    return printable(" ".join(text.split()))


def plural(count: int, thing: str) -> str:
    """Return a count with its noun: `1 signal`, `2,000 signals`."""
    return f"{count:,} {thing}{'' if count == 1 else 's'}"


def binary_size(size: int) -> str:
    """Return a size in bytes in a suitable unit: `4 MiB`, `1.5 MiB`, `832 KiB`."""
    for unit, name in ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")):
        if size >= unit and size % (unit // 2) == 0:
            return f"{size / unit:,.1f}".removesuffix(".0") + f" {name}"
    return f"{size:,} B"
