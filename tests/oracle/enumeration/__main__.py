"""`python -m tests.oracle.enumeration`: the instruction set, opcode by opcode, against the host's own processor.

    sample [SEED [N]]       N cases (default 2) of each opcode in each mode
    long [STATE-FILE] every form, then every form with other operands, without end; continues where it stopped
    case FORM [VARIANT]     one case, with all that differs

`--json` prints the report as JSON. Exits with 1 if anything differs.
"""

import json
import sys
from pathlib import Path

from tests.machine.programs.program import GENERAL
from tests.oracle.enumeration import survey
from tests.oracle.enumeration.coverage import Coverage
from tests.oracle.enumeration.forms import Form
from tests.oracle.enumeration.instructions import text
from tests.oracle.enumeration.programs import case
from tests.oracle.host_processor.witness import missing

_VARIANTS = 8
_SAVED_EVERY = 8 * survey.BATCH
STATE = Path("build/enumeration.json")


def main(arguments: list[str]) -> int:
    """Run the command line. Returns the exit code."""
    as_json = "--json" in arguments
    command, *rest = [one for one in arguments if one != "--json"] or ["sample"]
    reason = missing()
    if reason is not None:
        print(f"the host's processor cannot be asked: {reason}", file=sys.stderr)
        return 2
    if command == "sample":
        seed, of_each = (int(value) for value in (*rest, "1", "2")[:2]) if len(rest) != 1 else (int(rest[0]), 2)
        return _finish(_sampled(seed, of_each), as_json)
    if command == "long":
        return _finish(_endless(Path(rest[0]) if rest else STATE), as_json)
    if command == "case" and rest:
        return _one(rest[0], int(rest[1]) if len(rest) > 1 else 0)
    print(__doc__, file=sys.stderr)
    return 2


def _finish(coverage: Coverage, as_json: bool) -> int:
    print(json.dumps(coverage.as_json(), indent=1) if as_json else coverage.report())
    return 1 if coverage.kinds else 0


def _sampled(seed: int, of_each: int) -> Coverage:
    coverage = Coverage()
    seen: set[str] = set()
    for judged in survey.run(survey.sample(seed, of_each)):
        name = judged[0].form.name
        coverage.add(judged, first=name not in seen)
        seen.add(name)
    return coverage


def _endless(path: Path) -> Coverage:
    """Run until interrupted."""
    forms = survey.all_forms()
    coverage, position = Coverage(), {"variant": 0, "index": 0, "forms": len(forms)}
    if path.exists():
        raw = json.loads(path.read_text())
        if raw["position"]["forms"] == len(forms):
            coverage, position = Coverage.from_json(raw), raw["position"]
        else:
            print(f"{path} is of another enumeration: starting again", file=sys.stderr)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        while True:
            variant = position["variant"]
            remaining = range(position["index"], len(forms))
            for index, judged in zip(remaining, survey.run(case(forms[i], variant) for i in remaining), strict=True):
                coverage.add(judged, first=variant == 0)
                position["index"] = index + 1
                if (index + 1) % _SAVED_EVERY == 0:
                    coverage.save(path, position)
                    _progress(coverage, variant, index + 1, len(forms))
            if variant == 0:
                _ask_again(coverage, forms)
            position |= {"variant": variant + 1, "index": 0}
    except KeyboardInterrupt:
        coverage.save(path, position)
        return coverage


def _ask_again(coverage: Coverage, forms: list[Form]) -> None:
    """Retry uncompared forms with other operands, which the host's processor may be able to judge."""
    for variant in range(1, _VARIANTS):
        remaining = [form for form in forms if form.name in coverage.not_compared]
        for judged in survey.run(case(form, variant) for form in remaining):
            coverage.add(judged, first=False)


def _progress(coverage: Coverage, variant: int, done: int, total: int) -> None:
    differing = sum(coverage.kinds.values())
    print(f"pass {variant}: {done} of {total} forms; {coverage.cases} cases, {differing} differ", file=sys.stderr)


def _one(name: str, variant: int) -> int:
    form = next((form for form in survey.all_forms() if form.name == name), None)
    if form is None:
        print(f"there is no form {name!r}", file=sys.stderr)
        return 2
    one = case(form, variant)
    (_, host, ours, verdict), *_ = survey.run([one])
    registers = " ".join(f"{name}={value:#x}" for name, value in zip(GENERAL, one.program.registers, strict=True))
    print(f"{one.program.code[: one.length].hex()} {text(one)}\n{registers} RFLAGS={one.program.rflags:#x}")
    print(f"the host: {host.end}; here: {ours.end}; decided by {verdict.witness or 'nobody'} {verdict.reason}")
    for what, (theirs, mine) in verdict.difference.items():
        shown = (f"{value:#x}" if isinstance(value, int) else value for value in (theirs, mine))
        print(f"  {what}: expected {next(shown)}, here {next(shown)}")
    return 1 if verdict.difference else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
