"""Bytes that make a function invalid when inserted before its body, by the name of the defect.

The first table fails validation (WebAssembly core specification, 3.4, 5.4). The second needs features that are off;
otherwise it is valid in a module with a memory, a table and this function of type () -> ().
"""

INVALID_CODE = {
    "operand missing": "1a",  # drop
    "operand of another type": "42001b",  # i64.const 0, select
    "value left in a block": "0240 4100 0b",  # block, i32.const 0, end
    "value missing in a block": "027f 0b 1a",  # block (result i32), end, drop
    "condition of another type": "4200 0440 0b",  # i64.const 0, if, end
    "label that is not there": "0c7f",
    "local that is not there": "20ffff03 1a",
    "global that is not there": "23ffff03 1a",
    "function that is not there": "10ffff03",
    "type that is not there": "4100 11ffff03 00",
    "block type that is not there": "02ffff01 0b",
    "alignment above natural": "4100 2803 00 1a",
    "ELSE without IF": "05",
    "END too many": "0b 01",
    "END missing": "0240",
    "IF with a result but no ELSE": "4100 047f 4100 0b 1a",
    "opcode that is not there": "ff",
    "opcode that is not there, of two bytes": "fcff01",
    "constant too long": "41 808080808000 1a",
    "constant out of range": "41 ffffffff4f 1a",
    "reserved byte set": "3f01 1a",
    "branch table of labels with different types": "027f 0240 4100 0e01 0100 0b 4100 0b 1a",
}
FOREIGN_CODE = {
    "bulk memory, copy of a table": "4100 4100 4100 fc0e0000",
    "bulk memory, copy of a table, padded": "4100 4100 4100 fc8e808000 808000 808000",
    "reference types, null": "d070 1a",
    "reference types, size of a table": "fc1000 1a",
    "reference types, block": "026f d06f 0b 1a",
    "reference types, select": "4100 4100 4100 1c017f 1a",
    "function references, block": "026370 d070 0b 1a",
    "SIMD": "fd0c 00000000000000000000000000000000 1a",
    "relaxed SIMD": "fd0c" + "00" * 16 + "fd0c" + "00" * 16 + "fd8002 1a",
    "threads, atomic load": "4100 fe100200 1a",
    "threads, fence": "fe0300",
    "tail call": "0240 1200 0b",
    "exceptions": "0a",
    "wide arithmetic": "4200 4200 fc15 1a 1a",
    "GC": "4100 fb1c 1a",
}
CODE_DEFECTS = {name: bytes.fromhex(code) for name, code in {**INVALID_CODE, **FOREIGN_CODE}.items()}
