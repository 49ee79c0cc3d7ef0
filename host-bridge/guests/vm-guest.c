/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What the agent says. proto/wire.c has held every value to its own range; here each is held to what this
 * VM's hypervisor says, because a guest may well lie within 64 TiB. A guest that exceeds its bounds is not punished: its
 * figure is cut, and it can only ask for what it might have had anyway.
 */

#include <assert.h>
#include <inttypes.h>
#include <string.h>

#include "common/parse.h"
#include "host-bridge/guests/vm-internal.h"
#include "host-bridge/surfaces/messages.h"

/* A guest may see memory before our next reading of the model does: at most one block of x86. */
#define MODEL_LAG_BYTES (128 * MIB)

/* A guest may refuse for ever, and is asked again all the same: it may have been replaced by an honest one. */
#define GUEST_HOLD_MAX_USEC (600 * USEC_PER_SEC)

/* Most bytes that the guest can have now, as far as the host knows. */
static uint64_t size_bound(const Vm *vm) {
        return vm->sizes.known ? u64_add(u64_max(vm->sizes.size_bytes, vm->committed_bytes), MODEL_LAG_BYTES)
                               : MEMORY_BYTES_MAX;
}

static int64_t bounded_need(const Vm *vm, int64_t need_bytes, uint64_t size_max) {
        uint64_t most = vm->sizes.known ? vm->sizes.ceiling_bytes : MEMORY_BYTES_MAX;

        if (need_bytes > 0)
                return (int64_t) u64_min((uint64_t) need_bytes, most);
        return -(int64_t) u64_min(UINT64_C(0) - (uint64_t) need_bytes, size_max);
}

static void take_urgency(Vm *vm, Urgency urgency, Cause cause, uint64_t now_usec) {
        vm->guest.urgency = urgency;
        vm->guest.cause = cause;
        if (urgency != URGENCY_NONE)
                vm->calm_since_usec = 0;
        else if (vm->calm_since_usec == 0 && vm->n_reports >= 2) /* grace: rule 5 */
                vm->calm_since_usec = now_usec;
        if (urgency == URGENCY_NONE)
                vm->denied_rule = RULE_NONE;
}

static void tell_doubt(Vm *vm, uint64_t now_usec) {
        unsigned suppressed;

        if (!log_limit_allows(&vm->log_limit, now_usec, &suppressed))
                return;
        if (vm->trust.doubt != DOUBT_NONE)
                log_warning("VM %s: its guest's figures cannot be true (%s): it grows up to its fair share, "
                            "and nothing "
                            "is taken from it",
                            vm->name, doubt_to_string(vm->trust.doubt));
        else
                log_notice("VM %s: its guest is believed again", vm->name);
}

static void take_trust(Vm *vm, const MessageReport *report, uint64_t now_usec) {
        TrustFigures figures = {
                .usable_bytes = report->usable_bytes,
                .psi_some_usec = report->psi_some_usec,
                .psi_full_usec = report->psi_full_usec,
                .oom_kills = report->oom_kills,
                .size_max_bytes = vm->sizes.known ? size_bound(vm) : 0,
        };

        if (trust_take(&vm->trust, &figures, now_usec))
                tell_doubt(vm, now_usec);
}

void vm_take_malformed(Vm *vm, uint64_t now_usec) {
        SessionCounters counters = session_counters(vm->session);

        if (trust_take_malformed(&vm->trust, counters.malformed, now_usec))
                tell_doubt(vm, now_usec);
}

/* What the VM could still be given: by its policy and devices, and by the budget. */
static uint64_t headroom_bytes(const Vm *vm) {
        const Ledger *ledger = vm->env->ledger;

        if (!vm_is_managed(vm) || !vm->sizes.known)
                return 0;
        return u64_min(u64_sub(vm_max_bytes(vm), vm->committed_bytes),
                       u64_sub(ledger->budget_bytes, ledger->committed_bytes));
}

static void take_harm(Vm *vm, const MessageReport *report, uint64_t now_usec) {
        harm_note(&vm->harm, &(HarmSample){
                                     .now_usec = now_usec,
                                     .some_usec = report->psi_some_usec,
                                     .oom_kills = report->oom_kills,
                                     .balloon_bytes = vm->sizes.balloon_bytes,
                                     .headroom_bytes = headroom_bytes(vm),
                             });
}

/* Agents count from their start on: more than this has nobody seen. */
static unsigned bounded_count(uint64_t n) {
        return (unsigned) u64_min(n, UINT32_MAX);
}

