"""Guests for tests, written in WebAssembly text and signed with the development key."""

from collections.abc import Callable

import pytest
from wasmtime import wat2wasm

from enclave_sim.payload.keys import development_key
from enclave_sim.payload.signature import sign

IMPORTS = """
  (import "aether" "get_status" (func $get_status (result i32)))
  (import "aether" "emit_signal" (func $emit_signal (param i32)))
  (import "aether" "shred_self" (func $shred_self))
"""

SignGuest = Callable[[str], bytes]


def signed(body: str) -> bytes:
    """A signed module: the contract's imports, then `body`."""
    return sign(bytes(wat2wasm(f"(module {IMPORTS} {body})")), development_key())


@pytest.fixture(scope="session")
def guest() -> SignGuest:
    return signed
