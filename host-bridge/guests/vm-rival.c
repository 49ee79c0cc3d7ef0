/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Somebody else who resizes the same VM: an operator at virsh, another manager. Two controllers on one
 * actuator hunt each other, so the human or the older one wins: we yield. A request that changed to a value
 * which is neither of our last two is theirs; two, because a reading may have been under way when the
 * second was sent. QEMU tells no balloon's target, so there only the movement speaks: inflation that we did
 * not ask for is a rival's, deflation that we did not ask for is the guest's OOM notifier. A balloon goes on towards
 * the request before until its driver has looked at the last.
 *
 * What was paused may go on as another machine: a snapshot was put back, or a migration has come in. Its sizes are
 * then its own, and nobody's command.
 */

#include <assert.h>

#include "host-bridge/guests/vm-internal.h"

/* Below this a moving balloon proves nothing: the driver works in steps of 1 MiB. */
#define BALLOON_NOISE_BYTES (4 * MIB)

/* How long a driver may go on by the request before. virtio_balloon looks anew after each 1 MiB, when its guest runs. */
#define BALLOON_TURN_USEC (2 * USEC_PER_SEC)

/* Our last two requests per device. */
typedef struct RivalCommands {
        struct {
                uint64_t known; /* 0 or 1 */
                uint64_t bytes[2];
        } device[MEMORY_MODEL_DEVICES_MAX];
} RivalCommands;

static void note_request(Vm *vm, unsigned device, uint64_t bytes) {
        RivalCommands commands;

        assert(device < MEMORY_MODEL_DEVICES_MAX);
        sparse_get(vm->rival.commands, &commands, sizeof(commands));
        commands.device[device].bytes[1] =
                commands.device[device].known != 0 ? commands.device[device].bytes[0] : bytes;
        commands.device[device].bytes[0] = bytes;
        commands.device[device].known = 1;
        /* Out of memory: it will look like somebody else's, and we yield for a while. */
        (void) sparse_set(&vm->rival.commands, &commands, sizeof(commands));
}

void vm_rival_note_command(Vm *vm, const PlanStep *step) {
        switch (step->actuator) {

        case ACTUATOR_BALLOON:
                vm->rival.balloon_left_bytes =
                        vm->rival.balloon_commanded ? vm->rival.balloon_bytes : step->from_bytes;
                vm->rival.balloon_turned_usec = clock_monotonic_usec();
                vm->rival.balloon_bytes = step->to_bytes;
                vm->rival.balloon_commanded = true;
                return;

        case ACTUATOR_VIRTIO_MEM:
                note_request(vm, step->device, step->to_bytes);
                return;

        case ACTUATOR_NONE:
        case ACTUATOR_DIMM:
        case ACTUATOR_MAX:
                return;
        }
}

static bool is_foreign_request(const Vm *vm, const MemoryModel *before, const MemoryModel *fresh,
                               unsigned i) {
        uint64_t requested = fresh->virtio_mem[i].requested_bytes;
        RivalCommands commands;

        if (requested == before->virtio_mem[i].requested_bytes)
                return false;
        sparse_get(vm->rival.commands, &commands, sizeof(commands));
        return commands.device[i].known == 0 ||
               (requested != commands.device[i].bytes[0] && requested != commands.device[i].bytes[1]);
}

static RivalVerdict check_balloon(const Vm *vm, uint64_t before_bytes, uint64_t now_bytes) {
        uint64_t goal_bytes = vm->rival.balloon_commanded ? vm->rival.balloon_bytes : before_bytes;
        uint64_t most_bytes = u64_max(before_bytes, goal_bytes),
                 least_bytes = u64_min(before_bytes, goal_bytes);

        if (vm->rival.balloon_commanded &&
            u64_sub(clock_monotonic_usec(), vm->rival.balloon_turned_usec) < BALLOON_TURN_USEC) {
                most_bytes = u64_max(most_bytes, vm->rival.balloon_left_bytes);
                least_bytes = u64_min(least_bytes, vm->rival.balloon_left_bytes);
        }
        if (now_bytes > u64_add(most_bytes, BALLOON_NOISE_BYTES))
                return RIVAL_FOREIGN;
        return u64_add(now_bytes, BALLOON_NOISE_BYTES) < least_bytes ? RIVAL_OOM : RIVAL_NONE;
}

RivalVerdict vm_rival_check(Vm *vm, const MemoryModel *before, const MemoryModel *fresh) {
        bool other_machine = vm->rival.other_machine;

        vm->rival.other_machine = vm->paused;
        /* After these there is nothing to compare with: the fresh model is the truth. */
        if (!vm->monitor_up || other_machine || !memory_model_same_devices(before, fresh)) {
                vm->rival.commands = sparse_free(vm->rival.commands);
                vm->rival.balloon_commanded = false;
                return RIVAL_NONE;
        }

        for (unsigned i = 0; i < fresh->n_virtio_mem; i++)
                if (is_foreign_request(vm, before, fresh, i))
                        return RIVAL_FOREIGN;
        if (fresh->has_balloon && fresh->boot_bytes == before->boot_bytes &&
            fresh->dimm_bytes == before->dimm_bytes)
                return check_balloon(vm, memory_model_balloon_bytes(before),
                                     memory_model_balloon_bytes(fresh));
        return RIVAL_NONE;
}
