"""`python -m tests.oracle [THEME]...`: every case of the exception suite that differs, one machine below the other.

Where our machine does not get through a case, it is started again at the next one.
"""

import sys

from tests.oracle import ours, qemu, suite
from tests.oracle.records import Run
from tests.oracle.suite import Case


def _ours(theme: str, count: int) -> list[Case]:
    done: list[Case] = []
    while len(done) < count:
        first = len(done)
        image = suite.image(theme, first)
        machine, recording = ours.start(image)
        recording.most = 20_000
        try:
            end = str(machine.run(500_000_000))
        except Exception as error:  # noqa: BLE001 - whatever it is, it belongs into the list
            end = repr(error)
        run = Run(bytes(machine.uart.transmitted), tuple(recording.records), "limit")
        found = suite.cases(image, run, first)
        if first + len(found) < count or machine.debug_exit.status is None:
            last = found.pop() if found else Case(suite.names(image)[first], (), ())
            found.append(Case(last.name, (*last.lines, f"(the run ended here: {end})"), last.records[:12]))
        done += found
    return done


def main(themes: list[str]) -> int:
    different = total = 0
    for theme in themes:
        image = suite.image(theme)
        theirs = suite.cases(image, qemu.run(image))
        for one, other in zip(theirs, _ours(theme, len(theirs)), strict=True):
            total += 1
            if one != other:
                different += 1
                print(f"== {theme}: {one.name}\nQEMU {one}\nours {other}\n")
    print(f"{different} of {total} cases differ")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or list(suite.THEMES)))
