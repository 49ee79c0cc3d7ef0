/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The columns are the fields of fields.c, under the same names: whoever reads the file with sqlite3(1) finds what
 * memtidectl prints, and a new field is a new column, which an older file is given when it is opened. A change that is
 * more than a new column raises SCHEMA_VERSION.
 *
 * WAL with synchronous=NORMAL: a power cut may lose the last decisions, never the file. The journal has them as well.
 */

#include "host-bridge/surfaces/audit-store.h"

#include <assert.h>
#include <sqlite3.h>
#include <string.h>
#include <sys/stat.h>

#include "host-bridge/surfaces/fields.h"

#define SCHEMA_VERSION  1
#define BUSY_MSEC       2000 /* somebody else has it open */
#define CACHE_KIB       512
#define WAL_BYTES_MAX   (4 * MIB)
#define SQL_COLUMNS_MAX 4096

struct AuditStore {
        sqlite3 *db;
        sqlite3_stmt *insert;
        size_t n_columns;
        char columns[SQL_COLUMNS_MAX]; /* their names, comma-separated */
        Field fields[FIELDS_MAX];      /* of the decision in hand */
};

/* What sqlite says, as our callers want it. */
static int outcome(AuditStore *store, int code) {
        switch (code & 0xff) { /* sqlite's numbers, not an enum of ours */

        case SQLITE_OK:
        case SQLITE_DONE:
        case SQLITE_ROW:
                return 0;

        case SQLITE_CORRUPT:
        case SQLITE_NOTADB:
                return AUDIT_STORE_CORRUPT;

        case SQLITE_NOMEM:
                return -ENOMEM;

        case SQLITE_FULL:
                return -ENOSPC;

        case SQLITE_READONLY:
                return -EROFS;

        case SQLITE_BUSY:
        case SQLITE_LOCKED:
                return -EBUSY;

        case SQLITE_PERM:
        case SQLITE_AUTH:
                return -EACCES;

        default: {
                int error = sqlite3_system_errno(store->db);

                return error > 0 ? -error : -EIO;
        }
        }
}

static int execute(AuditStore *store, const char *sql) {
        return outcome(store, sqlite3_exec(store->db, sql, NULL, NULL, NULL));
}

static int prepare(AuditStore *store, const char *sql, sqlite3_stmt **ret) {
        return outcome(store, sqlite3_prepare_v2(store->db, sql, -1, ret, NULL));
}

/* The first column of the first row of a query. value: of size bytes. */
static int ask(AuditStore *store, const char *sql, char *value, size_t size) {
        sqlite3_stmt *statement = NULL;
        const unsigned char *text = NULL;
        int r;

        value[0] = '\0';
        r = prepare(store, sql, &statement);
        if (r == 0) {
                r = outcome(store, sqlite3_step(statement));
                text = r == 0 ? sqlite3_column_text(statement, 0) : NULL;
        }
        if (text)
                (void) snprintf(value, size, "%s", (const char *) text);
        (void) sqlite3_finalize(statement);
        return r;
}

/* -- the schema ------------------------------------------------------------------------------------ */

static const char *column_type(const Field *field) {
        if (strcmp(field->name, "id") == 0)
                return "INTEGER PRIMARY KEY";
        return field->type == FIELD_STRING ? "TEXT" : "INTEGER";
}

static int add_column(AuditStore *store, const Field *field) {
        char sql[256], found[8];
        int r;

        (void) snprintf(sql, sizeof(sql), "SELECT 1 FROM pragma_table_info('decisions') WHERE name = '%s'",
                        field->name);
        r = ask(store, sql, found, sizeof(found));
        if (r != 0 || found[0] != '\0')
                return r;
        (void) snprintf(sql, sizeof(sql), "ALTER TABLE decisions ADD COLUMN %s %s", field->name,
                        column_type(field));
        return execute(store, sql);
}

static int make_table(AuditStore *store) {
        static const Decision none = {.id = 1};
        size_t length = 0;
        int r;

        r = execute(store, "CREATE TABLE IF NOT EXISTS decisions (id INTEGER PRIMARY KEY)");
        store->n_columns = fields_of_decision(&none, store->fields);
        for (size_t i = 0; r == 0 && i < store->n_columns; i++) {
                r = add_column(store, store->fields + i);
                length += (size_t) snprintf(store->columns + length, sizeof(store->columns) - length, "%s%s",
                                            i > 0 ? ", " : "", store->fields[i].name);
                assert(length < sizeof(store->columns));
        }
        if (r == 0)
                r = execute(store, "CREATE INDEX IF NOT EXISTS decisions_vm ON decisions (vm, id)");
        if (r == 0)
                r = execute(store, "UPDATE decisions SET result = 'lost' WHERE result = 'pending'");
        return r;
}

