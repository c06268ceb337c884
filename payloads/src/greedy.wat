;; greedy: requests more memory, in several sizes.
;;
;; Expected: the size in pages (2), then -1 (0xFFFFFFFF) for each of five requests, then the size again (still
;; 2); then `_start` returns. Memory is fixed at its declared minimum, and `memory.grow` fails as the WebAssembly
;; specification says: it returns -1 and does not trap.
(module
  (import "aether" "emit_signal" (func $emit_signal (param i32)))

  ;; Two pages of 64 KiB without a maximum: the enclave sets the limit, not the module.
  (memory 2)

  (func (export "_start")
    (local $pages i32)
    (call $emit_signal (memory.size))
    ;; 1, 8, 64, 512 and 4096 more pages: from 64 KiB to 256 MiB.
    (local.set $pages (i32.const 1))
    (loop $more
      (call $emit_signal (memory.grow (local.get $pages)))
      (local.set $pages (i32.shl (local.get $pages) (i32.const 3)))
      (br_if $more (i32.le_u (local.get $pages) (i32.const 4096))))
    (call $emit_signal (memory.size))))
