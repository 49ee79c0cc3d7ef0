/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What a DIMM of ours is called at a hypervisor: this and its number. Pure. */

#define DIMM_NAME_PREFIX "memtide-dimm"
#define DIMM_NAME_MAX    32U /* with what QMP and libvirt put before or behind it, and the NUL */

/* "memtide-dimmN" -> N, as we write it and no other way; MEMORY_MODEL_DIMMS_MAX: none of ours, or NULL. */
unsigned dimm_name_number(const char *name);