static int prepare_insert(AuditStore *store) {
        char sql[SQL_COLUMNS_MAX + 512];
        size_t length;

        length = (size_t) snprintf(sql, sizeof(sql), "INSERT OR REPLACE INTO decisions (%s) VALUES (?",
                                   store->columns);
        for (size_t i = 1; i < store->n_columns; i++)
                length += (size_t) snprintf(sql + length, sizeof(sql) - length, ", ?");
        (void) snprintf(sql + length, sizeof(sql) - length, ")");
        return prepare(store, sql, &store->insert);
}

static int check_version(AuditStore *store) {
        char text[32], sql[64];
        int r;

        r = ask(store, "PRAGMA user_version", text, sizeof(text));
        if (r != 0)
                return r;
        if (atoi(text) > SCHEMA_VERSION)
                return -EPROTONOSUPPORT;
        (void) snprintf(sql, sizeof(sql), "PRAGMA user_version = %d", SCHEMA_VERSION);
        return execute(store, sql);
}

static int set_up(AuditStore *store) {
        char text[128], sql[192];
        int r;

        (void) sqlite3_busy_timeout(store->db, BUSY_MSEC);
        r = ask(store, "PRAGMA quick_check(1)", text, sizeof(text));
        if (r == 0 && strcmp(text, "ok") != 0)
                return AUDIT_STORE_CORRUPT;
        if (r == 0) {
                (void) snprintf(
                        sql, sizeof(sql),
                        "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA cache_size = -%d;"
                        "PRAGMA journal_size_limit = %llu; BEGIN IMMEDIATE",
                        CACHE_KIB, (unsigned long long) WAL_BYTES_MAX);
                r = execute(store, sql);
        }
        if (r == 0)
                r = check_version(store);
        if (r == 0)
                r = make_table(store);
        if (r == 0)
                r = execute(store, "COMMIT");
        return r != 0 ? r : prepare_insert(store);
}

static void make_folder(const char *path) {
        char folder[4096];
        const char *slash = strrchr(path, '/');

        if (!slash || slash == path || (size_t) (slash - path) >= sizeof(folder))
                return;
        (void) snprintf(folder, sizeof(folder), "%.*s", (int) (slash - path), path);
        (void) mkdir(folder, 0750); /* what is wrong with it, the open will tell */
}

int audit_store_open(const char *path, AuditStore **ret) {
        _cleanup_(audit_store_freep) AuditStore *store = NULL;
        int r;

        assert(path);
        assert(ret);

        store = calloc(1, sizeof(*store));
        if (!store)
                return -ENOMEM;
        make_folder(path);
        r = outcome(store, sqlite3_open_v2(path, &store->db,
                                           SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX |
                                                   SQLITE_OPEN_NOFOLLOW,
                                           NULL));
        if (r == 0 && chmod(path, 0640) < 0 && errno != ENOENT)
                r = -errno;
        if (r == 0)
                r = set_up(store);
        if (r != 0)
                return r;
        *ret = TAKE_PTR(store);
        return 0;
}

AuditStore *audit_store_free(AuditStore *store) {
        if (!store)
                return NULL;
        (void) sqlite3_finalize(store->insert);
        (void) sqlite3_close(store->db);
        free(store);
        return NULL;
}

/* -- rows ------------------------------------------------------------------------------------------ */

static int64_t as_signed(uint64_t value) {
        return value > INT64_MAX ? INT64_MAX : (int64_t) value; /* sqlite has no larger ones */
}

static int bind_field(sqlite3_stmt *statement, int column, const Field *field) {
        switch (field->type) {
        case FIELD_U64:
                return sqlite3_bind_int64(statement, column, as_signed(field->u64));
        case FIELD_I64:
                return sqlite3_bind_int64(statement, column, field->i64);
        case FIELD_BOOLEAN:
                return sqlite3_bind_int(statement, column, field->boolean);
        case FIELD_STRING:
        case FIELD_LIST:
                return sqlite3_bind_text(statement, column, field->text, -1, SQLITE_STATIC);
        case FIELD_TYPE_MAX:
                break;
        }
        return SQLITE_MISUSE;
}

