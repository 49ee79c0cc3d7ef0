/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A scripted QEMU: the end of a monitor that greets, takes requests one by one, and answers what the test says. */

#include "world.h"

#include <jansson.h>

typedef struct Monitor Monitor;
struct Monitor {
        Peer peer;
        bool greets;
        /* line: the request as it came */
        void (*on_request)(Monitor *monitor, const char *name, const json_t *request, const char *line);
        void *userdata;
};

/* on_request and userdata are set before. It greets. */
void monitor_init(Monitor *monitor, World *world, const char *name);
void monitor_done(Monitor *monitor);

/* Answers request by a member, such as "\"return\": {}". */
__attribute__((format(printf, 3, 4))) void monitor_answer(Monitor *monitor, const json_t *request,
                                                          const char *format, ...);

/* An event, or whatever else. */
void monitor_say(Monitor *monitor, const char *text);
