/* SPDX-License-Identifier: Apache-2.0 */

/* The audit: what is put comes back, also later; what is old goes; damage, a lock and a full queue cost it alone. */

#include "host-bridge/surfaces/audit.h"

#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/units.h"
#include "host-bridge/surfaces/audit-store.h"
#include "host-bridge/surfaces/fields.h"

typedef struct Fixture {
        sd_event *event;
        Audit *audit;
        char folder[64], path[96];
        /* the last answer */
        bool answered;
        int r;
        Decision found[64];
        size_t n_found;
} Fixture;

static Decision make(uint64_t id, const char *vm, DecisionResult result) {
        Decision decision = {
                .id = id,
                .realtime_usec = clock_realtime_usec(),
                .kind = DECISION_SHRINK,
                .rule = RULE_SHRINK_IDLE,
                .actuator = ACTUATOR_VIRTIO_MEM,
                .n_steps = 3,
                .wanted_bytes = 256 * MIB,
                .confirmed_bytes = -(int64_t) (128 * MIB),
                .result = result,
                .refusal = REFUSAL_MARGIN,
                .request_usec = 17,
                .closed_usec = 4711,
                .inputs = {.urgency = URGENCY_HIGH, .need_bytes = -5, .report_age_usec = UINT64_MAX},
        };

        (void) snprintf(decision.vm, sizeof(decision.vm), "%s", vm);
        return decision;
}

static int setup(void **state) {
        Fixture *f = calloc(1, sizeof(*f));

        assert_non_null(f);
        (void) strcpy(f->folder, "/tmp/test-audit-XXXXXX");
        assert_non_null(mkdtemp(f->folder));
        (void) snprintf(f->path, sizeof(f->path), "%s/audit.sqlite", f->folder);
        assert_int_equal(sd_event_new(&f->event), 0);
        *state = f;
        return 0;
}

static int teardown(void **state) {
        Fixture *f = *state;
        struct dirent *entry;
        DIR *dir;

        (void) audit_free(f->audit);
        (void) sd_event_unref(f->event);
        dir = opendir(f->folder);
        while (dir && (entry = readdir(dir)))
                (void) unlinkat(dirfd(dir), entry->d_name, 0);
        (void) closedir(dir);
        (void) rmdir(f->folder);
        free(f);
        return 0;
}

static void begin(Fixture *f, AuditOptions options) {
        options.path = f->path;
        assert_int_equal(audit_new(f->event, &options, &f->audit), 0);
}

static void end(Fixture *f) {
        f->audit = audit_free(f->audit);
}

static void put(Fixture *f, uint64_t id, const char *vm, DecisionResult result) {
        Decision decision = make(id, vm, result);

        audit_put(f->audit, &decision);
}

static void take_answer(int r, const Decision *decisions, size_t n, void *userdata) {
        Fixture *f = userdata;

        f->answered = true;
        f->r = r;
        f->n_found = n;
        if (n > 0)
                memcpy(f->found, decisions, n * sizeof(Decision));
}

/* Returns how many, or -errno; they are in f->found. */
static int list(Fixture *f, const char *vm) {
        f->answered = false;
        assert_int_equal(audit_list(f->audit, vm, ELEMENTSOF(f->found), take_answer, f), 0);
        for (int i = 0; i < 100 && !f->answered; i++)
                assert_true(sd_event_run(f->event, 100 * USEC_PER_MSEC) >= 0);
        assert_true(f->answered);
        return f->r < 0 ? f->r : (int) f->n_found;
}

static sqlite3 *open_other(Fixture *f) {
        sqlite3 *db = NULL;

        assert_int_equal(sqlite3_open(f->path, &db), SQLITE_OK);
        return db;
}