/* A field that is left out leaves its column NULL. Both lists have the order of the table in fields.c. */
static int write_one(AuditStore *store, const Decision *decision) {
        size_t n = fields_of_decision(decision, store->fields), field = 0;
        const char *name = store->columns;
        int code = SQLITE_OK;

        (void) sqlite3_reset(store->insert);
        (void) sqlite3_clear_bindings(store->insert);
        for (int column = 1; code == SQLITE_OK && field < n && (size_t) column <= store->n_columns;
             column++) {
                size_t length = strcspn(name, ",");

                if (strlen(store->fields[field].name) == length &&
                    memcmp(store->fields[field].name, name, length) == 0)
                        code = bind_field(store->insert, column, store->fields + field++);
                name += length + (name[length] == ',' ? STRLEN(", ") : 0);
        }
        if (code == SQLITE_OK)
                code = sqlite3_step(store->insert);
        (void) sqlite3_reset(store->insert); /* fields go on to the next one */
        return outcome(store, code);
}

int audit_store_write(AuditStore *store, const Decision *decisions, size_t n) {
        int r;

        assert(store);
        assert(decisions || n == 0);

        r = execute(store, "BEGIN IMMEDIATE");
        for (size_t i = 0; r == 0 && i < n; i++)
                r = write_one(store, decisions + i);
        if (r == 0)
                r = execute(store, "COMMIT");
        if (r != 0)
                (void) execute(store, "ROLLBACK");
        return r;
}

int audit_store_prune(AuditStore *store, uint64_t oldest_realtime_usec, uint64_t rows_max) {
        char sql[320];

        assert(store);
        assert(rows_max > 0);

        (void) snprintf(
                sql, sizeof(sql),
                "DELETE FROM decisions WHERE realtime_usec < %lld;"
                "DELETE FROM decisions WHERE id <= (SELECT id FROM decisions ORDER BY id DESC LIMIT 1 "
                "OFFSET %lld)",
                (long long) as_signed(oldest_realtime_usec), (long long) as_signed(rows_max));
        return execute(store, sql);
}

static void read_column(sqlite3_stmt *statement, int column, Field *field) {
        const unsigned char *text;

        switch (sqlite3_column_type(statement, column)) {

        case SQLITE_INTEGER:
                field->i64 = sqlite3_column_int64(statement, column);
                field->u64 = field->i64 > 0 ? (uint64_t) field->i64 : 0;
                field->type = FIELD_I64;
                return;

        case SQLITE_TEXT:
                text = sqlite3_column_text(statement, column);
                (void) snprintf(field->text, sizeof(field->text), "%s", text ? (const char *) text : "");
                field->type = FIELD_STRING;
                return;

        default: /* sqlite's number; NULL, or what somebody else has put there */
                return;
        }
}

static void read_decision(AuditStore *store, sqlite3_stmt *statement, Decision *ret) {
        int n = sqlite3_column_count(statement);

        for (int i = 0; i < n; i++) {
                store->fields[i] = (Field){.name = sqlite3_column_name(statement, i), .type = FIELD_TYPE_MAX};
                read_column(statement, i, store->fields + i);
        }
        decision_of_fields(store->fields, (size_t) n, ret);
}

int audit_store_list(AuditStore *store, const char *vm, Decision *ret, size_t n, size_t *ret_n) {
        char sql[SQL_COLUMNS_MAX + 128];
        sqlite3_stmt *statement = NULL;
        size_t found = 0;
        int r, code = SQLITE_ROW;

        assert(store);
        assert(vm);
        assert(ret || n == 0);
        assert(ret_n);

        (void) snprintf(sql, sizeof(sql), "SELECT %s FROM decisions%s ORDER BY id DESC LIMIT %zu",
                        store->columns, vm[0] != '\0' ? " WHERE vm = ?1" : "", n);
        r = prepare(store, sql, &statement);
        if (r == 0 && vm[0] != '\0')
                r = outcome(store, sqlite3_bind_text(statement, 1, vm, -1, SQLITE_STATIC));
        while (r == 0 && found < n && (code = sqlite3_step(statement)) == SQLITE_ROW)
                read_decision(store, statement, ret + found++);
        if (r == 0)
                r = outcome(store, code);
        (void) sqlite3_finalize(statement);
        if (r == 0)
                *ret_n = found;
        return r;
}
