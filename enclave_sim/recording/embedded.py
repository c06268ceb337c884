"""The payloads and trust anchors that a recording embeds in its header, and the sources of the others.

Every reader has the built-in payloads and the development anchor, so those are only named.
"""

from collections.abc import Iterable, Sequence
from functools import cache
from hashlib import sha256

import payloads as built_in
from enclave_sim.payload.keys import TrustAnchor, development_anchor
from enclave_sim.recording.format import Header, RecordingError


def embedded_payloads(payloads: Iterable[bytes]) -> tuple[bytes, ...]:
    """Return the payloads that are not built in, each once."""
    known = _built_in()
    return tuple(payload for payload in dict.fromkeys(payloads) if payload not in known)


def embedded_anchors(anchors: Iterable[TrustAnchor]) -> tuple[TrustAnchor, ...]:
    """Return the trust anchors other than the development anchor."""
    development = development_anchor()
    return tuple(anchor for anchor in anchors if anchor != development)


def payload_names(header: Header) -> list[str]:
    """Name the payloads of a run: by their built-in names, or by the first digits of their SHA-256."""
    readers = ((built_in.names, built_in.read), (built_in.flat_names, built_in.read_flat))
    known = {sha256(read(name)).hexdigest(): name for names, read in readers for name in names()}
    return [known.get(digest, f"{digest[:12]}...") for digest in header.payload_sha256]


def find_payloads(header: Header, given: Iterable[bytes] = ()) -> list[bytes]:
    """Return the payloads of a run: embedded, given or built in. Raises RecordingError, which names a missing one."""
    found = {sha256(payload).hexdigest(): payload for payload in (*_built_in(), *given, *header.payloads)}
    for wanted in header.payload_sha256:
        if wanted not in found:
            raise RecordingError(
                f"the payload with SHA-256 {wanted} is missing: it is neither in the recording nor built in, "
                "and none of the payloads given is it"
            )
    return [found[wanted] for wanted in header.payload_sha256]


def find_anchors(header: Header, names: Sequence[str]) -> list[TrustAnchor]:
    """Return the trust anchors named by a run's configuration. Raises RecordingError for a missing one."""
    anchors = [*header.trust_anchors]
    if len(anchors) < len(names):
        anchors += [development_anchor()] * (len(names) - len(anchors))
    anchors.sort(key=lambda anchor: anchor.label)
    labels = [anchor.label for anchor in anchors]
    if labels != list(names):
        raise RecordingError(f"the trust anchors {', '.join(names)} are wanted; there are {', '.join(labels)}")
    return anchors


@cache
def _built_in() -> frozenset[bytes]:
    flat = map(built_in.read_flat, built_in.flat_names())
    return frozenset((*map(built_in.read, built_in.names()), *flat))
