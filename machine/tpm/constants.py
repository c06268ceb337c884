"""Constants of the TPM 2.0 Library, Part 2 (revision 1.64; ML-DSA: 1.85). Names are the manual's."""

from enum import IntEnum


class Tag(IntEnum):
    """TPM_ST."""

    RSP_COMMAND = 0x00C4
    NO_SESSIONS = 0x8001
    SESSIONS = 0x8002
    ATTEST_QUOTE = 0x8018
    CREATION = 0x8021


class Code(IntEnum):
    """TPM_CC: the commands of the model."""

    CREATE_PRIMARY = 0x131
    PCR_EVENT = 0x13C
    PCR_RESET = 0x13D
    SELF_TEST = 0x143
    STARTUP = 0x144
    SHUTDOWN = 0x145
    QUOTE = 0x158
    FLUSH_CONTEXT = 0x165
    READ_PUBLIC = 0x173
    GET_CAPABILITY = 0x17A
    GET_RANDOM = 0x17B
    GET_TEST_RESULT = 0x17C
    PCR_READ = 0x17E
    PCR_EXTEND = 0x182


class Rc(IntEnum):
    """TPM_RC. Format-one codes (0x080-0x0BF) include the number of a handle, parameter or session: see `buffers`."""

    SUCCESS = 0
    BAD_TAG = 0x01E
    ATTRIBUTES = 0x082
    HASH = 0x083
    VALUE = 0x084
    HIERARCHY = 0x085
    MODE = 0x089
    TYPE = 0x08A
    HANDLE = 0x08B
    KDF = 0x08C
    NONCE = 0x08F
    SCHEME = 0x092
    SIZE = 0x095
    SYMMETRIC = 0x096
    INSUFFICIENT = 0x09A
    RESERVED_BITS = 0x0A1
    BAD_AUTH = 0x0A2
    CURVE = 0x0A6
    INITIALIZE = 0x100
    FAILURE = 0x101
    AUTH_MISSING = 0x125
    AUTH_UNAVAILABLE = 0x12F
    COMMAND_SIZE = 0x142
    COMMAND_CODE = 0x143
    AUTH_CONTEXT = 0x145
    AUTH_FAIL = 0x08E
    OBJECT_HANDLES = 0x901
    OBJECT_MEMORY = 0x902
    LOCALITY = 0x907
    REFERENCE_H0 = 0x910
    REFERENCE_S0 = 0x918
    LOCKOUT = 0x921
    RETRY = 0x922


class Alg(IntEnum):
    """TPM_ALG_ID."""

    TDES = 0x0003
    SHA1 = 0x0004
    AES = 0x0006
    MGF1 = 0x0007
    SHA256 = 0x000B
    SHA384 = 0x000C
    SHA512 = 0x000D
    NULL = 0x0010
    RSASSA = 0x0014
    RSAPSS = 0x0016
    ECDSA = 0x0018
    ECDH = 0x0019
    ECDAA = 0x001A
    SM2 = 0x001B
    ECSCHNORR = 0x001C
    ECMQV = 0x001D
    KDF1_SP800_56A = 0x0020
    KDF2 = 0x0021
    KDF1_SP800_108 = 0x0022
    ECC = 0x0023
    CAMELLIA = 0x0026
    MLDSA = 0x00A1


class Handle(IntEnum):
    """TPM_RH and TPM_RS: permanent handles."""

    OWNER = 0x4000_0001
    NULL = 0x4000_0007
    PASSWORD = 0x4000_0009
    ENDORSEMENT = 0x4000_000B
    PLATFORM = 0x4000_000C


class Attribute(IntEnum):
    """TPMA_OBJECT."""

    FIXED_TPM = 1 << 1
    ST_CLEAR = 1 << 2
    FIXED_PARENT = 1 << 4
    SENSITIVE_DATA_ORIGIN = 1 << 5
    USER_WITH_AUTH = 1 << 6
    ADMIN_WITH_POLICY = 1 << 7
    NO_DA = 1 << 10
    ENCRYPTED_DUPLICATION = 1 << 11
    RESTRICTED = 1 << 16
    DECRYPT = 1 << 17
    SIGN = 1 << 18


OBJECT_RESERVED = ~sum(Attribute) & 0xFFFF_FFFF

SU_CLEAR, SU_STATE = 0, 1
GENERATED_VALUE = 0xFF54_4347
ECC_NIST_P256 = 0x0003
MLDSA_65 = 0x0002
MANUFACTURER = b"SIM "
VENDOR_STRING = b"In-process model"
FIRMWARE_VERSION = 0x0001_0000_0000_0000
PCR_COUNT = 24
TRANSIENT = range(0x8000_0000, 0x8000_0003)
"""Handles of loaded keys."""
PERSISTENT = range(0x8100_0000, 0x8200_0000)
SESSIONS = (range(0x0200_0000, 0x0200_0040), range(0x0300_0000, 0x0300_0040))
"""Handles of HMAC and policy sessions."""

DIGEST_SIZES: dict[int, int] = {Alg.SHA1: 20, Alg.SHA256: 32, Alg.SHA384: 48, Alg.SHA512: 64}
"""Bytes in a digest, by algorithm."""
MAX_DIGEST = 64
