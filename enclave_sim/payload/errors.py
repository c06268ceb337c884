"""Errors of payloads, their signatures and keys."""

from enum import Enum

from enclave_sim.errors import EnclaveError


class PayloadError(EnclaveError):
    """Base class of errors about payload modules and signing keys."""


class MalformedModule(PayloadError):  # noqa: N818 - names the thing that is wrong, as `PayloadRejected` does
    """The bytes are not framed as a WebAssembly module.

    `offset` is the byte offset of the error, `section_start` that of the section with the error (0 for the module
    header), `reason` says what was found there and what would be right.
    """

    def __init__(self, offset: int, section_start: int, reason: str) -> None:
        super().__init__(f"not a well-formed WebAssembly module: at byte {offset}: {reason}")
        self.offset = offset
        self.section_start = section_start
        self.reason = reason


class ComponentGiven(MalformedModule):
    """The file is a component of the component model, which contains modules, and not a module."""

    def __init__(self) -> None:
        reason = "it is a WebAssembly component; a payload is a module, so build it for wasm32-unknown-unknown"
        super().__init__(0, 0, reason)
        self.args = (reason,)


class KeyFileError(PayloadError):
    """A key or trust anchor could not be read, written or used; the text names the file and the field."""


class PayloadCheck(Enum):
    """The checks that a payload must pass, in order; the first failure is reported.

    Each value is a sentence about a payload that passes.
    """

    NOT_WASM = "the file is a framed WebAssembly module"
    UNSIGNED = "the module carries a signature section"
    MALFORMED_SIGNATURE = "there is one signature section, it comes first and is encoded in its only form"
    MISSING_ED25519 = "the signature section holds an Ed25519 signature"
    MISSING_ML_DSA_65 = "the signature section holds an ML-DSA-65 signature"
    UNKNOWN_KEY = "both signatures name the keys of one trust anchor"
    DEVELOPMENT_KEY = "in production the trust anchor is not a development one"
    BAD_ED25519 = "the Ed25519 signature is valid for this module"
    BAD_ML_DSA_65 = "the ML-DSA-65 signature is valid for this module"
    ARTEFACT_MISMATCH = "the ahead-of-time code was made from this very module"
    ARTEFACT_FOREIGN = "the ahead-of-time code was made by this very engine"
    PROFILE = "the module keeps to the guest contract"


class PayloadRejected(PayloadError):  # noqa: N818 - the specification's name (`PAYLOAD_REJECTED`)
    """A payload failed `check`; `message` gives the finding and what would be right."""

    def __init__(self, check: PayloadCheck, message: str) -> None:
        super().__init__(f"payload rejected ({check.name}): {message}")
        self.check = check
        self.message = message
