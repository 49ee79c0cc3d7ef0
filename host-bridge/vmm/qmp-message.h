/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * QMP's text as values: objects cut out of a byte stream, and one object understood. A hypervisor that
 * a guest has taken over is an attacker too: every length and depth is bounded before jansson sees a byte.
 */

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/macro.h"
#include "common/units.h"

#define QMP_MESSAGE_MAX MIB
#define QMP_DEPTH_MAX   32U

/* Cuts objects at their closing brace, so that a monitor in pretty mode is understood as well. */
typedef struct QmpScanner {
        char *buffer; /* owned */
        size_t fill, size;
        unsigned depth;
        bool in_string, escaped;
} QmpScanner;

void qmp_scanner_done(QmpScanner *scanner);

/*
 * Consumes bytes from *data until an object is whole; *data and *size are advanced.
 * Returns 1 with *ret_text, *ret_size (borrowed until the next call, and from data), 0 when more bytes are needed,
 * -EBADMSG for anything but an object, -EMSGSIZE beyond QMP_MESSAGE_MAX, -ELOOP beyond QMP_DEPTH_MAX, or -ENOMEM.
 * After an error the stream can not be trusted and is to be closed.
 */
int qmp_scanner_next(QmpScanner *scanner, const uint8_t **data, size_t *size, const char **ret_text,
                     size_t *ret_size);

typedef enum QmpMessageKind {
        QMP_MESSAGE_GREETING,
        QMP_MESSAGE_RETURN, /* body = what came back */
        QMP_MESSAGE_ERROR,  /* name = its class, text = its description */
        QMP_MESSAGE_EVENT,  /* name = the event, body = its data or NULL */
        QMP_MESSAGE_OTHER,  /* an object that this client does not know: to be ignored */
} QmpMessageKind;

typedef struct QmpMessage {
        QmpMessageKind kind;
        bool has_id; /* an id of ours: an integer from 0 */
        uint64_t id;
        const char *name, *text; /* borrowed from root */
        const json_t *body;      /* borrowed from root */
        json_t *root;            /* owned */
} QmpMessage;

/* Returns 0, or -EBADMSG. */
int qmp_message_parse(const char *text, size_t size, QmpMessage *ret);
void qmp_message_done(QmpMessage *message);
