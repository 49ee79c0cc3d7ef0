/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The parts of one program: farm-agents.c (connections, the loop), farm-guest.c (what a guest says), farm-mischief.c. */

#include "farm.h"
#include "proto/frame.h"
#include "proto/message.h"

typedef struct Agent {
        int listener, fd; /* fd: -1 while nobody is connected */
        uint32_t session; /* 0: none */
        uint64_t sequence, start_nonce;
        uint64_t used_bytes;       /* what its programs want */
        uint64_t told_floor_bytes; /* in its last report */
        uint64_t resize_id;        /* that it knows of */
        uint32_t resize_step;
        uint64_t resize_base;   /* its size when it heard of it */
        uint8_t slow_frame[64]; /* of a slowloris */
        unsigned slow_at;
        FrameDecoder decoder;
} Agent;

extern Farm *farm;
extern Agent *agents;

/* From the farm's seed. */
uint64_t farm_draw(void);

/* Returns false when the socket did not take all of it. */
bool agent_write(unsigned i, const void *data, size_t size);

void agent_disconnect(unsigned i);

/* Fills in the envelope. Returns the frame's size. */
size_t agent_encode(unsigned i, Message *message, uint8_t frame[static FRAME_ENCODED_MAX]);

/* What a guest says of itself now. */
Message agent_report_of(unsigned i);

void agent_hello(unsigned i);
void agent_report(unsigned i);
void agent_probe(unsigned i);
void agent_offer(unsigned i, const MessageShrinkRequest *request);
void agent_confirm(unsigned i);

/* One turn of all that misbehave. */
void agents_misbehave(uint64_t now_usec);
