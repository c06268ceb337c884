"""Named runs of all kinds, whose recordings have the digests in `table.json`."""

from pathlib import Path
from typing import Any

import payloads
from enclave_sim import Enclave
from enclave_sim.inputs import AfterEvent, AnyInput, ExternalInterrupt, MemoryFault, SensorValue, Tamper, UplinkReady
from enclave_sim.memory_map import region

TABLE = Path(__file__).with_name("table.json")
_LIMIT_NS = 50_000_000
_SLEEP_INTERRUPTED = tuple(ExternalInterrupt(at_ns=at_ns) for at_ns in range(3_100_000, 5_000_000, 270_001))
_ENVIRONMENT = (
    SensorValue(at_ns=10_000, sensor=1, value=77),
    UplinkReady(at_ns=20_000, ready=False),
    UplinkReady(at_ns=100, ready=True, after=AfterEvent("cycle_began", count=2)),
)
_HEAP_FAULT = MemoryFault(at_ns=50, address=region("heap").base + 3, bits=4, after=AfterEvent("cycle_began"))

Run = tuple[Any, dict[str, Any], tuple[AnyInput, ...]]
RUNS: dict[str, Run] = {
    **{name: (name, {}, ()) for name in payloads.names()},
    **{f"{name}, 3 cycles": (name, {"cycles": 3, "wake_ns": 70_001}, ()) for name in payloads.names()},
    **{name: (name, {"engine": "native"}, ()) for name in payloads.flat_names()},
    "quantum": ("digest", {"quantum_ns": 30_000}, ()),
    "native quantum": ("runner", {"engine": "native", "quantum_ns": 20_000, "cycles": 2}, ()),
    "turns": (("counter", "greedy", "beacon"), {"cycles": 5}, ()),
    "slow processor": ("counter", {"ns_per_instruction": 7, "cycles": 2}, ()),
    "small arena": ("counter", {"arena_bytes": 4096}, ()),
    "no attestation": ("counter", {"attestation": "off", "cycles": 2}, ()),
    "attestation required": ("counter", {"attestation": "require", "cycles": 2}, ()),
    "post-quantum": ("counter", {"attestation": "require", "post_quantum": True}, ()),
    "another TPM": ("counter", {"tpm_seed": "another", "tpm_resets": 3}, ()),
    "production": ("counter", {"production": True}, ()),
    "sensors": ("beacon", {"sensors": (3, 0xFFFF_FFFF), "cycles": 2}, ()),
    "environment": ("beacon", {"cycles": 3}, _ENVIRONMENT),
    "interrupted sleeps": ("beacon", {"cycles": 3}, _SLEEP_INTERRUPTED),
    "tamper": ("counter", {"cycles": 3}, (Tamper(at_ns=250_000),)),
    "tamper in the guest": ("digest", {}, (Tamper(at_ns=1_000, after=AfterEvent("cycle_began")),)),
    "fault in the heap": ("counter", {"cycles": 2}, (_HEAP_FAULT,)),
}


def digest(name: str) -> str:
    """Run it, and return the digest of its recording."""
    payload, options, inputs = RUNS[name]
    return Enclave(payload, inputs=inputs, **options).run(limit_ns=_LIMIT_NS).digest
