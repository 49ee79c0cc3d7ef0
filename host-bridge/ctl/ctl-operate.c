/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Waiting is looking again at each signal of the bridge, and once a second: a signal that came before the answer to our own
 * call, or that was lost with a full queue, costs a second and not for ever.
 */

#include "host-bridge/ctl/ctl-operate.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "common/macro.h"
#include "common/parse.h"
#include "common/units.h"
#include "host-bridge/ctl/ctl-client.h"
#include "host-bridge/ctl/ctl-show.h"
#include "host-bridge/ctl/ctl-text.h"
#include "host-bridge/surfaces/bus.h"

static int complain(const char *what, const char *which) {
        fprintf(stderr, "memtidectl: %s %s (see memtidectl --help)\n", what, which);
        return -EINVAL;
}

static int print(const json_t *value) {
        return json_dumpf(value, stdout, JSON_INDENT(2) | JSON_PRESERVE_ORDER) < 0 || putchar('\n') == EOF
                       ? -EIO
                       : 0;
}

static int on_signal(sd_bus_message *signal, void *userdata, sd_bus_error *error) {
        *(bool *) userdata = true;
        return 0;
}

/* The decision with id as the bridge has it now. Returns 1 with *ret, 0 if it keeps it no more, or -errno. */
static int find_decision(sd_bus *bus, const char *vm, uint64_t id, json_t **ret) {
        _cleanup_(json_decrefp) json_t *decisions = NULL;
        json_t *decision;
        size_t i;
        int r;

        r = ctl_call(bus, "ListDecisions", "su", vm, BUS_DECISIONS_MAX, &decisions);
        if (r < 0)
                return r;
        json_array_foreach(decisions, i, decision) {
                if (ctl_number(decision, "id") == id) {
                        *ret = json_incref(decision);
                        return 1;
                }
        }
        return 0;
}

static int wait_for_signal(sd_bus *bus, bool *told) {
        uint64_t left_usec = USEC_PER_SEC;
        int r;

        while (!*told && left_usec > 0) {
                r = sd_bus_process(bus, NULL);
                if (r == 0) {
                        r = sd_bus_wait(bus, left_usec);
                        if (r == 0)
                                left_usec = 0;
                }
                if (r < 0)
                        return r;
        }
        *told = false;
        return 0;
}

/* Replaces *decision by what became of it. */
static int wait_closed(sd_bus *bus, const char *vm, json_t **decision) {
        _cleanup_(sd_bus_slot_unrefp) sd_bus_slot *slot = NULL;
        uint64_t id = ctl_number(*decision, "id");
        bool told = false;
        int r;

        r = sd_bus_match_signal(bus, &slot, NULL, BUS_OBJECT_PATH, BUS_INTERFACE, "DecisionChanged",
                                on_signal, &told);
        while (r >= 0) {
                json_t *now = NULL;

                r = find_decision(bus, vm, id, &now);
                if (r <= 0)
                        return r == 0 ? -ESTALE : r;
                json_decref(*decision);
                *decision = now;
                if (strcmp(ctl_word(now, "result"), "pending") != 0)
                        return 0;
                r = wait_for_signal(bus, &told);
        }
        errno = -r;
        fprintf(stderr, "memtidectl: cannot wait for the bridge: %m\n");
        return r;
}

static int call_resize(sd_bus *bus, const char *method, const char *vm, uint64_t bytes, json_t **ret) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *call = NULL;
        int r;

        r = sd_bus_message_new_method_call(bus, &call, NULL, BUS_OBJECT_PATH, BUS_INTERFACE, method);
        if (r >= 0)
                r = sd_bus_message_append(call, "st", vm, bytes);
        return r < 0 ? r : ctl_send(bus, call, ret);
}

static bool is_word(const json_t *object, const char *key, const char *word) {
        return strcmp(ctl_word(object, key), word) == 0;
}

/* 0 where the VM gets, or has, all that was asked for. */
static int verdict(const CtlOperate *options, const json_t *decision) {
        if (is_word(decision, "kind", "none"))
                return 0;
        if (is_word(decision, "kind", "deny"))
                return -EPERM;
        if (options->dry_run || is_word(decision, "result", "pending"))
                return 0;
        return is_word(decision, "result", "done") ? 0 : -ECANCELED;
}

int ctl_resize(const CtlOperate *options, sd_bus *bus, char *words[]) {
        _cleanup_(json_decrefp) json_t *decision = NULL;
        const char *vm = words[1], *size = words[2];
        uint64_t bytes;
        int r;

        if (parse_size(size, strlen(size), &bytes) < 0)
                return complain("no size, such as 2G:", size);
        r = call_resize(bus, options->dry_run ? "PlanResize" : "Resize", vm, bytes, &decision);
        if (r >= 0 && options->wait && !options->dry_run && is_word(decision, "result", "pending"))
                r = wait_closed(bus, vm, &decision);
        if (r < 0)
                return r;

        if (options->json)
                r = print(decision);
        else if (is_word(decision, "kind", "none"))
                printf("%s: it has that size already\n", vm);
        else
                ctl_show_resize(decision, stdout);
        return r < 0 ? r : verdict(options, decision);
}

/* A method without an answer. */
static int tell(const CtlOperate *options, sd_bus *bus, const char *method, const char *vm,
                const uint64_t *usec) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *call = NULL;
        _cleanup_(json_decrefp) json_t *status = NULL;
        int r;

        r = sd_bus_message_new_method_call(bus, &call, NULL, BUS_OBJECT_PATH, BUS_INTERFACE, method);
        if (r >= 0)
                r = usec ? sd_bus_message_append(call, "st", vm, *usec)
                         : sd_bus_message_append(call, "s", vm);
        if (r >= 0)
                r = ctl_send(bus, call, NULL);
        if (r < 0 || !options->json)
                return r;
        r = ctl_call(bus, "GetVm", "s", vm, 0, &status);
        return r < 0 ? r : print(status);
}

int ctl_hold(const CtlOperate *options, sd_bus *bus, char *words[]) {
        uint64_t usec = UINT64_MAX;

        if (words[2] && (parse_timespan(words[2], strlen(words[2]), &usec) < 0 || usec == 0))
                return complain("no time, such as 30min:", words[2]);
        return tell(options, bus, "Hold", words[1], &usec);
}

int ctl_resume(const CtlOperate *options, sd_bus *bus, char *words[]) {
        return tell(options, bus, "Resume", words[1], NULL);
}
