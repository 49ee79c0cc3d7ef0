/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What a host can make an agent do. The input is a script: connections, time, bytes, payloads, and commands that are
 * put into the session that is open, so that the search is not stopped by checksum, nonce and sequence. The host's
 * commands reach the pure halves of growth and shrink as in the agent, whose answers must be fit for the wire.
 */

#include "fuzz.h"

#include <string.h>

#include "agent/grow-watch.h"
#include "agent/host/session.h"
#include "agent/policy/shrink.h"
#include "common/macro.h"
#include "proto/wire.h"

#define BEGIN_USEC   (1000 * USEC_PER_SEC)
#define FRAMES_BURST 100U /* of session.c: so many at once, and one per 5 ms */
#define FRAME_USEC   (5 * USEC_PER_MSEC)
#define HELLO_USEC   (100 * USEC_PER_MSEC) /* the least between two */

typedef enum Op {
        OP_START,
        OP_STOP,
        OP_WAIT,    /* milliseconds, two bytes */
        OP_TAKE,    /* number of frames */
        OP_BYTES,   /* as they are */
        OP_PAYLOAD, /* in a frame */
        OP_COMMAND, /* a payload, put into the open session with a deadline in 10 ms units (signed, one byte) */
        OP_WELCOME, /* number of the session */
        OP_USE,     /* the workload grows by MiB (signed, one byte) */
        OP_MAX,
} Op;

typedef struct Script {
        const uint8_t *at;
        size_t left;
} Script;

typedef struct World {
        Session session;
        uint64_t now_usec;
        bool connected, open;
        uint32_t id;
        uint64_t received_sequence; /* of the last command that came through */
        uint64_t sent_sequence;     /* of the last message of this session, or handshake */
        uint64_t sent_usec;         /* its stamp */
        uint64_t hello_usec, nonce; /* the last Hello */
        uint64_t n_commands, n_pushed, n_taken;

        uint64_t report_usec;
        Snapshot snapshot;
        GrowWatch grow;
        ShrinkState shrink;
} World;

static const ShrinkConfig shrink_config = {.margin_bytes = 128 * MIB, .hold_usec = 120 * USEC_PER_SEC};

static uint8_t take_byte(Script *script) {
        if (script->left == 0)
                return 0;
        script->left--;
        return *script->at++;
}

/* Bytes with their number, one byte, in front. */
static Script take_span(Script *script) {
        Script span = {.left = take_byte(script)};

        span.left = MIN_OF(span.left, script->left);
        span.at = script->at;
        script->at += span.left;
        script->left -= span.left;
        return span;
}

/* -- the agent's side ------------------------------------------------------------------------------ */

static void say(World *world, Message message) {
        static uint8_t frame[FRAME_ENCODED_MAX];

        message.monotonic_usec = world->now_usec;
        FUZZ_CHECK(session_push(&world->session, &message) == world->open);
        world->n_pushed += world->open;

        message.session = message.sequence = 1;
        FUZZ_CHECK(wire_encode(&message, frame) > 0);
}

static void on_shrink_request(World *world, const MessageShrinkRequest *request) {
        Demand demand = {.floor_bytes = 256 * MIB};
        ShrinkAsk ask = {
                .id = request->id,
                .step = request->step,
                .bytes = request->bytes,
                .remaining_bytes = request->remaining_bytes,
                .deadline_usec = request->deadline_usec,
                .balloon = request->balloon,
                .last = request->last,
        };
        ShrinkPlan plan = shrink_ask(&shrink_config, &world->shrink, &ask, &world->snapshot, &demand, false);

        FUZZ_CHECK(plan.verdict == SHRINK_OFFERED || plan.verdict == SHRINK_REFUSED);
        FUZZ_CHECK(plan.offered_bytes <= request->bytes || world->shrink.ask.step == request->step);
        FUZZ_CHECK(plan.offered_bytes <= world->snapshot.total_bytes - demand.floor_bytes);
        say(world, (Message){
                           .type = MESSAGE_SHRINK_OFFER,
                           .shrink_offer = {.id = request->id,
                                            .step = request->step,
                                            .offered_bytes = plan.offered_bytes,
                                            .reason = plan.reason,
                                            .acceptable_bytes = plan.acceptable_bytes,
                                            .hold_usec = plan.hold_usec},
                   });
}

