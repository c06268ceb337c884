;; spinner: computes for 100,000,000 rounds without a host call, then proves it.
;;
;; Expected: one signal, 0xCF434901 (the generator below after 100,000,000 steps from seed 1). The wake tests use
;; it as load: a guest that never leaves by itself must still be interrupted on time, and must not notice.
(module
  (import "aether" "emit_signal" (func $emit_signal (param i32)))

  (func (export "_start")
    (local $round i32)
    (local $x i32)
    (local.set $round (i32.const 100000000))
    (local.set $x (i32.const 1))
    ;; A linear congruential generator: x := x * 1664525 + 1013904223 modulo 2**32. Each step needs the result
    ;; of the last, so no compiler skips rounds; but n steps have a closed form, so the result is easy to check.
    (loop $again
      (local.set $x
        (i32.add (i32.mul (local.get $x) (i32.const 1664525)) (i32.const 1013904223)))
      ;; `local.tee` stores and keeps the value; `br_if` repeats the loop while it is not zero.
      (br_if $again
        (local.tee $round (i32.sub (local.get $round) (i32.const 1)))))
    (call $emit_signal (local.get $x))))