static void change(Fixture *f, const char *sql) {
        sqlite3 *db = open_other(f);

        assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
        assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

/* -- what is kept ---------------------------------------------------------------------------------- */

static void test_all_of_it_comes_back(void **state) {
        Fixture *f = *state;
        Decision put_one = make(7, "a", RESULT_PARTIAL);

        begin(f, audit_defaults);
        audit_put(f->audit, &put_one);
        end(f);
        begin(f, audit_defaults);
        assert_int_equal(list(f, "a"), 1);
        assert_memory_equal(f->found, &put_one, sizeof(put_one));
}

/* Each field of a decision finds its way back, by its name. */
static void test_fields_both_ways(void **state) {
        Field fields[FIELDS_MAX], again[FIELDS_MAX];
        Decision decision = make(1, "name", RESULT_VETOED), back;
        size_t n;

        for (size_t i = 0; i < sizeof(decision.inputs) / sizeof(uint64_t); i++)
                if (i > 0) /* the two enums come first */
                        ((uint64_t *) &decision.inputs)[i] = 100 + i;
        n = fields_of_decision(&decision, fields);
        decision_of_fields(fields, n, &back);
        assert_int_equal(fields_of_decision(&back, again), n);
        for (size_t i = 0; i < n; i++) {
                assert_string_equal(fields[i].text, again[i].text);
                assert_true(fields[i].u64 == again[i].u64 && fields[i].i64 == again[i].i64);
        }
}

static void test_order_and_selection(void **state) {
        Fixture *f = *state;

        begin(f, audit_defaults);
        assert_int_equal(list(f, ""), 0);
        put(f, 1, "a", RESULT_DONE);
        put(f, 2, "b", RESULT_DONE);
        put(f, 3, "a", RESULT_DONE);
        assert_int_equal(list(f, ""), 3);
        assert_int_equal(f->found[0].id, 3);
        assert_int_equal(list(f, "a"), 2);
        assert_int_equal(f->found[1].id, 1);
        assert_int_equal(list(f, "' OR 1=1 --"), 0);
}

static void test_an_update_replaces(void **state) {
        Fixture *f = *state;

        begin(f, audit_defaults);
        put(f, 1, "a", RESULT_PENDING);
        assert_int_equal(list(f, "a"), 1); /* and so it is written */
        put(f, 1, "a", RESULT_DONE);
        assert_int_equal(list(f, "a"), 1);
        assert_int_equal(f->found[0].result, RESULT_DONE);
}

static void test_what_was_open_is_lost(void **state) {
        Fixture *f = *state;

        begin(f, audit_defaults);
        put(f, 1, "a", RESULT_PENDING);
        end(f);
        begin(f, audit_defaults);
        assert_int_equal(list(f, "a"), 1);
        assert_int_equal(f->found[0].result, RESULT_LOST);
}

static void test_the_old_and_the_many_go(void **state) {
        Fixture *f = *state;
        AuditOptions options = audit_defaults;
        Decision old = make(1, "a", RESULT_DONE);

        old.realtime_usec -= options.retention_usec + USEC_PER_SEC;
        begin(f, options);
        audit_put(f->audit, &old);
        for (uint64_t id = 2; id <= 9; id++)
                put(f, id, "a", RESULT_DONE);
        assert_int_equal(list(f, "a"), 9);
        end(f);

        begin(f, options); /* deletes at its start */
        assert_int_equal(list(f, "a"), 8);
        end(f);
        options.rows_max = 3;
        begin(f, options);
        assert_int_equal(list(f, "a"), 3);
        assert_int_equal(f->found[0].id, 9);
}

static void test_an_older_file_gets_new_columns(void **state) {
        Fixture *f = *state;

        change(f, "CREATE TABLE decisions (id INTEGER PRIMARY KEY, vm TEXT, result TEXT);"
                  "INSERT INTO decisions VALUES (1, 'a', 'done'), (2, 'a', 'never heard of'), (3, 5, x'00');"
                  "PRAGMA user_version = 1");
        begin(f, audit_defaults);
        put(f, 4, "a", RESULT_DONE);
        assert_int_equal(list(f, "a"), 3);
        assert_int_equal(f->found[0].wanted_bytes, 256 * MIB);
        assert_int_equal(f->found[2].result, RESULT_DONE);
        assert_int_equal(f->found[2].wanted_bytes, 0);
}

static void test_a_newer_file_is_left_alone(void **state) {
        Fixture *f = *state;
        struct stat before, after;

        change(f, "PRAGMA user_version = 2");
        assert_int_equal(stat(f->path, &before), 0);
        begin(f, audit_defaults);
        put(f, 1, "a", RESULT_DONE);
        assert_int_equal(list(f, "a"), -EPROTONOSUPPORT);
        end(f);
        assert_int_equal(stat(f->path, &after), 0);
        assert_int_equal(before.st_ino, after.st_ino);
}

static void test_nobody_else_may_read(void **state) {
        Fixture *f = *state;
        struct stat st;

        begin(f, audit_defaults);
        assert_int_equal(list(f, ""), 0);
        assert_int_equal(stat(f->path, &st), 0);
        assert_int_equal(st.st_mode & 0777, 0640);
}

/* -- what goes wrong ------------------------------------------------------------------------------- */

static void overwrite(Fixture *f, long offset, size_t size) {
        FILE *file = fopen(f->path, offset > 0 ? "r+e" : "we");

        assert_non_null(file);
        assert_int_equal(fseek(file, offset, SEEK_SET), 0);
        for (size_t i = 0; i < size; i++)
                assert_int_equal(fputc(0x5a, file), 0x5a);
        (void) fclose(file);
}

static void assert_put_aside(Fixture *f) {
        char other[128];
        struct stat st;

        put(f, 100, "a", RESULT_DONE);
        assert_int_equal(list(f, "a"), 1);
        (void) snprintf(other, sizeof(other), "%s.corrupt", f->path);
        assert_int_equal(stat(other, &st), 0);
}

static void test_no_database(void **state) {
        Fixture *f = *state;

        overwrite(f, 0, 8192);
        begin(f, audit_defaults);
        assert_put_aside(f);
}

static void test_a_damaged_page(void **state) {
        Fixture *f = *state;
        AuditOptions options = audit_defaults;

        begin(f, options);
        for (uint64_t id = 1; id <= 100; id++)
                put(f, id, "a", RESULT_DONE);
        end(f);
        overwrite(f, 4096, 8192);
        begin(f, options);
        assert_put_aside(f);
}

typedef struct Bytes {
        char data[128 * KIB];
        size_t n;
} Bytes;

static void read_file(const char *path, Bytes *ret) {
        FILE *file = fopen(path, "re");

        assert_non_null(file);
        ret->n = fread(ret->data, 1, sizeof(ret->data), file);
        assert_true(ret->n > 0 && ret->n < sizeof(ret->data));
        (void) fclose(file);
}

static void write_file(const char *path, const Bytes *bytes, size_t n) {
        FILE *file = fopen(path, "we");

        assert_non_null(file);
        assert_int_equal(fwrite(bytes->data, 1, n, file), n);
        assert_int_equal(fclose(file), 0);
}

/* Whatever lies there: decisions are kept from now on. */
static void assert_goes_on(Fixture *f, const char *what, size_t at) {
        begin(f, audit_defaults);
        put(f, 100, "new", RESULT_DONE);
        if (list(f, "new") != 1 || f->found[0].id != 100)
                fail_msg("%s at byte %zu", what, at);
        end(f);
}

/* As if the bridge or the host had died in the middle of a write: at each length of the log, and of the file. */
static void test_torn_and_garbled(void **state) {
        static Bytes database, log;
        Fixture *f = *state;
        char wal[128];

        begin(f, audit_defaults);
        for (uint64_t id = 1; id <= 5; id++)
                put(f, id, "a", RESULT_DONE);
        assert_int_equal(list(f, "a"), 5);
        (void) snprintf(wal, sizeof(wal), "%s-wal", f->path);
        read_file(f->path, &database);
        read_file(wal, &log);
        end(f);

        for (size_t n = 0; n <= log.n; n += n < 64 ? 16 : 2999) {
                write_file(f->path, &database, database.n);
                write_file(wal, &log, n);
                assert_goes_on(f, "the log was cut", n);
        }
        read_file(f->path, &database);
        for (size_t n = 0; n < database.n; n += n < 112 ? 16 : 2999) {
                write_file(f->path, &database, n);
                assert_goes_on(f, "the file was cut", n);
        }
        for (size_t i = 0; i < database.n; i += i < 112 ? 16 : 2999) {
                database.data[i] = (char) ~database.data[i];
                write_file(f->path, &database, database.n);
                assert_goes_on(f, "the file was garbled", i);
                database.data[i] = (char) ~database.data[i];
        }
}

static void test_a_place_that_is_none(void **state) {
        Fixture *f = *state;

        (void) snprintf(f->path, sizeof(f->path), "/proc/memtide/audit.sqlite");
        begin(f, audit_defaults);
        put(f, 1, "a", RESULT_DONE);
        assert_true(list(f, "a") < 0);
        put(f, 2, "a", RESULT_DONE);
        assert_true(list(f, "a") < 0);
}

static void test_a_link_is_not_followed(void **state) {
        Fixture *f = *state;
        char target[128];

        (void) snprintf(target, sizeof(target), "%s/target", f->folder);
        assert_int_equal(symlink(target, f->path), 0);
        begin(f, audit_defaults);
        assert_true(list(f, "a") < 0);
        assert_int_equal(access(target, F_OK), -1);
}

/* Somebody holds the file, as a disk that hangs would: puts return at once, and what fits into the queue is written. */
static void test_a_put_never_waits(void **state) {
        Fixture *f = *state;
        AuditOptions options = audit_defaults;
        uint64_t begun_usec, longest_usec = 0;
        sqlite3 *other;
        int n;

        options.queue_max = 32;
        begin(f, options);
        assert_int_equal(list(f, ""), 0);
        other = open_other(f);
        assert_int_equal(sqlite3_exec(other, "BEGIN EXCLUSIVE", NULL, NULL, NULL), SQLITE_OK);
        for (uint64_t id = 1; id <= 1000; id++) {
                begun_usec = clock_monotonic_usec();
                put(f, id, "a", RESULT_DONE);
                longest_usec = u64_max(longest_usec, clock_monotonic_usec() - begun_usec);
        }
        assert_true(longest_usec < 500 * USEC_PER_MSEC); /* the lock is waited for 2 s */
        assert_int_equal(sqlite3_exec(other, "COMMIT", NULL, NULL, NULL), SQLITE_OK);
        assert_int_equal(sqlite3_close(other), SQLITE_OK);
        n = list(f, "a");
        assert_in_range(n, 1, ELEMENTSOF(f->found));
}

/* Those who ask hear in any case; more than there are places are told so at once. */
static void test_questions_end_with_it(void **state) {
        Fixture *f = *state;
        int r = 0;

        begin(f, audit_defaults);
        for (int i = 0; i < 64 && r == 0; i++)
                r = audit_list(f->audit, "", 1, take_answer, f);
        assert_int_equal(r, -EBUSY);
        end(f);
        assert_true(f->answered);
        assert_int_equal(f->r, -ECANCELED);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_all_of_it_comes_back, setup, teardown),
                cmocka_unit_test(test_fields_both_ways),
                cmocka_unit_test_setup_teardown(test_order_and_selection, setup, teardown),
                cmocka_unit_test_setup_teardown(test_an_update_replaces, setup, teardown),
                cmocka_unit_test_setup_teardown(test_what_was_open_is_lost, setup, teardown),
                cmocka_unit_test_setup_teardown(test_the_old_and_the_many_go, setup, teardown),
                cmocka_unit_test_setup_teardown(test_an_older_file_gets_new_columns, setup, teardown),
                cmocka_unit_test_setup_teardown(test_a_newer_file_is_left_alone, setup, teardown),
                cmocka_unit_test_setup_teardown(test_nobody_else_may_read, setup, teardown),
                cmocka_unit_test_setup_teardown(test_no_database, setup, teardown),
                cmocka_unit_test_setup_teardown(test_a_damaged_page, setup, teardown),
                cmocka_unit_test_setup_teardown(test_torn_and_garbled, setup, teardown),
                cmocka_unit_test_setup_teardown(test_a_place_that_is_none, setup, teardown),
                cmocka_unit_test_setup_teardown(test_a_link_is_not_followed, setup, teardown),
                cmocka_unit_test_setup_teardown(test_a_put_never_waits, setup, teardown),
                cmocka_unit_test_setup_teardown(test_questions_end_with_it, setup, teardown),
        };

        log_setup(LOG_TARGET_STDERR, LOG_ERR);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
