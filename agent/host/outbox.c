/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A connected host that does not read takes about 140 frames into the ring before a write says EAGAIN
 * (measured), and what lies there goes stale. So nothing that has a successor is ever queued: a report
 * and an alarm say how the guest is *now*. Only answers and block events stand in line, and of those a
 * block event can be spared: the report counts the blocks.
 *
 * Rejected: one FIFO of encoded frames, which sends the oldest news first and an alarm last.
 */

#include "agent/host/outbox.h"

#include <assert.h>
#include <string.h>

typedef enum OutboxRank {
        OUTBOX_ALARM,
        OUTBOX_ANSWER,
        OUTBOX_EVENT,
        OUTBOX_RANK_MAX,
} OutboxRank;

static OutboxRank outbox_rank(const Message *message) {
        switch (message->type) {
        case MESSAGE_ALARM:
                return OUTBOX_ALARM;
        case MESSAGE_BLOCK_EVENT:
                return OUTBOX_EVENT;
        case MESSAGE_SHRINK_OFFER:
        case MESSAGE_RESIZE_CONFIRM:
        case MESSAGE_COMMAND_RESULT:
                return OUTBOX_ANSWER;
        case MESSAGE_HELLO:
        case MESSAGE_REPORT:
        case MESSAGE_WELCOME:
        case MESSAGE_GROW_NOTICE:
        case MESSAGE_SHRINK_REQUEST:
        case MESSAGE_OFFLINE_RANGE:
        case MESSAGE_ONLINE_RANGE:
        case MESSAGE_TUNING:
        case MESSAGE_PING:
        case MESSAGE_TYPE_MAX:
                break;
        }
        assert(false);
        return OUTBOX_EVENT;
}

static void outbox_remove(Outbox *outbox, size_t i) {
        outbox->n_queue--;
        memmove(&outbox->queue[i], &outbox->queue[i + 1], (outbox->n_queue - i) * sizeof(outbox->queue[0]));
}

/* Returns the oldest of rank, or n_queue. */
static size_t outbox_find(const Outbox *outbox, OutboxRank rank) {
        size_t i = 0;

        while (i < outbox->n_queue && outbox_rank(&outbox->queue[i]) != rank)
                i++;
        return i;
}

/* Makes room for one of rank. Returns false if all that waits is more urgent. */
static bool outbox_make_room(Outbox *outbox, OutboxRank rank) {
        outbox->n_dropped++;

        for (unsigned victim = OUTBOX_RANK_MAX; victim-- > rank;) {
                size_t i = outbox_find(outbox, victim);

                if (i < outbox->n_queue) {
                        outbox_remove(outbox, i);
                        return true;
                }
        }
        return false;
}

void outbox_push(Outbox *outbox, const Message *message) {
        assert(outbox);
        assert(message);

        if (message->type == MESSAGE_REPORT) {
                outbox->report = *message;
                outbox->has_report = true;
                return;
        }

        if (message->type == MESSAGE_ALARM)
                for (size_t i = 0; i < outbox->n_queue; i++)
                        if (outbox->queue[i].type == MESSAGE_ALARM &&
                            outbox->queue[i].alarm.veto_id == message->alarm.veto_id) {
                                outbox->queue[i] = *message;
                                return;
                        }

        if (outbox->n_queue >= OUTBOX_SIZE && !outbox_make_room(outbox, outbox_rank(message)))
                return;
        outbox->queue[outbox->n_queue++] = *message;
}

bool outbox_pop(Outbox *outbox, Message *ret) {
        assert(outbox);
        assert(ret);

        for (unsigned rank = 0; rank < OUTBOX_RANK_MAX; rank++) {
                size_t i = outbox_find(outbox, rank);

                if (i < outbox->n_queue) {
                        *ret = outbox->queue[i];
                        outbox_remove(outbox, i);
                        return true;
                }
        }

        if (!outbox->has_report)
                return false;
        *ret = outbox->report;
        outbox->has_report = false;
        return true;
}

void outbox_clear(Outbox *outbox) {
        assert(outbox);

        outbox->n_queue = 0;
        outbox->has_report = false;
}
