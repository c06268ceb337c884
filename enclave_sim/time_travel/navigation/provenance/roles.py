"""The roles of operands: which bytes of an instruction's results come from which bytes of its sources.

One row for each kind of instruction: `mnemonics | effects`. An effect reads `target=source source ...`; effects are
separated by `;`, and of two with a common target the last one counts. A row without effects writes no place.

* `0` to `3` are operands. `A` and `D` are AL, AX, EAX or RAX, and AH, DX, EDX or RDX, by the size of the first operand.
  `F` is RFLAGS; `push` and `pop` are the memory below RSP and at RSP, `push2` and `pop1` the
  second words there; `st0` is the top of the x87 stack, `st-1` the
  register that is pushed; other words are registers. `[a:b]` selects bytes.
* A source without a mark: each byte of the target may depend on all its bytes. `.`: only on the same byte; missing
  ones are zeros. `~`: the same, and missing bytes depend on the last one (sign extension). `<`: on the same and lower
  bytes, as in an addition. `%`: on the same byte in reverse order. `^`: on all bytes, whose bits it has in other
  places, as after a shift. `+`: the same with lower bytes only.
* `?` marks flags that decide, `@` a source that only selects what is read. `&1` is the address of operand 1, as data.
* `'cpuid'` and other words in quotes are values that come from the processor or from outside.

In 64-bit mode a 32-bit general register as a target clears the upper half. A memory operand's registers are address
sources of the effect. A register that is combined with itself by an operation in `CLEARING` gives zero.

Mnemonics are capstone's; `/n` is the number of operands, `/s` a string instruction, `/l` a load, `/r` among
registers, `/x` with an operand of 80 bits. An instruction without a row is not modelled.
"""

from typing import NamedTuple

