/* SPDX-License-Identifier: Apache-2.0 */

#include "host-bridge/ctl/ctl-guest.h"

#include <errno.h>
#include <jansson.h>
#include <string.h>
#include <systemd/sd-bus.h>

#include "common/macro.h"
#include "host-bridge/ctl/ctl-client.h"
#include "host-bridge/ctl/ctl-on.h"
#include "host-bridge/ctl/ctl-show.h"

static int guest_status(const CtlGuest *guest, sd_bus *bus, char *words[]) {
        _cleanup_(json_decrefp) json_t *status = NULL, *events = NULL;
        int r;

        r = ctl_call_agent(bus, "GetStatus", "", 0, &status);
        if (r >= 0)
                r = ctl_call_agent(bus, "ListEvents", "u", guest->lines, &events);
        if (r < 0)
                return r;
        if (!guest->json) {
                ctl_show_guest(status, events, stdout);
                return 0;
        }
        (void) json_object_set(status, "events", events);
        return json_dumpf(status, stdout, JSON_INDENT(2) | JSON_PRESERVE_ORDER) < 0 || putchar('\n') == EOF
                       ? -EIO
                       : 0;
}

static int guest_on(const CtlGuest *guest, sd_bus *bus, char *words[]) {
        return ctl_on(bus, words[1], words + 2, guest->once);
}

typedef struct GuestVerb {
        const char *name, *argument, *help;
        int least, most; /* words, with the verb */
        int (*run)(const CtlGuest *guest, sd_bus *bus, char *words[]);
} GuestVerb;

static const GuestVerb guest_verbs[] = {
        {"status", "", "this guest: size, demand, who asked last, what it lacks, last events", 1, 1,
         guest_status},
        {"on", "EVENT -- COMMAND...", "run COMMAND at each EVENT: shrink-prepare, grown or low-memory", 3,
         INT32_MAX, guest_on},
};

static const GuestVerb *find_verb(const char *name) {
        for (size_t i = 0; i < ELEMENTSOF(guest_verbs); i++)
                if (strcmp(guest_verbs[i].name, name) == 0)
                        return guest_verbs + i;
        return NULL;
}

void ctl_guest_help(FILE *out) {
        fprintf(out, "\nIn a guest, where memtide-agent runs and no bridge, or with --guest:\n");
        for (size_t i = 0; i < ELEMENTSOF(guest_verbs); i++)
                fprintf(out, "  %s %s\n                        %s\n", guest_verbs[i].name,
                        guest_verbs[i].argument, guest_verbs[i].help);
}

const char *ctl_guest_complaint(int n, char *words[]) {
        const GuestVerb *verb = n > 0 ? find_verb(words[0]) : NULL;

        if (n == 0)
                return "which verb?";
        if (!verb)
                return "no such verb in a guest:";
        if (n > verb->most)
                return "too many arguments for";
        if (n < verb->least)
                return "name an event and, behind --, a command for";
        if (verb->run == guest_on && !ctl_on_knows(words[1]))
                return "an event is shrink-prepare, grown or low-memory, for";
        return NULL;
}

int ctl_guest_run(const CtlGuest *guest, int n, char *words[]) {
        _cleanup_(sd_bus_flush_close_unrefp) sd_bus *bus = NULL;
        int r;

        r = ctl_connect(guest->socket, "memtide-agent", &bus);
        return r < 0 ? r : find_verb(words[0])->run(guest, bus, words);
}
