"""The TCG Algorithm Registry identifiers used here, and our names for the two kinds of AK."""

from typing import Final

TPM_ALG_SHA1: Final = 0x0004
TPM_ALG_SHA256: Final = 0x000B
TPM_ALG_NULL: Final = 0x0010
TPM_ALG_ECDSA: Final = 0x0018
TPM_ALG_ECC: Final = 0x0023
TPM_ALG_MLDSA: Final = 0x00A1  # TPM 2.0 library v1.85; experimental, no available TPM has it
TPM_ECC_NIST_P256: Final = 0x0003
TPM_MLDSA_65: Final = 0x0002

ECDSA_P256: Final = "ecdsa-p256"
ML_DSA_65: Final = "ml-dsa-65"