_TABLE = """
# moves
mov movabs movnti | 0=1.
movzx | 0=1.
movsx movsxd | 0=1~
movbe | 0=1%
bswap | 0=0%
lea | 0=&1
xchg | 0=1. ; 1=0.
xadd | F=0 1 ; 1=0. ; 0=0< 1<
xlatb | al='table'
push | push=0. ; rsp=rsp<
pop | rsp=rsp< ; 0=pop.
pushf pushfd pushfq | push=F. ; rsp=rsp<
popf popfd popfq | F=pop F ; rsp=rsp<
leave | rsp=rbp< ; rbp=frame.
enter | push=rbp. ; rbp=rsp< ; rsp=rsp<
pushal | push=eax. ; push2=ecx. ; push3=edx. ; push4=ebx. ; push5=esp. ; push6=ebp. ; push7=esi. ; push8=edi. ; rsp=rsp<
pushaw | push=ax. ; push2=cx. ; push3=dx. ; push4=bx. ; push5=sp. ; push6=bp. ; push7=si. ; push8=di. ; rsp=rsp<
popal | edi=pop. ; esi=pop1. ; ebp=pop2. ; ebx=pop4. ; edx=pop5. ; ecx=pop6. ; eax=pop7. ; rsp=rsp<
popaw | di=pop. ; si=pop1. ; bp=pop2. ; bx=pop4. ; dx=pop5. ; cx=pop6. ; ax=pop7. ; rsp=rsp<
lahf | ah=F
sahf | F=ah F

# arithmetic
add | 0=0< 1< ; F=0 1
sub | 0=0< 1< ; F=0 1
adc sbb adcx adox | 0=0< 1< ?F ; F=0 1 F
cmp test | F=0 1
and or xor | 0=0. 1. ; F=0 1
not | 0=0.
neg | 0=0< ; F=0
inc dec | 0=0< ; F=0 F
shl sal | 0=0+ 1 ; F=0 1 F
shr sar rol ror | 0=0^ 1 ; F=0 1 F
rcl rcr | 0=0^ 1 ?F ; F=0 1 F
shld shrd | 0=0^ 1^ 2 ; F=0 1 2 F
mul imul/1 | A=A 0 ; D=A 0 ; F=A 0
imul/2 | 0=0< 1< ; F=0 1
imul/3 | 0=1< 2< ; F=1 2
div idiv | A=A D 0 ; D=A D 0 ; F=A D 0
cbw | ax=al~
cwde | eax=ax~
cdqe | rax=eax~
cwd | dx=ax[1:2]^
cdq | edx=eax[3:4]^
cqo | rdx=rax[7:8]^
seto setno setb setae sete setne setbe seta sets setns setp setnp setl setge setle setg | 0=F
clc stc cmc cli sti cld std clac stac | F=F
bt | F=0 1 F
bts btr btc | 0=0^ 1 ; F=0 1 F
bsf bsr | 0=1 0 ; F=1 F
tzcnt lzcnt popcnt | 0=1 ; F=1 F
crc32 | 0=0 1
andn | 0=1. 2. ; F=1 2
bextr bzhi | 0=1^ 2 ; F=1 2
pdep pext shlx shrx sarx rorx | 0=1^ 2
blsi blsr blsmsk | 0=1^ ; F=1
mulx | 1=D 2 ; 0=D 2

# those whose effect depends on values (instructions.py)
/moved | 0=1. ?F
/kept | 0=0. ?F
/exchanged | F=0 A ; 0=1. ?A ?0
/compared | F=0 A ; 0=0. ; A=0. ?A
/scanned | 0=1 ; F=1 F

# control
call | push='return address' ; rsp=rsp<
ret | rsp=rsp<
loop loope loopne | rcx=rcx<
jo jno jb jae je jne jbe ja js jns jp jnp jl jge jle jg jcxz jecxz jrcxz jmp |
nop pause hlt ud0 ud1 ud2 int int1 int3 into endbr64 endbr32 lfence mfence sfence wbinvd invd invlpg clflush |
prefetchw prefetch prefetchnta prefetcht0 prefetcht1 prefetcht2 wait fwait clts verr verw emms |
out lgdt lidt lldt ltr lmsw wrmsr monitor mwait ldmxcsr |

# strings
movsb/s movsw/s movsd/s movsq/s | 0=1. ; rsi=rsi< ?F ; rdi=rdi< ?F
stosb stosw stosd stosq | 0=1. ; rdi=rdi< ?F
lodsb lodsw lodsd lodsq | 0=1. ; rsi=rsi< ?F
cmpsb/s cmpsw/s cmpsd/s cmpsq/s | F=0 1 ; rsi=rsi< ?F ; rdi=rdi< ?F
scasb scasw scasd scasq | F=0 1 ; rdi=rdi< ?F
insb insw insd | 0='port' @dx ; rdi=rdi< ?F
outsb outsw outsd | rsi=rsi< ?F

# bases of segments: rows with a number are for that MSR in ECX
rdfsbase | 0=fs_base.
rdgsbase | 0=gs_base.
wrfsbase | fs_base=0.
wrgsbase | gs_base=0.
swapgs | gs_base=kernel_gs_base. ; kernel_gs_base=gs_base.
rdmsr/0xc0000100 | eax=fs_base[0:4]. ; edx=fs_base[4:8].
rdmsr/0xc0000101 | eax=gs_base[0:4]. ; edx=gs_base[4:8].
rdmsr/0xc0000102 | eax=kernel_gs_base[0:4]. ; edx=kernel_gs_base[4:8].
wrmsr/0xc0000100 | fs_base[0:4]=eax. ; fs_base[4:8]=edx.
wrmsr/0xc0000101 | gs_base[0:4]=eax. ; gs_base[4:8]=edx.
wrmsr/0xc0000102 | kernel_gs_base[0:4]=eax. ; kernel_gs_base[4:8]=edx.
/fs | fs_base='descriptor'
/gs | gs_base='descriptor'

# the processor and devices
in | 0='port' @1
cpuid | eax='cpuid' @eax @ecx ; ebx='cpuid' @eax @ecx ; ecx='cpuid' @eax @ecx ; edx='cpuid' @eax @ecx
rdtsc | eax='time' ; edx='time'
rdtscp | eax='time' ; edx='time' ; ecx='msr'
rdmsr | eax='msr' @ecx ; edx='msr' @ecx
sgdt sidt sldt str smsw stmxcsr | 0='system register'
syscall | rcx='return address' ; r11=F. ; F=F

# x87
fninit fnclex ffree fincstp fdecstp fnop |
fldz fld1 fldpi fldl2e fldl2t fldlg2 fldln2 | st-1='x87'
fld/x | st-1=0.
fld fild | st-1=0^
fst/x fstp/x | 0=st0.
fst fstp fist fistp fisttp | 0=st0^
fxch | 0=1. ; 1=0.
fabs fchs | st0=st0^

# SSE: moves
movaps movapd movups movupd movdqa movdqu lddqu movntdq movntps movntpd movntdqa | 0=1.
movd | 0=1[0:4].
movq | 0=1[0:8].
movss | 0=1[0:4].
movss/r | 0[0:4]=1[0:4].
movsd | 0=1[0:8].
movsd/r | 0[0:8]=1[0:8].
movlps movlpd | 0=1[0:8].
movlps/l movlpd/l | 0[0:8]=1.
movhps movhpd | 0=1[8:16].
movhps/l movhpd/l | 0[8:16]=1.
movhlps | 0[0:8]=1[8:16].
movlhps | 0[8:16]=1[0:8].
movddup | 0[0:8]=1[0:8]. ; 0[8:16]=1[0:8].
movshdup movsldup pshufd pshuflw pshufhw | 0=1^ 2
pmovmskb movmskps movmskpd | 0=1^
pextrb pextrw pextrd pextrq extractps | 0=1^ 2
pinsrb pinsrw pinsrd pinsrq insertps | 0=0^ 1^ 2

# SSE: bytes of the result depend on the same bytes
pand por pxor pandn andps andpd orps orpd xorps xorpd andnps andnpd paddb psubb pcmpeqb pcmpgtb | 0=0. 1.
pmaxub pminub pmaxsb pminsb pavgb paddusb psubusb paddsb psubsb | 0=0. 1.

# SSE: all bytes of the result may depend on all bytes, whose bits are in other places
punpcklbw punpcklwd punpckldq punpcklqdq punpckhbw punpckhwd punpckhdq punpckhqdq | 0=0^ 1^
unpcklps unpcklpd unpckhps unpckhpd | 0=0^ 1^
pshufb psllw pslld psllq psrlw psrld psrlq psraw psrad pslldq psrldq | 0=0^ 1
palignr shufps shufpd pblendw blendps blendpd | 0=0^ 1^ 2
pblendvb blendvps blendvpd | 0=0^ 1^ xmm0
pmovsxbw pmovsxbd pmovsxbq pmovsxwd pmovsxwq pmovsxdq | 0=1^
pmovzxbw pmovzxbd pmovzxbq pmovzxwd pmovzxwq pmovzxdq | 0=1^

# SSE: all bytes of the result may depend on all bytes
paddw paddd paddq psubw psubd psubq paddusw psubusw paddsw psubsw pmullw pmulld pmulhw pmulhuw pmulhrsw | 0=0 1
pmuludq pmuldq pmaddwd pmaddubsw psadbw pavgw pmaxsw pminsw pmaxuw pminuw pmaxsd pminsd pmaxud pminud | 0=0 1
pcmpeqw pcmpeqd pcmpeqq pcmpgtw pcmpgtd pcmpgtq packsswb packssdw packuswb packusdw | 0=0 1
phaddw phaddd phaddsw phsubw phsubd phsubsw | 0=0 1
psignb psignw psignd addps addpd subps subpd mulps mulpd divps divpd | 0=0 1
minps minpd maxps maxpd haddps haddpd hsubps hsubpd addsubps addsubpd aesenc aesenclast aesdec aesdeclast | 0=0 1
pclmulqdq mpsadbw dpps dppd cmpps cmppd | 0=0 1 2
cmpeqps cmpltps cmpleps cmpunordps cmpneqps cmpnltps cmpnleps cmpordps | 0=0 1
cmpeqpd cmpltpd cmplepd cmpunordpd cmpneqpd cmpnltpd cmpnlepd cmpordpd | 0=0 1
pclmullqlqdq pclmulhqlqdq pclmullqhqdq pclmulhqhqdq | 0=0 1
pabsb pabsw pabsd phminposuw aesimc sqrtps sqrtpd rsqrtps rcpps | 0=1
roundps roundpd aeskeygenassist | 0=1 2
cvtdq2ps cvtps2dq cvttps2dq cvtdq2pd cvtpd2dq cvttpd2dq cvtps2pd cvtpd2ps | 0=1
pcmpistri | ecx=0 1 ; F=0 1
pcmpestri | ecx=0 1 eax edx ; F=0 1 eax edx
pcmpistrm | xmm0=0 1 ; F=0 1
pcmpestrm | xmm0=0 1 eax edx ; F=0 1 eax edx
ptest | F=0 1

# SSE: scalars
addss subss mulss divss minss maxss cmpss | 0[0:4]=0[0:4] 1[0:4]
cmpeqss cmpltss cmpless cmpunordss cmpneqss cmpnltss cmpnless cmpordss | 0[0:4]=0[0:4] 1[0:4]
addsd subsd mulsd divsd minsd maxsd cmpsd | 0[0:8]=0[0:8] 1[0:8]
cmpeqsd cmpltsd cmplesd cmpunordsd cmpneqsd cmpnltsd cmpnlesd cmpordsd | 0[0:8]=0[0:8] 1[0:8]
sqrtss rsqrtss rcpss roundss | 0[0:4]=1[0:4]
sqrtsd roundsd | 0[0:8]=1[0:8]
cvtsi2ss | 0[0:4]=1
cvtsi2sd | 0[0:8]=1
cvtss2sd | 0[0:8]=1[0:4]
cvtsd2ss | 0[0:4]=1[0:8]
cvtss2si cvttss2si | 0=1[0:4]
cvtsd2si cvttsd2si | 0=1[0:8]
comiss ucomiss | F=0[0:4] 1[0:4]
comisd ucomisd | F=0[0:8] 1[0:8]
"""

