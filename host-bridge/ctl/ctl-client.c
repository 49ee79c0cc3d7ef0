/* SPDX-License-Identifier: Apache-2.0 */

/*
 * D-Bus dictionaries become JSON objects key by key, whatever the keys are: a figure that the bridge learns to
 * show needs no change here.
 */

#include "host-bridge/ctl/ctl-client.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/bus-agent.h"
#include "common/macro.h"
#include "host-bridge/surfaces/bus.h"

#define CTL_TIMEOUT_USEC (5 * UINT64_C(1000000))

int ctl_connect(const char *socket_path, const char *peer, sd_bus **ret) {
        _cleanup_(sd_bus_unrefp) sd_bus *bus = NULL;
        _cleanup_free_ char *address = NULL;
        int r;

        if (asprintf(&address, "unix:path=%s", socket_path) < 0)
                return -ENOMEM;
        r = sd_bus_new(&bus);
        if (r >= 0)
                r = sd_bus_set_address(bus, address);
        if (r >= 0)
                r = sd_bus_set_method_call_timeout(bus, CTL_TIMEOUT_USEC);
        if (r >= 0)
                r = sd_bus_start(bus);
        if (r < 0) {
                errno = -r;
                fprintf(stderr, "memtidectl: cannot reach %s at %s: %m\n", peer, socket_path);
                if (r == -ENOENT || r == -ECONNREFUSED)
                        fprintf(stderr, "memtidectl: is %s running? (--socket names another place)\n", peer);
                return r;
        }
        *ret = TAKE_PTR(bus);
        return 0;
}

static int read_strings(sd_bus_message *message, json_t **ret) {
        _cleanup_(json_decrefp) json_t *list = json_array();
        const char *item;
        int r;

        r = sd_bus_message_enter_container(message, 'a', "s");
        while (r >= 0 && (r = sd_bus_message_read(message, "s", &item)) > 0)
                (void) json_array_append_new(list, json_string(item));
        if (r >= 0)
                r = sd_bus_message_exit_container(message);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(list);
        return 0;
}

static int read_basic(sd_bus_message *message, char type, json_t **ret) {
        union {
                uint64_t u64;
                int64_t i64;
                int boolean;
                const char *text;
        } value;
        int r = sd_bus_message_read_basic(message, type, &value);

        if (r < 0)
                return r;
        switch (type) {
        case 't':
                /* jansson's integers are signed; nothing that memtide shows comes near the difference. */
                *ret = json_integer((json_int_t) MIN_OF(value.u64, (uint64_t) INT64_MAX));
                return 0;
        case 'x':
                *ret = json_integer(value.i64);
                return 0;
        case 'b':
                *ret = json_boolean(value.boolean);
                return 0;
        case 's':
                *ret = json_string(value.text);
                return 0;
        default:
                return -EBADMSG;
        }
}

static int read_variant(sd_bus_message *message, json_t **ret) {
        const char *contents;
        char type;
        int r;

        r = sd_bus_message_peek_type(message, &type, &contents);
        if (r < 0)
                return r;
        r = sd_bus_message_enter_container(message, 'v', contents);
        if (r < 0)
                return r;
        r = strcmp(contents, "as") == 0 ? read_strings(message, ret) : read_basic(message, contents[0], ret);
        return r < 0 ? r : sd_bus_message_exit_container(message);
}

static int read_dictionary(sd_bus_message *message, json_t **ret) {
        _cleanup_(json_decrefp) json_t *object = json_object();
        int r;

        r = sd_bus_message_enter_container(message, 'a', "{sv}");
        if (r < 0)
                return r;
        while ((r = sd_bus_message_enter_container(message, 'e', "sv")) > 0) {
                const char *key;
                json_t *value = NULL;

                r = sd_bus_message_read(message, "s", &key);
                if (r >= 0)
                        r = read_variant(message, &value);
                if (r >= 0)
                        (void) json_object_set_new(object, key, value);
                if (r < 0 || (r = sd_bus_message_exit_container(message)) < 0)
                        return r;
        }
        if (r >= 0)
                r = sd_bus_message_exit_container(message);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(object);
        return 0;
}

static int read_dictionaries(sd_bus_message *message, json_t **ret) {
        _cleanup_(json_decrefp) json_t *list = json_array();
        int r;

        r = sd_bus_message_enter_container(message, 'a', "a{sv}");
        while (r >= 0 && (r = sd_bus_message_at_end(message, false)) == 0) {
                json_t *object = NULL;

                r = read_dictionary(message, &object);
                if (r >= 0)
                        (void) json_array_append_new(list, object);
        }
        if (r < 0)
                return r;
        *ret = TAKE_PTR(list);
        return 0;
}

static int append_arguments(sd_bus_message *call, const char *signature, const char *name, uint32_t most) {
        int r = 0;

        for (const char *c = signature; *c && r >= 0; c++)
                r = *c == 's' ? sd_bus_message_append(call, "s", name)
                              : sd_bus_message_append(call, "u", most);
        return r;
}

static int read_answer(sd_bus_message *reply, json_t **ret) {
        json_t *steps = NULL;
        int r;

        if (sd_bus_message_has_signature(reply, "a{sv}"))
                return read_dictionary(reply, ret);
        if (!sd_bus_message_has_signature(reply, "a{sv}aa{sv}"))
                return read_dictionaries(reply, ret);
        r = read_dictionary(reply, ret);
        if (r >= 0)
                r = read_dictionaries(reply, &steps);
        if (r >= 0)
                (void) json_object_set_new(*ret, "steps", steps);
        return r;
}

int ctl_send(sd_bus *bus, sd_bus_message *call, json_t **ret) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        int r;

        r = sd_bus_call(bus, call, 0, &error, &reply);
        if (r >= 0 && ret)
                r = read_answer(reply, ret);
        if (r < 0)
                fprintf(stderr, "memtidectl: %s\n", error.message ? error.message : strerror(-r));
        return r < 0 ? r : 0;
}

int ctl_call(sd_bus *bus, const char *method, const char *signature, const char *name, uint32_t most,
             json_t **ret) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *call = NULL;
        int r;

        assert(bus);
        assert(ret);

        r = sd_bus_message_new_method_call(bus, &call, NULL, BUS_OBJECT_PATH, BUS_INTERFACE, method);
        if (r >= 0)
                r = append_arguments(call, signature, name, most);
        return r < 0 ? r : ctl_send(bus, call, ret);
}

int ctl_call_agent(sd_bus *bus, const char *method, const char *signature, uint32_t most, json_t **ret) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *call = NULL;
        int r;

        assert(bus);
        assert(ret);

        r = sd_bus_message_new_method_call(bus, &call, NULL, AGENT_BUS_PATH, AGENT_BUS_INTERFACE, method);
        if (r >= 0)
                r = append_arguments(call, signature, NULL, most);
        return r < 0 ? r : ctl_send(bus, call, ret);
}
