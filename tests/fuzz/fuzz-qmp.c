/* SPDX-License-Identifier: Apache-2.0 */

/*
 * QMP from a hypervisor that is not to be trusted. The scanner must cut the same objects out of the stream
 * however it is split, and fail at the same place; each object goes through the message parser, and what it
 * returns through every reader of memory figures.
 */

#include "fuzz.h"

#include <string.h>

#include "host-bridge/vmm/qmp-memory.h"
#include "host-bridge/vmm/qmp-message.h"

typedef struct Outcome {
        uint64_t digest;
        size_t n_objects;
        int error;
} Outcome;

static void check_sizes(const MemoryModel *model) {
        FUZZ_CHECK(model->n_virtio_mem <= MEMORY_MODEL_DEVICES_MAX);
        for (size_t i = 0; i < model->n_virtio_mem; i++) {
                FUZZ_CHECK(memchr(model->virtio_mem[i].id, 0, sizeof(model->virtio_mem[i].id)) != NULL);
                FUZZ_CHECK(model->virtio_mem[i].size_bytes <= MEMORY_BYTES_MAX);
                FUZZ_CHECK(model->virtio_mem[i].requested_bytes <= MEMORY_BYTES_MAX);
        }
}

static void read_everything(const json_t *body) {
        MemoryModel model = {};
        unsigned n_unusable;

        if (qmp_memory_read_summary(body, &model) == 0)
                FUZZ_CHECK(model.boot_bytes <= MEMORY_BYTES_MAX);
        if (qmp_memory_read_balloon(body, &model) == 0)
                FUZZ_CHECK(model.balloon_actual_bytes <= MEMORY_BYTES_MAX);
        if (qmp_memory_read_devices(body, &model, &n_unusable) == 0)
                check_sizes(&model);
        (void) qmp_memory_is_running(body);
        (void) qmp_memory_is_migrating(body);
}

static void check_message(const char *text, size_t size) {
        QmpMessage message;

        FUZZ_CHECK(size >= 2 && text[0] == '{' && (text[size - 1] == '}' || text[size - 1] == ']'));
        if (qmp_message_parse(text, size, &message) < 0)
                return;

        FUZZ_CHECK(json_is_object(message.root));
        FUZZ_CHECK(message.kind != QMP_MESSAGE_RETURN || message.body);
        FUZZ_CHECK(message.kind != QMP_MESSAGE_EVENT || message.name);
        if (message.body)
                read_everything(message.body);
        qmp_message_done(&message);
}

/* Where jansson can read an object from the start of the text, the scanner must have cut at the same brace. */
static void check_cut(const uint8_t *data, size_t size) {
        QmpScanner scanner = {};
        json_error_t error;
        json_t *object;
        const char *text;
        size_t text_size;

        object = json_loadb((const char *) data, size, JSON_DISABLE_EOF_CHECK, &error);
        if (json_is_object(object) && qmp_scanner_next(&scanner, &data, &size, &text, &text_size) > 0) {
                json_t *again = json_loadb(text, text_size, 0, NULL);

                FUZZ_CHECK(again && json_equal(object, again));
                json_decref(again);
        }
        json_decref(object);
        qmp_scanner_done(&scanner);
}

static void scan(QmpScanner *scanner, const uint8_t *data, size_t size, bool check, Outcome *outcome) {
        const char *text;
        size_t text_size;
        int r;

        while (outcome->error == 0 && (r = qmp_scanner_next(scanner, &data, &size, &text, &text_size)) != 0) {
                if (r < 0) {
                        outcome->error = r;
                        return;
                }
                for (size_t i = 0; i < text_size; i++)
                        outcome->digest = (outcome->digest ^ (uint8_t) text[i]) * UINT64_C(1099511628211);
                outcome->n_objects++;
                if (check)
                        check_message(text, text_size);
        }
        FUZZ_CHECK(outcome->error != 0 || size == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        Outcome whole = {}, bytewise = {};
        QmpScanner scanner = {};

        check_cut(data, size);
        scan(&scanner, data, size, true, &whole);
        qmp_scanner_done(&scanner);

        for (size_t i = 0; i < size; i++)
                scan(&scanner, data + i, 1, false, &bytewise);
        qmp_scanner_done(&scanner);

        FUZZ_CHECK(whole.n_objects == bytewise.n_objects);
        FUZZ_CHECK(whole.digest == bytewise.digest);
        FUZZ_CHECK(whole.error == bytewise.error);
        return 0;
}