CLEARING = frozenset(
    "xor sub pxor xorps xorpd psubb psubw psubd psubq pcmpgtb pcmpgtw pcmpgtd pcmpgtq pandn andnps andnpd".split()
)
"""Operations that give zero of equal operands."""
BY_BIT = frozenset(["and", "or"])
"""Operations by which a byte of an immediate decides alone: 0 of AND, FFH of OR, and the operand alone if reversed."""


class Term(NamedTuple):
    """A source or target of an effect."""

    what: str
    """An operand number, a register or another word."""
    part: tuple[int, int] | None
    """The selected bytes; None for all."""
    mark: str
    """`.`, `~`, `<`, `%`, `^`, `+` or nothing."""
    role: str
    """`?`, `@`, `&` or nothing."""


class Effect(NamedTuple):
    """A row's effect on one target."""

    target: Term
    sources: tuple[Term, ...]


def _term(text: str) -> Term:
    role = text[0] if text[0] in "?@&" else ""
    text = text[len(role) :]
    mark = text[-1] if text[-1] in ".~<%^+" else ""
    what, bracket, part = text[: len(text) - len(mark)].partition("[")
    first, _, last = part.rstrip("]").partition(":")
    return Term(what, (int(first), int(last)) if bracket else None, mark, role)


def _terms(text: str) -> tuple[Term, ...]:
    """Return the terms of a list; a word in quotes may have spaces."""
    found: list[Term] = []
    for index, piece in enumerate(text.split("'")):
        found += [Term(f"'{piece}'", None, "", "")] if index % 2 else map(_term, piece.split())
    return tuple(found)


def _rows() -> dict[str, tuple[Effect, ...]]:
    found: dict[str, tuple[Effect, ...]] = {}
    for line in _TABLE.splitlines():
        if line and line[0] != "#":
            names, _, effects = line.partition("|")
            made = []
            for effect in effects.split(";"):
                target, equals, sources = effect.strip().partition("=")
                if equals:
                    made.append(Effect(_term(target), _terms(sources)))
            found |= dict.fromkeys(names.split(), tuple(made))
    return found


PUSHED = {"push": 1, **{f"push{number}": number for number in range(2, 9)}}
"""Words for memory below RSP, by the number of the word."""
POPPED = {"pop": 0, **{f"pop{number}": number for number in range(1, 8)}}
"""Words for memory at RSP and above."""
STACK = {"st0": 0, "st-1": -1}
"""Words for x87 registers, relative to the top of the stack before the instruction."""
ROLES = _rows()
"""The effects by mnemonic, possibly with `/` and a form."""
