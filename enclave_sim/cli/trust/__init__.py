"""Commands for payloads, keys, attestation and verifiers."""
