"""Defects of the kernel and the verifier in measurements, quotes and verdicts."""

from enclave_sim.attestation import Evidence
from enclave_sim.enclave.attester.built_in import BuiltInVerifier
from enclave_sim.enclave.attester.contract import Judgement
from tests.mutants.defect import ATTESTED, Defect, Edit, Kernel, Replacement

_RANGE = 'measure_range(PCR_LOADER, (u64)boot_information, *(const u32 *)boot_information, "loader information");'
_CONFIGURATION = "measure_text(PCR_CONFIGURATION, EV_IPL, command_line());"
_PAYLOAD = "measure_range(PCR_PAYLOADS, payloads[i].base, payloads[i].length, names[i]);"
_ANCHORS = 'measure_range(PCR_ANCHORS, anchors.base, anchors.length, "trust anchors");'


def _kernel(source: str, old: str, new: str = "") -> Kernel:
    return Kernel((Edit(source, old, new),))


def _accept(_self: BuiltInVerifier, _evidence: Evidence) -> Judgement:
    return Judgement(True, "whatever it is")


ATTESTATION = (
    Defect(
        "kernel-unmeasured",
        "the kernel image is not measured",
        _kernel(
            "measure.c",
            "    measure(PCR_KERNEL, EV_IPL, kernel_digest, kernel, sizeof kernel - 1);",
            "(void)kernel, (void)kernel_digest;",
        ),
        ("counter",),
        (ATTESTED,),
    ),
    Defect(
        "loader-unmeasured",
        "the loader information is not measured",
        _kernel("measure.c", _RANGE),
        ("counter",),
        (ATTESTED,),
    ),
    Defect(
        "configuration-unmeasured",
        "the command line is not measured",
        _kernel("measure.c", _CONFIGURATION),
        ("counter",),
        (ATTESTED,),
    ),
    Defect(
        "payload-unmeasured",
        "payloads are not measured",
        _kernel("wasm_init.c", _PAYLOAD, "(void)names;"),
        ("turns",),
        (ATTESTED,),
    ),
    Defect(
        "anchors-unmeasured",
        "the trust anchors are not measured",
        _kernel("wasm_init.c", _ANCHORS),
        ("counter",),
        (ATTESTED,),
    ),
    Defect(
        "active-unmeasured",
        "the runtime PCR does not record that the enclave is active",
        _kernel("attest.c", '    measure_action("AETHER ACTIVE");\n'),
        ("counter",),
        (ATTESTED,),
    ),
    Defect(
        "uncapped",
        "annihilation leaves the runtime PCR as it is",
        _kernel("annihilate.c", "        cap_tpm();\n"),
        ("counter",),
        (ATTESTED,),
    ),
    Defect(
        "capped-once",
        "annihilation does not try again when the TPM answers with an error to the cap",
        _kernel("measure.c", "#define CAP_TRIES           4", "#define CAP_TRIES           1"),
        ("TPM error",),
        (ATTESTED,),
    ),
    Defect(
        "refusal-ignored",
        "the kernel begins a cycle whose evidence was refused, although the policy requires acceptance",
        _kernel("exec_loop.c", "else if (options.attestation == ATTESTATION_REQUIRE)", "else if (options.engine > 99)"),
        ("edited log",),
        (ATTESTED,),
    ),
    Defect(
        "verdict-given-away",
        "the built-in verifier accepts all evidence",
        Replacement(BuiltInVerifier, "judge", _accept),
        ("edited log",),
        (ATTESTED,),
    ),
)
