#include <sqlite3.h>

/* What Swift cannot call, since it takes any number of arguments. */
static inline int inferq_sqlite3_config_memstatus(int is_on) {
    return sqlite3_config(SQLITE_CONFIG_MEMSTATUS, is_on);
}
