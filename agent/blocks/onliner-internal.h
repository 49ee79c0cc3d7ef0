/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What a turn of the onliner (onliner.c) and a range (onliner-range.c) ask of one look at a block (onliner-look.c). No
 * other file includes this.
 */

#include "agent/blocks/onliner.h"

/*
 * Reads the block's state into the record and tells what changed.
 * Returns the record if it is offline and might be onlined, else NULL (it may be gone then).
 */
BlockRecord *block_onliner_refresh(BlockOnliner *onliner, BlockRecord *record);

/*
 * The block is offline and nobody's will: is it one to be onlined? Its kind may still have to come; the block is
 * told as seen when that is clear.
 */
bool block_onliner_is_wanted(BlockOnliner *onliner, BlockRecord *record, uint64_t now_usec);

/* Tells a fate, but during the scan at start. error: positive errno of BLOCK_FAILED. */
void block_onliner_report(BlockOnliner *onliner, const BlockRecord *record, BlockAction action, Zone zone,
                          int error);

/* What kind of memory it is, into the record. Returns 0, -ENOENT if it is gone, or -errno. */
int block_onliner_read_kind(BlockOnliner *onliner, BlockRecord *record);

/* The zone to online it to: the one that it had before it was taken, or by policy. */
Zone block_onliner_zone(BlockOnliner *onliner, const BlockRecord *record);

/* The block is online now, in zone. */
void block_onliner_became_online(BlockOnliner *onliner, BlockRecord *record, Zone zone);

/* The block is not there any more: tells it, and forgets the record. */
void block_onliner_gone(BlockOnliner *onliner, BlockRecord *record);
