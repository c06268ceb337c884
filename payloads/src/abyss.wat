;; abyss: recurses without end.
;;
;; Expected: one signal, 1; then the guest's stack overflows: a page fault on the guard page of the stack, and
;; self-annihilation with cause GUEST_FAULT. The depth at which it happens is the same in every run.
(module
  (import "aether" "emit_signal" (func $emit_signal (param i32)))

  ;; The addition follows the inner call, so a compiler cannot turn this into a loop.
  (func $fall (param $depth i32) (result i32)
    (i32.add
      (call $fall (i32.add (local.get $depth) (i32.const 1)))
      (local.get $depth)))

  (func (export "_start")
    (call $emit_signal (i32.const 1))
    (call $emit_signal (call $fall (i32.const 0)))))
