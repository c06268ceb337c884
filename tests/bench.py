"""Important speeds, each with a reference from the same run: `python tests/bench.py [--quick] [part ...]`.

`python tests/bench.py --compare A B` compares two outputs, each figure beside its own reference.

Prints one JSON object; progress goes to standard error. Values are medians, and samples of a value and its reference
alternate, so that both see the same host conditions. All seconds are host seconds, not virtual time.
"""

import argparse
import json
import os
import platform
import statistics
import sys
import traceback
from collections.abc import Callable
from itertools import chain
from pathlib import Path

from tests import (
    bench_additions,
    bench_attestation,
    bench_campaigns,
    bench_coverage,
    bench_enclave,
    bench_examples,
    bench_growth,
    bench_inspector,
    bench_instructions,
    bench_loops,
    bench_machine,
    bench_process,
    bench_recording,
    bench_resident,
    bench_time_travel,
)
from tests.bench_compare import NotAnOutputError, compare
from tests.bench_entries import Entry, entry, seconds


def property_examples(samples: int) -> list[Entry]:
    """Property-based tests, as users write them."""
    return [
        entry(f"examples: {name}", rate, "examples/s", target, (f"{what}, examples/s", reference), samples)
        for name, rate, target, what, reference in bench_examples.measure(samples)
    ]


def time_travel(samples: int) -> list[Entry]:
    """Snapshots, and steps back."""
    taken, restored, booted = bench_time_travel.snapshots(samples)
    what = ("a fresh enclave, booted as far, ms of a processor", booted)
    figures = {"taking a snapshot": taken, "restoring it after a small run": restored}
    return [
        *(
            entry(name, ms / booted, "ratio", "<= 0.00667", what, samples, ms=round(ms, 4))
            for name, ms in figures.items()
        ),
        *(
            entry(f"a step back in {name}", median, "ms", "<= 50", ("the run forward, ms", forward), 12, worst=worst)
            for name, median, worst, forward in bench_time_travel.steps_back()
        ),
        *(
            entry(
                f"a step of provenance in {name}", median, "ms", "<= 30", ("a step back, ms", back), count, worst=worst
            )
            for name, median, worst, count, back in bench_time_travel.steps_of_provenance()
        ),
        *(
            entry(
                f"lifetimes of {name}", ms / run, "ratio", "<= 10", ("the run, ms of a processor", run), samples, ms=ms
            )
            for name, ms, run in bench_time_travel.lifetimes(samples)
        ),
    ]


