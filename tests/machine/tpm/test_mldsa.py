"""The ML-DSA-65 module: built from its source, deterministic, and in agreement with another implementation."""

import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import mldsa
from hypothesis import given, settings
from hypothesis import strategies as st

from enclave_sim.attestation.formats.signature import MlDsaSignature, parse_signature
from machine.tpm.constants import Alg
from machine.tpm.mldsa import MODULE, build
from machine.tpm.mldsa.signer import FEW, MlDsa65Signer, mldsa65_signer
from machine.tpm.public_area import Scheme

ROOT = Path(__file__).parents[3]
NONE = Scheme(Alg.MLDSA)


@pytest.mark.slow
def test_the_module_is_what_its_source_compiles_to() -> None:
    assert build.build() == MODULE.read_bytes()


@settings(max_examples=30)
@given(seed=st.binary(min_size=32, max_size=32), data=st.binary(max_size=4096))
def test_another_implementation_makes_the_same_key_and_accepts_the_signature(seed: bytes, data: bytes) -> None:
    theirs = mldsa.MLDSA65PrivateKey.from_seed_bytes(seed).public_key()
    ours = MlDsa65Signer(seed)
    assert ours.public_key == theirs.public_bytes_raw()
    assert ours.unique == (1952).to_bytes(2, "big") + ours.public_key
    signature = ours.sign(data, NONE)
    parsed = parse_signature(signature)
    assert isinstance(parsed, MlDsaSignature)
    theirs.verify(parsed.signature, data)


def test_a_signature_depends_on_nothing_but_key_and_data() -> None:
    first, second = MlDsa65Signer(b"s" * 32), MlDsa65Signer(b"s" * 32)
    signed = first.sign(b"data", NONE)
    second.sign(b"other data", NONE)
    assert second.sign(b"data", NONE) == signed
    assert MlDsa65Signer(b"t" * 32).sign(b"data", NONE) != signed


def test_the_code_of_later_signatures_makes_the_same_ones() -> None:
    """The first ones are made by code that is compiled quickly."""
    signer = MlDsa65Signer(b"s" * 32)
    assert len({signer.sign(b"data", NONE) for _ in range(FEW + 2)}) == 1


def test_a_key_is_made_once_in_a_process() -> None:
    assert mldsa65_signer(b"s" * 32) is mldsa65_signer(b"s" * 32)


def test_the_webassembly_engine_is_not_loaded_for_other_keys_and_leaves_quietly() -> None:
    program = (
        "import sys; from machine.tpm.model import TpmModel; from tests.machine.tpm import commands as tpm\n"
        "made = TpmModel(b's' * 32); sent = [tpm.startup(), tpm.create_primary(), tpm.quote()]\n"
        "assert not any(tpm.code_of(made.execute(c, 0)) for c in sent) and 'wasmtime' not in sys.modules\n"
        "assert not tpm.code_of(made.execute(tpm.create_primary(tpm.MLDSA_AK), 0)) and 'wasmtime' in sys.modules\n"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False, cwd=ROOT)
    assert (ran.returncode, ran.stderr) == (0, b"")
