"""TPM2B_PUBLIC of an attestation key, and its Name."""


def key_name(public: bytes) -> bytes:
    """The Name of a key: nameAlg and the digest of its TPMT_PUBLIC, 34 bytes. Raises EvidenceError."""
    raise NotImplementedError


def public_pem(public: bytes) -> bytes:
    """The key as PEM (SubjectPublicKeyInfo), as `tpm2_checkquote -u` and OpenSSL read it. Raises EvidenceError."""
    raise NotImplementedError
