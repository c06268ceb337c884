"""The text on a display adapter, as Unicode. The character set is that of the PC's ROM, code page 437."""

import msgspec

_CONTROL_GLYPHS = "\0☺☻♥♦♣♠•◘○◙♂♀♪♫☼►◄↕‼¶§▬↨↑↓→←∟↔▲▼"
_UPPER_GLYPHS = (
    "ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒáíóúñÑªº¿⌐¬½¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀"
    "αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■\N{NO-BREAK SPACE}"
)
CODE_PAGE_437 = (_CONTROL_GLYPHS + "".join(map(chr, range(0x20, 0x7F))) + "⌂" + _UPPER_GLYPHS).translate(
    {0: " ", 0xA0: " "}
)
"""The glyph of each character code; codes 0 and 255 are blank."""


class TextScreen(msgspec.Struct, frozen=True):
    """A screen in a text mode."""

    columns: int
    rows: int
    cells: bytes
    """Character code and attribute of each cell, row by row."""
    cursor: tuple[int, int] | None
    """Row and column of the cursor, from 0; None if it is off or outside the screen."""

    row_addresses: tuple[int, ...]
    """The physical address of the first cell of each row."""

    def all_lines(self) -> list[str]:
        """Return the text of each row."""
        text = "".join(CODE_PAGE_437[code] for code in self.cells[::2])
        return [text[at : at + self.columns] for at in range(0, len(text), self.columns)]

    def lines(self) -> list[str]:
        """Return the text of each row without trailing blanks, and without blank rows at the end."""
        rows = [row.rstrip() for row in self.all_lines()]
        while rows and not rows[-1]:
            rows.pop()
        return rows
