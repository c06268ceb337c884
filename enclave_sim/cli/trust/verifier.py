"""`enclave-sim verifier`: serve a verifier of attestation evidence.

Large libraries are imported inside the functions, so that `--help` does not wait for them.
"""

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from enclave_sim.errors import ConfigurationError

EXIT_CODES = """\b
[bold]Exit codes[/bold]
  0  ended by Ctrl-C
  2  usage error: an invalid option, file or address"""

verifier_app = typer.Typer(
    help="Serve a verifier of attestation evidence.", no_args_is_help=True, rich_markup_mode="rich"
)


@verifier_app.callback()
def verifier() -> None:
    """Serve a verifier of attestation evidence."""


@verifier_app.command(epilog=EXIT_CODES)
def serve(
    *,
    reference: Annotated[
        list[Path],
        typer.Option(
            metavar="FILE", help="Reference values to check evidence with; may be repeated: any of them may match."
        ),
    ],
    database: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="SQLite file for challenges, verdicts and the last accepted evidence. Default: memory."
        ),
    ] = None,
    host: Annotated[str, typer.Option(metavar="ADDRESS", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 picks a free one.")] = 8040,
    post_quantum: Annotated[
        bool,
        typer.Option("--post-quantum", help="Require the ML-DSA-65 signature, too."),
    ] = False,
    nonce_lifetime_s: Annotated[
        float, typer.Option(metavar="SECONDS", help="Time within which a challenge may be answered.")
    ] = 60,
    tls_cert: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Certificate (PEM, with its chain): serve https.")
    ] = None,
    tls_key: Annotated[Path | None, typer.Option(metavar="FILE", help="Key of the certificate (PEM).")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the start line as one JSON object.")] = False,
) -> None:
    """Issue challenges and judge evidence over HTTP, until Ctrl-C. docs/verifier-service.md describes the protocol.

    Without --database, everything is forgotten at the end, including which evidence of a node is stale.

    Example: enclave-sim verifier serve --reference values.json --database verifier.sqlite
    """
    _check_libraries()
    from enclave_sim.attestation import ECDSA_P256, ML_DSA_65, Policy, ReferenceValues  # noqa: PLC0415
    from enclave_sim.attestation.service.database import Database  # noqa: PLC0415
    from enclave_sim.attestation.service.server import Tls, serve  # noqa: PLC0415
    from enclave_sim.attestation.service.verifier import Verifier  # noqa: PLC0415

    if not 0.001 <= nonce_lifetime_s <= 86_400:
        raise ConfigurationError(f"--nonce-lifetime-s must be 0.001 to 86400 seconds, not {nonce_lifetime_s}")
    if (tls_cert is None) != (tls_key is None):
        raise ConfigurationError("--tls-cert and --tls-key belong together: give both, or neither for plain http")
    values = ReferenceValues()
    for path in reference:
        values = values.merge(ReferenceValues.load(path))
    required = {ECDSA_P256, ML_DSA_65} if post_quantum else {ECDSA_P256}
    tls = None if tls_cert is None or tls_key is None else Tls(tls_cert, tls_key)

    def announce(url: str) -> None:
        start = {"url": url, "database": None if database is None else str(database)}
        typer.echo(json.dumps(start) if as_json else f"verifier listens at {url}")

    opened = Database(database)
    try:
        service = Verifier(opened, values, Policy(frozenset(required)), nonce_lifetime_ns=int(nonce_lifetime_s * 1e9))
        serve(service, host, port, tls, announce)
    finally:
        opened.close()


def _check_libraries() -> None:
    missing = [name for name in ("starlette", "uvicorn") if find_spec(name) is None]
    if missing:
        raise ConfigurationError(
            f"serving a verifier needs {' and '.join(missing)}: pip install 'enclave-sim[verifier]'"
        )
