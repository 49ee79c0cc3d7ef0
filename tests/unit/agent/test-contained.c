/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Containers at their own limit beside a stream: what they do is not the guest's need, and what the guest does beside them
 * is.
 */

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>

#include "virtual-guest.h"

#define STEP_USEC MSEC(200)

/* MiB/s of hot refaults; the rest of the row says who they are and what is known of them. */
typedef struct Load {
        unsigned own, container;
        unsigned swap;        /* out and in, by the container, MiB/s */
        bool stream;          /* scans beside it */
        bool walks, facility; /* the caller walks when told to; and finds cgroups */
        unsigned lost_s;      /* every so often a container goes with what it did in its last second */
        unsigned begin_s,
                pause_s; /* the stream begins after begin_s, and pauses for as long as it lasts, pause_s */
} Load;

/* A guest full of cache, and what its sampler would do: the contained counters move with walks only. */
typedef struct World {
        Guest guest;
        uint64_t refault, activate, swap; /* the containers' */
        unsigned n_walks, n_samples;
} World;

static void world_init(World *world) {
        *world = (World){};
        guest_init(&world->guest, 1024 * MIB, 150 * MIB);
        world->guest.s.free_bytes = 40 * MIB;
        world->guest.s.active_file_bytes = 100 * MIB;
        world->guest.s.inactive_file_bytes = 700 * MIB;
        /* Nothing for a while, so that nobody knows of the container that is there. */
        world->guest.s.has = ALL & ~(unsigned) SNAPSHOT_HAS_CGROUPS;
        for (unsigned i = 0; i < 15; i++)
                guest_step(&world->guest, STEP_USEC);
}

static bool world_streams(const World *world, const Load *load) {
        unsigned second = world->n_samples / 5;

        if (!load->stream || second < load->begin_s)
                return false;
        return load->pause_s == 0 || (second - load->begin_s) / load->pause_s % 2 == 0;
}

static void world_walk(World *world, const Load *load) {
        Snapshot *s = &world->guest.s;

        s->has |= SNAPSHOT_HAS_CGROUPS;
        world->n_walks++;
        s->contained_lost = load->lost_s > 0 && world->n_walks % load->lost_s == 0;
        if (!s->contained_lost) {
                s->contained_refault += world->refault;
                s->contained_activate += world->activate;
                s->contained_pswpin += world->swap;
                s->contained_pswpout += world->swap;
        }
        s->n_contained = load->container + load->swap > 0;
        s->n_limited = 1;
        world->refault = world->activate = world->swap = 0;
}

static void world_step(World *world, const Load *load) {
        Snapshot *s = &world->guest.s;
        uint64_t page = 256 / 5; /* of one MiB/s in 200 ms */

        s->workingset_refault += (3 * (load->own + load->container) + load->swap) * page;
        s->workingset_activate += (load->own + load->container) * page;
        s->pswpin += load->swap * page;
        s->pswpout += load->swap * page;
        world->refault += (3 * load->container + load->swap) * page;
        world->activate += load->container * page;
        world->swap += load->swap * page;
        s->pgscan_kswapd += world_streams(world, load) ? 100 * page : 0;
        s->psi_triggered = world->n_samples % 10 == 0; /* somebody always waits */

        s->has = ALL & ~(unsigned) SNAPSHOT_HAS_CGROUPS;
        if (world->guest.demand.walk_cgroups && load->walks && load->facility)
                world_walk(world, load);
        world->n_samples++;
        guest_step(&world->guest, STEP_USEC);
}

static void test_loads(void **unused) {
        static const struct {
                const char *name;
                Load load;
                bool asks;
        } table[] = {
                {"stream", {.stream = true, .walks = true, .facility = true}, false},
                {"own hot set", {.own = 5, .stream = true, .walks = true, .facility = true}, true},
                {"container", {.container = 7, .walks = true, .facility = true}, false},
                {"container and stream",
                 {.container = 7, .stream = true, .walks = true, .facility = true},
                 false},
                {"stream begins beside a container",
                 {.container = 7, .stream = true, .begin_s = 20, .walks = true, .facility = true},
                 false},
                {"stream comes and goes",
                 {.container = 7, .stream = true, .pause_s = 4, .walks = true, .facility = true},
                 false},
                {"own hot set beside both",
                 {.own = 4, .container = 7, .stream = true, .walks = true, .facility = true},
                 true},
                {"containers that go",
                 {.container = 7, .stream = true, .lost_s = 3, .walks = true, .facility = true},
                 false},
                {"own hot set beside containers that go",
                 {.own = 5, .container = 7, .stream = true, .lost_s = 3, .walks = true, .facility = true},
                 true},
                {"container that swaps", {.swap = 9, .stream = true, .walks = true, .facility = true}, false},
                {"swap of unknown origin", {.swap = 9, .stream = true, .walks = true}, true},
                {"no cgroups to see", {.container = 7, .stream = true, .walks = true}, true},
                {"nobody walks", {.container = 7, .stream = true}, true},
        };
        unsigned n_wrong = 0;

        for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
                unsigned most = URGENCY_NONE;
                World world;

                world_init(&world);
                for (unsigned n = 0; n < 300; n++) {
                        world_step(&world, &table[i].load);
                        most = world.guest.demand.urgency > most ? world.guest.demand.urgency : most;
                }
                if ((most >= URGENCY_HIGH) != table[i].asks) {
                        print_error("%s: urgency %s\n", table[i].name, urgency_to_string((Urgency) most));
                        n_wrong++;
                }
        }
        assert_int_equal(n_wrong, 0);
}

/* A walk is dear: once a second at most, and only beside a scan with refaults or swap-out. */
static void test_walks_when_needed(void **unused) {
        static const struct {
                Load load;
                unsigned least, most; /* in 20 s */
        } table[] = {
                {{.stream = true, .walks = true, .facility = true}, 0, 0},
                {{.own = 5, .walks = true, .facility = true}, 0, 0},
                {{.container = 7, .walks = true, .facility = true}, 0, 0},
                {{.own = 5, .stream = true, .walks = true, .facility = true}, 15, 20},
                {{.container = 7, .stream = true, .walks = true, .facility = true}, 15, 20},
                {{.swap = 1, .stream = true, .walks = true, .facility = true}, 15, 20},
        };

        for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
                World world;

                world_init(&world);
                for (unsigned n = 0; n < 100; n++)
                        world_step(&world, &table[i].load);
                assert_in_range(world.n_walks, table[i].least, table[i].most);
        }
}

/* While the guest is short it is not walked: the need is plain, and nothing must wait for a folder. */
static void test_short_guest(void **unused) {
        const Load load = {.container = 7, .stream = true, .walks = true, .facility = true};
        World world;

        world_init(&world);
        guest_set(&world.guest, 1024 * MIB, 850 * MIB);
        for (unsigned n = 0; n < 100; n++)
                world_step(&world, &load);
        assert_int_equal(world.n_walks, 0);
        assert_true(world.guest.demand.need_bytes > 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_loads),
                cmocka_unit_test(test_walks_when_needed),
                cmocka_unit_test(test_short_guest),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
