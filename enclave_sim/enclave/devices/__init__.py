"""The enclave's own devices, attached to the machine's bus."""
