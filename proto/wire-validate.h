/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The strict check of protobuf bytes that runs before protobuf-c sees them. */

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WIRE_DEPTH_MAX    2U  /* of submessages, below the outermost message */
#define WIRE_REPEATED_MAX 16U /* elements of one field */
#define WIRE_UNKNOWN_MAX  32U /* unknown fields in the whole payload */
#define WIRE_LENGTH_MAX   64U /* of one string or bytes field */

/*
 * Returns true if data is an encoding of the message that descriptor describes, within the limits
 * above, in its shortest form, and such that no value changes when it is put into its C type.
 * Ranges of single fields and their relations are the caller's.
 */
bool wire_validate(const ProtobufCMessageDescriptor *descriptor, const uint8_t *data, size_t size);
