/* SPDX-License-Identifier: Apache-2.0 */

/* Pressure files. What is refused leaves the output alone; what is taken can be written and read again. */

#include "fuzz.h"

#include <inttypes.h>
#include <string.h>

#include "agent/signals/psi.h"

#define FORMAT "%s avg10=0.00 avg60=0.00 avg300=0.00 total=%" PRIu64 "\n"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        PsiTotals totals, untouched, again = {};
        char text[256];
        int n;

        memset(&untouched, 0xA5, sizeof(untouched));
        memcpy(&totals, &untouched, sizeof(totals));
        if (psi_parse((const char *) data, size, &totals) < 0) {
                FUZZ_CHECK(memcmp(&totals, &untouched, sizeof(totals)) == 0);
                return 0;
        }
        FUZZ_CHECK(memmem(data, size, "some ", 5) && memmem(data, size, "total=", 6));
        FUZZ_CHECK(totals.has_full || totals.full_usec == 0);

        n = snprintf(text, sizeof(text), FORMAT, "some", totals.some_usec);
        if (totals.has_full)
                n += snprintf(text + n, sizeof(text) - (size_t) n, FORMAT, "full", totals.full_usec);
        FUZZ_CHECK(psi_parse(text, (size_t) n, &again) == 0);
        FUZZ_CHECK(again.some_usec == totals.some_usec && again.full_usec == totals.full_usec);
        FUZZ_CHECK(again.has_full == totals.has_full);
        return 0;
}
