"""The cost of attestation: a part of `tests/bench.py`."""

import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter, process_time

from enclave_sim import Enclave
from enclave_sim.attestation import Policy
from enclave_sim.attestation.service.client import RemoteVerifier
from enclave_sim.attestation.service.database import Database
from enclave_sim.attestation.service.server import serving
from enclave_sim.attestation.service.verifier import Verifier
from machine.tpm.backend import TpmBackend
from machine.tpm.model import TpmModel
from machine.tpm.swtpm import Swtpm
from tests.enclave_sim.attestation import speed
from tests.enclave_sim.attestation.service.node import Node, reference_values
from tests.machine.tpm import commands as tpm
from tests.oracle import swtpm

_CYCLES = 200
_EXCHANGES = 30
_COMMANDS = 200


def _ms(action: Callable[[], object]) -> float:
    start = perf_counter()
    action()
    return (perf_counter() - start) * 1e3


def _medians(samples: int, *measures: Callable[[], float]) -> list[float]:
    """The values of each measure, taken alternately after a warm-up round."""
    rounds = [[measure() for measure in measures] for _ in range(samples + 1)][1:]
    return [statistics.median(column) for column in zip(*rounds, strict=True)]


def boots(samples: int) -> tuple[float, float, float, float]:
    """Milliseconds from the image to EXEC_LOOP: with the first quotes made and judged, without attestation, and the
    medians of the difference between two consecutive boots, in time and in processor time."""

    def whole(attestation: str) -> tuple[float, float]:
        busy = process_time()
        elapsed = _ms(lambda: Enclave("beacon", record=False, attestation=attestation).boot())
        return elapsed, (process_time() - busy) * 1e3

    pairs = [(whole("record"), whole("off")) for _ in range(samples + 1)][1:]
    attested, plain, more, busy = zip(*((a[0], b[0], a[0] - b[0], a[1] - b[1]) for a, b in pairs), strict=True)
    return statistics.median(attested), statistics.median(plain), statistics.median(more), statistics.median(busy)


def verification(samples: int) -> tuple[float, float]:
    """Milliseconds to decode and judge an evidence file, and for two bare verifications of signatures."""
    found = [speed.measure(3) for _ in range(samples + 1)][1:]
    return statistics.median(one.whole for one in found), statistics.median(one.signatures for one in found)


def cycles(samples: int) -> tuple[float, float]:
    """Cycles/s of a small guest, each attested by two keys and judged, and without attestation."""

    def rate(attestation: str) -> float:
        enclave = Enclave("counter", cycles=_CYCLES, record=False, attestation=attestation)
        enclave.boot()
        return (_CYCLES - 1) / _ms(enclave.run) * 1e3

    attested, plain = _medians(samples, lambda: rate("record"), lambda: rate("off"))
    return attested, plain


def tpm_commands(samples: int) -> list[tuple[str, float, float]]:
    """The commands sent, and the commands/s of the model and of swtpm; nothing if that is not installed."""
    if swtpm.MISSING:
        print("swtpm is not installed, so there is nothing to compare with;", end=" ", file=sys.stderr)
        return []
    with tempfile.TemporaryDirectory() as name, swtpm.running(Path(name), commands=True) as process:
        client = Swtpm(process.data, process.control)
        try:
            rates = _rates(samples, TpmModel(bytes(32)), client)
        finally:
            client.close()
    return [(name, ours, theirs) for name, (ours, theirs) in rates.items()]


def _rates(samples: int, *backends: TpmBackend) -> dict[str, list[float]]:
    for backend in backends:
        backend.power_on()
        for command in (tpm.startup(), tpm.create_primary()):
            if tpm.code_of(backend.execute(command, 0)):
                raise RuntimeError("a TPM refused what both must do")
    sent = {"PCR_Extend": tpm.extend(8), "Quote by P-256": tpm.quote()}
    return {
        name: _medians(samples, *(lambda b=b, c=command: _rate(b, c) for b in backends))
        for name, command in sent.items()
    }


def _rate(backend: TpmBackend, command: bytes) -> float:
    """Commands/s."""
    return _COMMANDS / _ms(lambda: [backend.execute(command, 0) for _ in range(_COMMANDS)]) * 1e3


def exchanges(samples: int) -> tuple[float, float]:
    """Challenges/s with their evidence made and judged: by a service over HTTP, and by its verifier called directly."""
    node, database = Node(), Database(None)
    verifier = Verifier(database, reference_values(), Policy())
    turn = iter(range(1 << 20))  # a cycle is accepted once

    def remote(url: str) -> None:
        client = RemoteVerifier(url)
        for cycle in (next(turn) for _ in range(_EXCHANGES)):
            nonce = client.challenge(cycle, node.ak_name)
            if not client.judge(cycle, node.evidence(nonce, cycle)).accepted:
                raise RuntimeError("the verifier refused genuine evidence")

    def direct() -> None:
        for cycle in (next(turn) for _ in range(_EXCHANGES)):
            challenge = verifier.issue(cycle, node.ak_name)
            verifier.judge(challenge.id, node.evidence(challenge.nonce, cycle))

    try:
        with serving(verifier) as url:
            ours, bare = _medians(
                samples, lambda: _EXCHANGES / _ms(lambda: remote(url)) * 1e3, lambda: _EXCHANGES / _ms(direct) * 1e3
            )
    finally:
        database.close()
    return ours, bare
