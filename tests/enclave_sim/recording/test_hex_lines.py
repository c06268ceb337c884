"""Bytes as readable lines."""

from enclave_sim.recording.hex_lines import ascii_of, hex_lines


def test_a_line_has_address_hexadecimal_and_characters() -> None:
    assert [str(line) for line in hex_lines(0x1000, b"Aether\0\xff Enclave~\x7f")] == [
        "00001000  41 65 74 68 65 72 00 ff 20 45 6e 63 6c 61 76 65  Aether.. Enclave",
        "00001010  7e 7f                                            ~.",
    ]


def test_lines_follow_the_base_even_where_it_is_not_aligned() -> None:
    assert [line.address for line in hex_lines(0x1008, bytes(33))] == [0x1008, 0x1018, 0x1028]


def test_no_bytes_are_no_lines() -> None:
    assert list(hex_lines(0, b"")) == []


def test_what_is_not_printable_ascii_is_a_full_stop() -> None:
    assert ascii_of(bytes(range(0x1E, 0x22)) + b"\x7e\x7f\x80\xe4") == ".. !~..."
