"""The guest that has the accident: a flat binary, in which one of four functions writes past the end of a table.

    C := K
    for EBX := rounds down to 1:
        ECX := ECX * A + B
        call function EBX & 3:  EDX := ECX >> shift; table[EDX] := ECX
    emit C

The table has 16 words, and C is the word after it. A shift of 28 gives an index of 0 to 15. One function shifts by 27.
"""

from dataclasses import dataclass

from enclave_sim.labs.case import Case
from firmware import layout

CODE, HEAP = layout()["STAGING_BASE"], layout()["HEAP_BASE"]
WORDS, WORD = 16, 4
_RIGHT_SHIFT, _WRONG_SHIFT = 28, 27
_FUNCTIONS = 4
_FUNCTION_BYTES = 13
_MASK = 0xFFFF_FFFF


@dataclass(frozen=True)
class Program:
    """The constants of one guest."""

    table: int
    """The address of the table."""
    canary: int
    """K, the value that C should have."""
    rounds: int
    seed: int
    factor: int
    addend: int
    culprit: int
    """The function that shifts by too little."""

    @property
    def damaged(self) -> int:
        """The address of C."""
        return self.table + WORDS * WORD

    def accidents(self) -> list[tuple[int, int]]:
        """Return the round (EBX) and the value of each write to C after the first."""
        found, value = [], self.seed
        for left in range(self.rounds, 0, -1):
            value = (value * self.factor + self.addend) & _MASK
            if left % _FUNCTIONS == self.culprit and value >> _WRONG_SHIFT == WORDS:
                found.append((left, value))
        return found

    @property
    def code(self) -> bytes:
        """The binary."""
        head = b"\xc7\x04\x25" + _u32(self.damaged) + _u32(self.canary)
        head += b"\xbb" + _u32(self.rounds) + b"\xb9" + _u32(self.seed)
        loop = b"\x69\xc9" + _u32(self.factor) + b"\x81\xc1" + _u32(self.addend)
        loop += b"\x89\xd8\x83\xe0\x03"  # mov eax, ebx; and eax, 3
        calls = b"\x8b\x3c\x25" + _u32(self.damaged) + b"\xb8\x01\x00\x00\x00\xcd\x80"  # mov edi, [C]; host call 1
        calls += b"\xb8\x03\x00\x00\x00\xcd\x80\x0f\x0b"  # host call 3; ud2
        choices = 10 * _FUNCTIONS
        tail = 4  # dec ebx; jnz loop
        after = len(head) + len(loop) + choices + tail
        for number in range(_FUNCTIONS):
            target = after + len(calls) + number * _FUNCTION_BYTES
            end = len(head) + len(loop) + 10
            loop += bytes([0x83, 0xF8, number, 0x75, 0x05, 0xE8]) + _u32(target - end)  # cmp eax, n; jne; call
        loop += b"\xff\xcb\x75" + bytes([-(len(loop) + tail) & 0xFF])
        return head + loop + calls + b"".join(self._function(number) for number in range(_FUNCTIONS))

    def _function(self, number: int) -> bytes:
        shift = _WRONG_SHIFT if number == self.culprit else _RIGHT_SHIFT
        return b"\x89\xca\xc1\xea" + bytes([shift]) + b"\x89\x0c\x95" + _u32(self.table) + b"\xc3"

    def store_of(self, number: int) -> int:
        """Return the address of the store in a function."""
        return CODE + len(self.code) - (_FUNCTIONS - number) * _FUNCTION_BYTES + 5


def program_of(case: Case) -> Program:
    """Return the guest of a case: its first candidate with two to six accidents, none in the last rounds."""
    number = 0
    while True:
        one = _candidate(case, f"candidate {number}")
        rounds = [left for left, _ in one.accidents()]
        if 2 <= len(rounds) <= 6 and rounds[-1] > 20 and one.rounds - rounds[0] > 5:
            return one
        number += 1


def _candidate(case: Case, name: str) -> Program:
    return Program(
        table=HEAP + case.number(f"{name} table", 0x100, 0x3000) * 0x40,
        canary=case.number(f"{name} canary", 0x1000_0000, 0x7FFF_FFFF),
        rounds=case.number(f"{name} rounds", 200, 400),
        seed=case.number(f"{name} seed", 1, 0x7FFF_FFFF),
        factor=case.number(f"{name} factor", 0x1000, 0x1FF_FFFF) * 8 + 5,
        addend=case.number(f"{name} addend", 0x1000, 0x1FFF_FFFF) * 2 + 1,
        culprit=case.number(f"{name} culprit", 0, _FUNCTIONS - 1),
    )


def _u32(value: int) -> bytes:
    return value.to_bytes(4, "little")
