/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Many descriptors behind one source of an sd_event loop, for owners that have thousands of them. */

#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

typedef struct Crowd Crowd;

/* Called from the loop with EPOLL* flags; may leave its own crowd, and have any other member leave. */
typedef void (*CrowdHandler)(uint32_t revents, void *userdata);

/* Embedded in its owner, and never moved while it is in a crowd. */
typedef struct CrowdMember {
        Crowd *crowd; /* NULL: in none */
        int fd;       /* borrowed */
        uint32_t events;
        CrowdHandler handler;
        void *userdata;
} CrowdMember;

/* Joins the crowd of event's loop, which is made with its first member. It watches nothing yet. Returns 0 or -errno. */
int crowd_join(sd_event *event, int fd, CrowdHandler handler, void *userdata, CrowdMember *ret);

/* Watches for exactly events from now on; 0: not even for a hang-up. Returns 0 or -errno. */
int crowd_watch(CrowdMember *member, uint32_t events);

/* To be called before the descriptor is closed. The last one takes the crowd with it. */
void crowd_leave(CrowdMember *member);
