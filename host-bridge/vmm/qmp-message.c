/* SPDX-License-Identifier: Apache-2.0 */

/*
 * QMP sends one object after the other, as a rule each on its line. We cut at the brace that closes
 * the object and not at the newline: it costs the same one pass, needs no assumption on `pretty=on`,
 * and the pass that counts braces is the one that bounds the depth. Jansson alone would recurse up to
 * 2048 deep. Duplicate keys are refused, since two readers could take different ones.
 */

#include "host-bridge/vmm/qmp-message.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#define SCANNER_FIRST_SIZE 4096U

void qmp_scanner_done(QmpScanner *scanner) {
        assert(scanner);

        free(scanner->buffer);
        *scanner = (QmpScanner){};
}

static int scanner_reserve(QmpScanner *scanner, size_t more) {
        size_t size = scanner->size;
        char *buffer;

        if (scanner->fill + more > QMP_MESSAGE_MAX)
                return -EMSGSIZE;
        if (scanner->fill + more <= size)
                return 0;

        while (size < scanner->fill + more)
                size = size == 0 ? SCANNER_FIRST_SIZE : size * 2;
        buffer = realloc(scanner->buffer, size);
        if (!buffer)
                return -ENOMEM;
        scanner->buffer = buffer;
        scanner->size = size;
        return 0;
}

static bool is_space(uint8_t c) {
        return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* One byte inside an object. Returns 1 when it closes the object, 0, or -ELOOP. */
static int scanner_feed(QmpScanner *scanner, uint8_t c) {
        if (scanner->in_string) {
                if (scanner->escaped)
                        scanner->escaped = false;
                else if (c == '\\')
                        scanner->escaped = true;
                else if (c == '"')
                        scanner->in_string = false;
                return 0;
        }

        if (c == '"')
                scanner->in_string = true;
        else if (c == '{' || c == '[') {
                if (scanner->depth >= QMP_DEPTH_MAX)
                        return -ELOOP;
                scanner->depth++;
        } else if (c == '}' || c == ']')
                return --scanner->depth == 0;
        return 0;
}

int qmp_scanner_next(QmpScanner *scanner, const uint8_t **data, size_t *size, const char **ret_text,
                     size_t *ret_size) {
        const uint8_t *p = *data, *end = p + *size, *begin;
        int r, closed = 0;

        assert(scanner);

        if (scanner->depth == 0) {
                qmp_scanner_done(scanner); /* thousands of monitors are idle, and hold nothing */
                while (p < end && is_space(*p))
                        p++;
                if (p < end && *p != '{')
                        return -EBADMSG;
        }

        for (begin = p; p < end && closed == 0; p++) {
                closed = scanner_feed(scanner, *p);
                if (closed < 0)
                        return closed;
        }

        if (closed && scanner->fill == 0 && (size_t) (p - begin) <= QMP_MESSAGE_MAX) { /* whole as it came */
                *ret_text = (const char *) begin;
                *ret_size = (size_t) (p - begin);
                *data = p;
                *size = (size_t) (end - p);
                return 1;
        }

        r = scanner_reserve(scanner, (size_t) (p - begin));
        if (r < 0)
                return r;
        if (p > begin)
                memcpy(scanner->buffer + scanner->fill, begin, (size_t) (p - begin));
        scanner->fill += (size_t) (p - begin);
        *data = p;
        *size = (size_t) (end - p);

        if (!closed)
                return 0;
        *ret_text = scanner->buffer;
        *ret_size = scanner->fill;
        return 1;
}

/* Our ids are integers; anything else is not an answer to us. */
static bool read_id(const json_t *root, uint64_t *ret) {
        const json_t *id = json_object_get(root, "id");

        if (!json_is_integer(id) || json_integer_value(id) < 0)
                return false;
        *ret = (uint64_t) json_integer_value(id);
        return true;
}

static QmpMessageKind classify(const json_t *root, QmpMessage *message) {
        const json_t *error = json_object_get(root, "error"), *event = json_object_get(root, "event");

        message->body = json_object_get(root, "return");
        if (message->body)
                return QMP_MESSAGE_RETURN;
        if (json_is_object(error)) {
                message->name = json_string_value(json_object_get(error, "class"));
                message->text = json_string_value(json_object_get(error, "desc"));
                return QMP_MESSAGE_ERROR;
        }
        if (json_is_string(event)) {
                message->name = json_string_value(event);
                message->body = json_object_get(root, "data");
                return QMP_MESSAGE_EVENT;
        }
        return json_is_object(json_object_get(root, "QMP")) ? QMP_MESSAGE_GREETING : QMP_MESSAGE_OTHER;
}

int qmp_message_parse(const char *text, size_t size, QmpMessage *ret) {
        QmpMessage message = {};

        assert(text);
        assert(ret);

        message.root = json_loadb(text, size, JSON_REJECT_DUPLICATES, NULL);
        if (!json_is_object(message.root)) {
                json_decref(message.root);
                return -EBADMSG;
        }

        message.kind = classify(message.root, &message);
        message.has_id = read_id(message.root, &message.id);
        *ret = message;
        return 0;
}

void qmp_message_done(QmpMessage *message) {
        assert(message);

        json_decref(message->root);
        *message = (QmpMessage){};
}
