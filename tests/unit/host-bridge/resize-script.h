/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The life of one resize as a script: at each moment one event, and what is to be done then. Sizes in MiB,
 * times in ms. What holds for any order of events is in tests/sim/test-resize-storm.c.
 */

#include "host-bridge/policy/resize.h"

#define LINES_MAX 16U

/* Shorter names for the tables. */
enum {
        OFFER = RESIZE_EVENT_OFFER,
        PREPARED = RESIZE_EVENT_PREPARED,
        UNPREPARED = RESIZE_EVENT_UNPREPARED,
        ACCEPTED = RESIZE_EVENT_ACCEPTED,
        REJECTED = RESIZE_EVENT_REJECTED,
        MODEL = RESIZE_EVENT_MODEL,
        CONFIRM = RESIZE_EVENT_CONFIRM,
        HEARD = RESIZE_EVENT_HEARD,
        VETO = RESIZE_EVENT_VETO,
        LOST = RESIZE_EVENT_LOST,
        TICK = RESIZE_EVENT_TICK,
        UNSENT = RESIZE_EVENT_KIND_MAX, /* REJECTED of a command that never left */
};

typedef struct Line {
        unsigned at;
        unsigned event;  /* ResizeEventKind or UNSENT; of the first line: none, the resize begins */
        unsigned number; /* step of OFFER and CONFIRM */
        int64_t mib; /* OFFER: offered; CONFIRM: delta; MODEL: plugged, -1: other devices, -2, -3: the DIMM is gone, is there */
        ResizeActionKind action;
        uint64_t to;           /* COMMAND, ASK: target of the step */
        DecisionResult result; /* FINISH */
        uint64_t deadline;     /* 0: not looked at */
        bool alone;            /* CONFIRM: no reading comes with it */
        RefusalReason reason;  /* OFFER of 0, UNPREPARED */
        bool tried;            /* UNPREPARED */
        bool online;           /* the guest is told to have its DIMM back */
        unsigned offline;      /* blocks that the guest has offline by now */
        bool failed;           /* HEARD: of a block that could not be put online */
} Line;

typedef struct Script {
        const char *name;
        DecisionKind kind;
        uint64_t wanted;
        uint64_t plugged, block, inflated; /* virtio-mem of 2 GiB if block > 0; a balloon if inflated > 0 */
        uint64_t wave, max, min;
        uint64_t dimm, second, unit; /* plugged as numbers 0 and 1; what may be plugged */
        Line lines[LINES_MAX];
        int64_t confirmed;
        uint64_t reach; /* what may be confirmed in the end; 0: not looked at */
        unsigned n_steps;
} Script;

#define WAITS           .action = RESIZE_WAIT
#define COMMANDS(mib)   .action = RESIZE_COMMAND, .to = (mib)
#define ASKS(mib)       .action = RESIZE_ASK, .to = (mib)
#define PREPARES        .action = RESIZE_PREPARE
#define FINISHES(value) .action = RESIZE_FINISH, .result = (value)

/* Plays script against a resize with default timeouts; fails the running test where they differ. */
void script_run(const Script *script);
