/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * One connection to one QMP monitor: greeting, capabilities, commands with deadlines, events. It does not
 * reconnect; its owner frees it when it reports QMP_CLOSED and makes a new one.
 */

#include <jansson.h>
#include <stdint.h>
#include <sys/types.h>
#include <systemd/sd-event.h>

#include "common/macro.h"

typedef struct Qmp Qmp;

/* QEMU reads at most 8 commands ahead; the rest of these wait in its socket. */
#define QMP_PENDING_MAX 16U

typedef enum QmpSignalKind {
        QMP_READY, /* the handshake is over, commands may be sent */
        QMP_EVENT, /* name, data (may be NULL) */
        QMP_CLOSED, /* error: why (-ETIMEDOUT: it hangs); commands without a reply are void. The last signal. */
} QmpSignalKind;

typedef struct QmpSignal {
        QmpSignalKind kind;
        const char *name;   /* borrowed for the call */
        const json_t *data; /* borrowed for the call */
        int error;
} QmpSignal;

typedef struct QmpReply {
        uint64_t cookie;         /* as given to qmp_execute() */
        const json_t *value;     /* borrowed; NULL: the command failed */
        const char *error_class; /* borrowed, never NULL when value is */
        const char *error_text;  /* borrowed, never NULL when value is; for people only */
} QmpReply;

typedef struct QmpOptions {
        uint64_t handshake_timeout_usec; /* a monitor that serves somebody else sends no greeting */
        uint64_t reply_timeout_usec;     /* a later reply means that the monitor hangs */
} QmpOptions;

/* Both are called from the event loop only, and may free the Qmp. */
typedef void (*QmpHandler)(Qmp *qmp, const QmpSignal *signal, void *userdata);
typedef void (*QmpReplyHandler)(Qmp *qmp, const QmpReply *reply, void *userdata);

/* Begins to connect. Returns 0 or -errno (-ENOENT, -ECONNREFUSED: nobody is there). */
int qmp_new(sd_event *event, const char *path, const QmpOptions *options, QmpHandler handler, void *userdata,
            Qmp **ret);
Qmp *qmp_free(Qmp *qmp);
DEFINE_CLEANUP_FUNC(Qmp, qmp_free)

/*
 * Sends command; arguments (NULL: none) are taken over in any case. The reply comes with cookie to
 * reply_handler, which gets the userdata of qmp_new().
 * Returns 0, -ENOTCONN before QMP_READY, -EBUSY with QMP_PENDING_MAX commands unanswered, or -errno.
 */
int qmp_execute(Qmp *qmp, const char *command, json_t *arguments, uint64_t cookie,
                QmpReplyHandler reply_handler);

typedef struct QmpCommand {
        const char *name;
        json_t *arguments; /* NULL: none */
        uint64_t cookie;
} QmpCommand;

/* The same for several, in one piece: all are sent, or none. */
int qmp_execute_all(Qmp *qmp, const QmpCommand *commands, size_t n, QmpReplyHandler reply_handler);

/* The process behind the socket, 0 where it is not known. */
pid_t qmp_peer_pid(const Qmp *qmp);

/* Replies that matched no command. */
uint64_t qmp_n_strays(const Qmp *qmp);
