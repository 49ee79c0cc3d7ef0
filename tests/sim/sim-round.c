/* SPDX-License-Identifier: Apache-2.0 */

/* The rounds of host-bridge/arbitration.c and guests/vm-round.c in small. */

#include "sim.h"

#define ROUND_USEC  USEC_PER_SEC
#define SOON_USEC   (50 * USEC_PER_MSEC)
#define STALE_USEC  (3 * USEC_PER_SEC)
#define SILENT_USEC (30 * USEC_PER_SEC)

static RoundVm see(const Sim *sim, const SimVm *vm) {
        ArbiterVm subject = sim_subject(sim, vm);
        bool open = resize_is_open(&vm->resize);
        RoundVm figures = {
                .vm_class = vm->vm_class,
                .shares = vm->shares,
                .min_bytes = vm->min_bytes,
                .reach_bytes = u64_min(subject.max_bytes, subject.ceiling_bytes),
                .controlled = true,
                .size_bytes = subject.size_bytes,
                .committed_bytes = subject.committed_bytes,
                .known = vm->known && sim->now_usec - vm->reported_usec <= STALE_USEC,
                .silent = sim->now_usec - vm->reported_usec > SILENT_USEC,
                .urgency = subject.urgency,
                .activity = vm->activity,
                .demand_bytes = u64_shift(subject.size_bytes, subject.need_bytes),
                .floor_bytes = arbiter_lowest_bytes(&subject),
                .fall_bytes_per_sec = vm->last.demand.fall_bytes_per_sec,
                .giving_bytes = open && !vm->resize.growing ? vm->resize.decision.wanted_bytes : 0,
        };

        for (PoolLevel level = POOL_FULL; level < POOL_LEVEL_MAX && !open; level++)
                figures.spare_bytes[level] =
                        arbiter_spare_bytes(&sim->arbiter, &subject, level, sim->now_usec);
        return figures;
}

static void take(Sim *sim, SimVm *vm, const RoundVm *found) {
        vm->round = *found;
        if (!found->waits)
                vm->waiting_usec = found->urgency >= URGENCY_HIGH ? vm->waiting_usec : 0;
        else if (vm->waiting_usec == 0)
                vm->waiting_usec = sim->now_usec;
}

static void judge_all(Sim *sim) {
        for (unsigned rank = VM_CLASS_RANKS; rank > 0; rank--)
                for (unsigned urgency = URGENCY_MAX; urgency > 0; urgency--)
                        for (unsigned i = 0; i < sim->n_vms; i++)
                                if (vm_class_rank(sim->vms[i].vm_class) == rank - 1 &&
                                    sim->figures[i].urgency == (Urgency) (urgency - 1))
                                        sim_judge(sim, &sim->vms[i], true);
}

void sim_round(Sim *sim) {
        uint64_t age_usec = sim->now_usec - sim->round_usec;
        RoundHost host = {
                .budget_bytes = sim->budget_bytes,
                .committed_bytes = sim_committed_sum(sim),
                .pool_bytes = sim->pool_bytes,
                .pressed = sim->pressed,
        };

        if (age_usec < (sim->round_wanted ? SOON_USEC : ROUND_USEC))
                return;
        sim->round_usec = sim->now_usec;
        sim->round_wanted = false;
        for (unsigned i = 0; i < sim->n_vms; i++)
                sim->figures[i] = see(sim, &sim->vms[i]);
        sim->found = round_run(&host, sim->figures, sim->n_vms);
        for (unsigned i = 0; i < sim->n_vms; i++)
                take(sim, &sim->vms[i], &sim->figures[i]);
        judge_all(sim);
}
