"""The 16550A (National Semiconductor PC16550D data sheet)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from machine.devices.legacy import uart16550 as uart
from machine.devices.legacy.uart16550 import Uart16550
from machine.processor.clock import Clock
from machine.processor.step_hook import NEVER, HookState

RECEIVED, TRANSMITTED, LINE_STATUS, MODEM_STATUS = 1, 2, 4, 8
OUT2, LOOP = 0x08, 0x10
FIFO_ON = 0x01


class Uart(Uart16550):
    """A UART at a settable time, with the level of its interrupt line and how often that rose."""

    def __init__(self) -> None:
        self.state = HookState(deadline=NEVER)
        self.level, self.edges = False, 0
        super().__init__(Clock(self.state))
        self.irq = self._line

    def _line(self, level: bool) -> None:
        self.edges += level and not self.level
        self.level = level

    def get(self, register: int) -> int:
        return self.read(register, 1)

    def set(self, register: int, value: int) -> None:
        self.write(register, 1, value)


@given(st.binary(max_size=100))
def test_the_uart_sends_what_is_written_to_thr_at_once(data: bytes) -> None:
    device, sent = Uart(), bytearray()
    device.on_transmit = sent.extend
    for byte in data:
        assert device.get(uart.LSR) == 0x60
        device.set(uart.THR, byte)
    assert device.transmitted == sent == data


def test_dlab_reaches_the_divisor_and_sends_nothing() -> None:
    device = Uart()
    device.set(uart.LCR, 0x83)
    assert (device.get(uart.THR), device.get(uart.IER)) == (12, 0)
    device.set(uart.THR, 1)
    device.set(uart.IER, 2)
    assert (device.get(uart.THR), device.get(uart.IER)) == (1, 2)
    device.set(uart.LCR, 3)
    assert device.transmitted == b""
    assert device.get(uart.IER) == 0


def test_registers_keep_their_bits_until_reset() -> None:
    device = Uart()
    for register, kept in ((uart.IER, 0x0F), (uart.LCR, 0x7F), (uart.MCR, 0x1F), (uart.SCR, 0xFF)):
        device.set(register, kept if register == uart.LCR else 0xFF)
        assert device.get(register) == kept
    device.set(uart.LSR, 0)
    assert device.get(uart.LSR) == 0x60
    device.reset()
    registers = (uart.IER, uart.IIR, uart.LCR, uart.MCR, uart.LSR, uart.MSR, uart.SCR)
    assert [device.get(register) for register in registers] == [0, 1, 0, OUT2, 0x60, 0xB0, 0]


# Receiving


@given(st.binary(max_size=60), st.sampled_from([0x00, FIFO_ON, 0xC1]))
def test_every_byte_received_is_read_in_order(data: bytes, control: int) -> None:
    device = Uart()
    device.set(uart.FCR, control)
    device.receive(data)
    read = bytearray()
    while device.get(uart.LSR) & 1:
        read.append(device.get(uart.RBR))
    assert read == data
    assert device.get(uart.RBR) == 0


def test_without_fifos_one_byte_is_the_interrupt() -> None:
    device = Uart()
    device.set(uart.IER, RECEIVED)
    assert (device.get(uart.IIR), device.level) == (0x01, False)
    device.receive(b"ab")
    assert (device.get(uart.IIR), device.level) == (0x04, True)
    assert device.get(uart.RBR) == ord("a")
    assert device.level  # b is there
    assert device.get(uart.RBR) == ord("b")
    assert (device.get(uart.IIR), device.level) == (0x01, False)


@pytest.mark.parametrize(("control", "trigger"), [(0x01, 1), (0x41, 4), (0x81, 8), (0xC1, 14)])
def test_with_fifos_the_trigger_level_is_the_interrupt(control: int, trigger: int) -> None:
    device = Uart()
    device.set(uart.FCR, control)
    device.set(uart.IER, RECEIVED)
    device.receive(bytes(trigger - 1))
    assert (device.get(uart.IIR), device.level) == (0xC1, False)
    device.receive(b"x")
    assert (device.get(uart.IIR), device.level) == (0xC4, True)
    device.get(uart.RBR)
    assert not device.level


def test_bytes_left_in_the_fifo_time_out_after_four_characters() -> None:
    device = Uart()
    device.set(uart.LCR, 0x83)
    device.set(uart.THR, 1)  # 115200 baud
    device.set(uart.LCR, 0x03)  # 10 bits a character
    device.set(uart.FCR, 0xC1)
    device.set(uart.IER, RECEIVED)
    device.receive(b"ab")
    timeout = 4 * (10 * 10**9 // 115_200)
    assert device.deadline_ns == timeout
    device.tick(timeout)
    assert (device.get(uart.IIR), device.level) == (0xCC, True)
    device.state.retired = 400_000
    device.get(uart.RBR)
    assert (device.get(uart.IIR), device.level) == (0xC1, False)
    assert device.deadline_ns == 400_000 + timeout
    device.get(uart.RBR)
    assert device.deadline_ns is None


def test_turning_fifos_on_or_off_or_resetting_empties_the_receiver() -> None:
    for before, control in ((0, FIFO_ON), (FIFO_ON, 0), (FIFO_ON, 0x03)):
        device = Uart()
        device.set(uart.FCR, before)
        device.receive(b"a")
        device.set(uart.FCR, control)
        assert not device.get(uart.LSR) & 1
        assert device.get(uart.IIR) & 0xC0 == (0xC0 if control & FIFO_ON else 0)
        assert device.deadline_ns is None


# Transmitter interrupts


def test_enabling_the_transmitter_interrupt_interrupts_since_it_is_empty() -> None:
    device = Uart()
    device.set(uart.IER, TRANSMITTED)
    assert device.level
    assert device.get(uart.IIR) == 0x02
    assert not device.level  # reading IIR was the acknowledgement
    device.set(uart.IER, TRANSMITTED | RECEIVED)
    assert not device.level
    device.set(uart.IER, 0)
    device.set(uart.IER, TRANSMITTED)
    assert device.level


def test_every_byte_sent_is_an_edge_of_the_interrupt() -> None:
    device = Uart()
    device.set(uart.IER, TRANSMITTED)
    device.set(uart.THR, 1)
    device.set(uart.THR, 2)
    assert (device.edges, device.level) == (3, True)


# Line and modem status


def test_the_highest_priority_interrupt_is_reported_first() -> None:
    device = Uart()
    device.set(uart.MCR, OUT2 | LOOP)
    device.set(uart.IER, 0x0F)
    device.set(uart.THR, 1)
    device.set(uart.THR, 2)
    device.set(uart.MCR, OUT2 | LOOP | 1)
    assert device.get(uart.IIR) == 0x06
    assert device.get(uart.LSR) == 0x63
    assert device.get(uart.IIR) == 0x04
    assert device.get(uart.RBR) == 2
    assert device.get(uart.IIR) == 0x02
    assert device.get(uart.IIR) == 0x00
    assert device.level
    assert device.get(uart.MSR) & 0x0F
    assert (device.get(uart.IIR), device.level) == (0x01, False)


def test_loopback_sends_to_the_own_receiver_and_not_out() -> None:
    device = Uart()
    device.set(uart.MCR, LOOP)
    device.set(uart.THR, 0xAE)
    assert device.get(uart.RBR) == 0xAE
    assert device.transmitted == b""
    device.receive(b"x")
    assert not device.get(uart.LSR) & 1
    device.set(uart.MCR, 0)
    assert device.get(uart.RBR) == ord("x")


def test_a_full_fifo_keeps_what_it_has_and_says_overrun() -> None:
    device = Uart()
    device.set(uart.MCR, LOOP)
    device.set(uart.FCR, FIFO_ON)
    for byte in range(17):
        device.set(uart.THR, byte)
    assert device.get(uart.LSR) == 0x63
    assert device.get(uart.LSR) == 0x61
    assert [device.get(uart.RBR) for _ in range(16)] == list(range(16))


@pytest.mark.parametrize(
    ("mcr", "lines"), [(0x01, 0x20), (0x02, 0x10), (0x04, 0x40), (0x08, 0x80), (0x0A, 0x90), (0x00, 0x00)]
)
def test_in_loopback_the_modem_control_bits_are_the_modem_lines(mcr: int, lines: int) -> None:
    device = Uart()
    device.set(uart.MCR, LOOP | mcr)
    assert device.get(uart.MSR) & 0xF0 == lines
    device.set(uart.MCR, LOOP | mcr)
    assert device.get(uart.MSR) == lines


def test_a_ring_is_reported_at_its_trailing_edge() -> None:
    device = Uart()
    device.set(uart.MCR, LOOP)
    device.get(uart.MSR)
    device.set(uart.MCR, LOOP | 0x04)
    assert device.get(uart.MSR) == 0x40
    device.set(uart.MCR, LOOP)
    assert device.get(uart.MSR) == 0x04


def test_out2_lets_the_interrupt_out() -> None:
    device = Uart()
    device.set(uart.MCR, 0)
    device.set(uart.IER, RECEIVED)
    device.receive(b"a")
    assert (device.get(uart.IIR), device.level) == (0x04, False)
    device.set(uart.MCR, OUT2)
    assert device.level
