/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The asynchronous QMP client. Expectations are registered before a command is written, because events,
 * even those that the command causes, may come before its reply (kernel-qemu.md 9.1). A reply that is late closes
 * the connection: in-band commands are serial, so that a monitor which owes one answers none, and a
 * new connection has no reply of the old one to be confused by. Rejected: keeping the connection and
 * marking the command as lost, which leaves open whether QEMU carries it out later.
 */

#include "host-bridge/vmm/qmp.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "common/stream.h"
#include "common/units.h"
#include "host-bridge/vmm/qmp-message.h"

#define OUTPUT_MAX  (16 * KIB)
#define READ_BUDGET (16 * KIB) /* an answer to all queries at once */

typedef enum QmpState {
        STATE_GREETING,     /* connected, or about to be */
        STATE_CAPABILITIES, /* qmp_capabilities sent */
        STATE_READY,
        STATE_CLOSED,
} QmpState;

typedef struct PendingCommand {
        bool used;
        uint64_t id, cookie, deadline_usec;
        QmpReplyHandler handler;
} PendingCommand;

struct Qmp {
        QmpState state;
        QmpOptions options;
        sd_event *event;
        Stream *stream;
        sd_event_source *timer;
        QmpScanner scanner;
        PendingCommand pending[QMP_PENDING_MAX];
        uint64_t next_id, greeting_deadline_usec, n_strays;
        pid_t peer_pid;
        QmpHandler handler;
        void *userdata;
        bool *freed; /* set when the Qmp is freed inside one of its own handlers */
};

/*
 * Calls the owner with a signal, or with a reply. These nest: the reply to qmp_capabilities leads to
 * QMP_READY, and the owner may free us in there. Returns false if the Qmp is no more.
 */
static bool call_owner(Qmp *qmp, const QmpSignal *signal, QmpReplyHandler handler, const QmpReply *reply) {
        bool freed = false, *outer = qmp->freed;

        qmp->freed = &freed;
        if (signal)
                qmp->handler(qmp, signal, qmp->userdata);
        else
                handler(qmp, reply, qmp->userdata);
        if (!freed)
                qmp->freed = outer;
        else if (outer)
                *outer = true;
        return !freed;
}

static bool signal_owner(Qmp *qmp, const QmpSignal *signal) {
        return call_owner(qmp, signal, NULL, NULL);
}

static void qmp_fail(Qmp *qmp, int error) {
        if (qmp->state == STATE_CLOSED)
                return;
        qmp->state = STATE_CLOSED;
        qmp->stream = stream_free(qmp->stream);
        (void) sd_event_source_set_enabled(qmp->timer, SD_EVENT_OFF);
        (void) signal_owner(qmp, &(QmpSignal){.kind = QMP_CLOSED, .error = error});
}

static void qmp_arm(Qmp *qmp) {
        uint64_t deadline_usec = qmp->greeting_deadline_usec;

        for (size_t i = 0; i < ELEMENTSOF(qmp->pending); i++)
                if (qmp->pending[i].used)
                        deadline_usec = u64_min(deadline_usec, qmp->pending[i].deadline_usec);

        if (deadline_usec == USEC_INFINITY) {
                (void) sd_event_source_set_enabled(qmp->timer, SD_EVENT_OFF);
                return;
        }
        (void) sd_event_source_set_time(qmp->timer, deadline_usec);
        (void) sd_event_source_set_enabled(qmp->timer, SD_EVENT_ONESHOT);
}

static int on_deadline(sd_event_source *source, uint64_t usec, void *userdata) {
        qmp_fail(userdata, -ETIMEDOUT);
        return 0;
}

static int qmp_write(Qmp *qmp, const char *command, json_t *arguments, uint64_t id) {
        char text[4096];
        json_t *root;
        size_t n;

        root = arguments ? json_pack("{s:s, s:o, s:I}", "execute", command, "arguments", arguments, "id",
                                     (json_int_t) id)
                         : json_pack("{s:s, s:I}", "execute", command, "id", (json_int_t) id);
        if (!root)
                return -ENOMEM;

        n = json_dumpb(root, text, sizeof(text) - 1, JSON_COMPACT);
        json_decref(root);
        if (n == 0 || n > sizeof(text) - 1)
                return -EMSGSIZE;
        text[n++] = '\n';
        return stream_write(qmp->stream, (const uint8_t *) text, n);
}

static int qmp_send(Qmp *qmp, const char *command, json_t *arguments, uint64_t cookie,
                    QmpReplyHandler reply_handler) {
        PendingCommand *slot = NULL;
        uint64_t now_usec;
        int r;

        for (size_t i = 0; i < ELEMENTSOF(qmp->pending) && !slot; i++)
                if (!qmp->pending[i].used)
                        slot = &qmp->pending[i];
        if (!slot) {
                json_decref(arguments);
                return -EBUSY;
        }

        (void) sd_event_now(qmp->event, CLOCK_MONOTONIC, &now_usec);
        *slot = (PendingCommand){
                .used = true,
                .id = ++qmp->next_id,
                .cookie = cookie,
                .deadline_usec = u64_add(now_usec, qmp->options.reply_timeout_usec),
                .handler = reply_handler,
        };
        r = qmp_write(qmp, command, arguments, slot->id);
        if (r < 0)
                slot->used = false;
        qmp_arm(qmp);
        return r;
}

