/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Looks once, has every check of doctor-checks.c say what it finds, and tells it to people or programs. Nothing is changed, and
 * nothing is asked of a running agent: it is for the time when there is none, too.
 */

#include "agent/doctor.h"

#include <assert.h>
#include <stdio.h>

#include "agent/doctor-internal.h"
#include "agent/signals/sampler.h"

static const char *const verdict_names[] = {
        [DOCTOR_OK] = "ok",
        [DOCTOR_ADVICE] = "advice",
        [DOCTOR_LACKS] = "lacks",
};

/* Our own sentences have neither quotes nor control characters in them, except for those of libvirt's XML. */
static void print_json_string(const char *text, FILE *out) {
        fputc('"', out);
        for (; *text; text++) {
                if (*text == '"' || *text == '\\')
                        fputc('\\', out);
                fputc(*text < ' ' && *text >= 0 ? ' ' : *text, out);
        }
        fputc('"', out);
}

static void print_json(const char *name, const Finding *finding, bool first, FILE *out) {
        fprintf(out, "%s{\"name\": \"%s\", \"verdict\": \"%s\", \"text\": ", first ? "[\n  " : ",\n  ", name,
                verdict_names[finding->verdict]);
        print_json_string(finding->text, out);
        fputs(", \"fix\": ", out);
        if (finding->fix)
                print_json_string(finding->fix, out);
        else
                fputs("null", out);
        fputc('}', out);
}

int doctor_run(const RootDir *root, const DoctorOptions *options, FILE *out) {
        _cleanup_(sampler_freep) Sampler *sampler = NULL;
        Patient patient = {.root = root, .options = options};
        bool lacks = false;

        assert(root);
        assert(options);
        assert(out);

        if (sampler_new(root, &sampler) < 0)
                return 1; /* no memory for it */
        sampler_read(sampler,
                     SNAPSHOT_HAS_MEMINFO | SNAPSHOT_HAS_PSI | SNAPSHOT_HAS_VMSTAT | SNAPSHOT_HAS_ZONES,
                     &patient.snapshot);
        patient.n_missing = sampler_missing(sampler, &patient.missing);
        patient.capabilities = sampler_capabilities(sampler);

        for (size_t i = 0; i < doctor_n_checks; i++) {
                Finding finding = {};

                doctor_checks[i].check(&patient, &finding);
                lacks = lacks || finding.verdict == DOCTOR_LACKS;
                if (options->json)
                        print_json(doctor_checks[i].name, &finding, i == 0, out);
                else
                        fprintf(out, "%-6s  %-13s  %s%s%s\n", verdict_names[finding.verdict],
                                doctor_checks[i].name, finding.text, finding.fix ? ". Fix: " : "",
                                finding.fix ? finding.fix : "");
        }
        if (options->json)
                fputs("\n]\n", out);
        return lacks;
}
