/* SPDX-License-Identifier: Apache-2.0 */

/* The guests that flood, send garbage, or a byte at a time. */

#include <linux/sockios.h>
#include <string.h>
#include <sys/ioctl.h>

#include "farm-agents.h"

#define FLOOD_BYTES    (4 * KIB) /* in each turn of a millisecond: some 36,000 reports a second */
#define SLOW_BYTE_MSEC 1000

static size_t fill_with_reports(unsigned i, uint8_t batch[static FLOOD_BYTES]) {
        uint8_t frame[FRAME_ENCODED_MAX];
        size_t fill = 0;

        for (;;) {
                Message message = agent_report_of(i);
                size_t n = agent_encode(i, &message, frame);

                if (fill + n > FLOOD_BYTES)
                        return fill;
                memcpy(batch + fill, frame, n);
                fill += n;
        }
}

static size_t fill_with_garbage(uint8_t batch[static FLOOD_BYTES]) {
        for (size_t at = 0; at < FLOOD_BYTES; at += sizeof(uint64_t)) {
                uint64_t word = farm_draw();

                memcpy(batch + at, &word, sizeof(word));
        }
        return FLOOD_BYTES;
}

/* Nothing is made for a socket that is full: the farm's own time would be felt as the bridge's. */
static void flood(unsigned i, int mode) {
        static uint8_t batch[FLOOD_BYTES];
        int waiting = 0;

        if (ioctl(agents[i].fd, SIOCOUTQ, &waiting) < 0 || waiting > (int) FLOOD_BYTES * 8)
                return;
        (void) agent_write(i, batch,
                           mode == AGENT_GARBAGE ? fill_with_garbage(batch) : fill_with_reports(i, batch));
}

static void dribble(unsigned i) {
        Agent *agent = &agents[i];

        if (agent->slow_at == 0) {
                uint8_t frame[FRAME_ENCODED_MAX];
                Message message = agent_report_of(i);
                size_t n = agent_encode(i, &message, frame);

                memcpy(agent->slow_frame, frame,
                       n < sizeof(agent->slow_frame) ? n : sizeof(agent->slow_frame));
        }
        (void) agent_write(i, &agent->slow_frame[agent->slow_at], 1);
        agent->slow_at = (agent->slow_at + 1) % sizeof(agent->slow_frame);
}

void agents_misbehave(uint64_t now_usec) {
        unsigned slot = (unsigned) (now_usec / USEC_PER_MSEC % SLOW_BYTE_MSEC);
        unsigned end = atomic_load(&farm->mischief_end);

        for (unsigned i = atomic_load(&farm->mischief_begin); i < end; i++) {
                int mode = atomic_load(&farm->vms[i].agent_mode);

                if (agents[i].fd < 0)
                        continue;
                if (mode == AGENT_FLOOD || mode == AGENT_GARBAGE)
                        flood(i, mode);
                else if (mode == AGENT_SLOWLORIS && i % SLOW_BYTE_MSEC == slot)
                        dribble(i); /* not all at once: they know nothing of each other */
                else if (mode == AGENT_FLAPPING)
                        agent_disconnect(i);
        }
}
