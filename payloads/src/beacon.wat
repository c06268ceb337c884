;; beacon: the smallest useful guest. Read the status word, send it out, return.
;;
;; Expected: one signal, the status word as the guest sees it; then `_start` returns.
(module
  ;; Imports come first. These two functions are the guest's only connection to the outside: no clock, no files,
  ;; no network. Each call leaves ring 3 through vector 0x80 and returns with the result.
  (import "aether" "get_status" (func $get_status (result i32)))
  (import "aether" "emit_signal" (func $emit_signal (param i32)))

  ;; No memory is declared: this guest has no linear memory, so its heap is empty.

  (func (export "_start")
    ;; WebAssembly is a stack machine: the call pushes the status, the next call pops it as its argument.
    ;; Bits of the word: 0 architecture locked, 1 memory sanitized, 2 payload verified, 3 active,
    ;; 4 attested, 5 woken by timer, 6 woken from outside, 7 first cycle, 8 signal ready.
    (call $emit_signal (call $get_status))))
