/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Asked behind a reading of the model and never before the first: what a VM lacks can wait, its guest's memory can not.
 * Again every few minutes, because QEMU tells nobody of a device that was plugged. A monitor that does not know a query
 * answers with an error, and that fact stays unknown.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "host-bridge/vmm/qmp-facts.h"
#include "host-bridge/vmm/vmm-qmp-internal.h"

#define FACTS_USEC (300 * USEC_PER_SEC)

typedef enum FactQuery {
        FACT_VERSION,
        FACT_DEVICES,
        FACT_DEVICES_WITHOUT_ID,
        FACT_BACKENDS,
        FACT_QUERY_MAX,
} FactQuery;

static const struct {
        const char *command, *path; /* path: of qom-list */
} queries[FACT_QUERY_MAX] = {
        [FACT_VERSION] = {"query-version", NULL},
        [FACT_DEVICES] = {"qom-list", "/machine/peripheral"},
        [FACT_DEVICES_WITHOUT_ID] = {"qom-list", "/machine/peripheral-anon"},
        [FACT_BACKENDS] = {"query-memdev", NULL},
};

/* The monitor's peer is QEMU itself, or whoever made the socket for it: then the figures are small and say nothing. */
static void read_process(pid_t pid, VmmFacts *facts) {
        _cleanup_close_ int fd = -EBADF;
        char path[64], text[8192];
        ssize_t n;

        if (pid <= 0)
                return;
        (void) snprintf(path, sizeof(path), "/proc/%ld/status", (long) pid);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
        if (n <= 0)
                return;
        text[n] = '\0';
        qmp_facts_read_process(text, facts);
}

static void finish(VmmQmp *q) {
        q->facts.known = true;
        read_process(qmp_peer_pid(q->qmp), &q->facts);
        (void) vmm_tell(&q->vmm, &(VmmEvent){.kind = VMM_FACTS, .facts = &q->facts});
}

static void on_fact(Qmp *qmp, const QmpReply *reply, void *userdata) {
        VmmQmp *q = userdata;

        switch ((FactQuery) reply->cookie) {

        case FACT_VERSION:
                qmp_facts_read_version(reply->value, &q->facts);
                break;

        case FACT_DEVICES:
        case FACT_DEVICES_WITHOUT_ID:
                qmp_facts_read_devices(reply->value, &q->facts);
                break;

        case FACT_BACKENDS:
                qmp_facts_read_backends(reply->value, &q->facts);
                finish(q);
                break;

        case FACT_QUERY_MAX:
                break;
        }
}

void vmm_qmp_ask_facts(VmmQmp *q) {
        uint64_t now_usec;

        (void) sd_event_now(q->event, CLOCK_MONOTONIC, &now_usec);
        if (!q->ready || now_usec < q->facts_due_usec)
                return;
        q->facts_due_usec = u64_add(now_usec, FACTS_USEC);
        q->facts = (VmmFacts){};
        for (FactQuery i = 0; i < FACT_QUERY_MAX; i++) {
                json_t *arguments = queries[i].path ? json_pack("{s:s}", "path", queries[i].path) : NULL;

                /* With no room for it the rest is for the next time; a lost connection shows by itself. */
                if (qmp_execute(q->qmp, queries[i].command, arguments, i, on_fact) < 0)
                        return;
        }
}
