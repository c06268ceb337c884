"""Comparison of a page's output with the printed one, and its replacement."""

import re

_DOTS = re.compile(r"^ *\.\.\.(?: (\d+) lines?\b.*)?$")
_NUMBER = re.compile(r"\d+")
_CODE = re.compile(r"^\(exit code (\d+)\)\n", re.MULTILINE)


def agrees(shown: str, printed: str, *, varies: bool = False) -> bool:
    """Whether a page shows what was printed.

    Blank lines around it do not count. A line of `...` stands for any lines, `... 31 lines` for so many; `...` after a
    space for the rest of its line.
    """
    if varies:
        shown, printed = _constant(shown), _constant(printed)
    return re.fullmatch("".join(map(_pattern, shown.strip("\n").splitlines())), printed.strip("\n") + "\n") is not None


def exit_code(shown: str) -> tuple[str, int | None]:
    """The shown output without the exit code, and that code."""
    found = _CODE.search(shown)
    return _CODE.sub("", shown), int(found[1]) if found else None


def replaced(shown: str, printed: str) -> str:
    """The output for the page: the printed one, with the same lines left out as before."""
    before = shown.splitlines(keepends=True)
    now = printed.splitlines(keepends=True)
    dots = [index for index, line in enumerate(before) if _DOTS.match(line.rstrip("\n"))]
    if not dots:
        return printed
    after = len(before) - dots[-1] - 1
    left_out = len(now) - dots[0] - after
    middle = re.sub(r"(?<=\.\.\. )\d+(?= line)", str(left_out), before[dots[0]])
    return "".join([*now[: dots[0]], middle, *now[len(now) - after :]])


def chosen(shown: str, printed: str) -> str:
    """The lines of a file for the page: the first ones like those shown, which differ in nothing but numbers."""
    before, now = shown.splitlines(), printed.splitlines()
    starts = [at for at in range(len(now)) if _alike(before, now[at : at + len(before)])]
    if not starts:
        raise ValueError(f"no lines are like\n{shown}")
    return "".join(f"{line}\n" for line in now[starts[0] :][: len(before)])


def _alike(before: list[str], now: list[str]) -> bool:
    return [_NUMBER.sub("0", line) for line in before] == [_NUMBER.sub("0", line) for line in now]


def _pattern(line: str) -> str:
    if dots := _DOTS.match(line):
        return r"(?:.*\n)*?" if dots[1] is None else rf"(?:.*\n){{{dots[1]}}}"
    if line.endswith(" ..."):
        return re.escape(line.removesuffix("...")) + r".*\n"
    return re.escape(line) + r"\n"


def _constant(text: str) -> str:
    text = re.sub(r"\b[0-9a-f]{32,}\b", "HEX", text)
    return re.sub(r"\b\d+(\.\d+)?(?= (bytes|ms)\b)", "N", text)
