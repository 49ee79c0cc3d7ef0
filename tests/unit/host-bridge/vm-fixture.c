/* SPDX-License-Identifier: Apache-2.0 */

#include "vm-fixture.h"

#include <stdlib.h>

void tell(Hypervisor *h, VmmEventKind kind, uint64_t id) {
        VmmEvent event = {.kind = kind, .id = id, .model = kind == VMM_MODEL ? &h->model : NULL};

        h->vmm.handler(&h->vmm, &event, h->vmm.userdata);
}

static int on_defer(sd_event_source *source, void *userdata) {
        tell(userdata, VMM_MODEL, 0);
        return 0;
}

static int hypervisor_refresh(Vmm *vmm) {
        Hypervisor *h = (Hypervisor *) vmm;

        h->n_refreshes++;
        if (h->told_model)
                (void) sd_event_source_set_enabled(h->defer, SD_EVENT_ONESHOT);
        return 0;
}

static int hypervisor_command(Vmm *vmm, uint64_t id, const PlanStep *step) {
        Hypervisor *h = (Hypervisor *) vmm;

        if (h->fails < 0)
                return h->fails;
        assert_true(h->n_commands < COMMANDS_MAX);
        h->commands[h->n_commands] = *step;
        h->ids[h->n_commands++] = id;
        if (step->actuator == ACTUATOR_VIRTIO_MEM)
                h->model.virtio_mem[step->device].requested_bytes = step->to_bytes;
        return 0;
}

static Vmm *hypervisor_free(Vmm *vmm) {
        ((Hypervisor *) vmm)->defer = sd_event_source_disable_unref(((Hypervisor *) vmm)->defer);
        return NULL;
}

static const VmmOps hypervisor_ops = {
        .name = "test",
        .refresh = hypervisor_refresh,
        .command = hypervisor_command,
        .free = hypervisor_free,
};

static int open_hypervisor(const VmmAddress *address, const char *name, VmmOwner owner, void *userdata,
                           Vmm **ret) {
        Fixture *f = userdata;
        Hypervisor *h = &f->hypervisor;

        h->vmm = (Vmm){.ops = &hypervisor_ops, .handler = owner.handler, .userdata = owner.userdata};
        assert_true(sd_event_add_defer(f->world.event, &h->defer, on_defer, h) >= 0);
        assert_true(sd_event_source_set_enabled(h->defer, SD_EVENT_OFF) >= 0);
        *ret = &h->vmm;
        return 0;
}

void fulfil(Fixture *f) {
        Hypervisor *h = &f->hypervisor;
        const PlanStep *step = &h->commands[h->n_commands - 1];

        if (step->actuator == ACTUATOR_VIRTIO_MEM)
                h->model.virtio_mem[step->device].size_bytes = step->to_bytes;
        else if (step->actuator == ACTUATOR_DIMM)
                memory_model_set_dimm(&h->model, step->device, step->to_bytes);
        else
                h->model.balloon_actual_bytes = h->model.boot_bytes + h->model.dimm_bytes - step->to_bytes;
        tell(h, VMM_ACCEPTED, h->ids[h->n_commands - 1]);
        tell(h, VMM_MODEL, 0);
}

/* -- a bridge around it ---------------------------------------------------------------------------- */

static uint64_t next_id(void *userdata) {
        return ++((Fixture *) userdata)->ids;
}

static void record(const Decision *decision, void *userdata) {
        Fixture *f = userdata;

        for (unsigned i = 0; i < f->n_records; i++)
                if (f->records[i].id == decision->id) {
                        f->records[i] = *decision;
                        return;
                }
        f->commands_at_record = f->hypervisor.n_commands;
        assert_true(f->n_records < ELEMENTSOF(f->records));
        f->records[f->n_records++] = *decision;
}

const Decision *newest(const Fixture *f) {
        assert_true(f->n_records > 0);
        return &f->records[f->n_records - 1];
}

static bool is_connected(void *userdata) {
        return ((Fixture *) userdata)->agent.session != 0;
}

void start(Fixture *f, const VmPolicy *policy) {
        assert_int_equal(vm_new(&f->env, "a", policy, f->agent.peer.path,
                                &(VmmAddress){.origin = VMM_ORIGIN_QMP}, &f->vm),
                         0);
        assert_true(world_run(&f->world, is_connected, f, 2000));
        tell(&f->hypervisor, VMM_CONNECTED, 0);
        tell(&f->hypervisor, VMM_RUNNING, 0);
        tell(&f->hypervisor, VMM_MODEL, 0);
}

const VmPolicy adopted = {.controlled = true, .max_bytes = UINT64_MAX};

