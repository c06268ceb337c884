"""The TPM2 tools accept what the model makes."""

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from enclave_sim.attestation.formats.public_area import public_pem
from machine.tpm.model import TpmModel
from tests.machine.tpm import commands as tpm
from tests.machine.tpm.models import public_of, quoted

pytestmark = pytest.mark.tpm
NONCE = b"nonce of the verifier, 32 bytes." + tpm.u32(7)


@pytest.mark.parametrize("nonce", [NONCE, b"another"])
def test_tpm2_checkquote_accepts_a_quote_and_sees_its_nonce(tmp_path: Path, nonce: bytes) -> None:
    if shutil.which("tpm2_checkquote") is None:
        pytest.skip("tpm2-tools are missing")
    made = TpmModel(b"s" * 32)
    for sent in (tpm.startup(), tpm.extend(8)):
        assert tpm.code_of(made.execute(sent, 0)) == 0
    public = public_of(made.execute(tpm.create_primary(), 0))
    attest, signature = quoted(made.execute(tpm.quote(nonce=NONCE), 0))
    values = hashlib.sha256(bytes(32) + b"d" * 32).digest() + bytes(5 * 32)
    files = {
        "key": public_pem(tpm.sized(public)),
        "attest": attest,
        "signature": signature,
    }
    assert files["attest"].endswith(hashlib.sha256(values).digest())
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    command = ["tpm2_checkquote", "-u", "key", "-m", "attest", "-s", "signature", "-g", "sha256", "-q", nonce.hex()]
    environment = {"TPM2TOOLS_TCTI": "none", "PATH": os.environ["PATH"]}
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False, env=environment)
    assert (ran.returncode == 0) == (nonce == NONCE), ran.stderr
