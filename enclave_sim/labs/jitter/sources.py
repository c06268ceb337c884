"""The sources of a student's kernel: it sends a heartbeat between cycles, and two mistakes make its wake-ups late.

The built-in kernel has no heartbeat, so it solves nothing.
"""

from dataclasses import dataclass

from enclave_sim.labs.case import Case
from enclave_sim.labs.kernel import edited, source

LOOP, TIMER = "exec_loop.c", "timer.c"
SOURCES = (LOOP, TIMER)
_MASK = 0xFFFF_FFFF

_HANDLERS = "/* The interrupt handlers call these."
_AWAKE = "    if (!sleeps)\n"
_SLEEP = "static void sleep(void)\n{\n"
_HEARTBEAT = """\
/* The heartbeat: a checksum of the cycle's staged payload, sent by the uplink. */
static void heartbeat(void)
{
    u32 payload = (cycle - 1) % payload_count;
    const u8 *bytes = (const u8 *)(u64)payloads[payload].base;
    u32 sum = SEED;

    user_pages_open();
    for (u32 i = 0; i < payloads[payload].length; i++)
        sum = sum * FACTOR + bytes[i];
    user_pages_close();
    store32(ENCLAVE + ENCLAVE_UPLINK_DATA, sum);
    store32(ENCLAVE + ENCLAVE_UPLINK_COMMIT, 1);
}

"""
_ARMED = "    timer_arm(options.wake_ns, VECTOR_WAKE);\n    store32(ENCLAVE + ENCLAVE_WAKE, 0);\n"
_LATE = f"{_ARMED}    heartbeat();\n"
_EARLY = """\
/* It takes a while until a wake-up is served, so long sleeps begin it early. */
#define EARLY (options.wake_ns > 50000 ? 1000 : 0)

"""
_TICKS = """\
/* The sleep is divided into ticks, so that the timer's count stays small. */
#define TICK 16384
static u32 left;

static void tick(void)
{
    u32 ns = left < TICK ? left : TICK;

    left -= ns;
    timer_arm(ns, VECTOR_WAKE);
}

"""
_NEXT_TICK = """\
    if (reason == STATUS_TIMER_WAKE && left) {
        tick();
        return;
    }
"""


@dataclass(frozen=True)
class Heartbeat:
    """The heartbeat of a case."""

    seed: int
    factor: int

    @classmethod
    def of(cls, case: Case) -> "Heartbeat":
        """Return the heartbeat of a case."""
        return cls(case.number("seed", 1, _MASK), case.number("factor", 0x1_0000, 0x7FFF_FFFF) | 1)

    def of_payload(self, data: bytes) -> int:
        """Return the checksum of a payload."""
        value = self.seed
        for byte in data:
            value = (value * self.factor + byte) & _MASK
        return value


@dataclass(frozen=True)
class Mistake:
    """The second mistake: edits of the sources, by their names."""

    name: str
    edits: dict[str, dict[str, str]]


MISTAKES = (
    Mistake(
        "ticks",
        {
            LOOP: {
                _HANDLERS: f"{_TICKS}{_HANDLERS}",
                _AWAKE: f"{_NEXT_TICK}{_AWAKE}",
                "    timer_arm(options.wake_ns, VECTOR_WAKE);\n": "    left = options.wake_ns;\n    tick();\n",
            }
        },
    ),
    Mistake(
        "coarse timer",
        {
            TIMER: {
                "one count is one nanosecond.": "one count is 16 nanoseconds.",
                "APIC_DIVIDE_BY_1": "3",
                "APIC_INITIAL_COUNT, ns)": "APIC_INITIAL_COUNT, ns / 16)",
            }
        },
    ),
    Mistake(
        "early",
        {
            LOOP: {
                _SLEEP: f"{_EARLY}{_SLEEP}",
                "(options.wake_ns, VECTOR_WAKE)": "(options.wake_ns - EARLY, VECTOR_WAKE)",
            }
        },
    ),
)
"""A student has one of these. The first mistake, which all have, is that the timer runs during the heartbeat."""


def mistake(case: Case) -> Mistake:
    """Return the second mistake of a case."""
    return case.choose("mistake", MISTAKES)


def sources(case: Case, second: Mistake | None) -> dict[str, bytes]:
    """Return the sources of a case: with the first mistake, and with a second one."""
    mine = Heartbeat.of(case)
    texts = {name: source(f"src/{name}") for name in SOURCES}
    numbered = _HEARTBEAT.replace("SEED", hex(mine.seed)).replace("FACTOR", hex(mine.factor))
    texts[LOOP] = edited(texts[LOOP], {_SLEEP: f"{numbered}{_SLEEP}", _ARMED: _LATE})
    for name, edits in (second.edits if second is not None else {}).items():
        texts[name] = edited(texts[name], edits)
    return {name: text.encode() for name, text in texts.items()}
