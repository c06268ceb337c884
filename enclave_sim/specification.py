"""The vocabulary of the Aether Enclave: phases, status word, causes and steps of annihilation.

The numbers are those of firmware/src/layout.h; a test compares them.
"""

from enum import Enum, IntEnum, IntFlag


class Phase(IntEnum):
    """The boot phases, in order. Each phase ends only after its target state has been checked."""

    PROT_ENTRY = 1
    MEM_MAP = 2
    WASM_INIT = 3
    EXEC_LOOP = 4

    @property
    def target_state(self) -> str:
        """The specification's name for the state that ends the phase."""
        return _TARGET_STATES[self]


_TARGET_STATES = {
    Phase.PROT_ENTRY: "Architecture Locked",
    Phase.MEM_MAP: "Memory Sanitized",
    Phase.WASM_INIT: "Payload Verified",
    Phase.EXEC_LOOP: "Active Execution",
}


class Status(IntFlag):
    """The status word returned by `aether.get_status`; bits 9 to 30 are reserved and read as zero."""

    ARCH_LOCKED = 1 << 0
    MEM_SANITIZED = 1 << 1
    PAYLOAD_VERIFIED = 1 << 2
    ACTIVE = 1 << 3
    ATTESTED = 1 << 4
    TIMER_WAKE = 1 << 5
    EXTERNAL_WAKE = 1 << 6
    FIRST_CYCLE = 1 << 7
    SIGNAL_READY = 1 << 8
    COMPROMISED = 1 << 31


class Cause(IntEnum):
    """Causes of annihilation."""

    SHRED_SELF = 1
    """The guest requested it."""
    COMPLETED = 2
    """All configured cycles are complete."""
    GUEST_FAULT = 3
    """The guest raised an exception, or made an unknown host call."""
    PAYLOAD_REJECTED = 4
    """A payload failed a check."""
    ATTESTATION_REFUSED = 5
    """The verifier refused the evidence, or the TPM failed."""
    KERNEL_FAULT = 6
    """The kernel raised an exception, or one of its own checks failed."""
    TAMPER = 7
    """The tamper line was asserted."""


class Step(IntEnum):
    """Steps of annihilation, in order."""

    A1 = 1
    A2 = 2
    A3 = 3
    A4 = 4
    A5 = 5
    A6 = 6
    A7 = 7

    @property
    def meaning(self) -> str:
        """A description of what is done when the step is reported."""
        return _STEPS[self]


_STEPS = {
    Step.A1: "interrupts masked",
    Step.A2: "guest destroyed, heap unmapped",
    Step.A3: "heap, guest stack, staging and arena scrubbed",
    Step.A4: "runtime PCR of the TPM capped",
    Step.A5: "stacks, boot information, data and BSS scrubbed",
    Step.A6: "registers zeroed, IDT empty",
    Step.A7: "power unit dormant",
}


class Attestation(Enum):
    """Attestation policies: the evidence required before every cycle."""

    OFF = "off"
    """None: the TPM is not used, and nothing is measured."""
    RECORD = "record"
    """A quote. It is judged and recorded, and the cycle begins whatever the verdict is."""
    REQUIRE = "require"
    """A quote that the verifier accepts."""


class Verification(Enum):
    """Verifiers of the signatures of payloads."""

    HOST = "host"
    """AetherHost, asked by the kernel at its mailbox."""
    FIRMWARE = "firmware"
    """The kernel itself, in ring 0. AetherHost takes its word."""


class EngineName(Enum):
    """Engines that run the guest in ring 3."""

    WASMTIME = "wasmtime"
    """A coprocessor that runs WebAssembly, provided by AetherHost."""
    RESIDENT = "resident"
    """The kernel's own VMM: it validates WebAssembly in ring 0, and interprets it in ring 3."""
    NATIVE = "native"
    """The processor itself, for a flat x86-64 binary measured by the kernel. There is no VMM."""

    @property
    def is_flat(self) -> bool:
        """True if its payload is one flat, unsigned binary, not up to 8 signed modules."""
        return self is EngineName.NATIVE

    @property
    def is_coprocessor(self) -> bool:
        """True if a coprocessor runs the guest; else the processor does, instruction by instruction."""
        return self is EngineName.WASMTIME


class HostFunction(IntEnum):
    """The numbers of host calls, in RAX at INT 80h. The gate uses RETURNED after `_start` returns."""

    GET_STATUS = 0
    EMIT_SIGNAL = 1
    SHRED_SELF = 2
    RETURNED = 3


_EXCEPTIONS = {
    0: "#DE divide error",
    1: "#DB debug",
    2: "NMI",
    3: "#BP breakpoint",
    4: "#OF overflow",
    6: "#UD invalid opcode",
    7: "#NM device not available",
    8: "#DF double fault",
    10: "#TS invalid TSS",
    11: "#NP segment not present",
    12: "#SS stack fault",
    13: "#GP general protection",
    14: "#PF page fault",
    16: "#MF x87 error",
    17: "#AC alignment check",
    18: "#MC machine check",
    19: "#XM SIMD error",
}
_DETAILS = {
    0x100: "unknown host call",
    0x101: "host arena exhausted",
    0x102: "a phase did not reach its target state",
    0x103: "a scrubbed range was not zero",
    0x104: "bad kernel option",
    0x105: "no payload was loaded",
    0x106: "no VMM answers at the mailbox",
    0x107: "the payload is not the one that was measured",
    0x108: "a flat payload runs alone",
    0x109: "there are no trust anchors that the VMM takes",
    0x10A: "there is no TPM, or it does not start",
    0x10B: "the TPM refused a command or did not finish it",
    0x10C: "the event log is full",
    0x10D: "the verifier did not accept the evidence",
    0x10E: "an exception before the kernel had its IDT",
    0x10F: "the TPM could not be capped: a later quote may claim the active state",
}


def describe_exception(vector: int) -> str:
    """Return the mnemonic and name of an exception, or the number of another interrupt."""
    return _EXCEPTIONS.get(vector, f"interrupt {vector}")


def describe_detail(cause: Cause, detail: int) -> str:
    """Describe the detail reported by the kernel with a cause; empty if there is nothing to add."""
    if cause in (Cause.GUEST_FAULT, Cause.KERNEL_FAULT, Cause.TAMPER) and detail < 0x100:
        return describe_exception(detail)
    return _DETAILS.get(detail, "")
