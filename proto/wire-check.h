/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>

#include "proto/message.h"

/* Returns true if every value of message is one that memtide.proto allows, alone and beside the others. */
bool wire_check(const Message *message);
