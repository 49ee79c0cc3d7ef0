/* SPDX-License-Identifier: Apache-2.0 */

#include "libvirt-fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/units.h"
#include "host-bridge/vmm/vmm-libvirt.h"

static void on_domains(const LibvirtDomain *const *domains, size_t n, void *userdata) {
        Fixture *f = userdata;

        f->n_deliveries++;
        f->n_domains = n;
        for (size_t i = 0; i < n; i++)
                memcpy(f->names[i], domains[i]->name, sizeof(f->names[i]));
}

int libvirt_setup(void **state) {
        Fixture *f = calloc(1, sizeof(*f));
        LibvirtOptions options = {
                .api = &fake_libvirt_api,
                .uri = "fake:///",
                .workers = {.active_max = 2,
                            .threads_max = 8,
                            .deadline_usec = 60 * USEC_PER_MSEC,
                            .queue_usec = 500 * USEC_PER_MSEC},
                .retry_min_usec = 5 * USEC_PER_MSEC,
                .retry_max_usec = 20 * USEC_PER_MSEC,
                .list_usec = USEC_PER_SEC,
        };

        assert_non_null(f);
        fake_libvirtd_init();
        world_init(&f->world);
        assert_int_equal(libvirt_new(f->world.event, &options, on_domains, f, &f->libvirt), 0);
        fake_libvirtd_start(0);
        *state = f;
        return 0;
}

int libvirt_teardown(void **state) {
        Fixture *f = *state;

        for (unsigned i = 0; i < DOMAINS_MAX; i++)
                (void) vmm_free(f->hands[i].vmm);
        (void) libvirt_free(f->libvirt);
        assert_int_equal(fake_libvirtd_done(), 0);
        world_done(&f->world);
        free(f);
        return 0;
}

Hand *libvirt_take(Fixture *f, unsigned i) {
        static const VmmLibvirtOptions quick = {
                .retry_min_usec = 5 * USEC_PER_MSEC,
                .retry_max_usec = 20 * USEC_PER_MSEC,
                .pull_timeout_usec = 200 * USEC_PER_MSEC,
                .poll_usec = 10 * USEC_PER_MSEC,
                .refresh_usec = USEC_PER_SEC,
        };
        Hand *hand = &f->hands[i];
        char uuid[2] = {(char) ('0' + i), '\0'};

        assert_int_equal(vmm_libvirt_new(f->world.event, f->libvirt, "vm", uuid, &quick,
                                         (VmmOwner){hand_on_vmm, hand}, &hand->vmm),
                         0);
        assert_int_equal(hand->n_events, 0); /* never from inside the call */
        return hand;
}

static bool is_connected(void *userdata) {
        return libvirt_is_connected(((Fixture *) userdata)->libvirt);
}

Hand *libvirt_connected(Fixture *f, unsigned i) {
        Hand *hand;

        assert_true(world_run(&f->world, is_connected, f, 5000));
        hand = libvirt_take(f, i);
        assert_true(world_run(&f->world, hand_has_model, hand, 5000));
        return hand;
}
