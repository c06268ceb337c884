;; counter: tries to count its own wake cycles, in both places where a guest can keep state.
;;
;; Expected: two signals in every cycle, 1 and 1, never more. Each cycle gets a fresh guest: linear memory is
;; zeroed and globals start again, so nothing counts up. A 2 would be a secret that survived a context switch.
(module
  (import "aether" "emit_signal" (func $emit_signal (param i32)))

  ;; One page of 64 KiB. No data segment touches it, so its content is whatever the enclave hands out: zero.
  (memory 1)

  ;; Where the word lies: anywhere but at the start, so that clearing only the first bytes would be noticed.
  (global $slot i32 (i32.const 0x8000))

  ;; A mutable global lives outside linear memory, in the engine. It has to be forgotten all the same.
  (global $cycles (mut i32) (i32.const 0))

  (func (export "_start")
    ;; memory[slot] += 1
    (i32.store (global.get $slot)
      (i32.add (i32.load (global.get $slot)) (i32.const 1)))
    (call $emit_signal (i32.load (global.get $slot)))

    ;; cycles += 1
    (global.set $cycles (i32.add (global.get $cycles) (i32.const 1)))
    (call $emit_signal (global.get $cycles))))
