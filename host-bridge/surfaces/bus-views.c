/* SPDX-License-Identifier: Apache-2.0 */

/*
 * History comes from the audit's thread, so its answer comes later: the call is kept meanwhile, which keeps its
 * connection, also where the client has left.
 */

#include "host-bridge/surfaces/bus-views.h"

#include <assert.h>
#include <string.h>

#include "common/bus-field.h"
#include "common/config-value.h"
#include "common/log.h"
#include "host-bridge/surfaces/fields.h"

static void on_history(int error, const Decision *decisions, size_t n, void *userdata) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *call = userdata, *reply = NULL;
        Field fields[FIELDS_MAX];
        int r;

        if (error < 0) {
                (void) sd_bus_reply_method_errorf(call, BUS_ERROR_NO_HISTORY,
                                                  "The audit can not be read: %s.", strerror(-error));
                return;
        }
        r = sd_bus_message_new_method_return(call, &reply);
        if (r >= 0)
                r = sd_bus_message_open_container(reply, 'a', "a{sv}");
        for (size_t i = 0; r >= 0 && i < n; i++)
                r = bus_append_fields(reply, fields, fields_of_decision(decisions + i, fields));
        if (r >= 0)
                r = sd_bus_message_close_container(reply);
        if (r >= 0)
                r = sd_bus_send(NULL, reply, NULL);
        if (r < 0)
                (void) log_debug_errno(r, "A client could not be told the history: %m");
}

int bus_answer_history(sd_bus_message *call, Audit *audit, const char *vm, size_t most, sd_bus_error *error) {
        int r;

        if (!audit)
                return sd_bus_error_setf(error, BUS_ERROR_NO_HISTORY,
                                         "The bridge keeps no audit ([Audit] File=off).");
        r = audit_list(audit, vm, most, on_history, sd_bus_message_ref(call));
        if (r < 0) {
                (void) sd_bus_message_unref(call);
                return r;
        }
        return 1;
}

/* One key; file and line are left out for a default. */
static int append_key(sd_bus_message *reply, const ConfigView *view, size_t i) {
        const ConfigKey *key = view->table->keys + i;
        const ConfigOrigin *origin = view->origins + i;
        Field fields[5] = {
                {.name = "section", .type = FIELD_STRING}, {.name = "key", .type = FIELD_STRING},
                {.name = "value", .type = FIELD_STRING},   {.name = "file", .type = FIELD_STRING},
                {.name = "line", .type = FIELD_U64},
        };

        (void) snprintf(fields[0].text, FIELD_TEXT_MAX, "%s", key->section);
        (void) snprintf(fields[1].text, FIELD_TEXT_MAX, "%s", key->key);
        config_value_format(key, (const char *) view->config + key->offset, fields[2].text, FIELD_TEXT_MAX);
        (void) snprintf(fields[3].text, FIELD_TEXT_MAX, "%s", origin->file);
        fields[4].u64 = origin->line;
        return bus_append_fields(reply, fields, origin->line > 0 ? 5 : 3);
}

int bus_answer_config(sd_bus_message *call, const ConfigView *view) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        int r;

        r = sd_bus_message_new_method_return(call, &reply);
        if (r >= 0)
                r = sd_bus_message_open_container(reply, 'a', "a{sv}");
        for (size_t i = 0; r >= 0 && view->table && i < view->table->n_keys; i++)
                r = append_key(reply, view, i);
        if (r >= 0)
                r = sd_bus_message_close_container(reply);
        return r < 0 ? r : sd_bus_send(NULL, reply, NULL);
}
