/* SPDX-License-Identifier: Apache-2.0 */

/* Time, and what a running load has been told by signals: SIGTERM to free, SIGUSR1 to hold on. */

#include "load.h"

#include <signal.h>
#include <time.h>
#include <unistd.h>

static volatile sig_atomic_t asked_to_free, asked_to_hold;

static void on_signal(int signal) {
        if (signal == SIGTERM)
                asked_to_free = 1;
        else
                asked_to_hold = 1;
}

void load_listen(void) {
        (void) signal(SIGTERM, on_signal);
        (void) signal(SIGUSR1, on_signal);
}

bool load_asked_to_free(void) {
        return asked_to_free;
}

int64_t load_now_nsec(void) {
        struct timespec t;

        (void) clock_gettime(CLOCK_MONOTONIC, &t);
        return t.tv_sec * NSEC_PER_SEC + t.tv_nsec;
}

void load_sleep_until(int64_t when_nsec) {
        const struct timespec t = {.tv_sec = when_nsec / NSEC_PER_SEC, .tv_nsec = when_nsec % NSEC_PER_SEC};

        (void) clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
}

void load_hold(uint64_t bytes, unsigned hold_sec) {
        int64_t end_nsec = load_now_nsec() + hold_sec * NSEC_PER_SEC;

        load_write_state("hold", bytes, getpid());
        while (!asked_to_free && (hold_sec == 0 || asked_to_hold || load_now_nsec() < end_nsec))
                load_sleep_until(load_now_nsec() + NSEC_PER_SEC / 20);
}
