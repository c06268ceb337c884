"""The target description: an XML document that lists the registers for gdb ("Target Descriptions")."""

from collections.abc import Mapping
from functools import cache
from itertools import groupby

from enclave_sim.gdb.registers import Architecture, Register

_FLAGS: Mapping[str, tuple[int, Mapping[str, int]]] = {
    "rflags": (
        4,
        {"CF": 0, "": 1, "PF": 2, "AF": 4, "ZF": 6, "SF": 7, "TF": 8, "IF": 9, "DF": 10, "OF": 11}
        | {"NT": 14, "RF": 16, "VM": 17, "AC": 18, "VIF": 19, "VIP": 20, "ID": 21},
    ),
    "mxcsr": (
        4,
        {"IE": 0, "DE": 1, "ZE": 2, "OE": 3, "UE": 4, "PE": 5, "DAZ": 6, "IM": 7}
        | {"DM": 8, "ZM": 9, "OM": 10, "UM": 11, "PM": 12, "FZ": 15},
    ),
    "cr0": (
        8,
        {"PE": 0, "MP": 1, "EM": 2, "TS": 3, "ET": 4, "NE": 5, "WP": 16, "AM": 18, "NW": 29, "CD": 30, "PG": 31},
    ),
    "cr4": (
        8,
        {"VME": 0, "PVI": 1, "TSD": 2, "DE": 3, "PSE": 4, "PAE": 5, "MCE": 6, "PGE": 7, "PCE": 8, "OSFXSR": 9}
        | {"OSXMMEXCPT": 10, "UMIP": 11, "FSGSBASE": 16, "PCIDE": 17, "OSXSAVE": 18, "SMEP": 20, "SMAP": 21},
    ),
    "efer": (8, {"SCE": 0, "LME": 8, "LMA": 10, "NXE": 11}),
}
_VECTORS = {
    "v4_float": ("ieee_single", 4),
    "v2_double": ("ieee_double", 2),
    "v16_int8": ("int8", 16),
    "v8_int16": ("int16", 8),
    "v4_int32": ("int32", 4),
    "v2_int64": ("int64", 2),
}


@cache
def target_description(architecture: Architecture) -> bytes:
    """Return `target.xml` for an architecture."""
    parts = groupby(architecture.registers, lambda one: one.feature)
    features = "".join(_feature(name, [*found]) for name, found in parts)
    return (
        '<?xml version="1.0"?>\n<!DOCTYPE target SYSTEM "gdb-target.dtd">\n'
        f'<target version="1.0">\n<architecture>{architecture.name}</architecture>\n{features}</target>\n'
    ).encode()


def _feature(name: str, registers: list[Register]) -> str:
    types = "".join(_type(kind) for kind in dict.fromkeys(one.type for one in registers))
    return f'<feature name="{name}">\n{types}{"".join(map(_register, registers))}</feature>\n'


def _register(one: Register) -> str:
    group = f' group="{one.group}"' if one.group else ""
    return f'<reg name="{one.name}" bitsize="{one.bits}" type="{one.type}"{group}/>\n'


def _type(name: str) -> str:
    """Return the definition of a type; empty for types known to gdb."""
    if name in _FLAGS:
        size, bits = _FLAGS[name]
        fields = "".join(f'<field name="{bit}" start="{at}" end="{at}"/>' for bit, at in bits.items())
        return f'<flags id="{name}" size="{size}">{fields}</flags>\n'
    if name != "vec128":
        return ""
    vectors = "".join(f'<vector id="{vector}" type="{of}" count="{n}"/>\n' for vector, (of, n) in _VECTORS.items())
    fields = "".join(f'<field name="{vector}" type="{vector}"/>' for vector in _VECTORS)
    return f'{vectors}<union id="vec128">{fields}<field name="uint128" type="uint128"/></union>\n'
