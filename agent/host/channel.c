/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Glue: the port's bytes go to the session, the session's next frame goes to the port whenever it
 * takes one, and a timer wakes the session for its next Hello. Frames are made at the last moment, one
 * at a time, so that what waits can still be replaced by something newer.
 */

#include "agent/host/channel.h"

#include <assert.h>
#include <sys/random.h>
#include <time.h>

#include "common/log.h"
#include "common/units.h"

struct Channel {
        sd_event *event;
        sd_event_source *timer;
        Port *port;
        Session session;
};

static uint64_t channel_now(const Channel *channel) {
        uint64_t now_usec = 0;

        (void) sd_event_now(channel->event, CLOCK_MONOTONIC, &now_usec);
        return now_usec;
}

/* Sends what can be sent now. Takes a void pointer to be a PortHandlers.writable. */
static void channel_pump(void *userdata) {
        Channel *channel = userdata;
        uint8_t frame[FRAME_ENCODED_MAX];
        uint64_t due_usec;
        size_t size;
        int r;

        while (port_can_send(channel->port)) {
                size = session_next_frame(&channel->session, channel_now(channel), frame);
                if (size == 0)
                        break;
                if (port_send(channel->port, frame, size) < 0)
                        break;
        }

        /* With a frame stuck in the port there is nothing to wake up for: writable() comes first. */
        due_usec = port_can_send(channel->port) ? session_due_usec(&channel->session) : USEC_INFINITY;
        r = sd_event_source_set_time(channel->timer, due_usec);
        if (r >= 0)
                r = sd_event_source_set_enabled(channel->timer,
                                                due_usec == USEC_INFINITY ? SD_EVENT_OFF : SD_EVENT_ONESHOT);
        if (r < 0)
                log_error_errno(r, "Failed to arm the timer of the handshake: %m");
}

static int channel_timer_handler(sd_event_source *source, uint64_t usec, void *userdata) {
        channel_pump(userdata);
        return 0;
}

/* Unlike every earlier run's, not unguessable: it tells runs apart, it is no secret. */
static uint64_t channel_draw_start_nonce(void) {
        struct timespec ts = {};
        uint64_t nonce;

        /* Early in the boot the pool may not be ready, and the guest's memory can not wait for it. */
        if (getrandom(&nonce, sizeof(nonce), GRND_NONBLOCK) == sizeof(nonce))
                return nonce;

        (void) clock_gettime(CLOCK_REALTIME, &ts);
        return ((uint64_t) ts.tv_sec << 32) ^ ((uint64_t) ts.tv_nsec << 16) ^ (uint64_t) getpid();
}

static void channel_up(void *userdata) {
        Channel *channel = userdata;

        session_start(&channel->session, channel_now(channel));
        channel_pump(channel);
}

static void channel_down(void *userdata) {
        Channel *channel = userdata;

        session_stop(&channel->session);
        channel_pump(channel);
}

static void channel_received(const uint8_t *data, size_t size, void *userdata) {
        Channel *channel = userdata;

        session_receive(&channel->session, data, size, channel_now(channel));
        if (channel->session.state == SESSION_OPEN)
                port_settled(channel->port);
        channel_pump(channel);
}

static const PortHandlers channel_port_handlers = {
        .up = channel_up,
        .down = channel_down,
        .received = channel_received,
        .writable = channel_pump,
};

int channel_new(sd_event *event, const RootDir *root, const char *port_path, const SessionHandlers *handlers,
                void *userdata, Channel **ret) {
        _cleanup_(channel_freep) Channel *channel = NULL;
        int r;

        assert(event);
        assert(ret);

        channel = calloc(1, sizeof(*channel));
        if (!channel)
                return -ENOMEM;
        channel->event = sd_event_ref(event);
        session_init(&channel->session, channel_draw_start_nonce(), handlers, userdata);

        r = sd_event_add_time(event, &channel->timer, CLOCK_MONOTONIC, USEC_INFINITY, USEC_PER_MSEC,
                              channel_timer_handler, channel);
        if (r < 0)
                return r;
        (void) sd_event_source_set_description(channel->timer, "handshake");

        r = port_new(event, root, port_path, &channel_port_handlers, channel, &channel->port);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(channel);
        return 0;
}

Channel *channel_free(Channel *channel) {
        if (!channel)
                return NULL;

        port_free(channel->port);
        sd_event_source_disable_unref(channel->timer);
        sd_event_unref(channel->event);
        free(channel);
        return NULL;
}

int channel_start(Channel *channel) {
        assert(channel);
        return port_start(channel->port);
}

bool channel_send(Channel *channel, const Message *message) {
        assert(channel);

        if (!session_push(&channel->session, message))
                return false;
        channel_pump(channel);
        return true;
}

PortState channel_port_state(const Channel *channel) {
        assert(channel);
        return port_state(channel->port);
}

bool channel_is_open(const Channel *channel) {
        assert(channel);
        return channel->session.state == SESSION_OPEN;
}

uint64_t channel_frames_dropped(const Channel *channel) {
        assert(channel);
        return session_frames_dropped(&channel->session);
}

uint64_t channel_frames_void(const Channel *channel) {
        assert(channel);
        return session_frames_void(&channel->session);
}

const SessionCounters *channel_counters(const Channel *channel) {
        assert(channel);
        return &channel->session.counters;
}
