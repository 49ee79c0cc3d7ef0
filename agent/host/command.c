/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A command may lie in a port for as long as nobody reads it. One that is late is answered and not dropped, so that
 * the host knows at once what its own deadline would tell it later; the same goes for one that is out of range or
 * comes again. What travels from the guest, and Welcome, have no
 * deadline: they are no commands, and count as expired.
 */

#include "agent/host/command.h"

#include <assert.h>

typedef struct CommandTerms {
        uint64_t id, deadline_usec;
} CommandTerms;

static CommandTerms command_terms(const Message *message) {
        switch (message->type) {
        case MESSAGE_GROW_NOTICE:
                return (CommandTerms){message->grow_notice.id, message->grow_notice.deadline_usec};
        case MESSAGE_SHRINK_REQUEST:
                return (CommandTerms){message->shrink_request.id, message->shrink_request.deadline_usec};
        case MESSAGE_OFFLINE_RANGE:
        case MESSAGE_ONLINE_RANGE:
                return (CommandTerms){message->range.id, message->range.deadline_usec};
        case MESSAGE_TUNING:
                return (CommandTerms){message->tuning.id, message->tuning.deadline_usec};
        case MESSAGE_PING:
                return (CommandTerms){message->ping.id, message->ping.deadline_usec};
        case MESSAGE_HELLO:
        case MESSAGE_REPORT:
        case MESSAGE_ALARM:
        case MESSAGE_SHRINK_OFFER:
        case MESSAGE_RESIZE_CONFIRM:
        case MESSAGE_BLOCK_EVENT:
        case MESSAGE_COMMAND_RESULT:
        case MESSAGE_WELCOME:
        case MESSAGE_TYPE_MAX:
                break;
        }
        return (CommandTerms){};
}

bool command_is_expired(const Message *message, uint64_t now_usec) {
        assert(message);
        return command_terms(message).deadline_usec <= now_usec;
}

/* An offer has both, or the wire does not take it. */
static bool is_answered_by_offer(const Message *message, RefusalReason reason) {
        return message->type == MESSAGE_SHRINK_REQUEST && reason != REFUSAL_REPEATED &&
               message->shrink_request.id != 0 && message->shrink_request.step != 0;
}

Message command_refuse(const Message *message, RefusalReason reason, uint64_t now_usec) {
        CommandTerms terms;

        assert(message);

        terms = command_terms(message);
        if (is_answered_by_offer(message, reason))
                return (Message){
                        .type = MESSAGE_SHRINK_OFFER,
                        .monotonic_usec = now_usec,
                        .shrink_offer = {.id = terms.id,
                                         .step = message->shrink_request.step,
                                         .reason = reason},
                };
        return (Message){
                .type = MESSAGE_COMMAND_RESULT,
                .monotonic_usec = now_usec,
                .command_result = {.id = terms.id, .outcome = COMMAND_REFUSED, .reason = reason},
        };
}

RefusalReason command_refusal(const Message *message) {
        assert(message);

        if (message->type == MESSAGE_SHRINK_OFFER)
                return message->shrink_offer.reason;
        if (message->type == MESSAGE_COMMAND_RESULT && message->command_result.outcome == COMMAND_REFUSED)
                return message->command_result.reason;
        return REFUSAL_NONE;
}
