/* SPDX-License-Identifier: Apache-2.0 */

/*
 * memory.pressure of the hypervisor's cgroup: a guest cannot see that its host swaps or that its QEMU is at a limit, and
 * growth makes both worse (pressure-control.md c, rule 7). The process is the one that made the monitor's socket; one that
 * is no QEMU (a manager that hands the socket on) is not looked at. Every 10 s: it is a brake, and ten thousand VMs are to
 * cost no more than a percent of a core by it.
 */

#include <errno.h>

#include "host-bridge/guests/vm-internal.h"
#include "host-bridge/host-sensor.h"

#define INTERVAL_USEC (10 * USEC_PER_SEC)

static int read_pressure(const Vm *vm, uint64_t *ret_some_usec) {
        char path[HOST_PATH_MAX];
        int pid, r;

        pid = vmm_peer_pid(vm->vmm);
        if (pid < 0)
                return pid;
        r = host_cgroup_pressure_path(vm->env->root, pid, path);
        if (r < 0)
                return r;
        return host_pressure_read(vm->env->root, path, ret_some_usec);
}

void vm_watch_pressure(Vm *vm, uint64_t now_usec) {
        bool before = vm->pressure.pressed;
        VmEnv *env = vm->env;
        unsigned suppressed;
        uint64_t some_usec;
        int r;

        if (!env->root || env->pressure_limit_percent == UINT64_MAX || !vm->monitor_up ||
            now_usec < vm->pressure_due_usec)
                return;
        vm->pressure_due_usec = u64_add(now_usec, INTERVAL_USEC);

        r = read_pressure(vm, &some_usec);
        if (r < 0) {
                vm->pressure = (PressureGauge){};
                if (!env->cgroups_told)
                        (void) log_info_errno(
                                r,
                                "VM %s: the memory pressure of its hypervisor's cgroup is not looked at: %m",
                                vm->name);
                env->cgroups_told = true;
                return;
        }
        (void) pressure_take(&vm->pressure, some_usec, env->pressure_limit_percent, now_usec);
        if (vm->pressure.pressed != before && log_limit_allows(&vm->log_limit, now_usec, &suppressed))
                log_notice("VM %s: its hypervisor's cgroup %s", vm->name,
                           before ? "does not stall on memory any more"
                                  : "stalls on memory: it is not given more");
}
