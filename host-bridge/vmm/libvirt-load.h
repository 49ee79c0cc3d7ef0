/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The loadable module that knows libvirt. */

#include "host-bridge/vmm/libvirt-api.h"

/*
 * Loads it, for the rest of the process. Returns 0, -ENOENT if the file does not exist, or -ENOEXEC if it can not be
 * loaded or is of another version; error then says why.
 */
int libvirt_load(const char *path, const LibvirtApi **ret, char error[static LIBVIRT_TEXT_MAX]);
