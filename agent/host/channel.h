/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The conversation with the host: a port and the session over it, kept going by the loop. */

#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "agent/host/port.h"
#include "agent/host/session.h"
#include "common/macro.h"
#include "common/rootdir.h"

typedef struct Channel Channel;

/* Arguments as those of port_new() and session_init(); handlers are borrowed. Returns 0 or -errno. */
int channel_new(sd_event *event, const RootDir *root, const char *port_path, const SessionHandlers *handlers,
                void *userdata, Channel **ret);
Channel *channel_free(Channel *channel);
DEFINE_CLEANUP_FUNC(Channel, channel_free)

/* See port_start(). */
int channel_start(Channel *channel);

/* Sends message as soon as the port takes it. Returns false if no session is open. */
bool channel_send(Channel *channel, const Message *message);

PortState channel_port_state(const Channel *channel);
bool channel_is_open(const Channel *channel);
uint64_t channel_frames_dropped(const Channel *channel);
uint64_t channel_frames_void(const Channel *channel);

/* Borrowed, for as long as the channel lives. */
const SessionCounters *channel_counters(const Channel *channel);
