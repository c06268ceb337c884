;; divider: divides by zero.
;;
;; Expected: one signal, 1; then a divide error (#DE) in ring 3, and self-annihilation with cause GUEST_FAULT.
(module
  (import "aether" "get_status" (func $get_status (result i32)))
  (import "aether" "emit_signal" (func $emit_signal (param i32)))

  (func (export "_start")
    (call $emit_signal (i32.const 1))
    ;; A constant zero could become a trap at compile time. Bits 9 to 30 of the status word are reserved and
    ;; read as zero, which no compiler knows.
    (call $emit_signal
      (i32.div_u
        (i32.const 1000)
        (i32.and (call $get_status) (i32.const 0x7FFFFE00))))))
