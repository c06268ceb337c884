"""Code of kernels that draws on the screen."""

SCROLL = bytes.fromhex("66 ba d4 03 66 b8 0d 50 66 ef")
"""movw $0x3D4, %dx; movw $0x500D, %ax; outw: the screen starts one row later."""
GRAPHICS = bytes.fromhex("66 ba ce 03 66 b8 06 05 66 ef")
"""movw $0x3CE, %dx; movw $0x0506, %ax; outw: a graphics mode."""


def draw(text: bytes, row: int = 0) -> bytes:
    """Code that writes text to the screen, white on blue."""
    code = b"\xbf" + (0xB8000 + 160 * row).to_bytes(4, "little")  # movl $..., %edi
    return code + b"".join(b"\x66\xc7\x07" + bytes([char, 0x1F]) + b"\x83\xc7\x02" for char in text)
