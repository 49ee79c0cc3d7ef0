/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A domain's XML as libvirt prints it, read into values. Text in, values out. */

#include <stdint.h>

#include "host-bridge/vmm/libvirt-api.h"

/*
 * The live XML of a domain that runs: everything of *ret that XML says, which is all but running, busy, and the
 * balloon's size. Returns 0, -ENOMEM, or -EBADMSG for a text that does not have the shape of libvirt's; *ret is then
 * half filled.
 */
int libvirt_domain_parse(const char *xml, LibvirtDomain *ret);

/*
 * The virtio-mem device with that alias, as it stands in the domain's live XML but for <requested>: libvirt wants the
 * whole element and refuses any other change. *ret is freed by the caller. Returns 0, -ENODEV without such a device,
 * -ENOMEM or -EBADMSG.
 */
int libvirt_domain_request(const char *xml, const char *alias, uint64_t requested_bytes, char **ret);

/* The element for a new DIMM of that number, as virDomainAttachDeviceFlags() takes it. */
#define LIBVIRT_DOMAIN_DIMM_MAX 512U
void libvirt_domain_dimm(const LibvirtDomain *domain, unsigned number, uint64_t bytes,
                         char ret[static LIBVIRT_DOMAIN_DIMM_MAX]);
