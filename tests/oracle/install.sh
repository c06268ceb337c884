#!/bin/sh
# Installs what tests compare with, unless it is there: QEMU's x86 system emulator and GRUB's BIOS modules, Bochs with
# its text display, a TPM and tools that judge what it says, a debugger, a browser, a compiler with libFuzzer,
# genhtml.
set -eu
if command -v qemu-system-x86_64 >/dev/null && command -v grub-mkimage >/dev/null && command -v bochs >/dev/null &&
    command -v swtpm >/dev/null && command -v tpm2_checkquote >/dev/null && command -v gdb >/dev/null && command -v chromium >/dev/null &&
    ls /usr/lib/llvm-*/lib/clang/*/lib/linux/libclang_rt.fuzzer-x86_64.a >/dev/null 2>&1 && command -v clang >/dev/null &&
    command -v genhtml >/dev/null &&
    test -e /usr/lib/grub/i386-pc/lnxboot.img && test -e /usr/lib/x86_64-linux-gnu/bochs/plugins/libbx_term_gui.so; then
    exit 0
fi
packages="qemu-system-x86 grub-pc-bin grub-common bochs bochs-term swtpm tpm2-tools gdb chromium clang libclang-rt-14-dev lcov"
if ! command -v apt-get >/dev/null; then
    echo "the tests use QEMU, GRUB, Bochs, swtpm, tpm2-tools, gdb, Chromium, clang and LCOV, here by other names than Debian's: $packages" >&2
    exit 1
fi
if test "$(id -u)" -ne 0; then
    echo "the tests compare with packages that only root can install: apt-get install --no-install-recommends $packages" >&2
    exit 1
fi
apt-get update -qq
# shellcheck disable=SC2086
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $packages
