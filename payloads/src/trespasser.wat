;; trespasser: uses its memory up to the last byte, then reads the next byte.
;;
;; Expected: one signal, 0x5A; then the read hits the guard after the heap: a page fault in ring 3, and
;; self-annihilation with cause GUEST_FAULT. The second signal is never sent.
(module
  (import "aether" "emit_signal" (func $emit_signal (param i32)))

  ;; Bytes 0 to 65535 exist, byte 65536 does not.
  (memory 1)

  (func (export "_start")
    ;; Valid: the first byte, one in the middle, and the last one.
    (i32.store8 (i32.const 0) (i32.const 0x11))
    (i32.store8 (i32.const 0x7FFF) (i32.const 0x22))
    (i32.store8 (i32.const 0xFFFF) (i32.const 0x5A))
    (call $emit_signal (i32.load8_u (i32.const 0xFFFF)))

    ;; Invalid. The address is a constant, for clarity; it is still checked at run time.
    (call $emit_signal (i32.load8_u (i32.const 0x10000)))))
