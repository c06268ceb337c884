"""The option `--tpm`: the TPM of a run."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

import msgspec

from enclave_sim.cli.command import POLICY, option
from enclave_sim.enclave.configuration import EnclaveConfiguration
from enclave_sim.errors import ConfigurationError
from enclave_sim.files.reading import SMALL, MissingFile, read_utf8

if TYPE_CHECKING:
    from machine.tpm.backend import TpmBackend

_FORMAT: Literal["aether-tpm-model/1"] = "aether-tpm-model/1"
_MODEL, _SWTPM = "model", "swtpm"
_MAX_RESETS = 0xFFFF_FFFE
tpm = option(
    "--tpm",
    metavar="TPM",
    default=_MODEL,
    help="model: a new TPM, the same for every run; model:FILE: one that keeps its keys and number of resets in FILE, "
    "created if missing; swtpm:SOCKET[,CONTROL]: a running swtpm.",
    heading=POLICY,
)


class _ModelFile(msgspec.Struct, forbid_unknown_fields=True):
    format: Literal["aether-tpm-model/1"]
    seed: str
    resets: Annotated[int, msgspec.Meta(ge=0, le=_MAX_RESETS)]


class TpmChoice(msgspec.Struct, frozen=True):
    """The user's choice of TPM."""

    model: "ModelState | None" = None
    """The state of the TPM model, if it is kept in a file."""
    backend: "TpmBackend | None" = None
    """The TPM that replaces the model, if any."""

    def configured(self, configuration: EnclaveConfiguration) -> EnclaveConfiguration:
        """Return the configuration with the TPM model's state, if it is kept in a file."""
        if self.model is None:
            return configuration
        return msgspec.structs.replace(configuration, tpm_seed=self.model.seed, tpm_resets=self.model.resets)


class ModelState(NamedTuple):
    """The state of a TPM model before a run."""

    seed: str
    resets: int
    """The number of resets so far."""


@contextmanager
def chosen_tpm(text: str) -> Iterator[TpmChoice]:
    """A scope that uses the chosen TPM. A TPM model kept in a file counts a reset.

    Args:
        text: The value of `--tpm`.

    Yields:
        The TPM.

    Raises:
        ConfigurationError: The text names no TPM, or the file of the model cannot be used.
        TpmUnavailable: The swtpm does not answer.
    """
    kind, colon, rest = text.partition(":")
    if kind == _MODEL and bool(colon) == bool(rest):
        state = None
        if rest:
            with _alone_in(Path(rest).parent):
                state = _reset(Path(rest))
        yield TpmChoice(state)
        return
    if kind == _SWTPM and rest:
        from machine.tpm.swtpm import Swtpm  # noqa: PLC0415

        with closing(Swtpm(*rest.split(",", 1))) as swtpm:
            yield TpmChoice(backend=swtpm)
        return
    raise ConfigurationError(f"--tpm {text!r} is not a TPM; it must be model, model:FILE or swtpm:SOCKET[,CONTROL]")


@contextmanager
def _alone_in(directory: Path) -> Iterator[None]:
    """A scope that holds a lock, so that two runs starting together count two resets."""
    try:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:  # reading the file fails, too, and reports it
        yield
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _reset(path: Path) -> ModelState:
    try:
        file = msgspec.json.decode(read_utf8(path, SMALL, f"the file of a TPM model ({_FORMAT})"), type=_ModelFile)
    except MissingFile:
        import secrets  # noqa: PLC0415 - few runs make a new TPM

        file = _ModelFile(_FORMAT, secrets.token_hex(32), 0)
    except (msgspec.MsgspecError, RecursionError):
        raise ConfigurationError(f"{path} is not the file of a TPM model ({_FORMAT})") from None
    if file.resets == _MAX_RESETS:
        raise ConfigurationError(f"the TPM in {path} has been reset {file.resets} times and cannot be reset again")
    before = ModelState(file.seed, file.resets)
    file.resets += 1
    from enclave_sim.files.writing import write_file  # noqa: PLC0415 - few TPMs are kept

    write_file(path, msgspec.json.format(msgspec.json.encode(file), indent=1) + b"\n", mode=0o600)  # keys are in it
    return before
