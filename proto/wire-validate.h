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
 * Told what is read, while it is: of bytes that turn out to be wrong further on it has heard the beginning. Members may be
 * NULL.
 */
typedef struct WireReader {
        /* A submessage begins and ends. */
        void (*enter)(const ProtobufCFieldDescriptor *field, void *userdata);
        void (*leave)(void *userdata);
        /* A scalar; as it is on the wire, that is zigzag for sint32 and sint64. */
        void (*number)(const ProtobufCFieldDescriptor *field, uint64_t value, void *userdata);
        /* A string, or bytes; of at most WIRE_LENGTH_MAX. */
        void (*bytes)(const ProtobufCFieldDescriptor *field, const uint8_t *bytes, size_t size,
                      void *userdata);
        /* One that the schema does not have. */
        void (*unknown)(void *userdata);
} WireReader;

/*
 * Returns true if data is an encoding of the message that descriptor describes, within the limits
 * above, in its shortest form, and such that no value changes when it is put into its C type.
 * Ranges of single fields and their relations are the caller's. reader: NULL to check alone.
 */
bool wire_validate(const ProtobufCMessageDescriptor *descriptor, const uint8_t *data, size_t size,
                   const WireReader *reader, void *userdata);
