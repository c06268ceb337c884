"""The x87 floating-point unit (SDM volume 1, chapter 8), executed with integers: exact, and the same on every host.

`extended` knows the 80-bit format and `rounding` makes numbers of exact results. On them stand the operations, each a
pure function of operands and control word: `arithmetic`, `comparison`, `remainder`, `scaling`, `conversions`,
`transcendental`. `state` is the register stack, `stack_operations` and its neighbours are the instructions, `table`
finds them by opcode and ModRM, and `unit` connects them to a processor and its memory.

An operation returns a value and bits for the status word: exception flags, and C1 where rounding increased the
magnitude. The value is None where an unmasked exception leaves the destination unchanged.
"""
