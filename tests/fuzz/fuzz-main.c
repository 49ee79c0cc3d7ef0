/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Runs a fuzz target over the files and folders given, once each: what makes the corpus a regression
 * test where there is no libFuzzer. Each input lies in a heap block of just its size, so that the
 * sanitizers see a read behind its end.
 */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>

#include "common/macro.h"
#include "fuzz.h"

#define INPUT_MAX (1U << 20)

static void closedirp(DIR **dir) {
        if (*dir)
                (void) closedir(*dir);
}

static int run_file(int fd) {
        _cleanup_free_ uint8_t *data = NULL;
        struct stat st;
        ssize_t n;

        if (fstat(fd, &st) < 0)
                return -errno;
        if (st.st_size > INPUT_MAX)
                return -EFBIG;

        data = malloc((size_t) st.st_size);
        if (!data && st.st_size > 0)
                return -ENOMEM;

        n = st.st_size > 0 ? read(fd, data, (size_t) st.st_size) : 0;
        if (n < 0)
                return -errno;
        if (n != st.st_size)
                return -EIO;

        (void) LLVMFuzzerTestOneInput(data, (size_t) n); /* returns nothing but 0 */
        return 0;
}

/* A file, or every file of a folder. Adds to *n_files. */
static int run_path(int at, const char *name, size_t *n_files) {
        _cleanup_close_ int fd = openat(at, name, O_RDONLY | O_CLOEXEC);
        _cleanup_(closedirp) DIR *dir = NULL;
        int r;

        if (fd < 0)
                return -errno;

        dir = fdopendir(fd);
        if (!dir) {
                if (errno != ENOTDIR)
                        return -errno;
                (*n_files)++;
                return run_file(fd);
        }

        for (struct dirent *entry; (entry = readdir(dir));) {
                if (entry->d_name[0] == '.')
                        continue;
                r = run_path(fd, entry->d_name, n_files);
                if (r < 0)
                        return r;
        }

        TAKE_FD(fd); /* closedir() closes it */
        return 0;
}

int main(int argc, char *argv[]) {
        size_t n_files = 0;

        for (int i = 1; i < argc; i++) {
                int r = run_path(AT_FDCWD, argv[i], &n_files);

                if (r < 0) {
                        fprintf(stderr, "%s: %s\n", argv[i], strerror(-r));
                        return 1;
                }
        }

        printf("%zu inputs\n", n_files);
        return n_files > 0 ? 0 : 1;
}
