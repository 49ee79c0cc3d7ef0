/* SPDX-License-Identifier: Apache-2.0 */

#include "agent/history.h"

#include <assert.h>
#include <string.h>

#include "common/macro.h"

const char *history_kind_to_string(HistoryKind kind) {
        static const char *const names[] = {
                [HISTORY_SESSION_OPENED] = "session-opened",
                [HISTORY_SESSION_CLOSED] = "session-closed",
                [HISTORY_ALARM] = "alarm",
                [HISTORY_GROW_NOTICE] = "grow-notice",
                [HISTORY_GROWN] = "grown",
                [HISTORY_SHRINK_PREPARE] = "shrink-prepare",
                [HISTORY_SHRINK_REFUSED] = "shrink-refused",
                [HISTORY_SHRUNK] = "shrunk",
                [HISTORY_VETO] = "veto",
                [HISTORY_BLOCK_FAILED] = "block-failed",
        };
        static_assert(ELEMENTSOF(names) == HISTORY_KIND_MAX, "every kind has a name");

        return (size_t) kind < ELEMENTSOF(names) ? names[kind] : "unknown";
}

static HistoryEntry *newest(History *history) {
        return history->n > 0 ? history->entries + (history->next + HISTORY_SIZE - 1) % HISTORY_SIZE : NULL;
}

void history_put(History *history, const HistoryEntry *entry) {
        HistoryEntry *last;
        unsigned n_times = 1;

        assert(history);
        assert(entry);
        assert(entry->reason);

        last = newest(history);
        if (last && last->kind == entry->kind && last->id == entry->id &&
            strcmp(last->reason, entry->reason) == 0) {
                n_times += last->n_times;
        } else {
                last = history->entries + history->next;
                history->next = (history->next + 1) % HISTORY_SIZE;
                history->n = MIN_OF(history->n + 1, (size_t) HISTORY_SIZE);
        }
        *last = *entry;
        last->n_times = n_times;
}

const HistoryEntry *history_at(const History *history, size_t index) {
        assert(history);

        if (index >= history->n)
                return NULL;
        return history->entries + (history->next + HISTORY_SIZE - 1 - index) % HISTORY_SIZE;
}
