// What this disk does, and SQLite on it: syncs of 4 KiB, and commits by sync mode and rows in a commit.
// usage: sync_limits FOLDER      stdout: a line of JSON each
#include <fcntl.h>
#include <sqlite3.h>

#include "net.h"

enum { PAGE = 4096, SYNCS = 20000, BODY = 300 };

static const double SECONDS = 2;

static double seconds_since(uint64_t began) { return (double)(now_ns() - began) / 1e9; }

static void sync_pages(const char *folder) {
    static uint64_t took_us[SYNCS];
    char path[512], page[PAGE];
    snprintf(path, sizeof path, "%s/sync_limits.raw", folder);
    int fd = open(path, O_CREAT | O_TRUNC | O_RDWR, 0600);
    if (fd < 0) die(path);
    memset(page, 7, sizeof page);
    uint64_t began = now_ns();
    size_t count = 0;
    while (seconds_since(began) < SECONDS && count < SYNCS) {
        if (write(fd, page, sizeof page) != PAGE) die(path);
        uint64_t before = now_ns();
        if (fdatasync(fd)) die(path);
        took_us[count++] = (now_ns() - before) / 1000;
    }
    double rate = (double)count / seconds_since(began);
    qsort(took_us, count, sizeof *took_us, by_size);
    printf("{\"what\": \"fdatasync after 4 KiB\", \"per_second\": %.0f, \"p50_us\": %lu, \"p99_us\": %lu}\n", rate,
        quantile(took_us, count, 0.5), quantile(took_us, count, 0.99));
    close(fd);
    unlink(path);
}

static void remove_database(const char *path) {
    const char *suffixes[] = {"", "-wal", "-shm"};
    for (int i = 0; i < 3; i++) {
        char name[600];
        snprintf(name, sizeof name, "%s%s", path, suffixes[i]);
        unlink(name);
    }
}

static void run(sqlite3 *db, const char *sql) {
    if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK) exit((fprintf(stderr, "%s\n", sqlite3_errmsg(db)), 1));
}

static void commit_rows(const char *folder, const char *mode, int rows) {
    char path[512], sql[256], body[BODY];
    snprintf(path, sizeof path, "%s/sync_limits.db", folder);
    remove_database(path);
    sqlite3 *db;
    if (sqlite3_open(path, &db)) die(path);
    snprintf(sql, sizeof sql,
        "PRAGMA journal_mode=WAL; PRAGMA synchronous=%s; CREATE TABLE job(id INTEGER PRIMARY KEY, body BLOB);", mode);
    run(db, sql);
    sqlite3_stmt *insert;
    sqlite3_prepare_v2(db, "INSERT INTO job(body) VALUES(?)", -1, &insert, NULL);
    memset(body, 'x', sizeof body);
    uint64_t began = now_ns();
    long commits = 0;
    for (; seconds_since(began) < SECONDS; commits++) {
        run(db, "BEGIN IMMEDIATE");
        for (int i = 0; i < rows; i++) {
            sqlite3_bind_blob(insert, 1, body, BODY, SQLITE_STATIC);
            sqlite3_step(insert);
            sqlite3_reset(insert);
        }
        run(db, "COMMIT");
    }
    double seconds = seconds_since(began);
    printf("{\"what\": \"SQLite WAL %s, %d rows a commit\", \"commits_per_second\": %.0f, \"rows_per_second\": %.0f}\n",
        mode, rows, (double)commits / seconds, (double)(commits * rows) / seconds);
    sqlite3_finalize(insert);
    sqlite3_close(db);
    remove_database(path);
}

int main(int argc, char **argv) {
    if (argc != 2) return fprintf(stderr, "usage: sync_limits FOLDER\n"), 64;
    setvbuf(stdout, NULL, _IOLBF, 0);
    sync_pages(argv[1]);
    for (int rows = 1; rows <= 1000; rows *= 10) commit_rows(argv[1], "FULL", rows);
    commit_rows(argv[1], "NORMAL", 1);
    return 0;
}
