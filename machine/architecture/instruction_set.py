"""The instructions of the processor, one row per opcode or range of opcodes (SDM volume 2, appendix A).

An opcode without a row is undefined: #UD, whatever Unicorn would do with it. The table agrees with CPUID: an
instruction of a feature that CPUID does not offer has no row, or is a hint that does nothing.

A row reads `map opcodes | prefixes | ModRM | traits`.

* The map is `1` (one byte), `0F`, `38` (0F 38), `3A` (0F 3A), and `V38`, `V3A` for the VEX encodings.
* Prefixes are the mandatory prefixes of the row: `np` (none), `66`, `F3`, `F2`; `*` is all of them, ignored or with
  their general meaning. Of F2 and F3 the last one counts, and both take precedence over 66.
* ModRM is `-` (none), `rm` (register or memory), `m`, `r`, and `/n` or `/n-n` for values of the reg field.
* Traits: `i32` undefined in 64-bit mode, `i64` defined only there; immediates `ib`, `iw`, `iz` (2 or 4 bytes), `iv`
  (up to 8), `off` (an offset of the address size), `far` (iz and a selector), `iwb`, `rel` (iz, but 4 bytes in 64-bit
  mode); `lock` the memory form is read and written and takes LOCK, `rmw` the same without LOCK; `st` a memory operand
  is only written (floating_point/table.py knows those of x87); `a16` a memory operand of 16 bytes that must be aligned,
  `u16` one that need not be; `fp` SSE floating-point arithmetic, which may raise exceptions; `look` correct in Unicorn
  for most operands (unusual_operands.py); `mmx` raises a pending x87 exception; the other words are names of `Action`.
"""

from collections.abc import Iterator
from enum import IntEnum
from typing import NamedTuple

