/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/message.h"

#include "common/macro.h"

static const char *const message_type_names[MESSAGE_TYPE_MAX] = {
        [MESSAGE_HELLO] = "Hello",
        [MESSAGE_REPORT] = "Report",
        [MESSAGE_ALARM] = "Alarm",
        [MESSAGE_SHRINK_OFFER] = "ShrinkOffer",
        [MESSAGE_RESIZE_CONFIRM] = "ResizeConfirm",
        [MESSAGE_BLOCK_EVENT] = "BlockEvent",
        [MESSAGE_COMMAND_RESULT] = "CommandResult",
        [MESSAGE_WELCOME] = "Welcome",
        [MESSAGE_GROW_NOTICE] = "GrowNotice",
        [MESSAGE_SHRINK_REQUEST] = "ShrinkRequest",
        [MESSAGE_OFFLINE_RANGE] = "OfflineRange",
        [MESSAGE_ONLINE_RANGE] = "OnlineRange",
        [MESSAGE_TUNING] = "Tuning",
        [MESSAGE_PING] = "Ping",
};

const char *message_type_to_string(MessageType type) {
        return (unsigned) type < MESSAGE_TYPE_MAX ? message_type_names[type] : "unknown";
}
