"""Programs of a few instructions, with the chain of one value at their ends, labelled by hand."""

from typing import NamedTuple


class Case(NamedTuple):
    """A program in Intel syntax; a register or an address, with its size; and the chain, as chains.py writes it."""

    name: str
    code: str
    """`{m}` is the program's own memory, `{n}` the number of the case."""
    ask: str | tuple[int, int]
    expected: str


M = 0x24_0000
"""Memory for programs, which nothing else uses: each has a line of 256 bytes in it, at `{m}`."""
LOG = 0x30_0000
"""The kernel's log of interrupts: vector, error code, CS, RIP, CR2 and RFLAGS, 8 bytes each."""
FIVE = "mov ecx, 5[0x5]"
SEVEN = "mov edx, 7[0x7]"
LOAD = "mov ecx, 5\nmov edx, 7\n"

CASES = (
    # moves
    Case("constant", "mov eax, 0x1234", "eax", "mov eax, 0x1234[0x1234]"),
    Case("register to register", f"{LOAD}mov eax, ecx", "eax", f"mov eax, ecx[{FIVE}]"),
    Case(
        "a chain of moves",
        f"{LOAD}mov eax, ecx\nmov ebx, eax\nmov esi, ebx",
        "esi",
        f"mov esi, ebx[mov ebx, eax[mov eax, ecx[{FIVE}]]]",
    ),
    Case(
        "the upper half is cleared",
        f"{LOAD}mov rax, -1\nmov eax, ecx",
        "rax",
        f"eax: mov eax, ecx[{FIVE}] | rax[4:8]: mov eax, ecx[0]",
    ),
    Case(
        "a partial write keeps the rest",
        "mov eax, 0x11223344\nmov al, 0x55",
        "eax",
        "al: mov al, 0x55[0x55] | rax[1:4]: mov eax, 0x11223344[0x11223344]",
    ),
    Case("AL and AH", "mov eax, 0\nmov al, 1\nmov ah, 2", "ax", "al: mov al, 1[0x1] | ah: mov ah, 2[0x2]"),
    Case("sixteen bits", "mov eax, 9\nmov ax, 3", "eax", "ax: mov ax, 3[0x3] | rax[2:4]: mov eax, 9[0x9]"),
    Case("MOVZX", f"{LOAD}movzx eax, cl", "eax", "al: movzx eax, cl[mov ecx, 5[0x5]] | rax[1:4]: movzx eax, cl[0]"),
    Case("MOVSX", f"{LOAD}movsx eax, cl", "eax", f"al: movsx eax, cl[{FIVE}] | rax[1:4]: movsx eax, cl[{FIVE}]"),
    Case(
        "MOVSXD", f"{LOAD}movsxd rax, ecx", "rax", f"eax: movsxd rax, ecx[{FIVE}] | rax[4:8]: movsxd rax, ecx[{FIVE}]"
    ),
    Case("XCHG", f"{LOAD}xchg ecx, edx", "ecx", f"xchg edx, ecx[{SEVEN}]"),
    Case("BSWAP", "mov eax, 1\nmov ah, 2\nbswap eax", "rax[2]", "bswap eax[mov ah, 2[0x2]]"),
    Case("CMOV taken", f"{LOAD}xor eax, eax\ncmove eax, ecx", "eax", f"cmove eax, ecx[{FIVE}, ?rflags]"),
    Case("CMOV not taken", f"{LOAD}xor eax, eax\ncmovne eax, ecx", "eax", "cmovne eax, ecx[xor eax, eax[0], ?rflags]"),
    Case("LEA", f"{LOAD}lea eax, [rcx + rdx*4 + 8]", "eax", f"lea eax, [rcx + rdx*4 + 8][{FIVE}, {SEVEN}, 0x8]"),
    Case("a cleared register", f"{LOAD}xor ecx, ecx", "ecx", "xor ecx, ecx[0]"),
    Case("SUB of itself", f"{LOAD}sub ecx, ecx", "ecx", "sub ecx, ecx[0]"),
    Case("SBB of itself", f"{LOAD}cmp ecx, edx\nsbb eax, eax", "eax", f"sbb eax, eax[cmp ecx, edx[{FIVE}, {SEVEN}]]"),
    Case(
        "XLAT",
        "mov byte ptr [{m}+3], 9\nmov ebx, {m}\nmov eax, 3\nxlatb",
        "al",
        "xlatb[mov byte ptr [{m3}], 9[0x9], @rbx, @al]",
    ),
    # arithmetic: all sources
    Case("ADD", f"{LOAD}add ecx, edx", "ecx", f"add ecx, edx[{FIVE}, {SEVEN}]"),
    Case(
        "ADD of the low byte only",
        "mov eax, 5\nmov ah, 1\nmov edx, 7\nadd eax, edx",
        "al",
        "add eax, edx[mov eax, 5[0x5], mov edx, 7[0x7]]",
    ),
    Case("SUB of a constant", f"{LOAD}sub ecx, 3", "ecx", f"sub ecx, 3[{FIVE}, 0x3]"),
    Case("ADC", f"{LOAD}stc\nadc ecx, edx", "ecx", f"adc ecx, edx[{FIVE}, {SEVEN}, ?rflags]"),
    Case(
        "XOR by bytes",
        "mov eax, 1\nmov ah, 2\nmov edx, 7\nxor eax, edx",
        "ah",
        "xor eax, edx[mov ah, 2[0x2], mov edx, 7[0x7]]",
    ),
    Case(
        "AND with a mask",
        f"{LOAD}and ecx, 0xff0f",
        "ecx",
        f"cl: and ecx, 0xff0f[{FIVE}, 0xf] | ch: and ecx, 0xff0f[{FIVE}] | rcx[2]: and ecx, 0xff0f[0x0] "
        "| rcx[3]: and ecx, 0xff0f[0x0]",
    ),
    Case("OR of a byte", f"{LOAD}or cl, 0x10", "cl", f"or cl, 0x10[{FIVE}, 0x10]"),
    Case("OR with all ones", f"{LOAD}or cl, 0xff", "cl", "or cl, 0xff[0xff]"),
    Case("INC", f"{LOAD}inc ecx", "ecx", f"inc ecx[{FIVE}]"),
    Case("NEG and NOT", f"{LOAD}neg ecx\nnot ecx", "ecx", f"not ecx[neg ecx[{FIVE}]]"),
    Case("SHL by a constant", f"{LOAD}shl ecx, 4", "ecx", f"shl ecx, 4[{FIVE}, 0x4]"),
    Case("SHR by CL", f"{LOAD}shr edx, cl", "edx", f"shr edx, cl[{SEVEN}, {FIVE}]"),
    Case("RCL takes the carry", f"{LOAD}rcl edx, 1", "edx", f"rcl edx, 1[{SEVEN}, 0x1, ?rflags]"),
    Case("SHLD", f"{LOAD}shld edx, ecx, 3", "edx", f"shld edx, ecx, 3[{SEVEN}, {FIVE}, 0x3]"),
    Case("IMUL with two operands", f"{LOAD}imul edx, ecx", "edx", f"imul edx, ecx[{SEVEN}, {FIVE}]"),
    Case("IMUL with three operands", f"{LOAD}imul eax, ecx, 9", "eax", f"imul eax, ecx, 9[{FIVE}, 0x9]"),
    Case("MUL, upper half", f"{LOAD}mov eax, 3\nmul ecx", "edx", f"mul ecx[mov eax, 3[0x3], {FIVE}]"),
    Case(
        "DIV, remainder",
        "mov eax, 100\nmov edx, 0\nmov ecx, 5\ndiv ecx",
        "edx",
        f"div ecx[mov eax, 0x64[0x64], mov edx, 0[0x0], {FIVE}]",
    ),
    Case("CDQ", "mov eax, 100\ncdq", "edx", "cdq[mov eax, 0x64[0x64]]"),
    Case("CDQE", "mov eax, 100\ncdqe", "rax", "eax: cdqe[mov eax, 0x64[0x64]] | rax[4:8]: cdqe[mov eax, 0x64[0x64]]"),
    Case("SETcc", f"{LOAD}cmp ecx, edx\nsetb al", "al", f"setb al[cmp ecx, edx[{FIVE}, {SEVEN}]]"),
    Case("the flags of CMP", f"{LOAD}cmp ecx, edx", "rflags", f"cmp ecx, edx[{FIVE}, {SEVEN}]"),
    Case("LAHF", f"{LOAD}cmp ecx, edx\nlahf", "ah", f"lahf[cmp ecx, edx[{FIVE}, {SEVEN}]]"),
    Case("BSF", f"{LOAD}bsf eax, ecx", "eax", f"bsf eax, ecx[{FIVE}]"),
    Case("BTS", f"{LOAD}bts ecx, edx", "ecx", f"bts ecx, edx[{FIVE}, {SEVEN}]"),
    Case("POPCNT", f"{LOAD}popcnt eax, ecx", "eax", f"popcnt eax, ecx[{FIVE}]"),
    Case("XADD", f"{LOAD}xadd ecx, edx", "ecx", f"xadd ecx, edx[{FIVE}, {SEVEN}]"),
    Case("XADD, the other operand", f"{LOAD}xadd ecx, edx", "edx", f"xadd ecx, edx[{FIVE}]"),
    Case(
        "CMPXCHG that exchanges", f"{LOAD}mov eax, 5\ncmpxchg ecx, edx", "ecx", f"cmpxchg ecx, edx[{SEVEN}, ?eax, ?ecx]"
    ),
    Case("CMPXCHG that does not", f"{LOAD}mov eax, 6\ncmpxchg ecx, edx", "eax", f"cmpxchg ecx, edx[{FIVE}, ?eax]"),
    Case("an equal value is a write", "mov eax, 5\nmov eax, 5\nnop", "eax", "mov eax, 5[0x5]"),
    # memory
    Case(
        "store and load",
        f"{LOAD}mov [{{m}}], ecx\nmov eax, [{{m}}]",
        "eax",
        f"mov eax, dword ptr [{{m0}}][mov dword ptr [{{m0}}], ecx[{FIVE}]]",
    ),
    Case(
        "a loaded address",
        f"{LOAD}mov ebx, {{m}}\nmov [rbx], ecx\nmov eax, [rbx]",
        "eax",
        f"mov eax, dword ptr [rbx][mov dword ptr [rbx], ecx[{FIVE}, @rbx], @rbx]",
    ),
    Case(
        "bytes of several writers",
        "mov dword ptr [{m}], 1\nmov byte ptr [{m}+1], 2\nmov eax, [{m}]",
        "eax",
        "mov eax, dword ptr [{m0}][{m0}: mov dword ptr [{m0}], 1[0x1] | {m1}: mov byte ptr [{m1}], 2[0x2] "
        "| {m2}-{m3}: mov dword ptr [{m0}], 1[0x1]]",
    ),
    Case("PUSH and POP", f"{LOAD}push rcx\npop rax", "eax", f"pop rax[push rcx[{FIVE}, @rsp], @rsp]"),
    Case("PUSH of a constant", "push 0x77\npop rax", "rax", "pop rax[push 0x77[0x77, @rsp], @rsp]"),
    Case(
        "read, modify, write",
        f"{LOAD}mov [{{m}}], ecx\nadd [{{m}}], edx",
        (0, 4),
        f"add dword ptr [{{m0}}], edx[mov dword ptr [{{m0}}], ecx[{FIVE}], {SEVEN}]",
    ),
    Case(
        "MOVSB",
        "mov byte ptr [{m}], 9\nmov esi, {m}\nmov edi, {m}+8\ncld\nmovsb",
        (8, 1),
        "movsb byte ptr [rdi], byte ptr [rsi][mov byte ptr [{m0}], 9[0x9], @rsi, @rdi]",
    ),
    Case(
        "REP MOVSB, the second byte",
        "mov word ptr [{m}], 9\nmov esi, {m}\nmov edi, {m}+8\nmov ecx, 2\nrep movsb",
        (9, 1),
        "rep movsb byte ptr [rdi], byte ptr [rsi][mov word ptr [{m0}], 9[0x9], @rsi, @rdi]",
    ),
    Case(
        "REP STOSD",
        "mov eax, 6\nmov edi, {m}\nmov ecx, 4\nrep stosd",
        (8, 4),
        "rep stosd dword ptr [rdi], eax[mov eax, 6[0x6], @rdi]",
    ),
    Case(
        "LODSB",
        "mov byte ptr [{m}], 9\nmov esi, {m}\nlodsb",
        "al",
        "lodsb al, byte ptr [rsi][mov byte ptr [{m0}], 9[0x9], @rsi]",
    ),
    Case(
        "a call and its return address",
        "call back{n}\nback{n}: pop rax",
        "eax",
        "pop rax[call {back}[return address: {back}, @rsp], @rsp]",
    ),
    Case(
        "LEAVE",
        "mov ebx, ebp\nmov ebp, 5\npush rbp\nmov ebp, esp\nleave\nxchg ebx, ebp",
        "ebx",
        "xchg ebp, ebx[leave[push rbp[mov ebp, 5[0x5], @rsp], @rbp]]",
    ),
    Case(
        "memory of the image",
        "mov eax, [gdtr]",
        "ax",
        "mov eax, dword ptr [{gdtr}][boot image: segment 1 at {data}, byte {gdtr_byte}]",
    ),
    Case("memory that nothing wrote", "mov eax, [{m}+0x80]", "eax", "mov eax, dword ptr [{m80}][power-on: zero]"),
    Case(
        "a page boundary",
        "mov rcx, 5\nmov [{m}+0xf80], rcx",
        (0xF80, 8),
        "mov qword ptr [{mf80}], rcx[mov rcx, 5[0x5]]",
    ),
    # SSE
    Case("MOVD", f"{LOAD}movd xmm1, ecx\nmovd eax, xmm1", "eax", f"movd eax, xmm1[movd xmm1, ecx[{FIVE}]]"),
    Case(
        "MOVD clears the rest",
        f"{LOAD}movd xmm1, ecx",
        "xmm1",
        f"xmm1[0:4]: movd xmm1, ecx[{FIVE}] | xmm1[4:16]: movd xmm1, ecx[0]",
    ),
    Case("PXOR of itself", "pxor xmm2, xmm2", "xmm2", "pxor xmm2, xmm2[0]"),
    Case(
        "PADDD",
        f"{LOAD}movd xmm1, ecx\nmovd xmm2, edx\npaddd xmm1, xmm2\nmovd eax, xmm1",
        "eax",
        "movd eax, xmm1[paddd xmm1, xmm2[xmm1[0:4]: movd xmm1, ecx[mov ecx, 5[0x5]] | xmm1[4:16]: movd xmm1, ecx[0], "
        "xmm2[0:4]: movd xmm2, edx[mov edx, 7[0x7]] | xmm2[4:16]: movd xmm2, edx[0]]]",
    ),
    Case(
        "MOVLHPS",
        f"{LOAD}movd xmm1, ecx\npxor xmm2, xmm2\nmovlhps xmm2, xmm1",
        "xmm2[8:12]",
        f"movlhps xmm2, xmm1[movd xmm1, ecx[{FIVE}]]",
    ),
    Case(
        "MOVSS between registers keeps the rest",
        f"{LOAD}movd xmm1, ecx\npxor xmm2, xmm2\nmovss xmm2, xmm1",
        "xmm2",
        f"xmm2[0:4]: movss xmm2, xmm1[movd xmm1, ecx[{FIVE}]] | xmm2[4:16]: pxor xmm2, xmm2[0]",
    ),
    Case("CVTSI2SD", f"{LOAD}cvtsi2sd xmm1, ecx", "xmm1[0:8]", f"cvtsi2sd xmm1, ecx[{FIVE}]"),
    # the processor and devices
    Case("CPUID", "xor eax, eax\nxor ecx, ecx\ncpuid", "edx", "cpuid[processor: CPUID 0x0, @eax, @ecx]"),
    Case("RDTSC", "rdtsc", "eax", "rdtsc[processor: the time stamp counter]"),
    Case("RDMSR", "mov ecx, 0xc0000080\nrdmsr", "eax", "rdmsr[processor: MSR 0xc0000080, @ecx]"),
    Case(
        "the base of FS",
        "mov eax, 0x1234\nxor edx, edx\nmov ecx, 0xc0000100\nwrmsr",
        "fs_base",
        "fs_base[0:4]: wrmsr[mov eax, 0x1234[0x1234]] | fs_base[4:8]: wrmsr[xor edx, edx[0]]",
    ),
    Case(
        "RDMSR of a base",
        "mov eax, 0x1234\nxor edx, edx\nmov ecx, 0xc0000101\nwrmsr\nrdmsr",
        "eax",
        "rdmsr[wrmsr[mov eax, 0x1234[0x1234]]]",
    ),
    Case(
        "SWAPGS",
        "mov eax, 0x1234\nxor edx, edx\nmov ecx, 0xc0000102\nwrmsr\nswapgs",
        "gs_base[0:4]",
        "swapgs[wrmsr[mov eax, 0x1234[0x1234]]]",
    ),
    Case(
        "WRFSBASE",
        "mov rax, cr4\nbts rax, 16\nmov cr4, rax\nmov ebx, 0x77\nwrfsbase rbx\nrdfsbase rdx",
        "edx",
        "rdfsbase rdx[wrfsbase rbx[mov ebx, 0x77[0x77]]]",
    ),
    Case("a load of FS", "mov eax, 0x10\nmov fs, eax", "fs_base[0:4]", "mov fs, eax[processor: the descriptor]"),
    Case(
        "a debug register",
        "mov eax, 0x77\nmov dr1, rax\nmov rdx, dr1",
        "edx",
        "mov rdx, dr1[mov dr1, rax[mov eax, 0x77[0x77]]]",
    ),
    Case("CR0", "mov rax, cr0", "rax", "mov rax, cr0[(limit)]"),
    Case("a port", "mov edx, 0x3fd\nin al, dx", "al", "in al, dx[device: port 0x3fd, @dx]"),
    Case(
        "a device register",
        "mov ebx, 0xfee00030\nmov eax, [rbx]",
        "eax",
        "mov eax, dword ptr [rbx][the local APIC[] (device: the local APIC, register 0x30), @rbx]",
    ),
    # interrupts: the handler copies the frame to a log
    Case(
        "the flags in a frame",
        "lea r15, [back{n}]\nxor eax, eax\nint 0x80\nback{n}:",
        (LOG + 40, 8),
        "mov qword ptr [rbp + 0x28], rax[mov rax, qword ptr [rsp + 0x18]"
        "[interrupt delivery of vector 0x80[xor eax, eax[0], @{gate}, @rsp], @rsp], @rbp]",
    ),
    Case(
        "the return address in a frame",
        "lea r15, [back{n}]\nint 0x80\nback{n}:",
        (LOG + 24, 8),
        "mov qword ptr [rbp + 0x18], rax[mov rax, qword ptr [rsp + 8]"
        "[interrupt delivery of vector 0x80[return address: {back}, @{gate}, @rsp], @rsp], @rbp]",
    ),
    Case("a register before a frame", "lea r15, [back{n}]\nmov ecx, 5\nint 0x80\nback{n}:", "ecx", FIVE),
    Case(
        "the error code of an exception",
        "lea r15, [back{n}]\nmov ebx, 0x403000\nmov eax, [rbx]\nback{n}:",
        (LOG + 8, 8),
        "pop qword ptr [rbp + 8][interrupt delivery of vector 0xe"
        "[processor: the error code of vector 0xe, 0x0, @{fault_gate}, @rsp], @rsp, @rbp]",
    ),
    Case(
        "the faulting address",
        "lea r15, [back{n}]\nmov ebx, 0x403000\nmov eax, [rbx]\nback{n}:",
        (LOG + 32, 8),
        "mov qword ptr [rbp + 0x20], rax[mov rax, cr2[interrupt delivery of vector 0xe"
        "[processor: the faulting address, 0x403000]], @rbp]",
    ),
    Case(
        "IRET restores the flags",
        "lea r15, [back{n}]\nxor eax, eax\nint 0x80\nback{n}:",
        "rflags",
        "iretq[interrupt delivery of vector 0x80[xor eax, eax[0], @{gate}, @rsp], @rsp]",
    ),
    Case(
        "bytes written long before each other",
        "mov byte ptr [{m} + 2], 2\nmov ecx, 100\nfirst{n}: dec ecx\njnz first{n}\nmov byte ptr [{m}], 0\n"
        "mov ecx, 100\nsecond{n}: dec ecx\njnz second{n}\nmov byte ptr [{m} + 1], 1\n"
        "mov ecx, 100\nthird{n}: dec ecx\njnz third{n}",
        (0, 3),
        "{m0}: mov byte ptr [{m0}], 0[0x0] | {m1}: mov byte ptr [{m1}], 1[0x1] | {m2}: mov byte ptr [{m2}], 2[0x2]",
    ),
    Case(
        "ENTER",
        "mov ebp, 5\nenter 16, 0\nmov eax, [rbp]\nleave",
        "eax",
        "mov eax, dword ptr [rbp][enter 0x10, 0[mov ebp, 5[0x5], @rsp], @rbp]",
    ),
    # x87
    Case(
        "FLD and FSTP of 80 bits",
        "mov ecx, 5\nmov [{m}], ecx\nfld xword ptr [{m}]\nfstp xword ptr [{m} + 16]",
        (16, 4),
        f"fstp xword ptr [{{m10}}][fld xword ptr [{{m0}}][mov dword ptr [{{m0}}], ecx[{FIVE}]]]",
    ),
    Case(
        "FXCH", "fld1\nfldz\nfxch st(1)\nfstp dword ptr [{m}]", (0, 4), "fstp dword ptr [{m0}][fxch st(1)[fld1[fld1]]]"
    ),
    Case(
        "FILD",
        "mov dword ptr [{m}], 5\nfild dword ptr [{m}]\nfistp dword ptr [{m} + 16]",
        (16, 4),
        "fistp dword ptr [{m10}][fild dword ptr [{m0}][mov dword ptr [{m0}], 5[0x5]]]",
    ),
    Case("FSTP of a constant", "fldz\nfstp dword ptr [{m}]", (0, 4), "fstp dword ptr [{m0}][fldz[fldz]]"),
    Case("MMX", f"{LOAD}movd mm3, ecx\nmovd eax, mm3", "eax", f"movd eax, mm3[movd mm3, ecx[{FIVE}]]"),
    # what is not modelled
    Case("FNSTSW", "mov eax, 1\nfninit\nfnstsw ax", "ax", "fnstsw ax[mov eax, 1[0x1]] (not modelled: fnstsw ax)"),
    Case("STMXCSR", "stmxcsr [{m}]", (0, 4), "stmxcsr dword ptr [{m0}][processor: stmxcsr]"),
)
