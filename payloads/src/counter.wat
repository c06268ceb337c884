;; counter: tries to count its own wake cycles, in both places where a guest can have state.
;;
;; Expected: two signals in every cycle, 1 and 1, never more. Each cycle gets a fresh guest: linear memory is
;; zero and globals are initialised, so nothing counts up. A 2 would be data that survived a context switch.
(module
  (import "aether" "emit_signal" (func $emit_signal (param i32)))

  ;; One page of 64 KiB. No data segment initialises it, so it has the content that the enclave provides: zero.
  (memory 1)

  ;; Address of the word: not at the start, so that clearing only the first bytes would be noticed.
  (global $slot i32 (i32.const 0x8000))

  ;; A mutable global is outside linear memory, in the engine. It must not survive either.
  (global $cycles (mut i32) (i32.const 0))

  (func (export "_start")
    ;; memory[slot] += 1
    (i32.store (global.get $slot)
      (i32.add (i32.load (global.get $slot)) (i32.const 1)))
    (call $emit_signal (i32.load (global.get $slot)))

    ;; cycles += 1
    (global.set $cycles (i32.add (global.get $cycles) (i32.const 1)))
    (call $emit_signal (global.get $cycles))))
