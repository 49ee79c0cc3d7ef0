/* SPDX-License-Identifier: Apache-2.0 */

/* Recordings, which may be anybody's. Whatever a look may have seen, the rules answer; asked again they answer the same; and nothing of a
 * file but numbers and words of ours is printed. */

#include "fuzz.h"

#include <errno.h>
#include <string.h>

#include "agent/replay.h"
#include "common/macro.h"

static int replay(const uint8_t *data, size_t size, bool quiet, char **ret, size_t *ret_size) {
        _cleanup_fclose_ FILE *in = fmemopen((void *) data, size, "re");
        FILE *out = open_memstream(ret, ret_size);
        int r;

        FUZZ_CHECK(in && out);
        r = replay_run(in, "recording", quiet, out);
        FUZZ_CHECK(fclose(out) == 0);
        FUZZ_CHECK(r == 0 || r == 1 || r == -EBADMSG);
        return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_free_ char *text = NULL, *again = NULL, *quiet = NULL;
        size_t n, n_again, n_quiet;
        int r;

        if (size == 0)
                return 0;
        r = replay(data, size, false, &text, &n);
        FUZZ_CHECK(replay(data, size, false, &again, &n_again) == r);
        FUZZ_CHECK(n == n_again && memcmp(text, again, n) == 0);
        FUZZ_CHECK(replay(data, size, true, &quiet, &n_quiet) == r);
        FUZZ_CHECK(n_quiet <= n && memcmp(text + n - n_quiet, quiet, n_quiet) == 0);
        for (size_t i = 0; i < n; i++)
                FUZZ_CHECK(text[i] == '\n' || (text[i] >= ' ' && text[i] <= '~'));
        return 0;
}