_TABLE = """
# One-byte opcodes: arithmetic
1 00 01 08 09 10 11 18 19 20 21 28 29 30 31 | * | rm | lock
1 02 03 0A 0B 12 13 1A 1B 22 23 2A 2B 32 33 38-3B | * | rm |
1 04 0C 14 1C 24 2C 34 3C | * | - | ib
1 05 0D 15 1D 25 2D 35 3D | * | - | iz
1 06 0E 16 1E | * | - | i32
1 07 17 1F | * | - | i32 system
1 27 2F 37 3F | * | - | i32
1 40-4F | * | - | i32
1 50-5F | * | - |
1 60 61 | * | - | i32 system
1 62 | * | m | i32
1 63 | * | rm | i64
1 63 | * | rm | i32 system st
1 68 | * | - | iz
1 69 | * | rm | iz
1 6A | * | - | ib
1 6B | * | rm | ib
1 6C-6F | np 66 | - | port
1 6C-6F | F2 F3 | - | port look
1 70-7F | * | - | ib look
1 80 | * | rm/0-6 | ib lock
1 80 | * | rm/7 | ib
1 81 | * | rm/0-6 | iz lock
1 81 | * | rm/7 | iz
1 82 | * | rm/0-6 | i32 ib lock
1 82 | * | rm/7 | i32 ib
1 83 | * | rm/0-6 | ib lock
1 83 | * | rm/7 | ib
1 84 85 | * | rm |
1 86 87 | * | rm | lock
1 88 89 | * | rm | st
1 8A 8B | * | rm |
1 8C | * | rm/0-5 | st
1 8D | * | m |
1 8E | * | rm/0 | system
1 8E | * | rm/2-5 | system
1 8F | * | rm/0 | st
1 90 | np 66 F2 | - |
1 90 | F3 | - | system
1 91-99 | * | - |
1 9A | * | - | i32 far system
1 9B | * | - | system
1 9C | * | - |
1 9D | * | - | flags
1 9E 9F | * | - | look
1 A0 A1 | * | - | off
1 A2 A3 | * | - | off st
1 A4-A7 | * | - |
1 A8 | * | - | ib
1 A9 | * | - | iz
1 AA-AF | * | - |
1 B0-B7 | * | - | ib
1 B8-BF | * | - | iv
1 C0 C1 | * | rm | ib rmw
1 C2 | * | - | iw look
1 C3 | * | - | look
1 C4 C5 | * | m | i32 system
1 C6 | * | rm/0 | ib look st
1 C7 | * | rm/0 | iz look st
1 C8 | * | - | iwb system
1 C9 | * | - |
1 CA | * | - | iw system
1 CB | * | - | system
1 CC | * | - |
1 CD | * | - | ib
1 CE | * | - | i32
1 CF | * | - | system interrupt_return
1 D0-D3 | * | rm | rmw
1 D4 D5 | * | - | i32 ib
1 D6 | * | - | i32
1 D7 | * | - |
1 D8-DF | * | rm | system
1 E0-E3 | * | - | ib look
1 E4-E7 | * | - | ib port
1 E8 E9 | * | - | rel look
1 EA | * | - | i32 far system
1 EB | * | - | ib look
1 EC-EF | * | - | port
1 F1 | * | - | system
1 F4 F5 | * | - |
1 F6 | * | rm/0 | ib
1 F6 | * | rm/1 | ib system
1 F6 | * | rm/2 | lock
1 F6 | * | rm/3 | lock look
1 F6 | * | rm/4-7 |
1 F7 | * | rm/0 | iz
1 F7 | * | rm/1 | iz system
1 F7 | * | rm/2 | lock
1 F7 | * | rm/3 | lock look
1 F7 | * | rm/4-7 |
1 F8-FD | * | - |
1 FE FF | * | rm/0-1 | lock
1 FF | * | rm/2 | look
1 FF | * | rm/4 | look
1 FF | * | rm/6 |
1 FF | * | m/3 | system
1 FF | * | m/5 | system

# 0F: system
0F 00 | * | rm/0-1 | descriptor st
0F 00 | * | rm/2-5 | system
0F 01 | * | m/0-1 | descriptor system st
0F 01 | * | m/2-3 | system
0F 01 | * | m/4 | descriptor st
0F 01 | * | r/4 | descriptor system
0F 01 | * | rm/6 | system
0F 01 | * | m/7 | system
0F 01 | * | r/0-3 | system
0F 01 | * | r/5 | system
0F 01 | * | r/7 | system
0F 02 03 | * | rm | system
0F 05-07 | * | - | system
0F 08 09 | * | - |
0F 0B | * | - |
0F 0D 19-1F | * | rm |
0F 18 | * | m |
0F 18 | * | r | system
0F 20-23 | * | rm | system
0F 30-35 | * | - | system
0F 40-4F | * | rm |
0F 80-8F | * | - | rel look
0F 90-9F | * | rm | st
0F A0 A8 | * | - |
0F A1 A9 | * | - | system
0F A2 | * | - | system
0F A3 AF | * | rm |
0F A4 AC | * | rm | ib rmw look
0F A5 AD | * | rm | rmw
0F AB B3 BB | * | rm | lock
0F AE | np | m/0 | system st
0F AE | np | m/1-2 | system
0F AE | np | m/3 | system st
0F AE | np | m/7 | system
0F AE | np | r/5-7 |
0F AE | F3 | r/0-1 | i64
0F AE | F3 | r/2-3 | i64 system
0F B0 C0 C1 | * | rm | lock
0F B1 | * | rm | lock look
0F B2 B4 B5 | * | m | system
0F B6 B7 BE BF | * | rm |
0F B8 | F3 | rm | look
0F BA | * | rm/4 | ib
0F BA | * | rm/5-7 | ib lock
0F BC BD | * | rm |
0F C7 | * | m/1 | lock look
0F C8-CF | * | - |

# 0F: MMX and SSE
0F 10 | np 66 | rm | u16
0F 11 | np 66 | rm | u16 st
0F 10 | F3 F2 | rm | look
0F 11 | F3 F2 | rm | look st
0F 12 16 | np | rm |
0F 12 16 | 66 | m |
0F 12 16 | F3 | rm | a16 look
0F 12 | F2 | rm | look
0F 13 17 | np 66 | m | st
0F 14 15 | np 66 | rm | a16
0F 28 | np 66 | rm | a16
0F 29 | np 66 | rm | a16 st
0F 2A | np 66 | rm | fp mmx
0F 2A | F3 F2 | rm | fp
0F 2B | np 66 | m | a16 st
0F 2C 2D | np | rm | fp mmx
0F 2C 2D | 66 | rm | fp mmx a16
0F 2C 2D | F3 F2 | rm | fp
0F 2E 2F | np 66 | rm | fp
0F 50 | np 66 | r |
0F 51 58 59 5C-5F | np 66 | rm | fp a16
0F 51 58 59 5C-5F | F3 F2 | rm | fp
0F 52 53 | np | rm | a16 system
0F 52 53 | F3 | rm | system
0F 54-57 | np 66 | rm | a16
0F 5A | np | r | fp
0F 5A | np | m | system
0F 5A | F3 F2 | rm | fp
0F 5A | 66 | rm | fp a16
0F 5B | np 66 F3 | rm | fp a16
0F 60-62 | np | r | mmx
0F 60-62 | np | m | mmx system
0F 63-6B | np | rm | mmx
0F 60-6D | 66 | rm | a16
0F 6E | np | rm | mmx
0F 6E | 66 | rm |
0F 6F | np | rm | mmx
0F 6F | 66 | rm | a16
0F 6F | F3 | rm | u16 look
0F 70 | np | rm | ib mmx
0F 70 | 66 | rm | ib a16
0F 70 | F3 F2 | rm | ib a16 look
0F 71 72 | np | r/2 | ib mmx
0F 71 72 | 66 | r/2 | ib
0F 71 72 | np | r/4 | ib mmx
0F 71 72 | 66 | r/4 | ib
0F 71 72 | np | r/6 | ib mmx
0F 71 72 | 66 | r/6 | ib
0F 73 | np | r/2 | ib mmx
0F 73 | np | r/6 | ib mmx
0F 73 | 66 | r/2-3 | ib
0F 73 | 66 | r/6-7 | ib
0F 74-76 | np | rm | mmx
0F 74-76 | 66 | rm | a16
0F 77 | np | - | mmx
0F 7C 7D | 66 F2 | rm | fp a16
0F 7E | np | rm | mmx st
0F 7E | 66 | rm | st
0F 7E | F3 | rm | look
0F 7F | np | rm | mmx st
0F 7F | 66 | rm | a16 st
0F 7F | F3 | rm | u16 look st
0F C2 | np 66 | rm | ib fp a16
0F C2 | F3 F2 | rm | ib fp
0F C3 | np | m | st
0F C4 | np | rm | ib mmx
0F C4 | 66 | rm | ib
0F C5 | np | r | ib mmx
0F C5 | 66 | r | ib
0F C6 | np 66 | rm | ib a16
0F D0 | 66 F2 | rm | fp a16
0F D1-D5 | np | rm | mmx
0F D1-D5 | 66 | rm | a16
0F D6 | 66 | rm | st
0F D6 | F3 F2 | r | mmx look
0F D7 | np | r | mmx
0F D7 | 66 | r |
0F D8-E5 E8-EF | np | rm | mmx
0F D8-E5 E8-EF | 66 | rm | a16
0F E6 | 66 F2 | rm | fp a16
0F E6 | F3 | r | fp
0F E6 | F3 | m | system
0F E7 | np | m | mmx st
0F E7 | 66 | m | a16 st
0F F0 | F2 | m | u16 look
0F F1-F6 F8-FE | np | rm | mmx
0F F1-F6 F8-FE | 66 | rm | a16
0F F7 | np | r | mmx system
0F F7 | 66 | r | system

# 0F 38
38 00-0B 1C-1E | np | rm | mmx look
38 01-03 05-07 | 66 | rm | a16 look
38 00 04 08-0B 1C-1E | 66 | rm | a16
38 10 14 15 17 | 66 | rm | a16
38 20-25 30-35 | 66 | rm |
38 28 29 2B 37-41 | 66 | rm | a16
38 2A | 66 | m | a16
38 DB-DF | 66 | rm | a16
38 F0 | np 66 | m |
38 F1 | np 66 | m | system st
38 F0 F1 | F2 | rm | system
38 F6 | 66 | rm |
38 F6 | F3 | rm | look

# 0F 3A
3A 08 09 | 66 | rm | ib fp a16
3A 0A 0B | 66 | r | ib fp
3A 0A 0B | 66 | m | ib fp system
3A 0C-0E | 66 | rm | ib a16
3A 0F | np | rm | ib mmx look
3A 0F | 66 | rm | ib a16
3A 14-17 | 66 | rm | ib st
3A 20-22 | 66 | rm | ib
3A 40 41 | 66 | rm | ib a16 system
3A 42 44 DF | 66 | rm | ib a16
3A 60-63 | 66 | rm | ib system

# VEX.L = 0: BMI1 and BMI2
V38 F2 | np | rm | look
V38 F3 | np | rm/1-2 | look
V38 F3 | np | rm/3 | system
V38 F5 | np F3 F2 | rm | look
V38 F6 | F2 | rm | look
V38 F7 | np 66 F3 F2 | rm | look
V3A F0 | F2 | rm | ib look
"""


