"""TPM messages by the names of their parts: written messages are read back, and truncated ones are refused."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from machine.tpm import messages
from machine.tpm.buffers import TpmError
from machine.tpm.constants import Alg, Code, Handle, Tag
from tests.machine.tpm import commands as tpm
from tests.machine.tpm.models import model

MADE = model()
CREATED, QUOTED = (MADE.execute(sent, 0) for sent in (tpm.create_primary(), tpm.quote()))


@given(tag=st.integers(0, 0xFFFF), size=st.integers(0, 0xFFFF_FFFF), code=st.integers(0, 0xFFFF_FFFF))
def test_a_header_that_is_written_is_read_again(tag: int, size: int, code: int) -> None:
    header = messages.Header(tag, size, code)
    assert messages.Header.of(header.encode() + b"more") == header


def test_bytes_that_a_header_lacks_count_as_zero() -> None:
    assert messages.Header.of(b"") == (0, 0, 0)
    assert messages.Header.of(tpm.startup()[:7]) == (Tag.NO_SESSIONS, len(tpm.startup()), 0)


def test_startup_is_as_the_library_has_it() -> None:
    """Part 3, 9.3: what is built by name, held once against bytes written out."""
    assert messages.startup() == bytes.fromhex("8001 0000000c 00000144 0000")
    assert messages.flush_context(tpm.FIRST_KEY) == bytes.fromhex("8001 0000000e 00000165 80000000")


def test_create_primary_is_as_the_library_has_it() -> None:
    """Part 3, 24.1: handle, authorization area, TPM2B_SENSITIVE_CREATE, TPM2B_PUBLIC, TPM2B_DATA, selection."""
    assert tpm.create_primary(tpm.ECC_AK) == bytes.fromhex(
        "8002 00000041 00000131 4000000b 00000009 40000009 0000 00 0000 0004 0000 0000"
        "0018 0023 000b 00050472 0000 0010 0018 000b 0003 0010 0000 0000 0000 00000000"
    )
    mldsa = bytes.fromhex("000f 00a1 000b 00050472 0000 0002 00 0000 0000 00000000")
    assert tpm.create_primary(tpm.MLDSA_AK).endswith(mldsa)


@pytest.mark.parametrize("template", [tpm.ECC_AK, tpm.MLDSA_AK])
def test_the_template_that_is_asked_for_is_found(template: bytes) -> None:
    sent = tpm.create_primary(template, hierarchy=Handle.OWNER, auth=b"secret", data=b"data")
    assert messages.asked_creation(sent) == (Handle.OWNER, template)
    assert tpm.is_creation(sent, Alg.MLDSA) == (template is tpm.MLDSA_AK)


@given(pcr=st.integers(0, 23), digest=st.binary(min_size=32, max_size=32))
def test_an_extension_is_read_with_its_digest(pcr: int, digest: bytes) -> None:
    assert messages.extension(tpm.extend(pcr, digest)) == (pcr, digest)


def test_an_error_is_a_header_and_nothing_else() -> None:
    assert messages.error_response(Code.QUOTE) == bytes.fromhex("8001 0000000a 00000158")


@pytest.mark.parametrize(
    ("read", "whole", "needed"),
    [
        (messages.created, CREATED, CREATED.index(messages.created(CREATED).public) + 88),
        (messages.quoted, QUOTED, len(QUOTED) - len(tpm.PASSWORD_AREA)),
        (messages.asked_creation, tpm.create_primary(), len(tpm.create_primary()) - 6),
        (messages.clock_of, messages.quoted(QUOTED).attest, 6 + 2 + 34 + 2 + 36 + 17),
    ],
    ids=["created", "quoted", "asked_creation", "clock_of"],
)
def test_what_is_cut_short_is_refused(read: Callable[[bytes], object], whole: bytes, needed: int) -> None:
    for size in range(needed):
        with pytest.raises(TpmError):
            read(whole[:size])
    assert read(whole[:needed]) == read(whole)
