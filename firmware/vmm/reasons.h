/* Every reason to reject a module: its class, its name, and the words of the WebAssembly specification and its test
   suite. MALFORMED: no module by the binary format (5). INVALID: a module that is not valid (3). PROFILE: outside the
   guest profile or the contract. LIMIT: beyond a limit of this implementation. */
#ifndef AETHER_REASONS_H
#define AETHER_REASONS_H
#define REASONS(REASON) \
    REASON(MALFORMED, MAGIC, "magic header not detected") \
    REASON(MALFORMED, VERSION, "unknown binary version") \
    REASON(MALFORMED, UNEXPECTED_END, "unexpected end") \
    REASON(MALFORMED, LENGTH, "length out of bounds") \
    REASON(MALFORMED, INTEGER_LONG, "integer representation too long") \
    REASON(MALFORMED, INTEGER_LARGE, "integer too large") \
    REASON(MALFORMED, UTF8, "malformed UTF-8 encoding") \
    REASON(MALFORMED, SECTION_ID, "malformed section id") \
    REASON(MALFORMED, SECTION_ORDER, "unexpected content after last section") \
    REASON(MALFORMED, SECTION_SIZE, "section size mismatch") \
    REASON(MALFORMED, FUNCTION_TAG, "malformed function type") \
    REASON(MALFORMED, VALUE_TYPE, "malformed value type") \
    REASON(MALFORMED, REFERENCE_TYPE, "malformed reference type") \
    REASON(MALFORMED, IMPORT_KIND, "malformed import kind") \
    REASON(MALFORMED, EXPORT_KIND, "malformed export kind") \
    REASON(MALFORMED, LIMITS, "malformed limits flags") \
    REASON(MALFORMED, MUTABILITY, "malformed mutability") \
    REASON(MALFORMED, ELEMENT_KIND, "malformed element kind") \
    REASON(MALFORMED, SEGMENT_KIND, "malformed segment kind") \
    REASON(MALFORMED, CODE_COUNT, "function and code section have inconsistent lengths") \
    REASON(MALFORMED, DATA_COUNT, "data count and data section have inconsistent lengths") \
    REASON(MALFORMED, TOO_MANY_LOCALS, "too many locals") \
    REASON(MALFORMED, OPCODE, "illegal opcode") \
    REASON(MALFORMED, ELSE_ALONE, "ELSE without IF") \
    REASON(MALFORMED, END_EXPECTED, "END opcode expected") \
    REASON(MALFORMED, ZERO_EXPECTED, "zero byte expected") \
    REASON(MALFORMED, MEMORY_FLAGS, "malformed memop flags") \
    REASON(MALFORMED, BLOCK_TYPE, "malformed block type") \
    REASON(INVALID, TYPE_MISMATCH, "type mismatch") \
    REASON(INVALID, UNKNOWN_TYPE, "unknown type") \
    REASON(INVALID, UNKNOWN_FUNCTION, "unknown function") \
    REASON(INVALID, UNKNOWN_TABLE, "unknown table") \
    REASON(INVALID, UNKNOWN_MEMORY, "unknown memory") \
    REASON(INVALID, UNKNOWN_GLOBAL, "unknown global") \
    REASON(INVALID, UNKNOWN_LOCAL, "unknown local") \
    REASON(INVALID, UNKNOWN_LABEL, "unknown label") \
    REASON(INVALID, IMMUTABLE, "global is immutable") \
    REASON(INVALID, NOT_CONSTANT, "constant expression required") \
    REASON(INVALID, ALIGNMENT, "alignment must not be larger than natural") \
    REASON(INVALID, DUPLICATE_EXPORT, "duplicate export name") \
    REASON(INVALID, MINIMUM, "size minimum must not be greater than maximum") \
    REASON(INVALID, MEMORY_SIZE, "memory size must be at most 65536 pages (4GiB)") \
    REASON(INVALID, MULTIPLE_MEMORIES, "multiple memories") \
    REASON(INVALID, MULTIPLE_TABLES, "multiple tables") \
    REASON(INVALID, START_FUNCTION, "start function") \
    REASON(PROFILE, PASSIVE_SEGMENT, "segment that is not active") \
    REASON(PROFILE, START_SECTION, "start section") \
    REASON(PROFILE, IMPORT, "import outside the contract") \
    REASON(PROFILE, IMPORT_TYPE, "import of another type than the contract's") \
    REASON(PROFILE, NO_ENTRY, "no function _start exported") \
    REASON(PROFILE, ENTRY_TYPE, "_start of another type than the contract's") \
    REASON(PROFILE, MEMORY_LARGE, "memory larger than the guest heap") \
    REASON(PROFILE, TABLE_LARGE, "table too large") \
    REASON(LIMIT, MODULE_LARGE, "module too large") \
    REASON(LIMIT, NAME_LONG, "name too long") \
    REASON(LIMIT, MANY_PARAMETERS, "too many parameters or results") \
    REASON(LIMIT, MANY_GLOBALS, "too many globals") \
    REASON(LIMIT, MANY_LABELS, "too many labels") \
    REASON(LIMIT, MANY_OPERANDS, "too many operands") \
    REASON(LIMIT, ARENA, "arena exhausted")

#define REASON_NUMBER(class, name, words) REASON_##name,
enum reason { VALID, REASONS(REASON_NUMBER) REASON_COUNT };
#undef REASON_NUMBER
#endif
