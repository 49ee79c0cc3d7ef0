/* SPDX-License-Identifier: Apache-2.0 */

/*
 * One command at a time: a script that resizes a heap must not meet itself. What is told while it runs is kept, and
 * only the latest of it: what mattered before is past. A command that cannot be started is told and does not end the
 * watch, since the next event may find it.
 */

#include "host-bridge/ctl/ctl-on.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <systemd/sd-event.h>

#include "common/bus-agent.h"
#include "common/macro.h"

typedef struct Happening {
        uint64_t bytes, id;
        uint8_t level; /* of low-memory */
} Happening;

typedef struct On {
        sd_event *event;
        sd_event_source *child;
        const char *name;
        char **command;
        bool once, waits; /* waits: latest is to be run when the child has ended */
        Happening latest;
} On;

static const struct {
        const char *event, *member, *types;
} signals[] = {
        {"shrink-prepare", "ShrinkPrepare", "tt"},
        {"grown", "Grown", "tt"},
        {"low-memory", "LowMemory", "yt"},
};

static size_t signal_of(const char *event) {
        size_t i = 0;

        while (i < ELEMENTSOF(signals) && strcmp(signals[i].event, event) != 0)
                i++;
        return i;
}

bool ctl_on_knows(const char *event) {
        return signal_of(event) < ELEMENTSOF(signals);
}

static int set_number(const char *name, uint64_t value) {
        char text[sizeof("18446744073709551615")];

        (void) snprintf(text, sizeof(text), "%" PRIu64, value);
        return setenv(name, text, 1) < 0 ? -errno : 0;
}

static int spawn(const On *on, pid_t *ret) {
        posix_spawnattr_t attributes;
        sigset_t none;
        int r;

        r = setenv("MEMTIDE_EVENT", on->name, 1) < 0 ? -errno : 0;
        if (r >= 0)
                r = set_number("MEMTIDE_BYTES", on->latest.bytes);
        if (r >= 0)
                r = set_number("MEMTIDE_ID", on->latest.id);
        if (r >= 0)
                r = set_number("MEMTIDE_LEVEL", on->latest.level);
        if (r < 0)
                return r;

        /* We block the signals that our loop takes; the command shall not. */
        (void) sigemptyset(&none);
        r = -posix_spawnattr_init(&attributes);
        if (r < 0)
                return r;
        (void) posix_spawnattr_setsigmask(&attributes, &none);
        (void) posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
        r = -posix_spawnp(ret, on->command[0], NULL, &attributes, on->command, environ);
        (void) posix_spawnattr_destroy(&attributes);
        return r;
}

static int on_child(sd_event_source *source, const siginfo_t *info, void *userdata);

static int start(On *on) {
        pid_t pid;
        int r;

        on->waits = false;
        r = spawn(on, &pid);
        if (r >= 0)
                r = sd_event_add_child(on->event, &on->child, pid, WEXITED, on_child, on);
        if (r >= 0)
                return 0;
        errno = -r;
        fprintf(stderr, "memtidectl: cannot run %s: %m\n", on->command[0]);
        return on->once ? sd_event_exit(on->event, r) : 0;
}

static int on_child(sd_event_source *source, const siginfo_t *info, void *userdata) {
        On *on = userdata;
        bool failed = info->si_code != CLD_EXITED || info->si_status != 0;

        on->child = sd_event_source_unref(on->child);
        if (failed)
                fprintf(stderr, "memtidectl: %s %s %d\n", on->command[0],
                        info->si_code == CLD_EXITED ? "ended with" : "was ended by signal", info->si_status);
        if (on->once)
                return sd_event_exit(on->event, failed ? -ECHILD : 0);
        return on->waits ? start(on) : 0;
}

static int on_happening(sd_bus_message *signal, void *userdata, sd_bus_error *error) {
        On *on = userdata;
        Happening happening = {};
        int r;

        r = sd_bus_message_has_signature(signal, "yt")
                    ? sd_bus_message_read(signal, "yt", &happening.level, &happening.bytes)
                    : sd_bus_message_read(signal, "tt", &happening.bytes, &happening.id);
        if (r < 0 || (on->once && on->child))
                return 0;
        on->latest = happening;
        on->waits = true;
        return on->child ? 0 : start(on);
}

static int on_agent_gone(sd_bus_message *signal, void *userdata, sd_bus_error *error) {
        On *on = userdata;

        fprintf(stderr, "memtidectl: the agent has gone\n");
        return sd_event_exit(on->event, -ECONNRESET);
}

static int watch(On *on, sd_bus *bus) {
        sigset_t child;
        int r;

        (void) sigemptyset(&child);
        (void) sigaddset(&child, SIGCHLD);
        if (sigprocmask(SIG_BLOCK, &child, NULL) < 0)
                return -errno;
        r = sd_event_set_signal_exit(on->event, true);
        if (r >= 0)
                r = sd_bus_match_signal(bus, NULL, NULL, AGENT_BUS_PATH, AGENT_BUS_INTERFACE,
                                        signals[signal_of(on->name)].member, on_happening, on);
        if (r >= 0)
                r = sd_bus_match_signal(bus, NULL, NULL, "/org/freedesktop/DBus/Local",
                                        "org.freedesktop.DBus.Local", "Disconnected", on_agent_gone, on);
        if (r >= 0)
                r = sd_bus_attach_event(bus, on->event, SD_EVENT_PRIORITY_NORMAL);
        return r;
}

int ctl_on(sd_bus *bus, const char *event, char *command[], bool once) {
        On on = {.name = event, .command = command, .once = once};
        int r;

        r = sd_event_new(&on.event);
        if (r >= 0)
                r = watch(&on, bus);
        if (r < 0) {
                errno = -r;
                fprintf(stderr, "memtidectl: cannot watch for %s: %m\n", event);
        } else {
                r = sd_event_loop(on.event);
        }
        on.child = sd_event_source_disable_unref(on.child);
        (void) sd_bus_detach_event(bus);
        on.event = sd_event_unref(on.event);
        return r < 0 ? r : 0;
}
