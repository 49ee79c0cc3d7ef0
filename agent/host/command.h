/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What all commands of the host have in common: an id, a deadline, and an answer when it has passed. Pure. */

#include <stdbool.h>
#include <stdint.h>

#include "proto/message.h"

/* message is a command. Its deadline is in the guest's time, as now_usec is. */
bool command_is_expired(const Message *message, uint64_t now_usec);

/* The refusal that the host waits for: of a shrink an offer of nothing, of any other command a result. */
Message command_refuse_expired(const Message *message, uint64_t now_usec);