static void on_command(const Message *message, void *userdata) {
        World *world = userdata;

        FUZZ_CHECK(world->connected && world->open);
        FUZZ_CHECK(message->session == world->id);
        FUZZ_CHECK(message->sequence > world->received_sequence);
        world->received_sequence = message->sequence;
        world->n_commands++;

        if (message->type == MESSAGE_SHRINK_REQUEST)
                on_shrink_request(world, &message->shrink_request);
        else if (message->type == MESSAGE_GROW_NOTICE)
                grow_watch_open(&world->grow, &message->grow_notice, &world->snapshot, world->now_usec, 0);
        else
                say(world, (Message){.type = MESSAGE_COMMAND_RESULT});
}

static void on_opened(const MessageWelcome *welcome, void *userdata) {
        World *world = userdata;

        FUZZ_CHECK(world->connected && !world->open);
        FUZZ_CHECK(welcome->session != 0 && welcome->handshake_nonce == world->session.handshake_nonce);
        FUZZ_CHECK(world->session.received_sequence == 0);
        world->open = true;
        world->id = welcome->session;
        world->received_sequence = world->sent_sequence = 0;
}

static void on_closed(void *userdata) {
        World *world = userdata;

        FUZZ_CHECK(world->open);
        world->open = false;
        world->sent_sequence = 0;
        world->n_taken = world->n_pushed; /* there is no backlog */
        world->grow = (GrowWatch){};
        shrink_reset(&world->shrink);
}

static void fill_hello(MessageHello *ret, void *userdata) {
        *ret = (MessageHello){.page_size_bytes = 4096, .memory_total_bytes = GIB};
}

static const SessionHandlers handlers = {fill_hello, on_opened, on_closed, on_command};

/* Time passes, and the agent looks. */
static void look(World *world) {
        GrowStep step;
        ShrinkPlan plan;

        world->snapshot.now_usec = world->now_usec;
        if (world->now_usec - world->report_usec >= USEC_PER_SEC) {
                world->report_usec = world->now_usec;
                say(world, (Message){
                                   .type = MESSAGE_REPORT,
                                   .report = {.memory_total_bytes = GIB, .interval_usec = USEC_PER_SEC},
                           });
        }
        step = grow_watch_step(&world->grow, &world->snapshot);
        if (step.confirm)
                say(world, (Message){
                                   .type = MESSAGE_RESIZE_CONFIRM,
                                   .resize_confirm = {.id = world->grow.id,
                                                      .delta_bytes = step.delta_bytes,
                                                      .latency_usec = step.latency_usec,
                                                      .stall_usec = step.stall_usec},
                           });
        plan = shrink_watch(&shrink_config, &world->shrink, &world->snapshot, &(Demand){});
        FUZZ_CHECK(world->shrink.open == (plan.verdict == SHRINK_WAITING || plan.verdict == SHRINK_MOVED));
}

/* -- the host's side ------------------------------------------------------------------------------- */

static void receive(World *world, const uint8_t *data, size_t size) {
        session_receive(&world->session, data, size, world->now_usec);
        FUZZ_CHECK((world->session.state == SESSION_OPEN) == world->open);
}

static void receive_message(World *world, const Message *message) {
        static uint8_t frame[FRAME_ENCODED_MAX];

        receive(world, frame, wire_encode(message, frame));
}

static void set_deadline(Message *message, uint64_t deadline_usec) {
        switch ((int) message->type) {
        case MESSAGE_GROW_NOTICE:
                message->grow_notice.deadline_usec = deadline_usec;
                return;
        case MESSAGE_SHRINK_REQUEST:
                message->shrink_request.deadline_usec = deadline_usec;
                return;
        case MESSAGE_OFFLINE_RANGE:
        case MESSAGE_ONLINE_RANGE:
                message->range.deadline_usec = deadline_usec;
                return;
        case MESSAGE_TUNING:
                message->tuning.deadline_usec = deadline_usec;
                return;
        case MESSAGE_PING:
                message->ping.deadline_usec = deadline_usec;
                return;
        }
}

/* Frames that the host itself spoilt: behind half a frame, or too many. */
static uint64_t n_lost(const World *world) {
        return world->session.counters.n_flooded + world->session.decoder.counters.garbled +
               world->session.decoder.counters.overlong;
}

static void put_command(World *world, Script *script) {
        int8_t offset = (int8_t) take_byte(script);
        Script payload = take_span(script);
        uint64_t n_before = world->n_commands;
        uint64_t n_lost_before = n_lost(world);
        bool due = offset > 0 && world->open;
        Message message;

        if (wire_decode(payload.at, payload.left, WIRE_FROM_HOST, &message) != WIRE_OK ||
            message.type == MESSAGE_WELCOME || world->id == 0 ||
            world->session.received_sequence == UINT64_MAX)
                return;
        set_deadline(&message, u64_shift(world->now_usec, offset * (int64_t) (10 * USEC_PER_MSEC)));
        message.session = world->id;
        message.sequence = world->session.received_sequence + 1;
        receive_message(world, &message);
        FUZZ_CHECK(world->n_commands <= n_before + due);
        FUZZ_CHECK(world->n_commands == n_before + due || n_lost(world) > n_lost_before);
}

