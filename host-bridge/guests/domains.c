/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Metadata is the operator's word as a file of vm.d is, and goes through the same table. It may not name sockets: who
 * may edit one domain would then choose which files the bridge opens, and whose monitor it speaks to.
 *
 * What a domain said is kept with what became of it, so that an error is told once and not at every look.
 */

#include "host-bridge/guests/domains.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "common/log.h"
#include "host-bridge/vmm/libvirt-load.h"
#include "host-bridge/vmm/libvirt.h"
#include "host-bridge/vmm/vmm-libvirt.h"
#include "host-bridge/vmm/vmm-words.h"

typedef struct Said {
        char uuid[LIBVIRT_UUID_MAX];
        char name[LIBVIRT_NAME_MAX];
        char text[LIBVIRT_POLICY_MAX];
        bool usable; /* its name is one */
        VmPolicy policy;
        bool seen;
        UT_hash_handle hh;
} Said;

struct Domains {
        sd_event *event;
        Libvirt *libvirt;
        Said *said; /* hash by UUID */
        DomainsHandler handler;
        void *userdata;
};

static VmPolicy read_policy(const LibvirtDomain *domain) {
        char where[LIBVIRT_NAME_MAX + 32];
        VmConfig config = {};

        if (domain->policy[0] == '\0')
                return (VmPolicy){};
        (void) snprintf(where, sizeof(where), "metadata of domain %s", domain->name);
        if (vm_config_parse(where, domain->policy, &config, config_complain_to_log, NULL) < 0) {
                log_warning("VM %s: the policy in its metadata has errors and is left out", domain->name);
                return (VmPolicy){};
        }
        if (config.channel[0] != '\0' || config.qmp[0] != '\0')
                log_warning("VM %s: its metadata may not name sockets; those are left out", domain->name);
        return config.policy;
}

static Said *said_of(Domains *domains, const LibvirtDomain *domain) {
        char words[VMM_WORDS_MAX];
        Said *said;

        HASH_FIND_STR(domains->said, domain->uuid, said);
        if (said && strcmp(said->name, domain->name) == 0 && strcmp(said->text, domain->policy) == 0)
                return said;
        if (!said) {
                said = calloc(1, sizeof(*said));
                if (!said)
                        return NULL;
                memcpy(said->uuid, domain->uuid, sizeof(said->uuid));
                HASH_ADD_STR(domains->said, uuid, said);
        }
        memcpy(said->name, domain->name, sizeof(said->name));
        memcpy(said->text, domain->policy, sizeof(said->text));
        said->usable = vm_name_is_valid(domain->name);
        vmm_copy_words(domain->name, words);
        if (said->usable)
                said->policy = read_policy(domain);
        else
                log_warning("libvirt: domain \"%s\" is left out: such a name can not be a VM's", words);
        return said;
}

static void forget_unseen(Domains *domains) {
        Said *said, *next;

        HASH_ITER (hh, domains->said, said, next) {
                if (said->seen)
                        continue;
                HASH_DEL(domains->said, said);
                free(said);
        }
}

static void on_domains(const LibvirtDomain *const *found, size_t n, void *userdata) {
        Domains *domains = userdata;
        _cleanup_free_ DiscoveredVm *vms = calloc(n + 1, sizeof(*vms));
        size_t n_vms = 0;

        if (!vms) {
                log_error("libvirt: out of memory for its domains");
                return;
        }
        for (Said *said = domains->said; said; said = said->hh.next)
                said->seen = false;
        for (size_t i = 0; i < n; i++) {
                Said *said = said_of(domains, found[i]);
                DiscoveredVm *vm = &vms[n_vms];

                if (said)
                        said->seen = true;
                if (!said || !said->usable)
                        continue;
                vm->hypervisor.origin = VMM_ORIGIN_LIBVIRT;
                (void) snprintf(vm->hypervisor.text, sizeof(vm->hypervisor.text), "%s", found[i]->uuid);
                memcpy(vm->name, found[i]->name, strlen(found[i]->name) + 1); /* valid, so it fits */
                memcpy(vm->channel, found[i]->channel, sizeof(vm->channel));
                vm->policy = said->policy;
                n_vms++;
        }
        forget_unseen(domains);
        domains->handler(vms, n_vms, domains->userdata);
}

int domains_new(sd_event *event, const DomainsOptions *options, DomainsHandler handler, void *userdata,
                Domains **ret) {
        _cleanup_(domains_freep) Domains *domains = NULL;
        LibvirtOptions libvirt = libvirt_defaults;
        char error[LIBVIRT_TEXT_MAX];
        int r;

        assert(event);
        assert(options);
        assert(handler);
        assert(ret);

        r = libvirt_load(options->module, &libvirt.api, error);
        if (r < 0) {
                /* One that is there and broken is told in any case. */
                if (options->uri || r != -ENOENT)
                        log_warning("libvirt: no domain of it is served: %s", error);
                *ret = NULL;
                return 0;
        }
        domains = calloc(1, sizeof(*domains));
        if (!domains)
                return -ENOMEM;
        domains->event = sd_event_ref(event);
        domains->handler = handler;
        domains->userdata = userdata;
        libvirt.uri = options->uri;
        r = libvirt_new(event, &libvirt, on_domains, domains, &domains->libvirt);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(domains);
        return 0;
}

Domains *domains_free(Domains *domains) {
        Said *said, *next;

        if (!domains)
                return NULL;

        (void) libvirt_free(domains->libvirt);
        HASH_ITER (hh, domains->said, said, next) {
                HASH_DEL(domains->said, said);
                free(said);
        }
        (void) sd_event_unref(domains->event);
        free(domains);
        return NULL;
}

int domains_open_vmm(Domains *domains, const VmmAddress *address, const char *name, VmmOwner owner,
                     Vmm **ret) {
        assert(domains);
        assert(address->origin == VMM_ORIGIN_LIBVIRT);

        return vmm_libvirt_new(domains->event, domains->libvirt, name, address->text, &vmm_libvirt_defaults,
                               owner, ret);
}