class Map(IntEnum):
    """Opcode maps, in the order of the instruction hook's tables."""

    ONE_BYTE = 0
    TWO_BYTE = 1
    THREE_BYTE_38 = 2
    THREE_BYTE_3A = 3
    VEX_38 = 4
    VEX_3A = 5


class Prefix(IntEnum):
    """Mandatory prefixes, in the order of the instruction hook's tables."""

    NONE = 0
    OPERAND_SIZE = 1
    REPEAT = 2
    REPEAT_NOT_EQUAL = 3


class Row(NamedTuple):
    """A row, parsed."""

    map: Map
    opcodes: tuple[int, ...]
    prefixes: tuple[Prefix, ...]
    modrm: str
    """`-`, `rm`, `m` or `r`."""
    extensions: tuple[int, ...]
    """Values of the reg field."""
    traits: frozenset[str]


_MAPS = dict(zip(("1", "0F", "38", "3A", "V38", "V3A"), Map, strict=True))
_PREFIXES = dict(zip(("np", "66", "F3", "F2"), Prefix, strict=True))
_ALL = tuple(range(8))


def _numbers(text: str, base: int) -> Iterator[int]:
    for word in text.split():
        first, _, last = word.partition("-")
        yield from range(int(first, base), int(last or first, base) + 1)


def _row(line: str) -> Row:
    opcodes, prefixes, modrm, traits = line.split("|")
    where, opcodes = opcodes.split(maxsplit=1)
    form, _, extensions = modrm.strip().partition("/")
    return Row(
        _MAPS[where],
        tuple(_numbers(opcodes, 16)),
        tuple(Prefix) if prefixes.strip() == "*" else tuple(_PREFIXES[word] for word in prefixes.split()),
        form,
        tuple(_numbers(extensions, 8)) if extensions else _ALL,
        frozenset(traits.split()),
    )


ROWS: tuple[Row, ...] = tuple(_row(line) for line in _TABLE.splitlines() if line and line[0] != "#")
