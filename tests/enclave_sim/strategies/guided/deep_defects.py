"""Ten deep defects in one kernel: each is behind four conditions, on signals, status and cycles, met one after another.

Each sends a signal of its own, which the guest has not sent, so that one search looks for all of them.
"""

import json
from functools import cache

import msgspec

from firmware import Firmware, built_in
from tests.firmware.changed_kernel import build_changed
from tests.mutants.defect import Edit

FORGED = 0xDEAD_0000
"""The signal of the first defect; the others follow it."""
_EXTERNAL, _TIMER = "status & STATUS_EXTERNAL_WAKE", "status & STATUS_TIMER_WAKE"
_READY, _BUSY = "status & STATUS_SIGNAL_READY", "!(status & STATUS_SIGNAL_READY)"
DEFECTS: tuple[tuple[tuple[int, str], ...], ...] = (
    ((5, "1"), (27, "1"), (9, "1"), (14, "1")),
    ((40, "1"), (3, _EXTERNAL), (22, "1"), (61, "1")),
    ((17, _BUSY), (50, "1"), (50, "1"), (8, "1")),
    ((33, "1"), (12, "1"), (58, _TIMER), (2, "1")),
    ((1, _READY), (62, "1"), (31, "1"), (44, "1")),
    ((21, "1"), (20, _EXTERNAL), (19, _BUSY), (18, "1")),
    ((36, "1"), (36, "1"), (36, "1"), (37, _TIMER)),
    ((55, "1"), (10, _BUSY), (25, "1"), (39, "1")),
    ((47, _READY), (6, "1"), (53, "1"), (29, "1")),
    ((11, "1"), (48, _EXTERNAL), (15, "1"), (60, "1")),
)
"""For each defect the signals that advance it, in order, and what else must hold."""


def _source() -> str:
    steps = [
        f"    case {stage}:\n        if (argument == {signal} && ({also}))\n"
        f"            {{ reached[{number}] = {stage + 1}; "
        + (f"leave({number}); " if stage == len(defect) - 1 else "")
        + "}\n        return;\n"
        for number, defect in enumerate(DEFECTS)
        for stage, (signal, also) in enumerate(defect)
    ]
    count = len(DEFECTS[0])
    functions = [
        f"static __attribute__((noinline)) void defect{number}(u64 argument)\n{{\n    switch (reached[{number}]) {{\n"
        + "".join(steps[number * count : (number + 1) * count])
        + "    }\n}\n"
        for number in range(len(DEFECTS))
    ]
    calls = "".join(f"    defect{number}(argument);\n" for number in range(len(DEFECTS)))
    return (
        f"static volatile u8 reached[{len(DEFECTS)}];\n"
        "static void leave(u64 number)\n{\n"
        f"    store32(ENCLAVE + ENCLAVE_UPLINK_DATA, {FORGED:#x} + number);\n"
        "    store32(ENCLAVE + ENCLAVE_UPLINK_COMMIT, 1);\n}\n"
        + "".join(functions)
        + f"static __attribute__((noinline)) void defects(u64 argument)\n{{\n{calls}}}\n\n"
    )


@cache
def kernel() -> Firmware:
    """Build the kernel with all ten defects."""
    edits = (
        Edit("traps.c", "static u64 serve(u64 number", _source() + "static u64 serve(u64 number"),
        Edit("traps.c", "    case CALL_EMIT_SIGNAL:\n", "    case CALL_EMIT_SIGNAL:\n        defects(argument);\n"),
    )
    image, description = build_changed(edits)
    return msgspec.structs.replace(built_in(), image=image, symbols=json.loads(description)["symbols"])
