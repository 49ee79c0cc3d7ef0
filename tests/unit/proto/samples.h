/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "proto/message.h"
#include "proto/wire.h"

/* A valid message of this type with every field set to a value of its own. */
Message sample_full(MessageType type);

/* The valid message of this type that takes the fewest bytes. */
Message sample_minimal(MessageType type);

/* Who sends it. */
WireSender sample_sender(MessageType type);
