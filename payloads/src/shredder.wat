;; shredder: requests the destruction of the enclave.
;;
;; Expected: one signal, 1; then self-annihilation with cause SHRED_SELF. The host call never returns.
(module
  (import "aether" "emit_signal" (func $emit_signal (param i32)))
  (import "aether" "shred_self" (func $shred_self))

  (func (export "_start")
    (call $emit_signal (i32.const 1))
    (call $shred_self)
    ;; `unreachable` traps. If the call above wrongly returned, the run would end with cause GUEST_FAULT.
    unreachable))
