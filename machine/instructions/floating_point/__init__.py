"""The x87 floating-point unit (SDM volume 1, chapter 8), executed with integers: exact, and the same on every host.

`extended` has the 80-bit format, and `rounding` turns exact results into numbers. The operations use both; each is a
pure function of operands and control word: `arithmetic`, `comparison`, `remainder`, `scaling`, `conversions`,
`transcendental`. `state` is the register stack. `stack_operations`, `comparison_operations` and `special_operations`
are the instructions, `table` finds them by opcode and ModRM, and `unit` connects them to a processor and its memory.

An operation returns a value and bits for the status word: exception flags, and C1 if rounding increased the magnitude.
The value is None if an unmasked exception leaves the destination unchanged.
"""
