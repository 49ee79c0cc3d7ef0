/* SPDX-License-Identifier: Apache-2.0 */

#include "monitor.h"

#include <stdio.h>
#include <string.h>

#define GREETING "{\"QMP\": {\"version\": {}, \"capabilities\": []}}\r\n"

void monitor_say(Monitor *monitor, const char *text) {
        peer_write(&monitor->peer, text, strlen(text));
}

void monitor_answer(Monitor *monitor, const json_t *request, const char *format, ...) {
        json_int_t id = json_integer_value(json_object_get(request, "id"));
        char member[1024], line[2048];
        va_list args;

        va_start(args, format);
        (void) vsnprintf(member, sizeof(member), format, args);
        va_end(args);
        (void) snprintf(line, sizeof(line), "{%s, \"id\": %lld}\r\n", member, (long long) id);
        monitor_say(monitor, line);
}

static void on_client(Peer *peer) {
        Monitor *monitor = peer->userdata;

        if (monitor->greets)
                monitor_say(monitor, GREETING);
}

static void on_bytes(Peer *peer, const uint8_t *data, size_t size) {
        Monitor *monitor = peer->userdata;
        char text[8192], *line, *rest = text;

        assert_true(size < sizeof(text));
        memcpy(text, data, size);
        text[size] = '\0';
        while ((line = strsep(&rest, "\n")) && *line) {
                json_t *request = json_loads(line, 0, NULL);

                assert_non_null(request);
                monitor->on_request(monitor, json_string_value(json_object_get(request, "execute")), request,
                                    line);
                json_decref(request);
        }
}

void monitor_init(Monitor *monitor, World *world, const char *name) {
        monitor->greets = true;
        monitor->peer = (Peer){.on_bytes = on_bytes, .on_client = on_client, .userdata = monitor};
        peer_init(&monitor->peer, world, name);
}

void monitor_done(Monitor *monitor) {
        peer_done(&monitor->peer);
}
