"""`enclave-sim payload`: make keys; sign, verify, show and compile guest modules.

Exit codes: 0 done, 2 the command cannot be carried out (such as a missing or invalid file), 3 the payload was rejected.
Large libraries are imported inside the functions, so that `--help` does not wait for them.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from enclave_sim.cli.output.payload_description import describe, print_table
from enclave_sim.enclave.engine.profile import GuestProfile
from enclave_sim.errors import ConfigurationError
from enclave_sim.files.reading import MODULE, read_file
from enclave_sim.files.writing import write_file
from enclave_sim.memory_map import region
from enclave_sim.payload import artefact, keys, signature
from enclave_sim.payload.errors import KeyFileError, MalformedModule, PayloadRejected
from enclave_sim.payload.wasm import sections
from enclave_sim.recording.text import one_line

REJECTED = 3
"""Exit code for a payload that failed a check."""

_NO_WASM_HINT = "WebAssembly modules start with 00 61 73 6d 01 00 00 00"

payload_app = typer.Typer(
    help="Make keys; sign, verify, show and compile guest modules.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)

_Key = Annotated[Path, typer.Option("--key", metavar="FILE", help="Key file (NAME.key.json) to sign with.")]
_Output = Annotated[Path | None, typer.Option("--output", "-o", metavar="FILE", help="Output file.")]
_Anchors = Annotated[
    list[Path] | None,
    typer.Option(
        "--anchor",
        metavar="FILE",
        help="Trust anchor (NAME.anchor.json) to accept besides the development anchor; may be repeated.",
    ),
]
_Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]


@payload_app.command()
def keygen(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the key, and of its files.")],
    directory: Annotated[Path, typer.Option(metavar="DIR", help="Directory for the two files.")] = Path(),
    development: Annotated[
        bool, typer.Option("--development", help="Mark the key as a development key, which production refuses.")
    ] = False,
) -> None:
    """Make a signing key: NAME.key.json, which is secret, and NAME.anchor.json, which verifiers need.

    Example: enclave-sim payload keygen alice --directory ~/keys
    """
    key = keys.SigningKey.generate(name, development=development)
    anchor = key.anchor()
    if not directory.is_dir():
        raise ConfigurationError(f"{directory}: is not a directory; make it first")
    key_path, anchor_path = directory / (name + keys.KEY_SUFFIX), directory / (name + keys.ANCHOR_SUFFIX)
    anchor.save(anchor_path)
    try:
        key.save(key_path)
    except KeyFileError:
        anchor_path.unlink()
        raise
    typer.echo(f"secret key    {key_path}")
    typer.echo(f"trust anchor  {anchor_path}")
    typer.echo(f"key ids       {anchor.ed25519_key_id.hex()} (Ed25519)")
    typer.echo(f"              {anchor.ml_dsa_65_key_id.hex()} (ML-DSA-65)")


@payload_app.command()
def sign(
    module: Annotated[
        Path, typer.Argument(metavar="MODULE", help="Module to sign: .wasm, or .wat, which is translated first.")
    ],
    key: _Key,
    output: _Output = None,
) -> None:
    """Sign a module with Ed25519 and ML-DSA-65. A signature that it already has is replaced.

    Without --output, a .wasm file is replaced by the signed one, and a .wat file gets a .wasm file beside it.

    Example: enclave-sim payload sign hello.wat --key ~/keys/alice.key.json
    """
    signing_key = keys.SigningKey.load(key)
    data = _translate(module) if module.suffix == ".wat" else _read_module(module)
    if any(each.name == artefact.SECTION_NAME for each in _walk(module, data)):
        raise ConfigurationError(
            f"{module}: holds compiled code, which cannot be checked before it is signed; sign the plain module, "
            "then use `enclave-sim payload compile`"
        )
    goal = output or (module.with_suffix(".wasm") if module.suffix == ".wat" else module)
    _write(goal, signature.sign(data, signing_key), f"signed by {signing_key.name}")


@payload_app.command()
def verify(
    module: Annotated[Path, typer.Argument(metavar="MODULE", help="Signed module.")],
    anchor: _Anchors = None,
    production: Annotated[bool, typer.Option("--production", help="Refuse development keys.")] = False,
    as_json: _Json = False,
) -> None:
    """Check a module as at boot: the same checks in the same order. Exit code 3 if it is rejected.

    Example: enclave-sim payload verify hello.wasm --anchor alice.anchor.json --production
    """
    data = _read_module(module)
    anchors = _load_anchors(anchor)
    with _rejections(module, as_json=as_json):
        verified = signature.verify(data, anchors, production=production)
        _, compiled = artefact.split(verified.content)
    if as_json:
        typer.echo(
            json.dumps(
                {
                    "accepted": True,
                    "anchor": verified.anchor.name,
                    "development": verified.anchor.development,
                    "content_sha256": verified.content_hash.hex(),
                    "artefact": compiled is not None,
                }
            )
        )
        return
    kind = "development key" if verified.anchor.development else "production key"
    typer.echo(f"{module}: accepted, signed by {verified.anchor.name} ({kind})")
    typer.echo(f"content SHA-256 {verified.content_hash.hex()}")


@payload_app.command()
def show(
    module: Annotated[Path, typer.Argument(metavar="MODULE", help="Module, signed or not.")], as_json: _Json = False
) -> None:
    """Show the contents of a module and its stated signers. Nothing is verified.

    Example: enclave-sim payload show hello.wasm
    """
    data = _read_module(module)
    description = describe(data, _walk(module, data))
    if as_json:
        typer.echo(json.dumps(description))
    else:
        print_table(module, description)


@payload_app.command("compile")
def compile_payload(
    module: Annotated[Path, typer.Argument(metavar="MODULE", help="Signed module.")],
    key: _Key,
    output: _Output = None,
    anchor: _Anchors = None,
    feature: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="WebAssembly feature that the run will allow, too; may be repeated."),
    ] = None,
) -> None:
    """Compile a signed module ahead of time and sign the result, so that booting need not compile it.

    The code runs only with this engine on this kind of processor. Without --output, it goes to NAME.aot.wasm.

    Example: enclave-sim payload compile hello.wasm --key ~/keys/alice.key.json --anchor alice.anchor.json
    """
    signing_key = keys.SigningKey.load(key)
    data = _read_module(module)
    anchors = _load_anchors(anchor)
    with _rejections(module):
        plain, _ = artefact.split(signature.verify(data, anchors).content)
        from enclave_sim.enclave.engine.wasmtime_engine import compile_ahead  # noqa: PLC0415

        fingerprint, code = compile_ahead(plain, GuestProfile(region("heap").size, frozenset(feature or ())))
    result = artefact.attach(plain, fingerprint, code, signing_key)
    goal = output or module.with_suffix(".aot.wasm")
    _write(goal, result, f"{len(code)} bytes of code, signed by {signing_key.name}")


@contextmanager
def _rejections(module: Path, *, as_json: bool = False) -> Iterator[None]:
    """A scope in which a rejection becomes a line on standard error (and JSON on standard output) and exit code 3."""
    try:
        yield
    except PayloadRejected as rejection:
        if as_json:
            answer = {"accepted": False, "check": rejection.check.name, "message": rejection.message}
            typer.echo(json.dumps(answer))
        typer.echo(f"{module}: {one_line(str(rejection))}", err=True)
        raise typer.Exit(REJECTED) from None


def _read(path: Path) -> bytes:
    data = read_file(path, MODULE)
    if not data:
        raise ConfigurationError(f"{path}: is empty; {_NO_WASM_HINT}")
    return data


def _read_module(path: Path) -> bytes:
    data = _read(path)
    if not data.startswith(sections.MODULE_HEADER):
        start = data[:8].hex(" ")
        raise ConfigurationError(f"{path}: is not a WebAssembly module but starts with {start}; {_NO_WASM_HINT}")
    return data


def _walk(path: Path, data: bytes) -> list[sections.Section]:
    """Return the sections of a module. `verify` does not use this, since it rejects bad framing itself."""
    try:
        return list(sections.sections(data))
    except MalformedModule as error:
        raise ConfigurationError(f"{path}: {error}") from error


def _translate(path: Path) -> bytes:
    """Return the binary form of a WebAssembly text file."""
    text = _read(path)
    from wasmtime import WasmtimeError, wat2wasm  # noqa: PLC0415

    try:
        return bytes(wat2wasm(text))
    except WasmtimeError as error:
        raise ConfigurationError(f"{path}: is not WebAssembly text: {one_line(str(error))}") from error


def _load_anchors(paths: list[Path] | None) -> list[keys.TrustAnchor]:
    return [keys.development_anchor(), *(keys.TrustAnchor.load(path) for path in paths or ())]


def _write(path: Path, data: bytes, what: str) -> None:
    write_file(path, data)
    typer.echo(f"wrote {path}: {len(data)} bytes, {what}")
