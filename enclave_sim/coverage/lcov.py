"""Coverage as an LCOV tracefile, which genhtml and many other tools read (geninfo(1))."""

import re
from collections.abc import Iterable, Iterator

from enclave_sim.coverage.report import Count, CoverageReport, FileCoverage


def lcov(report: CoverageReport, test: str = "") -> str:
    """Return a report as a tracefile.

    Args:
        report: The report.
        test: The name of the test; letters, digits and underscores.

    Returns:
        The text. Counts are 1 for what was executed: how often is not known.
    """
    return "".join(f"{line}\n" for one in report.files for line in _file(one, test))


def _file(file: FileCoverage, test: str) -> Iterator[str]:
    yield f"TN:{test}"
    yield f"SF:{file.path}"
    for line, name, _ in file.functions:
        yield f"FN:{line},{name}"
    for _, name, entered in file.functions:
        yield f"FNDA:{int(entered)},{name}"
    yield from _found("FN", file.function_count.covered, file.function_count.total)
    for line, branches in file.branches.items():
        for block, one in enumerate(branches):
            for branch, went in enumerate((one.taken, one.passed)):
                yield f"BRDA:{line},{block},{branch},{int(went) if one.reached else '-'}"
    yield from _found("BR", file.branch_count.covered, file.branch_count.total)
    for line, hit in file.lines.items():
        yield f"DA:{line},{int(hit)}"
    yield from _found("L", file.line_count.covered, file.line_count.total)
    yield "end_of_record"


def merged(texts: Iterable[str]) -> str:
    """Return one tracefile for several from `lcov`, as of processes that have shared the work.

    Args:
        texts: The tracefiles, of the same sources.

    Returns:
        What any of them has covered.
    """
    files: dict[str, dict[str, str]] = {}
    for text in texts:
        for record in text.split("end_of_record\n")[:-1]:
            name = re.search(r"^SF:.*$", record, re.MULTILINE)
            known = files.setdefault(name[0] if name else "", {})
            for line in record.splitlines():
                key, value = _key(line)
                known[key] = max(known.get(key, value), value)
    return "".join(_recounted(files[name]) for name in sorted(files))


def totals(text: str) -> str:
    """Return the numbers of a tracefile, in words.

    Args:
        text: The tracefile.

    Returns:
        Such as `lines 635 of 2,102, 30.2 %; branches 0 of 0; functions 76 of 190, 40.0 %`.
    """
    numbers = {
        what: sum(int(number) for number in re.findall(rf"^{what}:(\d+)$", text, re.MULTILINE))
        for what in ("LH", "LF", "BRH", "BRF", "FNH", "FNF")
    }
    counts = {"lines": "L", "branches": "BR", "functions": "FN"}
    return "; ".join(f"{name} {Count(numbers[f'{one}H'], numbers[f'{one}F'])}" for name, one in counts.items())


def _key(line: str) -> tuple[str, str]:
    """Return what a line is about, and what it says about it: such that the larger value wins."""
    kind, _, rest = line.partition(":")
    if kind in ("DA", "BRDA"):
        about, _, value = rest.rpartition(",")
        return f"{kind}:{about}", value
    if kind == "FNDA":
        value, _, about = rest.partition(",")
        return f"{kind}:{about}", value
    return line, ""


def _recounted(known: dict[str, str]) -> str:
    """Return the record of a file, with the numbers of what was found and hit."""
    lines = []
    hit = {"FNDA": 0, "BRDA": 0, "DA": 0}
    total = dict(hit)
    for key, value in known.items():
        kind, _, about = key.partition(":")
        if kind in total:
            total[kind] += 1
            hit[kind] += value == "1"
            lines.append(f"{kind}:{value},{about}" if kind == "FNDA" else f"{key},{value}")
        elif kind in ("TN", "SF", "FN"):
            lines.append(key)
    for what, kind in (("FN", "FNDA"), ("BR", "BRDA"), ("L", "DA")):
        lines += _found(what, hit[kind], total[kind])
    return "".join(f"{line}\n" for line in [*lines, "end_of_record"])


def _found(what: str, covered: int, total: int) -> Iterator[str]:
    yield f"{what}F:{total}"
    yield f"{what}H:{covered}"
