"""The errors between a node and its verifier."""

from enclave_sim.errors import EnclaveError


class RequestRefused(EnclaveError):  # noqa: N818 - as `PayloadRejected`
    """The service refuses a request: an HTTP status, one word for programs, one line for people."""

    def __init__(self, status: int, error: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.error = error


class VerifierUnavailable(EnclaveError):  # noqa: N818 - names the thing that is wrong
    """The verifier gave no usable answer: it is down, slow, or does not follow the protocol."""