static void take_report(Vm *vm, const MessageReport *report, uint64_t now_usec) {
        uint64_t bound = size_bound(vm);

        take_trust(vm, report, now_usec);
        take_harm(vm, report, now_usec);
        vm->n_reports++;
        vm->guest = (GuestFigures){
                .known = true,
                .arrived_usec = now_usec,
                .reported_usec = now_usec,
                .total_bytes = u64_min(report->memory_total_bytes, bound),
                .usable_bytes = u64_min(report->usable_bytes, bound),
                .available_bytes = u64_min(report->memory_available_bytes, bound),
                .used_bytes = u64_min(report->used_bytes, bound),
                .demand_bytes = report->demand_bytes,
                .floor_bytes = report->floor_bytes,
                .need_bytes = bounded_need(vm, report->need_bytes, bound),
                .time_to_exhaustion_usec = report->time_to_exhaustion_usec,
                .fall_bytes_per_sec = report->fall_bytes_per_sec,
                .plug_budget_bytes = report->plug_budget_bytes,
                .psi_some_usec = report->psi_some_usec,
                .psi_full_usec = report->psi_full_usec,
                .oom_kills = report->oom_kills,
                .blocks_online = report->blocks_online,
                .blocks_offline = report->blocks_offline,
                .dropped = bounded_count(report->frames_dropped),
                .dropped_void = bounded_count(report->frames_void),
        };
        arbiter_peak_note(&vm->peak, vm->env->arbiter.calm_before_shrink_usec,
                          u64_min(report->demand_bytes, MEMORY_BYTES_MAX), now_usec);
        activity_note(&vm->activity, vm->guest.used_bytes, vm->guest.usable_bytes, now_usec);
        take_urgency(vm, report->urgency, report->cause, now_usec);
}

static void take_alarm(Vm *vm, const MessageAlarm *alarm, uint64_t now_usec) {
        uint64_t bound = size_bound(vm);

        vm->guest.known = true;
        vm->guest.arrived_usec = now_usec;
        vm->guest.usable_bytes = u64_min(alarm->usable_bytes, bound);
        vm->guest.available_bytes = u64_min(alarm->memory_available_bytes, bound);
        vm->guest.need_bytes = bounded_need(vm, alarm->need_bytes, bound);
        vm->guest.demand_bytes = u64_shift(vm->guest.usable_bytes, vm->guest.need_bytes);
        vm->guest.time_to_exhaustion_usec = alarm->time_to_exhaustion_usec;
        vm->guest.fall_bytes_per_sec = alarm->fall_bytes_per_sec;
        vm->guest.plug_budget_bytes = alarm->plug_budget_bytes;
        take_urgency(vm, alarm->urgency, alarm->cause, now_usec);
}

/* A guest in need, or one that says stop, ends a shrink; else it has merely been heard. */
static void feed_mood(Vm *vm, uint64_t veto_id) {
        bool stop = veto_id == vm->resize_id || vm->guest.urgency >= URGENCY_HIGH;

        vm_feed_kind(vm, vm_is_shrinking(vm) && stop ? RESIZE_EVENT_VETO : RESIZE_EVENT_HEARD);
}

static void feed_offer(Vm *vm, const MessageShrinkOffer *offer) {
        if (offer->id != vm->resize_id)
                return;
        if (offer->offered_bytes == 0)
                vm->held_until_usec =
                        u64_add(clock_monotonic_usec(), u64_min(offer->hold_usec, GUEST_HOLD_MAX_USEC));
        vm_feed(vm, &(ResizeEvent){
                            .kind = RESIZE_EVENT_OFFER,
                            .step = offer->step,
                            .bytes = offer->offered_bytes,
                            .reason = offer->reason,
                    });
}

static void feed_confirm(Vm *vm, const MessageResizeConfirm *confirm) {
        uint64_t bound = size_bound(vm), usable = u64_min(confirm->usable_bytes, bound);

        vm_late_confirm(vm, confirm, clock_monotonic_usec());
        if (confirm->id != vm->resize_id)
                return;

        vm->guest.need_bytes = bounded_need(vm, u64_delta(vm->guest.demand_bytes, usable), bound);
        vm->guest.usable_bytes = usable;
        vm->guest.blocks_online = confirm->blocks_online;
        vm->guest.blocks_offline = confirm->blocks_offline;
        if (vm->monitor_up)
                (void) vmm_refresh(vm->vmm); /* a step is closed by both words */
        vm_feed(vm, &(ResizeEvent){
                            .kind = RESIZE_EVENT_CONFIRM,
                            .step = confirm->step,
                            .delta_bytes = confirm->delta_bytes,
                            .stall_usec = confirm->stall_usec,
                    });
}

static void log_block(Vm *vm, const MessageBlockEvent *event) {
        unsigned suppressed;

        if (!log_limit_allows(&vm->log_limit, clock_monotonic_usec(), &suppressed))
                return;
        (void) log_line(event->action == BLOCK_FAILED ? LOG_WARNING : LOG_DEBUG, 0,
                        "VM %s: memory block %" PRIu64 " (%s) %s, zone %s, error %u", vm->name, event->block,
                        block_kind_to_string(event->kind), block_action_to_string(event->action),
                        zone_to_string(event->zone), event->error);
}

