/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A full report to bytes and back to a value whose fields are known to be in range, three ways in the same process,
 * in turns whose order is drawn from a fixed seed:
 *   ours   wire_encode(), frame_decoder_next(), wire_decode(): strict check, bounded arena, ranges
 *   stock  protobuf-c's pack and its unpack with malloc, in the same frames, with no check of its own
 *   json   snprintf(), jansson, a look-up and a range for each field, a line as the frame
 *
 * bench-codec ROUNDS MESSAGES: one line of JSON with nanoseconds per message, allocations and bytes of each.
 */

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "allocations.h"
#include "bench-json.h"
#include "common/units.h"
#include "measure.h"
#include "memtide.pb-c.h"
#include "proto/wire.h"

#define ROUNDS_MAX 200U

static Message report(void) {
        return (Message){
                .type = MESSAGE_REPORT,
                .session = 0xDEADBEEF,
                .sequence = 86400,
                .monotonic_usec = 86400 * USEC_PER_SEC,
                .report =
                        {
                                .memory_total_bytes = 2048 * MIB,
                                .memory_available_bytes = 700 * MIB,
                                .memory_free_bytes = 300 * MIB,
                                .file_cache_bytes = 400 * MIB,
                                .swap_total_bytes = GIB,
                                .swap_free_bytes = 900 * MIB,
                                .balloon_bytes = 256 * MIB,
                                .usable_bytes = 1792 * MIB,
                                .used_bytes = 1092 * MIB,
                                .reserve_bytes = 128 * MIB,
                                .demand_bytes = 1220 * MIB,
                                .need_bytes = -572 * (int64_t) MIB,
                                .floor_bytes = 1200 * MIB,
                                .time_to_exhaustion_usec = 7 * USEC_PER_SEC,
                                .fall_bytes_per_sec = 100 * MIB,
                                .urgency = URGENCY_HIGH,
                                .cause = CAUSE_PREDICT,
                                .kernel_zone = true,
                                .psi_some_usec = 123456789,
                                .psi_full_usec = 12345678,
                                .oom_kills = 3,
                                .blocks_online = 16,
                                .blocks_offline = 2,
                                .plug_budget_bytes = 8 * GIB,
                                .interval_usec = USEC_PER_SEC,
                                .frames_dropped = 1,
                        },
        };
}

/* -- three ways ------------------------------------------------------------------------------------ */

typedef struct Stage {
        Message message;
        Memtide__Envelope *envelope; /* the same, as protobuf-c has it */
        FrameDecoder decoder;
        size_t size; /* of the last message */
} Stage;

/* The payload of a frame, or NULL. */
static const uint8_t *unframe(Stage *stage, const uint8_t *frame, size_t size, size_t *ret_size) {
        const uint8_t *payload;

        return frame_decoder_next(&stage->decoder, &frame, &size, &payload, ret_size) ? payload : NULL;
}

static bool by_ours(Stage *stage) {
        uint8_t frame[FRAME_ENCODED_MAX];
        const uint8_t *payload;
        Message message;
        size_t n;

        stage->size = wire_encode(&stage->message, frame);
        payload = unframe(stage, frame, stage->size, &n);
        return payload && wire_decode(payload, n, WIRE_FROM_GUEST, &message) == WIRE_OK;
}

static bool by_stock(Stage *stage) {
        uint8_t packed[FRAME_PAYLOAD_MAX], frame[FRAME_ENCODED_MAX];
        Memtide__Envelope *envelope;
        const uint8_t *payload;
        size_t n;

        n = memtide__envelope__pack(stage->envelope, packed);
        stage->size = frame_encode(packed, n, frame);
        payload = unframe(stage, frame, stage->size, &n);
        envelope = payload ? memtide__envelope__unpack(NULL, n, payload) : NULL;
        if (!envelope)
                return false;
        memtide__envelope__free_unpacked(envelope, NULL);
        return true;
}

static bool by_json(Stage *stage) {
        char text[FRAME_ENCODED_MAX];
        Message message;

        stage->size = bench_json_encode(&stage->message, text, sizeof(text));
        return bench_json_decode(text, stage->size, &message);
}

static const struct {
        const char *name;
        bool (*run)(Stage *stage);
} ways[] = {{"ours", by_ours}, {"stock", by_stock}, {"json", by_json}};
#define N_WAYS (sizeof(ways) / sizeof(ways[0]))

/* -- rounds ---------------------------------------------------------------------------------------- */

typedef struct Tally {
        double nsec[N_WAYS][ROUNDS_MAX];
        unsigned long allocations[N_WAYS];
        size_t bytes[N_WAYS];
} Tally;

static void round_of(Stage *stage, uint64_t messages, size_t way, unsigned round, Tally *tally) {
        unsigned long allocations = allocations_count();
        uint64_t begin = measure_cpu_nsec();

        for (uint64_t i = 0; i < messages; i++)
                if (!ways[way].run(stage)) {
                        fprintf(stderr, "bench-codec: %s lost a message\n", ways[way].name);
                        exit(1);
                }
        tally->nsec[way][round] = (double) (measure_cpu_nsec() - begin) / (double) messages;
        tally->allocations[way] += allocations_count() - allocations;
        tally->bytes[way] = stage->size;
}

static void print(const Tally *tally, unsigned rounds, uint64_t messages) {
        printf("{\"messages\": %" PRIu64, messages * rounds);
        for (size_t way = 0; way < N_WAYS; way++) {
                printf(", \"%s\": {\"bytes\": %zu, \"allocations\": %lu, \"nsec\": [", ways[way].name,
                       tally->bytes[way], tally->allocations[way]);
                for (unsigned round = 0; round < rounds; round++)
                        printf("%s%.1f", round > 0 ? ", " : "", tally->nsec[way][round]);
                printf("]}");
        }
        printf("}\n");
}

int main(int argc, char **argv) {
        static Stage stage;
        static Tally tally;
        uint8_t frame[FRAME_ENCODED_MAX];
        const uint8_t *payload;
        uint64_t rounds, messages;
        size_t n;

        if (argc != 3)
                return 2;
        rounds = measure_argument(argv[1]);
        messages = measure_argument(argv[2]);
        if (rounds == 0 || rounds > ROUNDS_MAX || messages == 0)
                return 2;

        stage.message = report();
        payload = unframe(&stage, frame, wire_encode(&stage.message, frame), &n);
        stage.envelope = payload ? memtide__envelope__unpack(NULL, n, payload) : NULL;
        if (!stage.envelope)
                return 1;

        srand(1);
        for (unsigned round = 0; round < rounds; round++) {
                size_t first = (size_t) rand() % N_WAYS;

                for (size_t i = 0; i < N_WAYS; i++)
                        round_of(&stage, messages, (first + i) % N_WAYS, round, &tally);
        }
        print(&tally, (unsigned) rounds, messages);
        memtide__envelope__free_unpacked(stage.envelope, NULL);
        return 0;
}
