;; mismatch: calls through a table, first with the right type, then with a wrong one.
;;
;; Expected: one signal, 42; then an invalid opcode (#UD) in ring 3, and self-annihilation with cause
;; GUEST_FAULT. This is WebAssembly's control flow integrity: a corrupted index cannot call a function
;; with arguments of the wrong types.
(module
  (import "aether" "emit_signal" (func $emit_signal (param i32)))

  (type $supplier (func (result i32)))
  (type $action (func))

  ;; A table of function references with one entry. The guest sees an index, never an address.
  (table 1 funcref)
  (elem (i32.const 0) $answer)

  (func $answer (type $supplier)
    (i32.const 42))

  (func (export "_start")
    ;; Valid: entry 0 is a supplier and is called as one.
    (call $emit_signal (call_indirect (type $supplier) (i32.const 0)))
    ;; Invalid: the same entry is called as an action. The engine compares the types at the call.
    (call_indirect (type $action) (i32.const 0))))
