"""Write a payload in WebAssembly text, sign it with the development key, and run it."""

from wasmtime import wat2wasm

from enclave_sim import Enclave
from enclave_sim.payload.keys import development_key
from enclave_sim.payload.signature import sign

module = wat2wasm("""(module
  (import "aether" "emit_signal" (func $emit_signal (param i32)))
  (func (export "_start") (call $emit_signal (i32.mul (i32.const 6) (i32.const 7)))))""")
result = Enclave(sign(bytes(module), development_key())).run()
print(result.outcome, result.signals)