int setup(void **state) {
        Fixture *f = calloc(1, sizeof(*f));

        assert_non_null(f);
        world_init(&f->world);
        agent_peer_init(&f->agent, &f->world, "a.channel");
        f->ledger.budget_bytes = 8 * GIB;
        f->env = (VmEnv){
                .event = f->world.event,
                .arbiter = {.shrink_idle = true,
                            .dead_band_bytes = 64 * MIB,
                            .calm_before_shrink_usec = 50 * USEC_PER_MSEC,
                            .hold_after_grow_usec = 50 * USEC_PER_MSEC,
                            .hold_after_refusal_usec = 50 * USEC_PER_MSEC},
                .resize = {.confirm_timeout_usec = 200 * USEC_PER_MSEC,
                           .offer_timeout_usec = 200 * USEC_PER_MSEC,
                           .silence_usec = 100 * USEC_PER_MSEC},
                .session = session_defaults,
                .ledger = &f->ledger,
                .open_vmm = open_hypervisor,
                .next_id = next_id,
                .record = record,
                .userdata = f,
        };
        f->env.session.stale_usec = 150 * USEC_PER_MSEC;
        f->env.session.hello_interval_usec = 0;
        f->hypervisor.told_model = true;
        f->hypervisor.model = (MemoryModel){
                .known = true,
                .boot_bytes = 512 * MIB,
                .n_virtio_mem = 1,
                .virtio_mem = {{.id = "vmem0", .max_bytes = 2 * GIB, .block_bytes = 2 * MIB}},
                .has_balloon = true,
                .balloon_actual_bytes = 512 * MIB,
        };
        *state = f;
        return 0;
}

int teardown(void **state) {
        Fixture *f = *state;

        (void) vm_free(f->vm);
        assert_int_equal(f->ledger.committed_bytes, 0);
        agent_peer_done(&f->agent);
        world_done(&f->world);
        free(f);
        return 0;
}

uint64_t usable(const Fixture *f) {
        return memory_model_size_bytes(&f->hypervisor.model);
}

void send(Fixture *f, Message message) {
        agent_peer_send(&f->agent, message);
        world_idle(&f->world, 5);
}

Message report_of(const Fixture *f, uint64_t available, int64_t need, Urgency urgency) {
        return (Message){
                .type = MESSAGE_REPORT,
                .report =
                        {
                                .memory_total_bytes = usable(f),
                                .usable_bytes = usable(f),
                                .memory_available_bytes = available,
                                .used_bytes = usable(f) - available,
                                .demand_bytes = u64_shift(usable(f), need),
                                .need_bytes = need,
                                .floor_bytes = usable(f) - available,
                                .urgency = urgency,
                                .cause = urgency == URGENCY_NONE ? CAUSE_NONE : CAUSE_PREDICT,
                                .plug_budget_bytes = GIB,
                                .interval_usec = 50 * USEC_PER_MSEC,
                        },
        };
}

void send_alarm(Fixture *f, int64_t need) {
        send(f, (Message){
                        .type = MESSAGE_ALARM,
                        .alarm = {.urgency = URGENCY_CRITICAL,
                                  .cause = CAUSE_PREDICT,
                                  .need_bytes = need,
                                  .usable_bytes = usable(f),
                                  .plug_budget_bytes = GIB},
                });
}

void send_confirm(Fixture *f, unsigned step, int64_t delta) {
        send(f, (Message){
                        .type = MESSAGE_RESIZE_CONFIRM,
                        .resize_confirm = {.id = newest(f)->id,
                                           .step = step,
                                           .delta_bytes = delta,
                                           .usable_bytes = usable(f)},
                });
}

void shrink_begins(Fixture *f) {
        for (unsigned i = 0; i < 40 && f->agent.n[MESSAGE_SHRINK_REQUEST] == 0; i++) {
                send(f, report_of(f, usable(f) - 100 * MIB, -(int64_t) (256 * MIB), URGENCY_NONE));
                world_idle(&f->world, 10);
        }
        assert_int_equal(f->agent.n[MESSAGE_SHRINK_REQUEST], 1);
}

void send_offer(Fixture *f) {
        const MessageShrinkRequest *request = &f->agent.last[MESSAGE_SHRINK_REQUEST].shrink_request;

        send(f, (Message){
                        .type = MESSAGE_SHRINK_OFFER,
                        .shrink_offer = {.id = request->id,
                                         .step = request->step,
                                         .offered_bytes = request->bytes},
                });
}

void grown_by_1gib(Fixture *f) {
        f->hypervisor.model.virtio_mem[0].size_bytes = f->hypervisor.model.virtio_mem[0].requested_bytes =
                GIB;
}

void step_in_flight(Fixture *f) {
        grown_by_1gib(f);
        start(f, &adopted);
        shrink_begins(f);
        send_offer(f);
        assert_int_equal(f->hypervisor.n_commands, 1);
        tell(&f->hypervisor, VMM_ACCEPTED, f->hypervisor.ids[0]);
}
