/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The parts of one object: vmm-libvirt.c (readings, calls, commands) and vmm-libvirt-dimm.c (DIMMs). */

#include "host-bridge/vmm/vmm-libvirt.h"
#include "host-bridge/vmm/vmm-watch.h"

#define VMM_LIBVIRT_COMMANDS_MAX                                                                             \
        4U /* one of a resize, and those that open the balloon after a reset or an OOM */

typedef struct DimmPull DimmPull;

typedef struct VmmLibvirt {
        Vmm vmm; /* first: ops */
        LibvirtListener listener;
        VmmLibvirtOptions options;
        sd_event *event;
        Libvirt *libvirt;
        char *name;
        sd_event_source *timer; /* the next reading, or attempt */

        LibvirtCall *call; /* under way */
        LibvirtCall *commands[VMM_LIBVIRT_COMMANDS_MAX];
        unsigned n_commands;
        bool read_due;  /* once the call is over */
        bool overtaken; /* a command was asked for after the reading under way had begun */

        bool ready; /* the last reading succeeded */
        uint64_t retry_usec;
        MemoryModel model;
        bool unusable_told;
        VmmWatch watch;
        DimmPull *pull; /* of a DIMM, up to its outcome; NULL: none */
} VmmLibvirt;

/* A call for the command id, to be filled and queued; or freed. 0, -EBUSY or -ENOMEM. */
int vmm_libvirt_order(VmmLibvirt *v, LibvirtVerb verb, uint64_t id, LibvirtCall **ret);
void vmm_libvirt_queue(VmmLibvirt *v, LibvirtCall *call);

/* Reads anew, once nothing else is to be done. */
void vmm_libvirt_read(VmmLibvirt *v);

/* As VmmOps.command, for ACTUATOR_DIMM; -EBUSY while another DIMM is being pulled. */
int vmm_libvirt_dimm_command(VmmLibvirt *v, uint64_t id, const PlanStep *step);

/* The outcome of LIBVIRT_PLUG_DIMM and LIBVIRT_PULL_DIMM. The object may be gone afterwards. */
void vmm_libvirt_dimm_reply(VmmLibvirt *v, const LibvirtCall *call);

/* The guest did not let go of that DIMM. Returns false if the object is no more. */
bool vmm_libvirt_dimm_kept(VmmLibvirt *v, unsigned number);

/* A reading says that the DIMM is gone: whoever pulled it hears so. Returns false if the object is no more. */
bool vmm_libvirt_dimm_settle(VmmLibvirt *v, const MemoryModel *fresh);

/* Is a DIMM of this reading on its way out? */
bool vmm_libvirt_dimm_is_leaving(const VmmLibvirt *v, const MemoryModel *fresh);

/* What may be plugged by the time that a command is carried out, and no reading says so yet. */
uint64_t vmm_libvirt_dimm_coming_bytes(const VmmLibvirt *v);

/* Nobody will say how it ended. */
void vmm_libvirt_dimm_drop(VmmLibvirt *v);
