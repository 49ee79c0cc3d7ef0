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

#include "common/deadline.h"
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
        Deadline deadline; /* of the greeting, and of the reply that is due first */
        bool patient;      /* it has been given more time, and has not answered since */
        QmpScanner scanner;
        PendingCommand *pending; /* QMP_PENDING_MAX; NULL: none */
        unsigned n_pending;
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
        deadline_set(&qmp->deadline, USEC_INFINITY);
        (void) signal_owner(qmp, &(QmpSignal){.kind = QMP_CLOSED, .error = error});
}

static void qmp_arm(Qmp *qmp) {
        uint64_t due_usec = qmp->greeting_deadline_usec;

        for (size_t i = 0; i < QMP_PENDING_MAX && qmp->pending; i++)
                if (qmp->pending[i].used)
                        due_usec = u64_min(due_usec, qmp->pending[i].deadline_usec);
        deadline_set(&qmp->deadline, due_usec);
}

/* The time in which we did not look is none of the monitor's. */
static void give_time(Qmp *qmp) {
        uint64_t now_usec, until_usec;

        (void) sd_event_now(qmp->event, CLOCK_MONOTONIC, &now_usec);
        until_usec = u64_add(now_usec, qmp->options.reply_timeout_usec);
        if (qmp->greeting_deadline_usec != USEC_INFINITY)
                qmp->greeting_deadline_usec = until_usec;
        for (size_t i = 0; i < QMP_PENDING_MAX && qmp->pending; i++)
                qmp->pending[i].deadline_usec = until_usec;
        qmp_arm(qmp);
}

/*
 * In a loop that is late an answer may lie here unread: it is read before anybody is given up. Once per answer, or a
 * monitor that babbles would never be late.
 */
static void on_deadline(void *userdata) {
        Qmp *qmp = userdata;

        if (qmp->patient || !stream_is_ready(qmp->stream)) {
                qmp_fail(qmp, -ETIMEDOUT);
                return;
        }
        qmp->patient = true;
        give_time(qmp);
}

/* A place for an expectation. Thousands of monitors owe nothing, and nothing is held for them. */
static PendingCommand *qmp_expect(Qmp *qmp, uint64_t cookie, QmpReplyHandler reply_handler,
                                  uint64_t now_usec) {
        PendingCommand *slot = qmp->pending;

        while (slot->used)
                slot++;
        *slot = (PendingCommand){
                .used = true,
                .id = ++qmp->next_id,
                .cookie = cookie,
                .deadline_usec = u64_add(now_usec, qmp->options.reply_timeout_usec),
                .handler = reply_handler,
        };
        qmp->n_pending++;
        return slot;
}

static void qmp_forget(Qmp *qmp, PendingCommand *slot) {
        slot->used = false;
        if (--qmp->n_pending > 0)
                return;
        free(qmp->pending);
        qmp->pending = NULL;
}

/* One line of text. Returns its length or -errno. */
static ssize_t qmp_print(const QmpCommand *command, uint64_t id, char *ret, size_t size) {
        json_t *root;
        size_t n;

        root = command->arguments ? json_pack("{s:s, s:O, s:I}", "execute", command->name, "arguments",
                                              command->arguments, "id", (json_int_t) id)
                                  : json_pack("{s:s, s:I}", "execute", command->name, "id", (json_int_t) id);
        if (!root)
                return -ENOMEM;

        n = json_dumpb(root, ret, size, JSON_COMPACT);
        json_decref(root);
        if (n == 0 || n >= size)
                return -EMSGSIZE;
        ret[n++] = '\n';
        return (ssize_t) n;
}

static int qmp_send(Qmp *qmp, const QmpCommand *commands, size_t n, QmpReplyHandler reply_handler) {
        PendingCommand *slots[QMP_PENDING_MAX];
        char text[4096];
        size_t fill = 0;
        uint64_t now_usec;
        int r = 0;

        if (n > QMP_PENDING_MAX - qmp->n_pending)
                return -EBUSY;
        for (size_t i = 0; i < n; i++) {
                ssize_t length =
                        qmp_print(&commands[i], qmp->next_id + i + 1, text + fill, sizeof(text) - fill);

                if (length < 0)
                        return (int) length;
                fill += (size_t) length;
        }
        if (!qmp->pending)
                qmp->pending = calloc(QMP_PENDING_MAX, sizeof(PendingCommand));
        if (!qmp->pending)
                return -ENOMEM;

        (void) sd_event_now(qmp->event, CLOCK_MONOTONIC, &now_usec);
        for (size_t i = 0; i < n; i++)
                slots[i] = qmp_expect(qmp, commands[i].cookie, reply_handler, now_usec);
        r = stream_write(qmp->stream, (const uint8_t *) text, fill);
        for (size_t i = 0; i < n && r < 0; i++)
                qmp_forget(qmp, slots[i]);
        qmp_arm(qmp);
        return r;
}

int qmp_execute_all(Qmp *qmp, const QmpCommand *commands, size_t n, QmpReplyHandler reply_handler) {
        int r;

        assert(qmp);
        assert(commands && n > 0);

        r = qmp->state == STATE_READY ? qmp_send(qmp, commands, n, reply_handler) : -ENOTCONN;
        for (size_t i = 0; i < n; i++)
                json_decref(commands[i].arguments);
        return r;
}

int qmp_execute(Qmp *qmp, const char *command, json_t *arguments, uint64_t cookie,
                QmpReplyHandler reply_handler) {
        assert(command);

        return qmp_execute_all(qmp, &(QmpCommand){command, arguments, cookie}, 1, reply_handler);
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
        for (size_t i = 0; i < QMP_PENDING_MAX && qmp->pending; i++) {
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

                qmp_forget(qmp, &qmp->pending[i]);
                qmp->patient = false;
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
                qmp->patient = false;
                if (qmp_send(qmp, &(QmpCommand){.name = "qmp_capabilities"}, 1, on_capabilities) < 0) {
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
        r = deadline_join(event, on_deadline, qmp, &qmp->deadline);
        if (r < 0)
                return r;
        qmp_arm(qmp);

        *ret = TAKE_PTR(qmp);
        return 0;
}

Qmp *qmp_free(Qmp *qmp) {
        if (!qmp)
                return NULL;

        if (qmp->freed)
                *qmp->freed = true;
        deadline_leave(&qmp->deadline);
        free(qmp->pending);
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
