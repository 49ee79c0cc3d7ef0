/* SPDX-License-Identifier: Apache-2.0 */

/*
 * sd-event asks epoll for all that is ready, dispatches one source, and asks again (systemd 252, sd_event_run()):
 * with n peers ready at once that is n * n looks at sockets. 5000 VMs that spoke in the same second kept the loop busy
 * for a minute. Here one epoll set of our own stands in the loop as one source, and hands out what is ready in turns
 * of EVENTS_MAX; what is left makes the source ready again, behind the loop's other sources, and the kernel puts a
 * descriptor that was served at the end of its list. So a turn is short, and nobody is passed over.
 *
 * The crowd is found by its loop and not handed down through every layer to those who open sockets. It is not
 * locked: a loop has one thread, and so do these.
 */

#include "common/crowd.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>

#include "common/macro.h"

#define EVENTS_MAX 64

struct Crowd {
        Crowd *next;
        sd_event *event; /* borrowed: its source keeps it alive */
        sd_event_source *source;
        int fd; /* epoll */
        unsigned n_members;
        /* the turn under way */
        struct epoll_event ready[EVENTS_MAX];
        int n_ready;
        bool dispatching;
};

static _Thread_local Crowd *crowds;

static void crowd_free(Crowd *crowd) {
        for (Crowd **at = &crowds; *at; at = &(*at)->next)
                if (*at == crowd) {
                        *at = crowd->next;
                        break;
                }
        (void) sd_event_source_disable_unref(crowd->source);
        (void) safe_close(crowd->fd);
        free(crowd);
}

static int on_ready(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        Crowd *crowd = userdata;

        crowd->n_ready = epoll_wait(crowd->fd, crowd->ready, EVENTS_MAX, 0);
        crowd->dispatching = true;
        for (int i = 0; i < crowd->n_ready; i++) {
                const CrowdMember *member = crowd->ready[i].data.ptr;

                if (member)
                        member->handler(crowd->ready[i].events, member->userdata);
        }
        crowd->dispatching = false;
        if (crowd->n_members == 0)
                crowd_free(crowd);
        return 0;
}

static int crowd_new(sd_event *event, Crowd **ret) {
        Crowd *crowd;
        int r;

        crowd = calloc(1, sizeof(*crowd));
        if (!crowd)
                return -ENOMEM;
        crowd->event = event;
        crowd->fd = epoll_create1(EPOLL_CLOEXEC);
        r = crowd->fd < 0 ? -errno
                          : sd_event_add_io(event, &crowd->source, crowd->fd, EPOLLIN, on_ready, crowd);
        if (r < 0) {
                crowd_free(crowd);
                return r;
        }
        (void) sd_event_source_set_description(crowd->source, "crowd"); /* for debugging only */
        crowd->next = crowds;
        *ret = crowds = crowd;
        return 0;
}

int crowd_join(sd_event *event, int fd, CrowdHandler handler, void *userdata, CrowdMember *ret) {
        Crowd *crowd = crowds;
        int r;

        assert(event);
        assert(fd >= 0);
        assert(handler);
        assert(ret);

        while (crowd && crowd->event != event)
                crowd = crowd->next;
        if (!crowd) {
                r = crowd_new(event, &crowd);
                if (r < 0)
                        return r;
        }
        crowd->n_members++;
        *ret = (CrowdMember){.crowd = crowd, .fd = fd, .handler = handler, .userdata = userdata};
        return 0;
}

int crowd_watch(CrowdMember *member, uint32_t events) {
        struct epoll_event event = {.events = events, .data.ptr = member};
        int op;

        assert(member && member->crowd);

        if (events == member->events)
                return 0;
        op = member->events == 0 ? EPOLL_CTL_ADD : events == 0 ? EPOLL_CTL_DEL : EPOLL_CTL_MOD;
        if (epoll_ctl(member->crowd->fd, op, member->fd, &event) < 0)
                return -errno;
        member->events = events;
        return 0;
}

void crowd_leave(CrowdMember *member) {
        Crowd *crowd = member->crowd;

        if (!crowd)
                return;
        (void) crowd_watch(member, 0);
        for (int i = 0; crowd->dispatching && i < crowd->n_ready; i++)
                if (crowd->ready[i].data.ptr == member)
                        crowd->ready[i].data.ptr = NULL;
        member->crowd = NULL;
        if (--crowd->n_members == 0 && !crowd->dispatching)
                crowd_free(crowd);
}
