"""What a recording carries of the things its run was made from, and where a reader finds the others.

Everybody has the built-in payloads and the development anchor: those are named. The rest goes along in the header.
"""

from collections.abc import Iterable, Sequence
from functools import cache
from hashlib import sha256

import payloads as built_in
from enclave_sim.enclave.configuration import anchor_label
from enclave_sim.payload.keys import TrustAnchor, development_anchor
from enclave_sim.recording.format import Header, RecordingError


def carried_payloads(payloads: Iterable[bytes]) -> tuple[bytes, ...]:
    """Those that are not built in, each once."""
    known = _built_in()
    return tuple(payload for payload in dict.fromkeys(payloads) if payload not in known)


def carried_anchors(anchors: Iterable[TrustAnchor]) -> tuple[TrustAnchor, ...]:
    """Those that are not the development anchor."""
    development = development_anchor()
    return tuple(anchor for anchor in anchors if anchor != development)


def find_payloads(header: Header, given: Iterable[bytes] = ()) -> list[bytes]:
    """The payloads of a run: carried, given or built in. Raises RecordingError naming the one that is missing."""
    found = {sha256(payload).hexdigest(): payload for payload in (*_built_in(), *given, *header.payloads)}
    for wanted in header.payload_sha256:
        if wanted not in found:
            raise RecordingError(
                f"the payload with SHA-256 {wanted} is missing: it is neither in the recording nor built in, "
                "and none of the payloads given is it"
            )
    return [found[wanted] for wanted in header.payload_sha256]


def find_anchors(header: Header, names: Sequence[str]) -> list[TrustAnchor]:
    """The trust anchors of a run, which its configuration names. Raises RecordingError for one that is missing."""
    anchors = [*header.trust_anchors]
    if len(anchors) < len(names):
        anchors += [development_anchor()] * (len(names) - len(anchors))
    anchors.sort(key=anchor_label)
    labels = [anchor_label(anchor) for anchor in anchors]
    if labels != list(names):
        raise RecordingError(f"the trust anchors {', '.join(names)} are wanted; there are {', '.join(labels)}")
    return anchors


@cache
def _built_in() -> frozenset[bytes]:
    flat = map(built_in.read_flat, built_in.flat_names())
    return frozenset((*map(built_in.read, built_in.names()), *flat))
