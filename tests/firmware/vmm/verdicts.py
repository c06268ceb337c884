"""Our reasons to reject a module, compared with the words of wasmtime.

wasmtime checks the bodies of functions last, we check everything in the order of the module. So if a module has several
faults, wasmtime may report one after ours that is not in a body; then only the rejection itself is compared.
"""

import re
from enum import Enum

from tests.firmware.vmm.harness import Verdict

_FEATURES = "VALUE_TYPE REFERENCE_TYPE LIMITS OPCODE BLOCK_TYPE SECTION_ID IMPORT_KIND EXPORT_KIND FUNCTION_TAG"
_ENDS = "UNEXPECTED_END LENGTH END_EXPECTED SECTION_SIZE"
_WORDS = (
    ("needs bulk-memory", "PASSIVE_SEGMENT OPCODE"),
    ("multiple memories|memory64 must|threads must", "MULTIPLE_MEMORIES LIMITS LENGTH"),
    (r"\d+ tables", "MULTIPLE_TABLES"),
    ("locally defined global", "UNKNOWN_GLOBAL"),
    ("compact imports", "IMPORT_KIND"),
    (
        "needs (GC|exceptions|function references|reference-types|simd|threads|tail calls|wide arithmetic)",
        _FEATURES + " ELEMENT_KIND NOT_CONSTANT MUTABILITY",
    ),
    ("needs", _FEATURES + " MEMORY_FLAGS ALIGNMENT"),
    ("bad magic", "MAGIC"),
    ("unknown binary version", "VERSION"),
    ("unexpected end", _ENDS),
    ("trailing bytes|section size mismatch", _ENDS),
    ("integer representation too long", "INTEGER_LONG INTEGER_LARGE"),
    ("integer too large", "INTEGER_LARGE"),
    ("UTF-8", "UTF8"),
    ("malformed section id", "SECTION_ID"),
    ("unexpected content in the", "SECTION_SIZE"),
    ("section out of order", "SECTION_ORDER"),
    ("data count", "DATA_COUNT SECTION_ID"),
    ("inconsistent lengths|code section", "CODE_COUNT LENGTH"),
    ("exceeds limit of|params size|returns size", "LENGTH MANY_PARAMETERS"),
    ("for type", "FUNCTION_TAG"),
    (
        "invalid value type|invalid function type|heap type|exact type|reference type",
        "VALUE_TYPE BLOCK_TYPE REFERENCE_TYPE",
    ),
    ("for external kind|Exact type|exact function", "IMPORT_KIND EXPORT_KIND ELEMENT_KIND"),
    ("tag", "EXPORT_KIND IMPORT_KIND"),
    ("limits flags|resizable limits|table type|invalid table|memory limits", "LIMITS REFERENCE_TYPE"),
    ("minimum must not", "MINIMUM"),
    ("memory size", "MEMORY_SIZE"),
    ("mutability|global flags", "MUTABILITY"),
    ("in elem segment", "ELEMENT_KIND SEGMENT_KIND"),
    ("flags byte", "SEGMENT_KIND"),
    ("locals", "TOO_MANY_LOCALS"),
    ("duplicate export", "DUPLICATE_EXPORT"),
    ("string size|name|too long", "NAME_LONG"),
    ("else", "ELSE_ALONE"),
    ("control frames remain|operators remaining", "END_EXPECTED"),
    ("constant expression required|non-constant", "NOT_CONSTANT"),
    ("unknown global", "UNKNOWN_GLOBAL"),
    ("unknown type", "UNKNOWN_TYPE"),
    ("undeclared function reference", "OPCODE NOT_CONSTANT"),
    ("unknown function", "UNKNOWN_FUNCTION"),
    ("unknown table", "UNKNOWN_TABLE"),
    ("unknown memory", "UNKNOWN_MEMORY"),
    ("unknown local", "UNKNOWN_LOCAL"),
    ("unknown label", "UNKNOWN_LABEL"),
    ("immutable", "IMMUTABLE"),
    ("alignment too large", "MEMORY_FLAGS"),
    ("alignment", "ALIGNMENT"),
    ("zero byte expected", "ZERO_EXPECTED"),
    ("`br_table` has", "MANY_LABELS"),
    ("invalid start function|start function", "START_FUNCTION"),
    ("type mismatch|nothing on stack", "TYPE_MISMATCH"),
    ("illegal opcode|subopcode|not enabled|feature required", "OPCODE NOT_CONSTANT"),
    ("has a start section", "START_SECTION"),
    ("exports no function", "NO_ENTRY"),
    ("^export _start", "ENTRY_TYPE"),
    ("outside the contract|is a (memory|table|global)", "IMPORT"),
    ("^import .* it must be", "IMPORT_TYPE"),
    ("pages of 64 KiB", "MEMORY_LARGE"),
    ("a table has", "TABLE_LARGE"),
)
_TABLE = [(re.compile(words), frozenset(names.split())) for words, names in _WORDS]
_OFFSET = re.compile(r"at (?:offset|byte) (0x[0-9a-f]+|\d+)")


class Comparison(Enum):
    """The result for one module."""

    SAME = "the same verdict, and for a rejection the same class of reason"
    LATER_FAULT = "both reject; wasmtime reports another fault, which comes later"
    OTHER_FAULT = "both reject; what they report is at one place, which has two faults"
    OTHER_PROFILE = "both reject; the module is outside the profile, and wasmtime reports something else of it"
    OURS_ALONE = "only our own limits reject"
    DIFFERENT = "different verdicts, or different reasons at the same place"


def classes(message: str) -> frozenset[str]:
    """Return the names of our reasons that suit wasmtime's words."""
    return next((names for words, names in _TABLE if words.search(message)), frozenset())


def compare(ours: Verdict, theirs: str | None) -> Comparison:
    """Compare two verdicts on a module."""
    if ours.reason is None or theirs is None:
        if ours.reason is not None and ours.reason.kind == "LIMIT":
            return Comparison.OURS_ALONE
        return Comparison.SAME if ours.reason is None and theirs is None else Comparison.DIFFERENT
    if ours.reason.name in classes(theirs):
        return Comparison.SAME
    found = _OFFSET.findall(theirs)
    later = int(found[-1], 0) - ours.offset if found else 0
    if ours.reason.kind == "PROFILE" or (ours.reason.name == "OPCODE" and later == 0):
        return Comparison.OTHER_PROFILE
    if later > 0:
        return Comparison.LATER_FAULT
    return Comparison.OTHER_FAULT if found and later >= -1 and classes(theirs) else Comparison.DIFFERENT