int qmp_execute(Qmp *qmp, const char *command, json_t *arguments, uint64_t cookie,
                QmpReplyHandler reply_handler) {
        assert(qmp);
        assert(command);

        if (qmp->state != STATE_READY) {
                json_decref(arguments);
                return -ENOTCONN;
        }
        return qmp_send(qmp, command, arguments, cookie, reply_handler);
}

static void on_capabilities(Qmp *qmp, const QmpReply *reply, void *userdata) {
        if (!reply->value) {
                qmp_fail(qmp, -EPROTO);
                return;
        }
        qmp->state = STATE_READY;
        (void) signal_owner(qmp, &(QmpSignal){.kind = QMP_READY});
}

/* Returns false if the Qmp is no more. */
static bool dispatch_reply(Qmp *qmp, const QmpMessage *message) {
        for (size_t i = 0; i < ELEMENTSOF(qmp->pending); i++) {
                PendingCommand command = qmp->pending[i];
                QmpReply reply = {.cookie = command.cookie};

                if (!command.used || !message->has_id || command.id != message->id)
                        continue;
                if (message->kind == QMP_MESSAGE_RETURN)
                        reply.value = message->body;
                else {
                        reply.error_class = message->name ?: "unknown";
                        reply.error_text = message->text ?: "no description";
                }

                qmp->pending[i].used = false;
                qmp_arm(qmp);
                return !command.handler || call_owner(qmp, NULL, command.handler, &reply);
        }

        qmp->n_strays++;
        return true;
}

/* Returns false if the Qmp is no more. */
static bool dispatch_message(Qmp *qmp, const QmpMessage *message) {
        switch (message->kind) {

        case QMP_MESSAGE_GREETING:
                if (qmp->state != STATE_GREETING)
                        return true;
                qmp->state = STATE_CAPABILITIES;
                qmp->greeting_deadline_usec = USEC_INFINITY;
                if (qmp_send(qmp, "qmp_capabilities", NULL, 0, on_capabilities) < 0) {
                        qmp_fail(qmp, -EIO);
                        return false;
                }
                return true;

        case QMP_MESSAGE_RETURN:
        case QMP_MESSAGE_ERROR:
                return dispatch_reply(qmp, message);

        case QMP_MESSAGE_EVENT:
                return qmp->state != STATE_READY || signal_owner(qmp, &(QmpSignal){.kind = QMP_EVENT,
                                                                                   .name = message->name,
                                                                                   .data = message->body});

        case QMP_MESSAGE_OTHER:
                return true;
        }
        return true;
}

static void on_bytes(Stream *stream, const uint8_t *data, size_t size, int error, void *userdata) {
        Qmp *qmp = userdata;

        if (size == 0) {
                qmp_fail(qmp, error < 0 ? error : -ECONNRESET);
                return;
        }

        while (size > 0) {
                QmpMessage message = {};
                const char *text;
                size_t text_size;
                bool alive;
                int r;

                r = qmp_scanner_next(&qmp->scanner, &data, &size, &text, &text_size);
                if (r == 0)
                        return;
                if (r > 0)
                        r = qmp_message_parse(text, text_size, &message);
                if (r < 0) {
                        qmp_fail(qmp, r);
                        return;
                }
                alive = dispatch_message(qmp, &message);
                qmp_message_done(&message);
                if (!alive || qmp->state == STATE_CLOSED)
                        return;
        }
}

int qmp_new(sd_event *event, const char *path, const QmpOptions *options, QmpHandler handler, void *userdata,
            Qmp **ret) {
        _cleanup_(qmp_freep) Qmp *qmp = NULL;
        struct ucred peer;
        socklen_t peer_size = sizeof(peer);
        uint64_t now_usec;
        int r, fd;

        assert(event);
        assert(path);
        assert(options);
        assert(handler);
        assert(ret);

        qmp = malloc(sizeof(*qmp));
        if (!qmp)
                return -ENOMEM;
        (void) sd_event_now(event, CLOCK_MONOTONIC, &now_usec);
        *qmp = (Qmp){
                .options = *options,
                .event = sd_event_ref(event),
                .greeting_deadline_usec = u64_add(now_usec, options->handshake_timeout_usec),
                .handler = handler,
                .userdata = userdata,
        };

        fd = stream_connect_unix(path);
        if (fd < 0)
                return fd;
        if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &peer_size) >= 0)
                qmp->peer_pid = peer.pid;
        r = stream_new(event, fd, OUTPUT_MAX, READ_BUDGET, on_bytes, qmp, &qmp->stream);
        if (r < 0)
                return r;
        r = sd_event_add_time(event, &qmp->timer, CLOCK_MONOTONIC, qmp->greeting_deadline_usec, USEC_PER_MSEC,
                              on_deadline, qmp);
        if (r < 0)
                return r;
        (void) sd_event_source_set_description(qmp->timer, "qmp-deadline");

        *ret = TAKE_PTR(qmp);
        return 0;
}

Qmp *qmp_free(Qmp *qmp) {
        if (!qmp)
                return NULL;

        if (qmp->freed)
                *qmp->freed = true;
        (void) sd_event_source_disable_unref(qmp->timer);
        (void) stream_free(qmp->stream);
        qmp_scanner_done(&qmp->scanner);
        (void) sd_event_unref(qmp->event);
        free(qmp);
        return NULL;
}

uint64_t qmp_n_strays(const Qmp *qmp) {
        assert(qmp);

        return qmp->n_strays;
}

pid_t qmp_peer_pid(const Qmp *qmp) {
        assert(qmp);

        return qmp->peer_pid;
}
