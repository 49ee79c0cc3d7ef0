/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Who may: on the peer-to-peer socket the kernel says who connected, and that is looked at with each call although the
 * socket's mode says the same, since a mode is easily changed. On the system bus sd-bus would have to ask the bus daemon for
 * the sender's user and wait for its answer; nothing in this loop waits for another process, so the bus' own policy decides.
 */

#include "host-bridge/surfaces/bus-control.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "common/bus-field.h"
#include "common/log.h"
#include "host-bridge/surfaces/bus.h"
#include "host-bridge/surfaces/fields.h"

int bus_check_caller(sd_bus_message *call, sd_bus_error *error) {
        _cleanup_(sd_bus_creds_unrefp) sd_bus_creds *creds = NULL;
        sd_bus *bus = sd_bus_message_get_bus(call);
        uid_t uid;
        int r;

        if (sd_bus_is_bus_client(bus) > 0)
                return 0;
        r = sd_bus_get_owner_creds(bus, SD_BUS_CREDS_EUID, &creds);
        if (r >= 0)
                r = sd_bus_creds_get_euid(creds, &uid);
        if (r < 0)
                return r;
        if (uid != 0 && uid != geteuid())
                return sd_bus_error_set(error, SD_BUS_ERROR_ACCESS_DENIED,
                                        "Only root and the bridge's own user may change a VM.");
        return 0;
}

static int explain(const char *vm, int r, sd_bus_error *error) {
        switch (r) {

        case -ENOENT:
                return sd_bus_error_setf(error, BUS_ERROR_NO_VM, "The bridge knows no VM '%s'.", vm);

        case -EBUSY:
                return sd_bus_error_setf(error, BUS_ERROR_BUSY,
                                         "VM '%s' is being resized: try again when that is over.", vm);

        case -ENOTCONN:
                return sd_bus_error_setf(error, BUS_ERROR_NOT_READY,
                                         "VM '%s' has no monitor or no agent that speaks: its size is held.",
                                         vm);

        case -EHOSTDOWN:
                return sd_bus_error_setf(error, BUS_ERROR_NOT_READY, "VM '%s' is paused or migrating.", vm);
        }
        return r;
}

static int append_step(sd_bus_message *reply, const ControlPlan *plan, size_t i) {
        const PlanStep *step = plan->steps + i;
        Field fields[5] = {
                {.name = "actuator", .type = FIELD_STRING},
                {.name = "device", .type = FIELD_STRING},
                {.name = "from_bytes", .type = FIELD_U64, .u64 = step->from_bytes},
                {.name = "to_bytes", .type = FIELD_U64, .u64 = step->to_bytes},
                {.name = "delta_bytes", .type = FIELD_I64, .i64 = plan_step_delta_bytes(step)},
        };

        (void) snprintf(fields[0].text, FIELD_TEXT_MAX, "%s", actuator_to_string(step->actuator));
        (void) snprintf(fields[1].text, FIELD_TEXT_MAX, "%s", plan->devices[i]);
        return bus_append_fields(reply, fields, 5);
}

/* The decision; kind "none" where there is nothing to decide. */
static int append_decision(sd_bus_message *reply, const ControlPlan *plan) {
        Field fields[FIELDS_MAX];
        size_t n;

        static_assert(FIELDS_MAX >= 64, "two more than a decision has");
        if (plan->decision.kind == DECISION_KIND_MAX) {
                n = 1;
                fields[0] = (Field){.name = "kind", .type = FIELD_STRING, .text = "none"};
        } else
                n = fields_of_decision(&plan->decision, fields);
        assert(n + 2 <= FIELDS_MAX);
        fields[n++] = (Field){.name = "planned_bytes", .type = FIELD_U64, .u64 = plan->size_bytes};
        fields[n++] = (Field){.name = "more", .type = FIELD_BOOLEAN, .boolean = plan->more};
        return bus_append_fields(reply, fields, n);
}

static int answer(sd_bus_message *call, const ControlPlan *plan, bool with_steps) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        int r;

        r = sd_bus_message_new_method_return(call, &reply);
        if (r >= 0)
                r = append_decision(reply, plan);
        if (r >= 0 && with_steps) {
                r = sd_bus_message_open_container(reply, 'a', "a{sv}");
                for (size_t i = 0; r >= 0 && i < plan->n_steps; i++)
                        r = append_step(reply, plan, i);
                if (r >= 0)
                        r = sd_bus_message_close_container(reply);
        }
        return r < 0 ? r : sd_bus_send(NULL, reply, NULL);
}

static int resize(sd_bus_message *call, const Control *control, bool forecast, sd_bus_error *error) {
        ControlPlan plan;
        uint64_t bytes;
        const char *vm;
        int r;

        r = sd_bus_message_read(call, "st", &vm, &bytes);
        if (r < 0)
                return r;
        if (bytes > MEMORY_BYTES_MAX)
                return sd_bus_error_set(error, SD_BUS_ERROR_INVALID_ARGS, "A size is at most 64 TiB.");
        r = control->resize(control->userdata, vm, bytes, forecast, &plan);
        return r < 0 ? explain(vm, r, error) : answer(call, &plan, forecast);
}

int bus_answer_plan(sd_bus_message *call, const Control *control, sd_bus_error *error) {
        return resize(call, control, true, error);
}

int bus_answer_resize(sd_bus_message *call, const Control *control, sd_bus_error *error) {
        return resize(call, control, false, error);
}

int bus_answer_hold(sd_bus_message *call, const Control *control, sd_bus_error *error) {
        uint64_t usec;
        const char *vm;
        int r;

        r = sd_bus_message_read(call, "st", &vm, &usec);
        if (r < 0)
                return r;
        r = control->hold(control->userdata, vm, usec);
        return r < 0 ? explain(vm, r, error) : sd_bus_reply_method_return(call, NULL);
}

int bus_answer_resume(sd_bus_message *call, const Control *control, sd_bus_error *error) {
        const char *vm;
        int r;

        r = sd_bus_message_read(call, "s", &vm);
        if (r < 0)
                return r;
        r = control->resume(control->userdata, vm);
        return r < 0 ? explain(vm, r, error) : sd_bus_reply_method_return(call, NULL);
}
