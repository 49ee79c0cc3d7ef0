/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* MESSAGE_IDs of the bridge's journal entries; packaging/memtide.catalog explains each. Never reused. */

#define MESSAGE_ID_DECIDED        "5b9f1c6c0c7e4b0c9b2a5d3e7f1a4c01"
#define MESSAGE_ID_CLOSED         "5b9f1c6c0c7e4b0c9b2a5d3e7f1a4c02"
#define MESSAGE_ID_CLOSED_SHORT   "5b9f1c6c0c7e4b0c9b2a5d3e7f1a4c03"
#define MESSAGE_ID_DENIED         "5b9f1c6c0c7e4b0c9b2a5d3e7f1a4c04"
#define MESSAGE_ID_LACKS          "5b9f1c6c0c7e4b0c9b2a5d3e7f1a4c05"
#define MESSAGE_ID_RELOAD_REFUSED "5b9f1c6c0c7e4b0c9b2a5d3e7f1a4c06"
#define MESSAGE_ID_RIVAL          "5b9f1c6c0c7e4b0c9b2a5d3e7f1a4c07"
#define MESSAGE_ID_GUEST_OOM      "5b9f1c6c0c7e4b0c9b2a5d3e7f1a4c08"
#define MESSAGE_ID_HELD           "5b9f1c6c0c7e4b0c9b2a5d3e7f1a4c09"
#define MESSAGE_ID_MONITOR_LOST   "5b9f1c6c0c7e4b0c9b2a5d3e7f1a4c0a"
#define MESSAGE_ID_AGENT_LOST     "5b9f1c6c0c7e4b0c9b2a5d3e7f1a4c0b"
#define MESSAGE_ID_LEASED         "5b9f1c6c0c7e4b0c9b2a5d3e7f1a4c0c"
#define MESSAGE_ID_LATE           "5b9f1c6c0c7e4b0c9b2a5d3e7f1a4c0d"
