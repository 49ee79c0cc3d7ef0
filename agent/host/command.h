/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What all commands of the host have in common: an id, a deadline, and a refusal. Pure. */

#include <stdbool.h>
#include <stdint.h>

#include "proto/message.h"

/* message is a command. Its deadline is in the guest's time, as now_usec is. */
bool command_is_expired(const Message *message, uint64_t now_usec);

/*
 * The refusal that the host waits for: of a shrink an offer of nothing, of any other command a result. One of a repeated
 * command is a result in any case, because an offer would answer the first one. message may be out of range.
 */
Message command_refuse(const Message *message, RefusalReason reason, uint64_t now_usec);

/* Why message, an answer, refuses its command; REFUSAL_NONE if it does not. */
RefusalReason command_refusal(const Message *message);