static void put_welcome(World *world, Script *script) {
        Message message = {
                .type = MESSAGE_WELCOME,
                .sequence = 1,
                .welcome = {.session = take_byte(script) + 1U,
                            .minor = MESSAGE_PROTOCOL_MINOR,
                            .handshake_nonce = world->nonce,
                            .report_interval_usec = USEC_PER_SEC},
        };

        receive_message(world, &message);
}

/* One frame of the agent's: whole, of its state, in order. Returns false if there is none. */
static bool take_frame(World *world) {
        static uint8_t frame[FRAME_ENCODED_MAX];
        size_t size = session_next_frame(&world->session, world->now_usec, frame), payload_size;
        const uint8_t *data = frame, *payload;
        FrameDecoder decoder = {};
        Message message;

        FUZZ_CHECK(size <= sizeof(frame) && (size == 0 || world->connected));
        if (size <= 1)
                return size == 1;

        FUZZ_CHECK(frame_decoder_next(&decoder, &data, &size, &payload, &payload_size) && size == 0);
        FUZZ_CHECK(wire_decode(payload, payload_size, WIRE_FROM_GUEST, &message) == WIRE_OK);
        FUZZ_CHECK(message.monotonic_usec >= world->sent_usec);
        world->sent_usec = message.monotonic_usec;
        FUZZ_CHECK((message.type == MESSAGE_HELLO) == !world->open);
        if (message.type == MESSAGE_HELLO) {
                FUZZ_CHECK(world->hello_usec == 0 || world->now_usec - world->hello_usec >= HELLO_USEC);
                world->hello_usec = world->now_usec;
                world->nonce = message.hello.handshake_nonce;
                return true;
        }
        FUZZ_CHECK(message.session == world->id && message.sequence == ++world->sent_sequence);
        FUZZ_CHECK(++world->n_taken <= world->n_pushed + world->session.counters.n_expired +
                                               world->session.counters.n_replayed +
                                               world->session.counters.n_malformed);
        return true;
}

static void run_op(World *world, Script *script) {
        static uint8_t frame[FRAME_ENCODED_MAX];
        Script span;

        switch ((Op) (take_byte(script) % OP_MAX)) {
        case OP_START: /* the port never says "up" twice */
                if (!world->connected) {
                        world->connected = true;
                        session_start(&world->session, world->now_usec);
                }
                return;
        case OP_STOP:
                session_stop(&world->session);
                world->connected = false;
                FUZZ_CHECK(!world->open);
                return;
        case OP_WAIT:
                world->now_usec += (take_byte(script) | (uint64_t) take_byte(script) << 8) * USEC_PER_MSEC;
                look(world);
                return;
        case OP_TAKE:
                for (unsigned n = take_byte(script); n > 0 && take_frame(world); n--)
                        ;
                return;
        case OP_BYTES:
                span = take_span(script);
                receive(world, span.at, span.left);
                return;
        case OP_PAYLOAD:
                span = take_span(script);
                receive(world, frame, frame_encode(span.at, span.left, frame));
                return;
        case OP_COMMAND:
                put_command(world, script);
                return;
        case OP_WELCOME:
                put_welcome(world, script);
                return;
        case OP_USE:
                world->snapshot.available_bytes =
                        u64_min(u64_shift(world->snapshot.available_bytes,
                                          -(int64_t) MIB * (int8_t) take_byte(script)),
                                world->snapshot.total_bytes);
                world->snapshot.free_bytes = world->snapshot.available_bytes;
                look(world);
                return;
        case OP_MAX:
                return;
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        Script script = {data, size};
        World *world = calloc(1, sizeof(*world));

        FUZZ_CHECK(world);
        world->now_usec = BEGIN_USEC;
        world->snapshot = (Snapshot){
                .now_usec = BEGIN_USEC,
                .has = SNAPSHOT_HAS_MEMINFO,
                .total_bytes = GIB,
                .available_bytes = 800 * MIB,
                .free_bytes = 800 * MIB,
                .page_size_bytes = 4096,
        };
        session_init(&world->session, 42, &handlers, world);

        while (script.left > 0) {
                run_op(world, &script);
                FUZZ_CHECK(world->n_commands <= FRAMES_BURST + (world->now_usec - BEGIN_USEC) / FRAME_USEC);
                FUZZ_CHECK(world->session.outbox.n_queue <= OUTBOX_SIZE);
        }
        free(world);
        return 0;
}
