/* SPDX-License-Identifier: Apache-2.0 */

/* One VM between a real session (scripted agent) and a scripted hypervisor: rules 1 to 8 of the fail-static contract. */

#include "world.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/units.h"
#include "host-bridge/guests/vm.h"

#define COMMANDS_MAX 64U

/* -- a hypervisor ---------------------------------------------------------------------------------- */

typedef struct Hypervisor {
        Vmm vmm; /* first */
        MemoryModel model;
        unsigned n_commands, n_refreshes;
        PlanStep commands[COMMANDS_MAX];
        uint64_t ids[COMMANDS_MAX];
        int fails;       /* -errno of command(), 0 = works */
        bool told_model; /* a refresh is answered */
        sd_event_source *defer;
} Hypervisor;

typedef struct Fixture {
        World world;
        AgentPeer agent;
        Ledger ledger;
        VmEnv env;
        Hypervisor hypervisor;
        Vm *vm;
        uint64_t ids;
        unsigned n_records;
        Decision records[256];
        unsigned
                commands_at_record; /* commands that had been sent when the newest new decision was recorded */
} Fixture;

static void tell(Hypervisor *h, VmmEventKind kind, uint64_t id) {
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

static Fixture *the_fixture; /* open_vmm() has no userdata of its own */

static int open_hypervisor(sd_event *event, const char *name, const char *path, VmmHandler handler,
                           void *userdata, Vmm **ret) {
        Hypervisor *h = &the_fixture->hypervisor;

        h->vmm = (Vmm){.ops = &hypervisor_ops, .handler = handler, .userdata = userdata};
        assert_true(sd_event_add_defer(event, &h->defer, on_defer, h) >= 0);
        assert_true(sd_event_source_set_enabled(h->defer, SD_EVENT_OFF) >= 0);
        *ret = &h->vmm;
        return 0;
}

/* What was asked of virtio-mem or the balloon has been done. */
static void fulfil(Fixture *f) {
        Hypervisor *h = &f->hypervisor;
        const PlanStep *step = &h->commands[h->n_commands - 1];

        if (step->actuator == ACTUATOR_VIRTIO_MEM)
                h->model.virtio_mem[step->device].size_bytes = step->to_bytes;
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

static const Decision *newest(const Fixture *f) {
        assert_true(f->n_records > 0);
        return &f->records[f->n_records - 1];
}

static bool is_connected(void *userdata) {
        return ((Fixture *) userdata)->agent.session != 0;
}

static void start(Fixture *f, const VmPolicy *policy) {
        assert_int_equal(vm_new(&f->env, "a", policy, f->agent.peer.path, "unused", &f->vm), 0);
        assert_true(world_run(&f->world, is_connected, f, 2000));
        tell(&f->hypervisor, VMM_CONNECTED, 0);
        tell(&f->hypervisor, VMM_RUNNING, 0);
        tell(&f->hypervisor, VMM_MODEL, 0);
}

static const VmPolicy adopted = {.controlled = true, .max_bytes = UINT64_MAX};

static int setup(void **state) {
        Fixture *f = calloc(1, sizeof(*f));

        assert_non_null(f);
        the_fixture = f;
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

static int teardown(void **state) {
        Fixture *f = *state;

        (void) vm_free(f->vm);
        assert_int_equal(f->ledger.committed_bytes, 0);
        agent_peer_done(&f->agent);
        world_done(&f->world);
        free(f);
        return 0;
}

static uint64_t usable(const Fixture *f) {
        return memory_model_size_bytes(&f->hypervisor.model);
}

static void send(Fixture *f, Message message) {
        agent_peer_send(&f->agent, message);
        world_idle(&f->world, 5);
}

static Message report_of(const Fixture *f, uint64_t available, int64_t need, Urgency urgency) {
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

static void send_alarm(Fixture *f, int64_t need) {
        send(f, (Message){
                        .type = MESSAGE_ALARM,
                        .alarm = {.urgency = URGENCY_CRITICAL,
                                  .cause = CAUSE_PREDICT,
                                  .need_bytes = need,
                                  .usable_bytes = usable(f),
                                  .plug_budget_bytes = GIB},
                });
}

static void send_confirm(Fixture *f, unsigned step, int64_t delta) {
        send(f, (Message){
                        .type = MESSAGE_RESIZE_CONFIRM,
                        .resize_confirm = {.id = newest(f)->id,
                                           .step = step,
                                           .delta_bytes = delta,
                                           .usable_bytes = usable(f)},
                });
}

/* Calm with a surplus until a shrink is asked for. */
static void shrink_begins(Fixture *f) {
        for (unsigned i = 0; i < 40 && f->agent.n[MESSAGE_SHRINK_REQUEST] == 0; i++) {
                send(f, report_of(f, usable(f) - 100 * MIB, -(int64_t) (256 * MIB), URGENCY_NONE));
                world_idle(&f->world, 10);
        }
        assert_int_equal(f->agent.n[MESSAGE_SHRINK_REQUEST], 1);
}

static void send_offer(Fixture *f) {
        const MessageShrinkRequest *request = &f->agent.last[MESSAGE_SHRINK_REQUEST].shrink_request;

        send(f, (Message){
                        .type = MESSAGE_SHRINK_OFFER,
                        .shrink_offer = {.id = request->id,
                                         .step = request->step,
                                         .offered_bytes = request->bytes},
                });
}

static void grown_by_1gib(Fixture *f) {
        f->hypervisor.model.virtio_mem[0].size_bytes = f->hypervisor.model.virtio_mem[0].requested_bytes =
                GIB;
}

/* -- growth ---------------------------------------------------------------------------------------- */

static void test_grow(void **state) {
        Fixture *f = *state;
        const PlanStep *step = &f->hypervisor.commands[0];

        start(f, &adopted);
        send_alarm(f, 256 * MIB);
        assert_int_equal(f->hypervisor.n_commands, 1);
        assert_int_equal(f->commands_at_record, 0); /* its reason was on record before it was sent */
        assert_int_equal(step->actuator, ACTUATOR_VIRTIO_MEM);
        assert_int_equal(step->to_bytes, 256 * MIB);
        assert_int_equal(f->agent.n[MESSAGE_GROW_NOTICE], 1);
        assert_int_equal(f->agent.last[MESSAGE_GROW_NOTICE].grow_notice.id, newest(f)->id);
        assert_int_equal(f->ledger.committed_bytes, 768 * MIB); /* reserved at once */

        fulfil(f);
        assert_int_equal(newest(f)->result, RESULT_PENDING); /* the hypervisor's word is not enough */
        send_confirm(f, 0, 256 * MIB);
        assert_int_equal(newest(f)->result, RESULT_DONE);
        assert_int_equal(newest(f)->confirmed_bytes, 256 * MIB);
        assert_true(newest(f)->alarm_usec > 0 && newest(f)->request_usec >= newest(f)->alarm_usec);
        assert_int_equal(f->ledger.committed_bytes, 768 * MIB);
}

/* The same alarm is not answered twice. */
static void test_not_judged_twice(void **state) {
        Fixture *f = *state;

        start(f, &adopted);
        send_alarm(f, 256 * MIB);
        fulfil(f);
        send_confirm(f, 0, 256 * MIB);
        for (unsigned i = 0; i < 5; i++) {
                tell(&f->hypervisor, VMM_MODEL, 0);
                vm_tick(f->vm, world_now());
                world_idle(&f->world, 5);
        }
        assert_int_equal(f->hypervisor.n_commands, 1);
        send_alarm(f, 256 * MIB); /* a new one is */
        assert_int_equal(f->hypervisor.n_commands, 2);
}

static void test_observed_without_max(void **state) {
        Fixture *f = *state;
        VmSnapshot snapshot;

        start(f, &(VmPolicy){});
        send_alarm(f, 256 * MIB);
        send_alarm(f, 256 * MIB);
        assert_int_equal(f->hypervisor.n_commands, 0);
        assert_int_equal(f->n_records, 1); /* said once */
        assert_int_equal(newest(f)->rule, RULE_DENY_OBSERVED);
        vm_snapshot(f->vm, world_now(), &snapshot);
        assert_int_equal(snapshot.state, VM_OBSERVED);
}

static void test_bounds(void **state) {
        static const struct {
                const char *name;
                uint64_t max_bytes, budget_bytes;
                int64_t need_bytes;
                uint64_t expected_bytes; /* requested; 0: denied */
                DecisionRule rule;
        } cases[] = {
                {"as asked", UINT64_MAX, 8 * GIB, 512 * MIB, 512 * MIB, RULE_GROW_ALARM},
                {"policy", 768 * MIB, 8 * GIB, GIB, 256 * MIB, RULE_GROW_ALARM},
                {"policy reached", 512 * MIB, 8 * GIB, GIB, 0, RULE_DENY_MAX},
                {"budget", UINT64_MAX, 700 * MIB, GIB, 188 * MIB, RULE_GROW_ALARM},
                {"budget reached", UINT64_MAX, 512 * MIB, GIB, 0, RULE_DENY_BUDGET},
                {"a lie", UINT64_MAX, 8 * GIB, INT64_C(60) * (int64_t) TIB, GIB,
                 RULE_GROW_ALARM}, /* one wave */
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                void *inner = NULL;
                Fixture *f;

                (void) setup(&inner);
                f = inner;
                f->ledger.budget_bytes = cases[i].budget_bytes;
                start(f, &(VmPolicy){.controlled = true, .max_bytes = cases[i].max_bytes});
                send_alarm(f, cases[i].need_bytes);
                if (newest(f)->rule != cases[i].rule ||
                    f->hypervisor.n_commands != (cases[i].expected_bytes > 0 ? 1 : 0) ||
                    f->hypervisor.commands[0].to_bytes != cases[i].expected_bytes)
                        fail_msg("%s: %s, %llu", cases[i].name, decision_rule_to_string(newest(f)->rule),
                                 (unsigned long long) f->hypervisor.commands[0].to_bytes);
                assert_true(f->ledger.committed_bytes <= cases[i].budget_bytes);
                (void) teardown(&inner);
        }
        (void) setup(state); /* for the teardown of the group */
}

/* -- two-phase grants ------------------------------------------------------------------------------ */

static void test_reserve_is_released(void **state) {
        Fixture *f = *state;

        start(f, &adopted);
        send_alarm(f, 256 * MIB);
        assert_int_equal(f->ledger.committed_bytes, 768 * MIB);
        f->hypervisor.model.virtio_mem[0].requested_bytes = 0;
        tell(&f->hypervisor, VMM_REJECTED, f->hypervisor.ids[0]);
        assert_int_equal(newest(f)->result, RESULT_FAILED);
        assert_int_equal(f->ledger.committed_bytes, 512 * MIB);
}

static void test_monitor_lost_between_reserve_and_confirm(void **state) {
        Fixture *f = *state;

        start(f, &adopted);
        send_alarm(f, 256 * MIB);
        tell(&f->hypervisor, VMM_LOST, 0);
        assert_int_equal(newest(f)->result, RESULT_LOST);
        send_alarm(f, 256 * MIB); /* nothing is sent to nobody */
        assert_int_equal(f->hypervisor.n_commands, 1);
        f->hypervisor.model.virtio_mem[0].requested_bytes = 0;
        tell(&f->hypervisor, VMM_CONNECTED, 0);
        tell(&f->hypervisor, VMM_MODEL, 0);
        assert_int_equal(f->ledger.committed_bytes, 512 * MIB); /* the truth was read again */
}

static void test_command_that_can_not_be_sent(void **state) {
        Fixture *f = *state;

        start(f, &adopted);
        f->hypervisor.fails = -ENOBUFS;
        send_alarm(f, 256 * MIB);
        assert_int_equal(newest(f)->result, RESULT_FAILED);
        send_alarm(f, 256 * MIB);
        assert_int_equal(f->n_records, 1); /* held for a second */
}

/* -- shrinking ------------------------------------------------------------------------------------- */

static void test_shrink(void **state) {
        Fixture *f = *state;
        const MessageShrinkRequest *request = &f->agent.last[MESSAGE_SHRINK_REQUEST].shrink_request;

        grown_by_1gib(f);
        start(f, &adopted);
        shrink_begins(f);
        assert_int_equal(f->hypervisor.n_commands, 0); /* asked first */
        assert_int_equal(request->step, 1);
        assert_int_equal(request->bytes, 64 * MIB); /* below the guest's block of 128 */
        assert_int_equal(request->id, newest(f)->id);
        send_offer(f);
        assert_int_equal(f->hypervisor.n_commands, 1);
        assert_int_equal(f->hypervisor.commands[0].to_bytes, GIB - 64 * MIB);
        assert_int_equal(f->ledger.committed_bytes, 512 * MIB + GIB); /* not given to others yet */
        fulfil(f);
        send_confirm(f, 1, -(int64_t) (64 * MIB));
        assert_int_equal(f->agent.n[MESSAGE_SHRINK_REQUEST], 2);
        assert_int_equal(request->step, 2);
}

static void step_in_flight(Fixture *f) {
        grown_by_1gib(f);
        start(f, &adopted);
        shrink_begins(f);
        send_offer(f);
        assert_int_equal(f->hypervisor.n_commands, 1);
        tell(&f->hypervisor, VMM_ACCEPTED, f->hypervisor.ids[0]);
}

static void assert_restored(Fixture *f, DecisionResult result) {
        assert_int_equal(f->hypervisor.n_commands, 2);
        assert_int_equal(f->hypervisor.commands[1].to_bytes, GIB);
        tell(&f->hypervisor, VMM_ACCEPTED, f->hypervisor.ids[1]);
        assert_int_equal(newest(f)->result, result);
}

static void test_veto(void **state) {
        Fixture *f = *state;

        step_in_flight(f);
        send(f, (Message){.type = MESSAGE_ALARM,
                          .alarm = {.urgency = URGENCY_LOW, .cause = CAUSE_VETO, .veto_id = newest(f)->id}});
        assert_restored(f, RESULT_VETOED);
}

static void test_veto_of_another_resize(void **state) {
        Fixture *f = *state;

        step_in_flight(f);
        send(f, (Message){.type = MESSAGE_ALARM,
                          .alarm = {.urgency = URGENCY_LOW, .cause = CAUSE_VETO, .veto_id = 999999}});
        assert_int_equal(f->hypervisor.n_commands, 1);
}

static void test_urgency_stops_a_shrink(void **state) {
        Fixture *f = *state;

        step_in_flight(f);
        send(f, report_of(f, MIB, 256 * MIB, URGENCY_HIGH));
        assert_restored(f, RESULT_VETOED);
}

static void test_silence_in_flight(void **state) {
        Fixture *f = *state;

        step_in_flight(f);
        world_idle(&f->world, 150);
        assert_restored(f, RESULT_SILENT);
}

static void test_agent_lost_in_flight(void **state) {
        Fixture *f = *state;

        step_in_flight(f);
        peer_hang_up(&f->agent.peer);
        world_idle(&f->world, 5);
        assert_int_equal(newest(f)->result, RESULT_LOST);
        assert_int_equal(f->hypervisor.n_commands, 1);
}

static void test_alien_offers_and_confirms(void **state) {
        Fixture *f = *state;

        grown_by_1gib(f);
        start(f, &adopted);
        send(f, (Message){.type = MESSAGE_SHRINK_OFFER,
                          .shrink_offer = {.id = 5, .step = 1, .offered_bytes = GIB}});
        send(f, (Message){.type = MESSAGE_RESIZE_CONFIRM, .resize_confirm = {.id = 5, .delta_bytes = -5}});
        assert_int_equal(f->hypervisor.n_commands, 0);
        shrink_begins(f);
        send(f, (Message){.type = MESSAGE_SHRINK_OFFER,
                          .shrink_offer = {.id = newest(f)->id + 1, .step = 1, .offered_bytes = GIB}});
        send(f, (Message){.type = MESSAGE_SHRINK_OFFER,
                          .shrink_offer = {.id = newest(f)->id, .step = 7, .offered_bytes = GIB}});
        assert_int_equal(f->hypervisor.n_commands, 0);
        /* An offer beyond what was asked is held to what was asked. */
        send(f, (Message){.type = MESSAGE_SHRINK_OFFER,
                          .shrink_offer = {.id = newest(f)->id, .step = 1, .offered_bytes = GIB}});
        assert_int_equal(f->hypervisor.commands[0].to_bytes, GIB - 64 * MIB);
}

/* "Not within 150 ms": it is not asked before. */
static void test_refusal_with_a_hold(void **state) {
        Fixture *f = *state;
        const MessageShrinkRequest *request = &f->agent.last[MESSAGE_SHRINK_REQUEST].shrink_request;
        uint64_t refused_usec;

        grown_by_1gib(f);
        start(f, &adopted);
        shrink_begins(f);
        refused_usec = world_now();
        send(f, (Message){.type = MESSAGE_SHRINK_OFFER,
                          .shrink_offer = {.id = request->id,
                                           .step = 1,
                                           .reason = REFUSAL_MARGIN,
                                           .hold_usec = 150 * USEC_PER_MSEC}});
        assert_int_equal(newest(f)->result, RESULT_REFUSED);
        assert_int_equal(newest(f)->refusal, REFUSAL_MARGIN);
        while (f->agent.n[MESSAGE_SHRINK_REQUEST] == 1 && world_now() < refused_usec + 2 * USEC_PER_SEC)
                send(f, report_of(f, usable(f) - 100 * MIB, -(int64_t) (256 * MIB), URGENCY_NONE));
        assert_int_equal(f->agent.n[MESSAGE_SHRINK_REQUEST], 2);
        assert_true(world_now() - refused_usec >= 150 * USEC_PER_MSEC);
}

/* -- silence, grace, reset ------------------------------------------------------------------------- */

static void test_silence_never_shrinks(void **state) {
        Fixture *f = *state;

        f->env.session.stale_usec = 30 * USEC_PER_MSEC; /* shorter than the calm that is wanted */
        grown_by_1gib(f);
        start(f, &adopted);
        send(f, report_of(f, GIB, -(int64_t) (512 * MIB), URGENCY_NONE));
        send(f, report_of(f, GIB, -(int64_t) (512 * MIB), URGENCY_NONE));
        world_idle(&f->world, 250); /* calm for long, and silent */
        vm_tick(f->vm, world_now());
        vm_tick(f->vm, world_now());
        assert_int_equal(f->agent.n[MESSAGE_SHRINK_REQUEST], 0);
}

/* One report after a pause is not enough to count calm from. */
static void test_grace_after_pause(void **state) {
        Fixture *f = *state;
        VmSnapshot snapshot;

        grown_by_1gib(f);
        start(f, &adopted);
        tell(&f->hypervisor, VMM_PAUSED, 0);
        vm_snapshot(f->vm, world_now(), &snapshot);
        assert_int_equal(snapshot.state, VM_PAUSED);
        send_alarm(f, 256 * MIB);
        assert_int_equal(f->hypervisor.n_commands, 0);

        tell(&f->hypervisor, VMM_RUNNING, 0);
        send(f, report_of(f, GIB, -(int64_t) (512 * MIB), URGENCY_NONE));
        world_idle(&f->world, 70);
        vm_tick(f->vm, world_now());
        assert_int_equal(f->agent.n[MESSAGE_SHRINK_REQUEST], 0);
        shrink_begins(f);
}

static void test_pause_in_flight(void **state) {
        Fixture *f = *state;

        step_in_flight(f);
        tell(&f->hypervisor, VMM_PAUSED, 0);
        world_idle(&f->world, 250);
        assert_int_equal(newest(f)->result, RESULT_LOST);
        assert_int_equal(f->hypervisor.n_commands, 1);
}

static void test_reset_opens_the_balloon(void **state) {
        Fixture *f = *state;

        f->hypervisor.model.balloon_actual_bytes = 300 * MIB;
        start(f, &adopted);
        tell(&f->hypervisor, VMM_RESET, 0);
        assert_int_equal(f->hypervisor.n_commands, 1);
        assert_int_equal(f->hypervisor.commands[0].actuator, ACTUATOR_BALLOON);
        assert_int_equal(f->hypervisor.commands[0].to_bytes, 0);
        assert_int_equal(f->ledger.committed_bytes, 512 * MIB); /* what it may take now is reserved */

        /* Frames of the old boot are void; the new one says Hello. */
        f->agent.n[MESSAGE_WELCOME] = 0;
        send_alarm(f, 256 * MIB);
        assert_int_equal(f->hypervisor.n_commands, 1);
}

static void test_reset_of_an_observed_vm(void **state) {
        Fixture *f = *state;

        f->hypervisor.model.balloon_actual_bytes = 300 * MIB;
        start(f, &(VmPolicy){});
        tell(&f->hypervisor, VMM_RESET, 0);
        assert_int_equal(f->hypervisor.n_commands, 0);
}

static void test_new_agent_ends_the_resize(void **state) {
        Fixture *f = *state;

        step_in_flight(f);
        f->agent.start_nonce++;
        f->agent.handshake_nonce++;
        agent_peer_hello(&f->agent);
        world_idle(&f->world, 5);
        assert_int_equal(newest(f)->result, RESULT_LOST);
}

/* -- others ---------------------------------------------------------------------------------------- */

static void test_rival(void **state) {
        Fixture *f = *state;

        start(f, &adopted);
        send_alarm(f, 256 * MIB);
        fulfil(f);
        send_confirm(f, 0, 256 * MIB);
        f->hypervisor.model.virtio_mem[0].requested_bytes = 128 * MIB; /* an operator at virsh */
        tell(&f->hypervisor, VMM_MODEL, 0);
        send_alarm(f, 256 * MIB);
        send_alarm(f, 256 * MIB);
        assert_int_equal(f->hypervisor.n_commands, 1); /* left alone */
}

static void test_rival_in_flight(void **state) {
        Fixture *f = *state;

        start(f, &adopted);
        send_alarm(f, 256 * MIB);
        f->hypervisor.model.virtio_mem[0].requested_bytes = GIB;
        tell(&f->hypervisor, VMM_MODEL, 0);
        assert_int_equal(newest(f)->result, RESULT_LOST);
        send_alarm(f, 256 * MIB);
        assert_int_equal(f->hypervisor.n_commands, 1);
}

static void test_balloon_inflated_by_another(void **state) {
        Fixture *f = *state;

        start(f, &adopted);
        f->hypervisor.model.balloon_actual_bytes = 400 * MIB;
        tell(&f->hypervisor, VMM_MODEL, 0);
        send_alarm(f, 256 * MIB);
        assert_int_equal(f->hypervisor.n_commands, 0);
}

/* The guest took pages out of its balloon to survive: the target follows, or the next change takes them again. */
static void test_oom_deflation(void **state) {
        Fixture *f = *state;

        f->hypervisor.model.balloon_actual_bytes = 256 * MIB;
        start(f, &adopted);
        f->hypervisor.model.balloon_actual_bytes = 400 * MIB;
        tell(&f->hypervisor, VMM_MODEL, 0);
        assert_int_equal(f->hypervisor.n_commands, 1);
        assert_int_equal(f->hypervisor.commands[0].actuator, ACTUATOR_BALLOON);
        assert_int_equal(f->hypervisor.commands[0].to_bytes, 112 * MIB);
}

/* Somebody plugs a DIMM: its size moves the balloon's actual, and nobody is accused. */
static void test_dimm_is_no_rival(void **state) {
        Fixture *f = *state;

        f->hypervisor.model.balloon_actual_bytes = 256 * MIB;
        start(f, &adopted);
        f->hypervisor.model.dimm_bytes = GIB;
        f->hypervisor.model.balloon_actual_bytes += GIB;
        tell(&f->hypervisor, VMM_MODEL, 0);
        send_alarm(f, 128 * MIB);
        assert_int_equal(f->hypervisor.n_commands, 1);
}

/* -- lies ------------------------------------------------------------------------------------------ */

static void test_figures_are_cut(void **state) {
        Fixture *f = *state;
        Message message;
        VmSnapshot snapshot;

        start(f, &adopted);
        message = report_of(f, 0, 0, URGENCY_NONE);
        message.report.memory_total_bytes = message.report.usable_bytes = 60 * TIB;
        message.report.memory_available_bytes = 59 * TIB;
        message.report.used_bytes = TIB;
        message.report.need_bytes = -(int64_t) (50 * TIB);
        send(f, message);
        vm_snapshot(f->vm, world_now(), &snapshot);
        assert_true(snapshot.usable_bytes <= 512 * MIB + 128 * MIB);
        assert_true(snapshot.available_bytes <= 512 * MIB + 128 * MIB);
        assert_true(snapshot.need_bytes >= -(int64_t) (640 * MIB));
}

#define vm_test(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                vm_test(test_grow),
                vm_test(test_not_judged_twice),
                vm_test(test_observed_without_max),
                cmocka_unit_test_teardown(test_bounds, teardown),
                vm_test(test_reserve_is_released),
                vm_test(test_monitor_lost_between_reserve_and_confirm),
                vm_test(test_command_that_can_not_be_sent),
                vm_test(test_shrink),
                vm_test(test_veto),
                vm_test(test_veto_of_another_resize),
                vm_test(test_urgency_stops_a_shrink),
                vm_test(test_silence_in_flight),
                vm_test(test_agent_lost_in_flight),
                vm_test(test_alien_offers_and_confirms),
                vm_test(test_refusal_with_a_hold),
                vm_test(test_silence_never_shrinks),
                vm_test(test_grace_after_pause),
                vm_test(test_pause_in_flight),
                vm_test(test_reset_opens_the_balloon),
                vm_test(test_reset_of_an_observed_vm),
                vm_test(test_new_agent_ends_the_resize),
                vm_test(test_rival),
                vm_test(test_rival_in_flight),
                vm_test(test_balloon_inflated_by_another),
                vm_test(test_oom_deflation),
                vm_test(test_dimm_is_no_rival),
                vm_test(test_figures_are_cut),
        };

        log_setup(LOG_TARGET_STDERR, LOG_ERR);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