def inspector(samples: int) -> list[Entry]:
    """From a key to the screen."""
    found = []
    for width, height in ((80, 24), (200, 60)):
        taken, additions = bench_inspector.steps((width, height), samples)
        beside = ("a million additions, ms", additions)
        for name, value in (("median", statistics.median(taken)), ("99 of 100", taken[len(taken) * 99 // 100])):
            what = f"inspector: a step on screen, {width}x{height}, {name}"
            found.append(entry(what, value, "ms", "<= 50", beside, samples))
    return found


def attestation(samples: int) -> list[Entry]:
    """Measured boot, quotes and their verifiers."""
    attested, plain, more, busy = bench_attestation.boots(samples)
    whole, signatures = bench_attestation.verification(samples)
    rate, plain_rate = bench_attestation.cycles(samples)
    remote, direct = bench_attestation.exchanges(samples)
    plain_boot = ("the boot without attestation, ms", plain)
    judged = ("two bare verifications of signatures, ms", signatures)
    asked = ("the verifier called directly, exchanges/s", direct)
    return [
        entry(
            "attestation: more at boot",
            more,
            "ms",
            "<= 5",
            plain_boot,
            samples,
            whole=round(attested, 3),
            processor_ms=round(busy, 3),
        ),
        entry("attestation: one evidence file decoded and verified", whole, "ms", "<= 5", judged, samples),
        entry(
            "attestation: cycles of a small guest",
            rate,
            "cycles/s",
            None,
            ("without attestation, cycles/s", plain_rate),
            samples,
        ),
        *(
            entry(f"TPM model: {name}", ours, "commands/s", None, ("swtpm, commands/s", theirs), samples)
            for name, ours, theirs in bench_attestation.tpm_commands(samples)
        ),
        entry("verifier over HTTP: challenge, evidence, verdict", remote, "exchanges/s", None, asked, samples),
    ]


def instructions(samples: int) -> list[Entry]:
    """The slowest paths through the processor, the slowest first; each a median."""
    found: list[Entry] = []
    for path in bench_instructions.paths():
        speeds = [bench_instructions.measure(path) for _ in range(samples)]
        scaled = statistics.median(speed.scaled for speed in speeds)
        beside = ("a million additions of global variables, ms", statistics.median(s.additions_ms for s in speeds))
        measured = round(statistics.median(speed.per_second for speed in speeds))
        what, promised = f"instructions: {path.name}", f">= {bench_instructions.PROMISED}"
        unit = f"instructions/s where these take {bench_instructions.AT_MS:g} ms"
        found.append(entry(what, round(scaled), unit, promised, beside, samples, measured=measured))
    return sorted(found, key=lambda one: float(one["value"]))


def main() -> None:
    """Measure everything and print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", help="which parts, by the first words of their names; else all")
    parser.add_argument("--quick", action="store_true", help="fewer samples")
    parser.add_argument("--compare", nargs=2, type=Path, metavar=("A", "B"), help="compare two outputs, and stop")
    arguments = parser.parse_args()
    if arguments.compare:
        try:
            text, status = compare(*arguments.compare)
        except NotAnOutputError as error:
            parser.error(str(error))
        print(text)
        sys.exit(status)
    few, many = (3, 7) if arguments.quick else (7, 21)
    parts: list[tuple[str, Callable[[], list[Entry]]]] = [
        ("boot", lambda: [bench_enclave.boot(many)]),
        ("process", lambda: bench_process.process(few)),
        ("runs", lambda: bench_additions.runs(few)),
        ("small kernel", lambda: bench_machine.small_kernel(many)),
        ("ring-3 loops", lambda: [bench_loops.ring_3_loops(few)]),
        ("resident VMM", lambda: bench_resident.resident(few)),
        ("ring-0 loop", lambda: [bench_machine.ring_0_loop(few)]),
        ("host calls", lambda: [bench_enclave.host_calls(few), bench_additions.a_host_call(few)]),
        ("coverage", lambda: bench_coverage.coverage(few)),
        ("campaigns", lambda: bench_campaigns.campaigns(few)),
        ("compute", lambda: bench_enclave.compute(few)),
        ("property examples", lambda: property_examples(few)),
        ("time travel", lambda: time_travel(many)),
        ("inspector", lambda: inspector(30 * few)),
        ("attestation", lambda: attestation(few)),
        ("instructions", lambda: instructions(few)),
        ("a million events", bench_recording.million_events),
        ("growth", bench_growth.growth),
        ("verification", lambda: [bench_additions.verification()]),
    ]
    wanted = tuple(arguments.parts)
    parts = [part for part in parts if not wanted or part[0].startswith(wanted)]
    found: list[list[Entry]] = []
    failed: list[str] = []
    for name, measure in parts:
        print(f"{name} ...", end=" ", file=sys.stderr, flush=True)
        found.append([])
        try:
            elapsed = seconds(lambda measure=measure, into=found[-1]: into.extend(measure()))  # type: ignore[misc]
        except Exception:  # noqa: BLE001 - the other parts are worth printing, whatever happened to this one
            traceback.print_exc()
            failed.append(name)
        else:
            print(f"{elapsed:.1f} s", file=sys.stderr)
    host = {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "system": platform.system(),
        "processors": os.cpu_count(),
    }
    print(json.dumps({"host": host, "quick": arguments.quick, "results": list(chain.from_iterable(found))}, indent=2))
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
