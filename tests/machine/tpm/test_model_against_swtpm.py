"""The model answers like swtpm: the same streams of commands, valid and malformed, to both."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from machine.tpm import messages
from machine.tpm.commands import COMMANDS
from machine.tpm.constants import Alg, Code, Tag
from machine.tpm.model import TpmModel
from tests.machine.tpm import commands as tpm
from tests.machine.tpm.conftest import SwtpmProcess, Swtpms
from tests.machine.tpm.lockstep import SEED, Lockstep, freshly_reset
from tests.machine.tpm.models import capability_of, quoted

pytestmark = pytest.mark.tpm
EXAMPLES = 150

CFB, SM4, HMAC = 0x0043, 0x0013, 0x0005
HASH_ALGS = (0x0004, 0x000B, 0x000C, 0x000D, 0x0010, 0x0012, 0x0027)
DIGEST_SIZES = {0x0004: 20, 0x000B: 32, 0x000C: 48, 0x000D: 64}
HANDLES = st.sampled_from(
    [
        *(0, 8, 15, 16, 17, 20, 23, 24),
        *(0x0200_0000, 0x0200_0040, 0x0300_0000, 0x0300_003F),
        *(0x4000_0001, 0x4000_0007, 0x4000_0009, 0x4000_000B, 0x4000_000C),
        *(0x8000_0000, 0x8000_0001, 0x8000_0002, 0x8000_0003, 0x8100_0000, 0xFFFF_FFFF),
    ]
)
OF_SWTPM = frozenset(range(0x11F, 0x19A)) - COMMANDS.keys()
"""Codes of commands that the model lacks, and some between them: not sent."""

selections = st.lists(st.tuples(st.sampled_from([*HASH_ALGS[:4], 0x0027]), st.integers(0, 0xFFFFFF)), max_size=5).map(
    lambda banks: tpm.selection(*banks)
)
areas = st.one_of(
    st.just(tpm.password()),
    st.lists(
        st.builds(
            tpm.password,
            st.sampled_from([b"", b"\0", b"pw", b"pw\0", b"x" * 64, b"x" * 65]),
            handle=st.sampled_from([0x4000_0009] * 6 + [0x0200_0000, 0x0300_0001, 0x4000_0007]),
            attributes=st.sampled_from([0, 0, 0, 1, 0x20, 0x08, 0x80]),
            nonce=st.sampled_from([b"", b"", b"", b"n"]),
        ),
        max_size=4,
    ).map(b"".join),
    st.binary(max_size=24),
)
attributes = st.one_of(
    st.just(tpm.AK_ATTRIBUTES),
    st.integers(0, 18).map(lambda bit: tpm.AK_ATTRIBUTES ^ 1 << bit),
    st.integers(0, 0x7FFFF),
)
ecc_parameters = st.one_of(
    st.just(tpm.ECC_PARAMETERS),
    st.sampled_from(
        [
            messages.ecc_parameters(details=(Alg.SHA384,)),
            messages.ecc_parameters(scheme=Alg.NULL, details=()),
            messages.ecc_parameters(symmetric=(Alg.AES, 128, CFB)),
            messages.ecc_parameters(symmetric=(Alg.AES, 129, CFB)),
            messages.ecc_parameters(symmetric=(Alg.AES, 128, Alg.ECDSA)),
            messages.ecc_parameters(details=(Alg.NULL,)),
            messages.ecc_parameters(scheme=Alg.ECDAA, details=(Alg.SHA256, 0)),
            messages.ecc_parameters(scheme=Alg.RSASSA),
            messages.ecc_parameters(curve=0x0099),
            messages.ecc_parameters(curve=0x0004),
            messages.ecc_parameters(scheme=Alg.SM2),
            messages.ecc_parameters(scheme=Alg.ECDH),
            messages.ecc_parameters(symmetric=(Alg.TDES, 128, CFB)),
            messages.ecc_parameters(symmetric=(Alg.CAMELLIA, 128, Alg.NULL), scheme=Alg.NULL, details=()),
            messages.ecc_parameters(symmetric=(SM4, 128, CFB), scheme=Alg.NULL, details=()),
            messages.ecc_parameters(kdf=(Alg.KDF1_SP800_56A, Alg.SHA256)),
            messages.ecc_parameters(kdf=(Alg.KDF1_SP800_56A, 0x0099)),
            messages.ecc_parameters(kdf=(Alg.ECC,)),
        ]
    ),
)
templates = st.one_of(
    st.just(tpm.ECC_AK),
    st.builds(
        tpm.template,
        name_alg=st.sampled_from([0x000B, 0x000B, *HASH_ALGS]),
        attributes=attributes,
        policy=st.sampled_from([b"", b"", b"p", b"p" * 32, b"p" * 64, b"p" * 65]),
        parameters=ecc_parameters,
        unique=st.sampled_from([bytes(4), tpm.sized(b"u" * 32) * 2, tpm.sized(b"u" * 81) + b"\0\0"]),
    ),
)
schemes = st.sampled_from(
    [
        tpm.NO_SCHEME,
        tpm.scheme(Alg.ECDSA, Alg.SHA256),
        tpm.scheme(Alg.ECDSA, Alg.SHA384),
        tpm.scheme(Alg.ECDSA, Alg.SHA1),
        tpm.scheme(Alg.ECDSA, Alg.NULL),
        tpm.scheme(Alg.RSASSA, Alg.SHA256),
        tpm.scheme(Alg.ECDAA, Alg.SHA256, 0),
        tpm.scheme(HMAC, Alg.SHA256),
        tpm.scheme(0x0099),
    ]
)
digests = st.lists(st.sampled_from(HASH_ALGS), max_size=5).map(
    lambda algs: tpm.digest_values(*[(a, b"d" * DIGEST_SIZES.get(a, 32)) for a in algs])
)
kinds = st.sampled_from([tpm.CLEAR, tpm.CLEAR, tpm.STATE, b"\0\2"])
valid = st.one_of(
    st.builds(tpm.startup, kinds),
    st.builds(tpm.shutdown, kinds),
    st.sampled_from([b"", b"\0", b"\1", b"\2"]).map(lambda full: tpm.command(Code.SELF_TEST, full)),
    st.just(tpm.command(Code.GET_TEST_RESULT)),
    st.integers(0, 100).map(tpm.get_random),
    st.builds(tpm.get_capability, st.integers(0, 11), st.sampled_from([0, 1, 5, 0x01000000, 0x80000000]) | HANDLES),
    st.builds(tpm.extend, st.integers(0, 24)),
    st.builds(lambda pcr, values: tpm.authorized(Code.PCR_EXTEND, [pcr], values), HANDLES, digests),
    st.builds(
        lambda pcr, size: tpm.event(pcr, b"e" * size),
        HANDLES,
        st.sampled_from([0, 9, 1024, 1025]),
    ),
    st.builds(tpm.reset, HANDLES),
    st.builds(tpm.pcr_read, selections),
    st.builds(
        tpm.create_primary,
        templates,
        hierarchy=st.just(tpm.ENDORSEMENT) | HANDLES,
        auth=st.sampled_from([b"", b"", b"pw", b"a" * 33, b"a\0", b"a" * 65]),
        data=st.sampled_from([b"", b"", b"data", b"d" * 128, b"d" * 129]),
        outside=st.sampled_from([b"", b"out", b"o" * 66, b"o" * 67]),
        pcrs=selections,
    ),
    st.builds(tpm.quote, HANDLES, st.sampled_from([b"", b"n" * 36, b"n" * 66, b"n" * 67]), pcrs=selections, area=areas),
    st.builds(
        tpm.quote,
        st.sampled_from([0x8000_0000, 0x4000_0007]),
        scheme=schemes,
    ),
    st.builds(tpm.read_public, HANDLES),
    st.builds(tpm.flush, HANDLES),
    st.builds(
        lambda code, handles, area: tpm.authorized(code, handles, area=area),
        st.sampled_from([0x143, 0x144, 0x145, 0x165, 0x173, 0x17A, 0x17B, 0x17C, 0x17E, 0x13D]),
        st.lists(HANDLES, max_size=1),
        areas,
    ),
)


@st.composite
def malformed(draw: Any, commands: Any = valid) -> bytes:
    """A modified command, usually with a corrected size."""
    data = bytearray(draw(commands))
    what = draw(st.sampled_from(["cut", "longer", "byte", "word", "code", "tag", "size"]))
    if what == "cut":
        del data[draw(st.integers(10, len(data))) :]
    elif what == "longer":
        data += draw(st.binary(min_size=1, max_size=9))
    elif what == "byte":
        data[draw(st.integers(10, len(data)) if len(data) > 10 else st.just(9)) - 1] = draw(st.integers(0, 255))
    elif what == "word":
        at = draw(st.integers(0, len(data) - 2))
        data[at : at + 2] = draw(st.sampled_from([b"\0\0", b"\xff\xff", b"\0\x10", b"\x01\0"]))
    elif what == "code":
        data[:] = tpm.with_code(bytes(data), draw(st.sampled_from([0, 0x11E, 0x19A, 0x1FF, 0x2000_0000, 0xFFFF_FFFF])))
    elif what == "tag":
        data[:] = tpm.with_tag(bytes(data), draw(st.sampled_from([*Tag, 0x00C1, 0])))
    if what != "size" and draw(st.integers(0, 9)):
        data[:] = tpm.with_size(bytes(data))
    elif what == "size":
        data[:] = tpm.with_size(bytes(data), draw(st.sampled_from([0, 9, 10, len(data) + 1, 4097, 0xFFFF_FFFF])))
    return bytes(data)


def may_be_sent(sent: bytes) -> bool:
    return tpm.code_of(sent) not in OF_SWTPM


POWER = b"power"
LOCALITIES = st.sampled_from([0, 0, 0, 0, 0, 0, 1, 2, 3, 4])
streams = st.lists(
    st.tuples(LOCALITIES, st.one_of(*[valid] * 5, *[malformed().filter(may_be_sent)] * 4, st.just(POWER))),
    min_size=1,
    max_size=16,
)
passwords = st.sampled_from([b"", b"pw", b"pw\0", b"no", b"p" * 32])
key_attributes = st.sampled_from([0, 0x400, 0x40, 0x80, 0x10000, 0x12, 0x4, 0x440]).map(tpm.AK_ATTRIBUTES.__xor__)
key_schemes = st.sampled_from([0x000B, 0x000C, 0x000D, 0x0004]).map(
    lambda hash_alg: messages.ecc_parameters(details=(hash_alg,))
)
quotes = st.builds(
    tpm.quote,
    st.sampled_from([0x8000_0000] * 5 + [0x8000_0001, 0x4000_0007]),
    st.sampled_from([b"", b"n" * 36, b"n" * 66, b"n" * 67]),
    scheme=schemes,
    pcrs=selections,
    area=st.one_of(st.builds(tpm.password, passwords), areas),
)


@pytest.mark.slow
@settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))
@given(
    stream=streams,
    started=st.sampled_from([True, True, True, False]),
    primary=st.sampled_from([None, tpm.ECC_AK]) | templates,
)
def test_any_stream_of_commands_is_answered_alike(
    swtpms: Swtpms, stream: list[tuple[int, bytes]], started: bool, primary: bytes | None
) -> None:
    both = freshly_reset(swtpms.get())
    going = not started or both.run(tpm.startup())
    if going and primary is not None:
        going = both.run(tpm.create_primary(primary))
    for locality, sent in stream:
        if not going:
            return
        if sent == POWER:
            both.power_on()
        else:
            going = both.run(sent, locality)


@pytest.mark.slow
@settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))
@given(
    auth=passwords,
    template=st.builds(tpm.template, attributes=key_attributes, parameters=key_schemes),
    stream=st.lists(st.one_of(*[quotes] * 4, malformed(quotes).filter(may_be_sent), valid, st.just(POWER)), max_size=9),
)
def test_any_use_of_a_key_is_answered_alike(swtpms: Swtpms, auth: bytes, template: bytes, stream: list[bytes]) -> None:
    both = freshly_reset(swtpms.get())
    key = tpm.create_primary(template, auth=auth)
    going = both.run(tpm.startup()) and both.run(key)
    for sent in stream:
        if sent == POWER:
            both.power_on()
        going = going and all(both.run(step) for step in ([tpm.startup(), key] if sent == POWER else [sent]))


@pytest.mark.parametrize("code", sorted(COMMANDS))
def test_a_command_has_the_attributes_that_it_has_there(swtpms: Swtpms, code: int) -> None:
    both = freshly_reset(swtpms.get())
    assert both.run(tpm.startup())
    sent = tpm.get_capability(2, code, 1)
    ours, theirs = capability_of(both.model.execute(sent, 0)), capability_of(both.swtpm.execute(sent, 0))
    assert ours._replace(more=0) == theirs._replace(more=0)


def test_pcrs_have_the_properties_that_they_have_there(swtpms: Swtpms) -> None:
    both = freshly_reset(swtpms.get())
    assert both.run(tpm.startup())
    sent = tpm.get_capability(7)
    ours, theirs = (capability_of(each.execute(sent, 0)).entries for each in (both.model, both.swtpm))
    assert theirs.startswith(ours)
    assert len(theirs) - len(ours) == 2 * 8  # PCRs with policies and passwords: swtpm has these too


@pytest.mark.parametrize("ways", [(None,), (tpm.CLEAR,), (tpm.STATE,), (None, tpm.CLEAR), (tpm.CLEAR, tpm.CLEAR, None)])
def test_the_clock_is_safe_until_a_shutdown_is_missing(swtpm_process: SwtpmProcess, ways: tuple[bytes | None]) -> None:
    both = Lockstep(TpmModel(SEED), swtpm_process.connect())

    def safe() -> tuple[int, int]:
        assert both.run(tpm.create_primary())
        sent = tpm.quote(nonce=b"")
        ours, theirs = (messages.clock_of(quoted(each.execute(sent, 0)).attest) for each in (both.model, both.swtpm))
        return ours.safe, theirs.safe

    assert both.run(tpm.startup())
    assert safe() == (1, 1)
    for way in ways:
        assert way is None or both.run(tpm.shutdown(way))
        both.power_on()
        assert both.run(tpm.startup())
        ours, theirs = safe()
        assert ours == theirs
    assert ours == (None not in ways)
    both.swtpm.close()