/* To an OfflineRange, if one is open; of an OnlineRange nobody waits for the answer. */
static void feed_result(Vm *vm, const MessageCommandResult *result) {
        /* A refusal to be told twice leaves the first command as it is. */
        bool ours = result->id == vm->resize_id && result->reason != REFUSAL_REPEATED;
        bool tried = result->outcome == COMMAND_FAILED;

        if (ours && tried && vm->resize && vm->resize->phase == RESIZE_PREPARING)
                vm_note_stuck_dimm(vm, vm->resize->step.device);
        vm_feed(vm, &(ResizeEvent){
                            .kind = !ours                             ? RESIZE_EVENT_HEARD
                                    : result->outcome == COMMAND_DONE ? RESIZE_EVENT_PREPARED
                                                                      : RESIZE_EVENT_UNPREPARED,
                            .reason = result->reason,
                            .tried = tried,
                    });
}

static void on_message(Vm *vm, const Message *message, uint64_t now_usec) {
        switch (message->type) {

        case MESSAGE_REPORT:
                take_report(vm, &message->report, now_usec);
                feed_mood(vm, 0);
                vm_judge(vm, now_usec);
                return;

        case MESSAGE_ALARM:
                take_alarm(vm, &message->alarm, now_usec);
                feed_mood(vm, message->alarm.veto_id);
                vm_judge(vm, now_usec);
                return;

        case MESSAGE_SHRINK_OFFER:
                feed_offer(vm, &message->shrink_offer);
                return;

        case MESSAGE_RESIZE_CONFIRM:
                feed_confirm(vm, &message->resize_confirm);
                return;

        case MESSAGE_BLOCK_EVENT:
                log_block(vm, &message->block_event);
                vm_feed(vm, &(ResizeEvent){
                                    .kind = RESIZE_EVENT_HEARD,
                                    .block_failed = message->block_event.action == BLOCK_FAILED,
                            });
                return;

        case MESSAGE_COMMAND_RESULT:
                feed_result(vm, &message->command_result);
                return;

        case MESSAGE_HELLO: /* the session's */
        case MESSAGE_WELCOME:
        case MESSAGE_GROW_NOTICE:
        case MESSAGE_SHRINK_REQUEST:
        case MESSAGE_OFFLINE_RANGE:
        case MESSAGE_ONLINE_RANGE:
        case MESSAGE_TUNING:
        case MESSAGE_PING:
        case MESSAGE_TYPE_MAX:
                return;
        }
}

static void keep_hello(Vm *vm, const MessageHello *hello) {
        (void) sparse_set(&vm->hello, hello, sizeof(*hello)); /* out of memory: people see the one before */
        vm->capabilities = hello->capabilities;
        vm->guest_block_bytes = hello->block_size_bytes;
        vm->psi_missing = false;
        for (size_t i = 0; i < hello->n_missing; i++)
                vm->psi_missing |= hello->missing[i].facility == FACILITY_PSI;
}

static void on_opened(Vm *vm, const MessageHello *hello) {
        char total[FORMAT_SIZE_MAX];
        unsigned suppressed;

        vm_feed_kind(vm, RESIZE_EVENT_LOST); /* an agent that starts anew knows of no resize */
        vm_late_end(vm, USEC_INFINITY, clock_monotonic_usec());
        vm_begin_grace(vm);
        keep_hello(vm, hello);
        vm->guest.plug_budget_bytes = hello->plug_budget_bytes; /* until a report says more */
        vm->guest.dropped = vm->guest.dropped_void = bounded_count(hello->frames_void);
        vm->dimms_due = true;
        vm_allow_dimms(vm);
        vm_return_dimms(vm);

        if (!log_limit_allows(&vm->log_limit, clock_monotonic_usec(), &suppressed))
                return;
        log_info("VM %s: agent %s on Linux %s, %s, %zu facilities missing", vm->name, hello->agent_version,
                 hello->kernel_release, format_size(total, hello->memory_total_bytes), hello->n_missing);
        for (size_t i = 0; i < hello->n_missing; i++)
                log_warning("VM %s: its agent does without %s: %s", vm->name,
                            facility_to_string(hello->missing[i].facility),
                            strerror((int) hello->missing[i].error));
}

void vm_on_session(Session *session, const SessionEvent *event, void *userdata) {
        Vm *vm = userdata;
        unsigned suppressed;

        switch (event->kind) {

        case SESSION_CONNECTED:
                vm_renew_lease(vm, event->now_usec); /* the socket may be that of another VM */
                if (vm->env->keep_channel)
                        vm->env->keep_channel(vm->name, event->fd, vm->env->userdata);
                return;

        case SESSION_OPENED:
                on_opened(vm, &event->message->hello);
                return;

        case SESSION_MESSAGE:
                on_message(vm, event->message, event->now_usec);
                return;

        case SESSION_CLOSED:
                vm_feed_kind(vm, RESIZE_EVENT_LOST);
                vm_late_end(vm, USEC_INFINITY, event->now_usec);
                vm_begin_grace(vm);
                if (log_limit_allows(&vm->log_limit, event->now_usec, &suppressed))
                        log_event(LOG_WARNING, MESSAGE_ID_AGENT_LOST, &(LogField){"VM_NAME", vm->name}, 1,
                                  "VM %s: its channel was closed; its size is held", vm->name);
                return;
        }
}
