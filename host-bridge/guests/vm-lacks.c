/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What keeps this VM's memory from following its need: gathered for the pure verdict, and said once. Once per lack and not
 * per change: a driver that comes and goes would fill the journal. Of a monitor or agent that is not there the log has said
 * already when it went.
 */

#include "host-bridge/guests/vm-internal.h"
#include "host-bridge/surfaces/messages.h"

/* When a VM appears its parts do so one after the other. And so long until the next look. */
#define SETTLE_USEC (5 * USEC_PER_SEC)

uint64_t vm_lacks(const Vm *vm) {
        MemoryModel model = vm_model(vm);
        LackFacts facts = {
                .monitor = vm->monitor_up,
                .agent = vm->session && session_is_open(vm->session),
                .controlled = vm_is_controlled(vm) || vm->leased_by,
                .leased = vm->leased_by != NULL,
                .max_bytes = vm->policy.max_bytes,
                .n_yields = vm->rival.n_yields,
                .model = &model,
                .dimm_bytes = vm->policy.dimm_bytes,
                .vmm = &vm->facts,
                .capabilities = vm->capabilities,
                .guest_block_bytes = vm->guest_block_bytes,
                .plug_budget_bytes = vm->guest.plug_budget_bytes,
                .psi_missing = vm->psi_missing,
        };

        return lacks_judge(&facts);
}

static void say(const Vm *vm, Lack lack) {
        const LogField fields[] = {{"VM_NAME", vm->name}, {"LACK", lack_code(lack)}};

        log_event(LOG_WARNING, MESSAGE_ID_LACKS, fields, ELEMENTSOF(fields), "VM %s: %s; %s", vm->name,
                  lack_text(lack), lack_fix(lack));
}

void vm_say_lacks(Vm *vm, uint64_t now_usec) {
        uint64_t news;

        if (vm->lacks_due_usec == 0)
                vm->lacks_due_usec = u64_add(now_usec, SETTLE_USEC);
        if (now_usec < vm->lacks_due_usec)
                return;
        vm->lacks_due_usec = u64_add(now_usec, SETTLE_USEC);
        news = vm_lacks(vm) & ~vm->lacks_said;
        vm->lacks_said |= news;
        for (Lack lack = 0; lack < LACK_KIND_MAX; lack++) {
                bool told_elsewhere = lack == LACK_MONITOR || lack == LACK_AGENT || lack == LACK_RIVAL ||
                                      lack == LACK_LEASED;

                if (lacks_has(news, lack) && !told_elsewhere && lack_severity(lack) != LACK_NOTE)
                        say(vm, lack);
        }
}
