/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The ranges that memtide.proto names, for the tables and the checks between fields. */

#include "common/units.h"

#define WIRE_TIME_MAX      ((UINT64_C(1) << 62) - 1) /* usec; two of them add up without a wrap */
#define WIRE_COUNT_MAX     ((UINT64_C(1) << 62) - 1) /* of things that happened */
#define WIRE_BYTES_MAX     MEMORY_BYTES_MAX
#define WIRE_ADDRESS_MAX   (UINT64_C(1) << 52) /* the most physical address bits of any CPU */
#define WIRE_BLOCK_MIN     (16 * MIB)          /* the smallest memory block, of ppc64 */
#define WIRE_BLOCK_NUMBERS (WIRE_ADDRESS_MAX / WIRE_BLOCK_MIN)
#define WIRE_BLOCKS_MAX    (MEMORY_BYTES_MAX / WIRE_BLOCK_MIN)
#define WIRE_PAGE_MIN      (4 * KIB)
#define WIRE_PAGE_MAX      MIB
#define WIRE_ERRNO_MAX     4095U
#define WIRE_MINOR_MAX     1000U
#define WIRE_REPORT_MIN    (10 * USEC_PER_MSEC) /* Report.interval_usec */
#define WIRE_REPORT_MAX    (60 * USEC_PER_SEC)
#define WIRE_CADENCE_MIN   (100 * USEC_PER_MSEC) /* report_interval_usec of the host */
#define WIRE_CADENCE_MAX   (10 * USEC_PER_SEC)
#define WIRE_DELAY_MIN     USEC_PER_MSEC /* Tuning.actuator_delay_usec */
#define WIRE_DELAY_MAX     (10 * USEC_PER_SEC)
#define WIRE_PSI_SLACK     USEC_PER_SEC /* "some" and "full" are read at different times */
