"""`enclave-sim payload`: make keys; sign, verify, show and compile guest modules.

Exit codes: 0 done, 2 the command cannot be carried out (such as a missing or invalid file), 3 the payload was rejected.
Large libraries are imported inside the functions, so that `--help` does not wait for them.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

import payloads as built_in
from enclave_sim.cli.command import Group, option
from enclave_sim.cli.exit_codes import ExitCode
from enclave_sim.cli.options.common import as_json as as_json_option
from enclave_sim.cli.options.common import complete_payload
from enclave_sim.cli.options.types import DIRECTORY, FILE, TEXT
from enclave_sim.cli.output.payload_description import describe, print_table
from enclave_sim.cli.output.written import keep, save
from enclave_sim.enclave.engine.profile import GuestProfile
from enclave_sim.errors import ConfigurationError
from enclave_sim.files.reading import MODULE, MissingFile, read_file, read_utf8
from enclave_sim.files.writing import new_directory
from enclave_sim.memory_map import region
from enclave_sim.payload import anchor_list, artefact, keys, signature
from enclave_sim.payload.errors import ComponentGiven, KeyFileError, MalformedModule, PayloadCheck, PayloadRejected
from enclave_sim.payload.wasm import sections
from enclave_sim.payload.wasm.refusals import not_text
from enclave_sim.recording.text import one_line, printable
from enclave_sim.similar import did_you_mean
from enclave_sim.specification import EngineName

_EXIT_CODES = """\b
Exit codes
  0  done: no check failed
  2  the command cannot be carried out; one line says why
  3  the payload failed a check
 70  a defect of the emulator or its firmware"""

_NO_WASM_HINT = "WebAssembly modules start with 00 61 73 6d 01 00 00 00"

_F = TypeVar("_F", bound=Callable[..., Any])
_key = option("--key", type=FILE, metavar="FILE", required=True, help="Key file (NAME.key.json) to sign with.")
_output = option("--output", "-o", type=FILE, metavar="FILE", help="Output file; - is standard output.")
_anchor = option(
    "--trust-anchor",
    type=FILE,
    metavar="FILE",
    multiple=True,
    help="Trust anchor (NAME.anchor.json) to accept in addition to the development anchor; may be repeated.",
)
_feature = option(
    "--feature",
    type=TEXT,
    metavar="NAME",
    multiple=True,
    help="WebAssembly feature to allow beyond the profile; may be repeated.",
)


def _module(what: str, complete: Callable[..., list[CompletionItem]] | None = None) -> Callable[[_F], _F]:
    return click.argument("module", type=FILE, metavar="MODULE", help=what, shell_complete=complete)


@click.group(cls=Group)
def payload() -> None:
    """List payloads; make keys; sign, verify, show and compile guest modules."""


@payload.command("list")
@as_json_option
def list_payloads(as_json: bool) -> None:
    """List the built-in payloads, their engines and their behaviour.

    Example: enclave-sim payload list
    """
    found = [(name, EngineName.WASMTIME) for name in built_in.names()]
    found += [(name, EngineName.NATIVE) for name in built_in.flat_names()]
    rows = [{"name": name, "engine": engine.value, "about": built_in.about(name)} for name, engine in found]
    if as_json:
        click.echo(json.dumps({"payloads": rows}))
        return
    for row in rows:
        click.echo(f"{row['name']:10}  {row['engine']:8}  {row['about']}")


@payload.command("keygen")
@click.argument("name", metavar="NAME", help="Name of the key, and of its files.")
@option("--directory", type=DIRECTORY, metavar="DIR", default=Path(), help="Directory for the two files.")
@option("--development", is_flag=True, help="Mark the key as a development key, which production refuses.")
def keygen(name: str, directory: Path, development: bool) -> None:
    """Make a signing key: NAME.key.json, which is secret, and NAME.anchor.json, which verifiers need.

    The directory is created if needed.

    Example: enclave-sim payload keygen alice --directory ~/keys
    """
    for suffix in (keys.KEY_SUFFIX, keys.ANCHOR_SUFFIX):
        if name.endswith(suffix):
            raise ConfigurationError(f"{name} names a file, not a key: leave out {suffix}, which is added")
    key = keys.SigningKey.generate(name, development=development)
    anchor = key.anchor()
    key_path, anchor_path = directory / (name + keys.KEY_SUFFIX), directory / (name + keys.ANCHOR_SUFFIX)
    with new_directory(directory):
        anchor.save(anchor_path)
        try:
            key.save(key_path)
        except KeyFileError:
            anchor_path.unlink()
            raise
    click.echo(f"secret key    {printable(str(key_path))}")
    click.echo(f"trust anchor  {printable(str(anchor_path))}")
    click.echo(f"key ids       {anchor.ed25519_key_id.hex()} (Ed25519)")
    click.echo(f"              {anchor.ml_dsa_65_key_id.hex()} (ML-DSA-65)")


@payload.command("sign")
@_module("Module to sign: .wasm, or .wat, which is translated first.")
@_key
@_output
def sign(module: Path, key: Path, output: Path | None) -> None:
    """Sign a module with Ed25519 and ML-DSA-65.

    An existing signature is replaced. Without --output, a .wasm file is replaced by the signed one, and a .wat file
    gets a .wasm file beside it.

    Example: enclave-sim payload sign hello.wat --key ~/keys/alice.key.json
    """
    signing_key = keys.SigningKey.load(key)
    data = _translate(module) if module.suffix == ".wat" else _read_module(module)
    if any(each.name == artefact.SECTION_NAME for each in _walk(module, data)):
        raise ConfigurationError(
            f"{module} holds compiled code, which cannot be checked before it is signed; sign the plain module, "
            "then use `enclave-sim payload compile`"
        )
    goal = output or (module.with_suffix(".wasm") if module.suffix == ".wat" else module)
    keep({key: "the secret key"} | ({module: "the source"} if module.suffix == ".wat" else {}), goal)
    save(goal, signature.sign(data, signing_key), f"signed by {signing_key.name}")


@payload.command("verify", epilog=_EXIT_CODES)
@_module("Built-in name or path of a signed module.", complete_payload)
@_anchor
@option("--production", is_flag=True, help="Refuse development keys.")
@_feature
@as_json_option
def verify(module: Path, trust_anchor: Sequence[Path], production: bool, feature: Sequence[str], as_json: bool) -> None:
    """Run the boot's checks of a module, in the same order.

    Also prints the virtual time that the boot takes for them.

    Example: enclave-sim payload verify my.wasm --trust-anchor alice.anchor.json
    """
    data = _read_payload(module)
    anchors = _load_anchors(trust_anchor)
    from enclave_sim.enclave.configuration import check_room  # noqa: PLC0415
    from enclave_sim.enclave.engine.admission import admit  # noqa: PLC0415

    check_room([data], anchor_list.pack(anchors))
    with _rejections(module, as_json=as_json):
        admitted = admit(data, anchors, _profile(feature), production=production)
    verified, debug = admitted.verified, sections.debug_bytes(data)
    if as_json:
        answer = {
            "accepted": True,
            "anchor": verified.anchor.name,
            "development": verified.anchor.development,
            "content_sha256": verified.content_hash.hex(),
            "artefact": admitted.ahead_of_time,
            "verify_ns": admitted.verify_ns,
            "compile_ns": admitted.compile_ns,
            "debug_bytes": debug,
        }
        click.echo(json.dumps(answer))
        return
    kind = "development key" if verified.anchor.development else "production key"
    click.echo(f"{module}: accepted, signed by {verified.anchor.name} ({kind})")
    click.echo(f"content SHA-256 {verified.content_hash.hex()}")
    click.echo(
        f"virtual time of the boot: {admitted.verify_ns / 1e6:.3f} ms to verify {len(data)} bytes, "
        f"{admitted.compile_ns / 1e6:.3f} ms to compile"
    )
    if debug:
        click.echo(f"{debug} bytes are debug information, which nothing reads; strip it before you sign")


@payload.command("show")
@_module("Built-in name, or path of a module, signed or not.", complete_payload)
@as_json_option
def show(module: Path, as_json: bool) -> None:
    """Show the contents of a module and its stated signers. Nothing is verified.

    Example: enclave-sim payload show hello.wasm
    """
    data = _read_payload(module)
    description = describe(data, _walk(module, data))
    if as_json:
        click.echo(json.dumps(description))
    else:
        print_table(module, description)


@payload.command("compile", epilog=_EXIT_CODES)
@_module("Built-in name or path of a signed module.", complete_payload)
@_key
@_output
@_anchor
@_feature
def compile_payload(
    module: Path, key: Path, output: Path | None, trust_anchor: Sequence[Path], feature: Sequence[str]
) -> None:
    r"""Compile a signed module ahead of time and sign the result, so that the boot need not compile it.

    The code runs only with this engine on this kind of processor. Without --output, it goes to NAME.aot.wasm.

    Example: enclave-sim payload compile hello.wasm --key alice.key.json \
               --trust-anchor alice.anchor.json
    """
    signing_key = keys.SigningKey.load(key)
    data = _read_payload(module)
    anchors = _load_anchors(trust_anchor)
    with _rejections(module):
        plain, _ = artefact.split(signature.verify(data, anchors).content)
        from enclave_sim.enclave.engine.wasmtime_engine import compile_ahead  # noqa: PLC0415

        fingerprint, code = compile_ahead(plain, _profile(feature))
    result = artefact.attach(plain, fingerprint, code, signing_key)
    goal = output or module.with_suffix(".aot.wasm")
    keep({key: "the secret key", **dict.fromkeys(trust_anchor, "the trust anchor")}, goal)
    save(goal, result, f"{len(code)} bytes of code, signed by {signing_key.name}")


@contextmanager
def _rejections(module: Path, *, as_json: bool = False) -> Iterator[None]:
    """A scope that turns a rejection into a line on standard error (and JSON on standard output) and exit code 3."""
    try:
        yield
    except PayloadRejected as rejection:
        if as_json:
            answer = {"accepted": False, "check": rejection.check.name, "message": rejection.message}
            click.echo(json.dumps(answer))
        unknown = rejection.check is PayloadCheck.UNKNOWN_KEY
        hint = "; add the signer's with --trust-anchor NAME.anchor.json" if unknown else ""
        click.echo(f"{module}: {one_line(str(rejection))}{hint}", err=True)
        raise click.exceptions.Exit(ExitCode.REJECTED) from None


def _read(path: Path) -> bytes:
    data = read_file(path, MODULE)
    if not data:
        raise ConfigurationError(f"{path} is empty; {_NO_WASM_HINT}")
    return data


def _read_payload(path: Path) -> bytes:
    """Return a built-in payload, or the module in a file."""
    name = str(path)
    if name in built_in.names():
        return built_in.read(name)
    try:
        return _read_module(path)
    except MissingFile as missing:
        if name in built_in.flat_names():
            raise ConfigurationError(f"{name} is a flat x86-64 guest, which has no signature and no sections") from None
        near = did_you_mean(name, built_in.names())
        raise ConfigurationError(f"{missing}; {near}`enclave-sim payload list` lists the built-in payloads") from None


def _read_module(path: Path) -> bytes:
    data = _read(path)
    if data.startswith(sections.COMPONENT_HEADER):
        raise ConfigurationError(f"{path}: {ComponentGiven()}")
    if not data.startswith(sections.MODULE_HEADER):
        from enclave_sim.enclave.configuration import refuse_text  # noqa: PLC0415 - only a mistake needs it

        refuse_text(path, data)
        start = data[:8].hex(" ")
        raise ConfigurationError(f"{path} is not a WebAssembly module but starts with {start}; {_NO_WASM_HINT}")
    return data


def _walk(path: Path, data: bytes) -> list[sections.Section]:
    """Return the sections of a module. `verify` does not use this, because it rejects bad framing itself."""
    try:
        return list(sections.sections(data))
    except MalformedModule as error:
        raise ConfigurationError(f"{path}: {error}") from error


def _translate(path: Path) -> bytes:
    """Return the binary form of a WebAssembly text file."""
    text = read_utf8(path, MODULE, "WebAssembly text")
    if not text.strip():
        raise ConfigurationError(f"{path} is empty; it must be WebAssembly text, such as (module)")
    from wasmtime import WasmtimeError, wat2wasm  # noqa: PLC0415

    try:
        return bytes(wat2wasm(text))
    except WasmtimeError as error:
        raise ConfigurationError(f"{path} is not WebAssembly text: {not_text(error)}") from None


def _profile(features: Sequence[str]) -> GuestProfile:
    return GuestProfile(region("heap").size, frozenset(features))


def _load_anchors(paths: Sequence[Path]) -> list[keys.TrustAnchor]:
    return [keys.development_anchor(), *(keys.TrustAnchor.load(path) for path in paths)]
