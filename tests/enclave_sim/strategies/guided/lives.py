"""Lives of an enclave whose guest sends drawn signals, with drawn inputs."""

import struct

from hypothesis import strategies as st

from enclave_sim import Template
from enclave_sim.inputs import AfterEvent, AnyInput, ExternalInterrupt, UplinkReady
from enclave_sim.strategies.guided import Guide
from firmware import Firmware

SIGNALS = 64
_TABLE = 0x40_0030
_GUEST = bytes.fromhex(
    "8b042500 00c000"  # loop: mov eax, [HEAP]
    "3b042530 004000"  # cmp eax, [table]
    "7317"  # jae done
    "ff042500 00c000"  # inc dword [HEAP]
    "8b3c8534 004000"  # mov edi, [table + 4 + rax * 4]
    "b801000000 cd80"  # emit_signal
    "ebd9"  # jmp loop
    "b803000000 cd80 0f0b"  # done: return
)
assert 0x40_0000 + len(_GUEST) == _TABLE

lives = st.tuples(
    st.lists(st.integers(0, SIGNALS - 1), max_size=12), st.booleans(), st.one_of(st.none(), st.integers(0, 3))
)
"""Signals that the guest sends in each cycle, whether the uplink is ready, and when an interrupt wakes the kernel."""


def guest(signals: list[int]) -> bytes:
    """Return a flat guest that sends these signals."""
    return _GUEST + struct.pack(f"<{len(signals) + 1}I", len(signals), *signals)


def inputs(at_ns: int, ready: bool, wake: int | None) -> list[AnyInput]:
    found: list[AnyInput] = [UplinkReady(at_ns=at_ns, ready=ready)]
    if wake is not None:
        found.append(ExternalInterrupt(at_ns=100_000 * wake + 1000, after=AfterEvent("wake_scheduled")))
    return found


def template(kernel: Firmware, guide: Guide | None) -> Template:
    prepare = guide.attach if guide is not None else None
    return Template("quitter", engine="native", cycles=2, attestation="off", firmware=kernel, prepare=prepare)
