/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* MESSAGE_IDs of the agent's journal entries; packaging/memtide.catalog explains each. Never reused. */

#define MESSAGE_ID_STARTED        "c41e7d9a83f24f0fb6d1a95e207c3b01"
#define MESSAGE_ID_INERT          "c41e7d9a83f24f0fb6d1a95e207c3b02"
#define MESSAGE_ID_MISSING        "c41e7d9a83f24f0fb6d1a95e207c3b03"
#define MESSAGE_ID_ONLINER        "c41e7d9a83f24f0fb6d1a95e207c3b04"
#define MESSAGE_ID_PORT_UP        "c41e7d9a83f24f0fb6d1a95e207c3b05"
#define MESSAGE_ID_PORT_LOST      "c41e7d9a83f24f0fb6d1a95e207c3b06"
#define MESSAGE_ID_SESSION_OPEN   "c41e7d9a83f24f0fb6d1a95e207c3b07"
#define MESSAGE_ID_SESSION_OVER   "c41e7d9a83f24f0fb6d1a95e207c3b08"
#define MESSAGE_ID_ASKING         "c41e7d9a83f24f0fb6d1a95e207c3b09"
#define MESSAGE_ID_HEAVY          "c41e7d9a83f24f0fb6d1a95e207c3b0a"
#define MESSAGE_ID_CONTAINED_OOM  "c41e7d9a83f24f0fb6d1a95e207c3b0b"
#define MESSAGE_ID_GROWN          "c41e7d9a83f24f0fb6d1a95e207c3b0c"
#define MESSAGE_ID_BLOCK_FAILED   "c41e7d9a83f24f0fb6d1a95e207c3b0d"
#define MESSAGE_ID_SHRINK_BEGUN   "c41e7d9a83f24f0fb6d1a95e207c3b0e"
#define MESSAGE_ID_SHRINK_OFFERED "c41e7d9a83f24f0fb6d1a95e207c3b0f"
#define MESSAGE_ID_SHRINK_REFUSED "c41e7d9a83f24f0fb6d1a95e207c3b10"
#define MESSAGE_ID_SHRINK_VETOED  "c41e7d9a83f24f0fb6d1a95e207c3b11"
#define MESSAGE_ID_SHRUNK         "c41e7d9a83f24f0fb6d1a95e207c3b12"
#define MESSAGE_ID_NEEDED_BACK    "c41e7d9a83f24f0fb6d1a95e207c3b13"
#define MESSAGE_ID_RANGE_DONE     "c41e7d9a83f24f0fb6d1a95e207c3b14"
#define MESSAGE_ID_RANGE_FAILED   "c41e7d9a83f24f0fb6d1a95e207c3b15"
#define MESSAGE_ID_RANGE_REFUSED  "c41e7d9a83f24f0fb6d1a95e207c3b16"
#define MESSAGE_ID_RELOADED       "c41e7d9a83f24f0fb6d1a95e207c3b17"
#define MESSAGE_ID_RELOAD_REFUSED "c41e7d9a83f24f0fb6d1a95e207c3b18"
