/* Handlers of control and variable instructions (WebAssembly core specification, 4.4.5, 4.4.8, 4.4.9). Part of
   interpreter.c. */

unreachable_:
    TRAP(UNREACHABLE);

/* Blocks need nothing at their beginning: branches know how to leave them. */
block_:
loop_:
    signed_immediate(&ip);      /* the block's type */
nop_:
    NEXT;

/* Continue at the target of the current branch, whose opcode is before `opcode`. */
take:
    if (branch->dropped) {
        if (branch->carried == 0) {
            sp -= branch->dropped;
            top = *sp;
        } else {
            u64 *kept = sp - (branch->carried - 1);
            sp -= branch->dropped;
            for (u64 *to = kept - branch->dropped; to < sp;)
                *to++ = *kept++;
        }
    }
    ip = opcode + branch->to;
    branch += branch->next;
    NEXT;

if_:
    opcode = ip;
    if (!(u32)POP()) {          /* to the ELSE or END: nothing is dropped */
        ip = opcode + branch->to;
        branch += branch->next;
        NEXT;
    }
    branch++;
    signed_immediate(&ip);
    NEXT;

else_:                          /* after the first part of an IF: to its END */
br_:
    opcode = ip;
    goto take;

br_if_:
    opcode = ip;
    if ((u32)POP())
        goto take;
    branch++;
    immediate(&ip);
    NEXT;

br_table_: {
    opcode = ip;
    u32 chosen = (u32)POP(), count = immediate(&ip);
    branch += chosen < count ? chosen : count;
    goto take;
}

end_:                           /* of a block, or of the function */
    if (ip != m->bytes + function->end)
        NEXT;
return_: {
    u32 results = function->results;
    if (results == 0) {
        sp = locals - 1;
        top = *sp;
    } else {
        const u64 *from = sp - (results - 1);
        for (sp = locals; --results;)
            *sp++ = *from++;
    }
    calls--;
    ip = calls->ip;
    branch = calls->branch;
    locals = calls->locals;
    function = calls->function;
    NEXT;
}

call_:
    callee = &m->functions[immediate(&ip)];
enter:                          /* a function; its arguments are on the stack */
    if (!callee->at)
        goto call_host;
    *calls++ = (struct call){ip, branch, locals, function};
    *sp++ = top;
    locals = sp - callee->parameters;
    for (u32 i = callee->locals; i; i--)
        *sp++ = 0;
    function = callee;
    branch = m->branches + callee->branches;
    ip = m->bytes + callee->at;
    NEXT;

/* The host calls of the contract have one argument or one result, at most. */
call_host: {
    const struct type *type = &m->types[callee->type];
    u64 argument = type->parameters ? (u32)POP() : 0, result = ask_host(callee->locals, argument);
    if (type->results)
        PUSH((u32)result);
    NEXT;
}

call_indirect_: {
    u32 type = immediate(&ip), index = (u32)POP();
    immediate(&ip);             /* the table */
    if (index >= m->element_count)
        TRAP(TABLE);
    if (m->elements[index] == NO_FUNCTION)
        TRAP(NULL_ELEMENT);
    callee = &m->functions[m->elements[index]];
    if (callee->type != type && !same_type(m, callee->type, type))
        TRAP(SIGNATURE);
    goto enter;
}

drop_:
    top = *--sp;
    NEXT;
select_: {
    u32 condition = (u32)top;
    sp -= 2;
    top = condition ? sp[0] : sp[1];
    NEXT;
}

local_get_:
    PUSH(locals[immediate(&ip)]);
    NEXT;
local_set_: {
    u32 index = immediate(&ip);
    locals[index] = POP();
    NEXT;
}
local_tee_:
    locals[immediate(&ip)] = top;
    NEXT;
global_get_:
    PUSH(guest->globals[immediate(&ip)]);
    NEXT;
global_set_: {
    u32 index = immediate(&ip);
    guest->globals[index] = POP();
    NEXT;
}

i32_const_:
    PUSH((u32)signed_immediate(&ip));
    NEXT;
i64_const_:
    PUSH(signed_immediate(&ip));
    NEXT;
f32_const_:
    PUSH(LOAD(u32, ip));
    ip += 4;
    NEXT;
f64_const_:
    PUSH(LOAD(u64, ip));
    ip += 8;
    NEXT;
