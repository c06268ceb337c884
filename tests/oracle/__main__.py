"""`python -m tests.oracle [THEME]...`: prints each case of the exception suite that differs, one machine below the
other. If our machine does not get through a case, it is restarted at the next one.
"""

import sys

from tests.oracle import ours, qemu, suite
from tests.oracle.records import Run
from tests.oracle.suite import Case

_SHOWN_OF_A_BROKEN_CASE = 4


def _theirs(theme: str) -> list[Case]:
    if theme not in suite.ONE_BY_ONE:
        return suite.cases(suite.image(theme), qemu.run(suite.image(theme)))
    count = len(suite.names(suite.image(theme)))
    runs = [qemu.run(suite.image(theme, index)) for index in range(count)]
    return [suite.cases(suite.image(theme), run, index)[0] for index, run in enumerate(runs)]


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
        if machine.debug_exit.status is None and not (theme in suite.ONE_BY_ONE and end == "Outcome.SHUTDOWN"):
            last = found.pop() if found else Case(suite.names(image)[first], (), ())
            broken = last.records[:_SHOWN_OF_A_BROKEN_CASE]
            found.append(Case(last.name, (*last.lines, f"(the run ended here: {end})"), broken))
        done += found
    return done


def main(themes: list[str]) -> int:
    different = total = 0
    for theme in themes:
        theirs = _theirs(theme)
        for one, other in zip(theirs, _ours(theme, len(theirs)), strict=True):
            total += 1
            if one != other:
                different += 1
                print(f"== {theme}: {one.name}\nQEMU {one}\nours {other}\n")
    print(f"{different} of {total} cases differ")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or list(suite.THEMES)))
