"""`enclave-sim verifier`: serve a verifier of attestation evidence.

Large libraries are imported inside the functions, so that `--help` does not wait for them.
"""

import json
from collections.abc import Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import click

from enclave_sim.cli.command import Group, option
from enclave_sim.cli.options.types import FILE, PORT, Parsed
from enclave_sim.errors import ConfigurationError, installing
from enclave_sim.times import nanoseconds

EXIT_CODES = """\b
Exit codes
  0  ended by Ctrl-C
  2  usage error: an invalid option, file or address
 70  a defect of the emulator or its firmware"""


@click.group(cls=Group)
def verifier() -> None:
    """Serve a verifier of attestation evidence."""


@verifier.command(epilog=EXIT_CODES)
@option(
    "--reference",
    type=FILE,
    metavar="FILE",
    multiple=True,
    required=True,
    help="Reference values for evidence; may be repeated: any of them may match.",
)
@option(
    "--database",
    type=FILE,
    metavar="FILE",
    help="SQLite file for challenges, verdicts and the last accepted evidence. Default: memory.",
)
@option("--host", metavar="ADDRESS", default="127.0.0.1", help="Address to listen on.")
@option("--port", type=PORT, metavar="N", default=8040, help="Port to listen on; 0 picks a free one.")
@option("--post-quantum", is_flag=True, help="Require an ML-DSA-65 signature, too.")
@option(
    "--nonce-lifetime-s",
    type=Parsed(partial(nanoseconds, unit="s"), "time"),
    metavar="TIME",
    default="60s",
    help="Time allowed to answer a challenge: seconds, or with a unit, such as 5min.",
)
@option("--tls-cert", type=FILE, metavar="FILE", help="Certificate (PEM, with its chain): serve https.")
@option("--tls-key", type=FILE, metavar="FILE", help="Key of the certificate (PEM).")
@option("--json", "as_json", is_flag=True, help="Print the start line as one JSON object.")
def serve(
    *,
    reference: Sequence[Path],
    database: Path | None,
    host: str,
    port: int,
    post_quantum: bool,
    nonce_lifetime_s: int,
    tls_cert: Path | None,
    tls_key: Path | None,
    as_json: bool,
) -> None:
    """Issue challenges and judge evidence over HTTP, until Ctrl-C. docs/verifier-service.md describes the protocol.

    Without --database, everything is forgotten at exit, including which evidence is stale.

    Example: enclave-sim verifier serve --reference values.json --database v.db
    """
    _check_libraries()
    from enclave_sim.attestation import ECDSA_P256, ML_DSA_65, Policy, ReferenceValues  # noqa: PLC0415
    from enclave_sim.attestation.service.database import Database  # noqa: PLC0415
    from enclave_sim.attestation.service.server import Tls, serve  # noqa: PLC0415
    from enclave_sim.attestation.service.verifier import Verifier  # noqa: PLC0415

    if not 10**6 <= nonce_lifetime_s <= 86_400 * 10**9:
        raise ConfigurationError(f"--nonce-lifetime-s must be 0.001 to 86400 seconds, not {nonce_lifetime_s / 1e9}")
    if (tls_cert is None) != (tls_key is None):
        raise ConfigurationError("--tls-cert and --tls-key belong together: give both, or neither for plain http")
    values = ReferenceValues()
    for path in reference:
        values = values.merge(ReferenceValues.load(path))
    required = {ECDSA_P256, ML_DSA_65} if post_quantum else {ECDSA_P256}
    tls = None if tls_cert is None or tls_key is None else Tls(tls_cert, tls_key)

    def announce(url: str) -> None:
        start = {"url": url, "database": None if database is None else str(database)}
        click.echo(json.dumps(start) if as_json else f"verifier listens at {url}")

    opened = Database(database)
    try:
        service = Verifier(opened, values, Policy(frozenset(required)), nonce_lifetime_ns=nonce_lifetime_s)
        serve(service, host, port, tls, announce)
    finally:
        opened.close()


def _check_libraries() -> None:
    missing = [name for name in ("starlette", "uvicorn") if find_spec(name) is None]
    if missing:
        raise ConfigurationError(f"serving a verifier needs {' and '.join(missing)}: {installing('verifier')}")
