#!/bin/sh
# Installs what the oracle runs on, unless it is there: QEMU's x86 system emulator, GRUB's BIOS modules, and for
# attestation a TPM and tools that judge what it says.
set -eu
if command -v qemu-system-x86_64 >/dev/null && command -v grub-mkimage >/dev/null &&
    command -v swtpm >/dev/null && command -v tpm2_checkquote >/dev/null && command -v gdb >/dev/null &&
    test -e /usr/lib/grub/i386-pc/lnxboot.img; then
    exit 0
fi
packages="qemu-system-x86 grub-pc-bin grub-common swtpm tpm2-tools gdb"
if ! command -v apt-get >/dev/null; then
    echo "the oracle needs QEMU, GRUB, swtpm and tpm2-tools, here by other names than Debian's: $packages" >&2
    exit 1
fi
if test "$(id -u)" -ne 0; then
    echo "the oracle needs packages that only root can install: apt-get install --no-install-recommends $packages" >&2
    exit 1
fi
apt-get update -qq
# shellcheck disable=SC2086
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $packages
