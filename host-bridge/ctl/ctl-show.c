/* SPDX-License-Identifier: Apache-2.0 */

/* Text for people. Every figure is looked up by its field's name; one that is absent shows as "-". */

#include "host-bridge/ctl/ctl-show.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "common/parse.h"
#include "common/units.h"

/* Texts of one line live here until it is printed. */
typedef struct Texts {
        char text[16][48];
        unsigned n;
} Texts;

static char *texts_next(Texts *texts) {
        return texts->text[texts->n++ % 16];
}

static uint64_t number(const json_t *object, const char *key) {
        json_int_t value = json_integer_value(json_object_get(object, key));

        return value > 0 ? (uint64_t) value : 0;
}

static const char *word(const json_t *object, const char *key) {
        const char *text = json_string_value(json_object_get(object, key));

        return text && *text ? text : "-";
}

static bool flag(const json_t *object, const char *key) {
        return json_is_true(json_object_get(object, key));
}

static const char *size(Texts *texts, const json_t *object, const char *key) {
        const json_t *value = json_object_get(object, key);
        json_int_t bytes = json_integer_value(value);
        char plain[FORMAT_SIZE_MAX], *text = texts_next(texts);

        if (!value)
                return "-";
        (void) snprintf(text, sizeof(texts->text[0]), "%s%s", bytes < 0 ? "-" : "",
                        format_size(plain, bytes < 0 ? UINT64_C(0) - (uint64_t) bytes : (uint64_t) bytes));
        return text;
}

static const char *duration(Texts *texts, uint64_t usec) {
        char plain[FORMAT_TIMESPAN_MAX], *text = texts_next(texts);

        if (usec >= USEC_PER_MSEC && usec < USEC_PER_SEC)
                (void) snprintf(text, sizeof(texts->text[0]), "%.1fms",
                                (double) usec / (double) USEC_PER_MSEC);
        else
                (void) snprintf(text, sizeof(texts->text[0]), "%s", format_timespan(plain, usec));
        return text;
}

static const char *span(Texts *texts, const json_t *object, const char *key) {
        return json_object_get(object, key) ? duration(texts, number(object, key)) : "-";
}

/* From one point in time to a later one; "-" while either has not happened. */
static const char *between(Texts *texts, const json_t *object, const char *from, const char *to) {
        uint64_t a = number(object, from), b = number(object, to);

        return a == 0 || b < a ? "-" : duration(texts, b - a);
}

static const char *max_text(Texts *texts, const json_t *vm) {
        return flag(vm, "controlled") ? size(texts, vm, "max_bytes") : "observed";
}

void ctl_show_list(const json_t *bridge, const json_t *vms, FILE *out) {
        Texts texts = {0};
        const json_t *vm;
        size_t i;

        fprintf(out, "%-20s %-11s %8s %8s %8s %8s %8s  %-8s %-11s %s\n", "VM", "STATE", "SIZE", "AVAIL",
                "DEMAND", "MIN", "MAX", "URGENCY", "CAUSE", "HEARD");
        json_array_foreach((json_t *) vms, i, vm) {
                fprintf(out, "%-20s %-11s %8s %8s %8s %8s %8s  %-8s %-11s %s%s\n", word(vm, "name"),
                        word(vm, "state"), size(&texts, vm, "size_bytes"),
                        size(&texts, vm, "available_bytes"), size(&texts, vm, "demand_bytes"),
                        size(&texts, vm, "min_bytes"), max_text(&texts, vm), word(vm, "urgency"),
                        word(vm, "cause"), span(&texts, vm, "report_age_usec"),
                        flag(vm, "resizing") ? "  resizing" : "");
        }
        if (json_object_get(bridge, "budget_bytes"))
                fprintf(out, "\n%zu VMs, %s of %s budget committed\n", json_array_size(vms),
                        size(&texts, bridge, "committed_bytes"), size(&texts, bridge, "budget_bytes"));
        else
                fprintf(out, "\n%zu VMs, %s committed, no budget set\n", json_array_size(vms),
                        size(&texts, bridge, "committed_bytes"));
}

static void show_words(const json_t *list, const char *title, const char *none, FILE *out) {
        const json_t *item;
        size_t i;

        fprintf(out, "  %-11s", title);
        if (json_array_size(list) == 0)
                fprintf(out, " %s", none);
        json_array_foreach((json_t *) list, i, item)
                fprintf(out, "%s %s", i > 0 ? "," : "", json_string_value(item));
        fputc('\n', out);
}

static void show_guest(const json_t *vm, Texts *texts, FILE *out) {
        fprintf(out, "  guest       %s available of %s usable, needs %s (%s), floor %s; heard %s ago\n",
                size(texts, vm, "available_bytes"), size(texts, vm, "usable_bytes"),
                size(texts, vm, "demand_bytes"), size(texts, vm, "need_bytes"),
                size(texts, vm, "floor_bytes"), span(texts, vm, "report_age_usec"));
        fprintf(out, "  pressure    %s (%s), stalled %s since boot, %" PRIu64 " OOM kills",
                word(vm, "urgency"), word(vm, "cause"), span(texts, vm, "psi_some_usec"),
                number(vm, "oom_kills"));
        if (number(vm, "time_to_exhaustion_usec") > 0)
                fprintf(out, ", exhausted in %s", span(texts, vm, "time_to_exhaustion_usec"));
        fprintf(out, "\n  blocks      %" PRIu64 " online, %" PRIu64 " offline\n", number(vm, "blocks_online"),
                number(vm, "blocks_offline"));
}

void ctl_show_status(const json_t *vm, FILE *out) {
        Texts texts = {0};

        fprintf(out, "%s: %s%s\n", word(vm, "name"), word(vm, "state"),
                flag(vm, "resizing") ? ", resizing" : "");
        fprintf(out, "  size        %s (boot %s, DIMMs %s, virtio-mem %s of %s, balloon %s)\n",
                size(&texts, vm, "size_bytes"), size(&texts, vm, "boot_bytes"),
                size(&texts, vm, "dimm_bytes"), size(&texts, vm, "virtio_mem_bytes"),
                size(&texts, vm, "virtio_mem_max_bytes"), size(&texts, vm, "balloon_bytes"));
        fprintf(out, "  policy      min %s, max %s\n", size(&texts, vm, "min_bytes"), max_text(&texts, vm));
        if (flag(vm, "agent_connected")) {
                show_guest(vm, &texts, out);
                fprintf(out, "  agent       %s on kernel %s\n", word(vm, "agent_version"),
                        word(vm, "kernel_release"));
                show_words(json_object_get(vm, "capabilities"), "has", "nothing", out);
                show_words(json_object_get(vm, "missing"), "lacks", "nothing", out);
        } else {
                fprintf(out, "  agent       not heard: is memtide-agent running in the guest?\n");
        }
        fprintf(out,
                "  frames      %" PRIu64 " taken; dropped: %" PRIu64 " garbled, %" PRIu64
                " overlong, %" PRIu64 " malformed, %" PRIu64 " void, %" PRIu64 " replayed\n",
                number(vm, "frames_ok"), number(vm, "frames_garbled"), number(vm, "frames_overlong"),
                number(vm, "frames_malformed"), number(vm, "frames_void"), number(vm, "frames_replayed"));
}

static const char *rule_text(const char *rule) {
        static const struct {
                const char *rule, *text;
        } texts[] = {
                {"grow-alarm", "urgency is high or critical: granted at once from the free budget"},
                {"grow-demand", "demand is above the size: granted from the free budget"},
                {"shrink-idle", "calm for long enough, and more than the demand"},
                {"deny-max", "the VM is at its Max="},
                {"deny-budget", "the host budget is used up"},
                {"deny-observed", "the VM has no Max=: it is observed, not resized"},
                {"deny-ceiling", "the VM's own devices reach no further"},
        };

        for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
                if (strcmp(texts[i].rule, rule) == 0)
                        return texts[i].text;
        return "";
}

static void show_outcome(const json_t *decision, Texts *texts, FILE *out) {
        fprintf(out,
                "  action      %s %s asked of the hypervisor in %" PRIu64
                " steps, %s after the alarm, accepted after %s\n",
                word(decision, "actuator"), size(texts, decision, "requested_bytes"),
                number(decision, "n_steps"), between(texts, decision, "alarm_usec", "request_usec"),
                between(texts, decision, "request_usec", "accepted_usec"));
        fprintf(out,
                "  guest       confirms %s: the first of it %s after the request, closed after %s; stalled "
                "%s meanwhile\n",
                size(texts, decision, "confirmed_bytes"),
                between(texts, decision, "request_usec", "first_confirm_usec"),
                between(texts, decision, "request_usec", "closed_usec"),
                span(texts, decision, "guest_stall_usec"));
}

void ctl_show_decision(const json_t *decision, FILE *out) {
        Texts texts = {0};
        char when[64] = "-";
        time_t seconds = (time_t) (number(decision, "realtime_usec") / USEC_PER_SEC);
        struct tm local;

        if (localtime_r(&seconds, &local))
                (void) strftime(when, sizeof(when), "%F %T", &local);
        fprintf(out, "%s: %s %s: %s%s%s   (%s, id %" PRIu64 ")\n", word(decision, "vm"),
                word(decision, "kind"), size(&texts, decision, "wanted_bytes"), word(decision, "result"),
                strcmp(word(decision, "result"), "refused") == 0 ? ", " : "",
                strcmp(word(decision, "result"), "refused") == 0 ? word(decision, "refusal") : "", when,
                number(decision, "id"));
        fprintf(out, "  why         %s (%s): %s available of %s, demand %s", word(decision, "cause"),
                word(decision, "urgency"), size(&texts, decision, "available_bytes"),
                size(&texts, decision, "usable_bytes"), size(&texts, decision, "demand_bytes"));
        if (number(decision, "time_to_exhaustion_usec") > 0)
                fprintf(out, ", falling %s/s, exhausted in %s", size(&texts, decision, "fall_bytes_per_sec"),
                        span(&texts, decision, "time_to_exhaustion_usec"));
        fprintf(out, "\n  rule        %s: %s\n", word(decision, "rule"), rule_text(word(decision, "rule")));
        fprintf(out, "  limits      size %s, min %s, max %s; host budget %s, %s committed; report %s old\n",
                size(&texts, decision, "size_bytes"), size(&texts, decision, "min_bytes"),
                size(&texts, decision, "max_bytes"), size(&texts, decision, "budget_bytes"),
                size(&texts, decision, "budget_used_bytes"), span(&texts, decision, "report_age_usec"));
        if (strcmp(word(decision, "kind"), "deny") != 0)
                show_outcome(decision, &texts, out);
}

static void show_asker(const json_t *status, Texts *texts, FILE *out) {
        const char *by = word(status, "asked_by");

        if (strcmp(by, "nobody") == 0) {
                fprintf(out, "  last change nobody has asked for one\n");
                return;
        }
        fprintf(out, "  last change %s %s: asked by the %s (%s), id %" PRIu64 "\n",
                strcmp(by, "guest") == 0 ? "grow by" : "shrink by", size(texts, status, "asked_bytes"), by,
                word(status, "asked_why"), number(status, "asked_id"));
}

static void show_event(const json_t *event, Texts *texts, FILE *out) {
        time_t seconds = (time_t) (number(event, "realtime_usec") / USEC_PER_SEC);
        struct tm local;
        char when[64] = "-";

        if (localtime_r(&seconds, &local))
                (void) strftime(when, sizeof(when), "%F %T", &local);
        fprintf(out, "  %s  %-15s", when, word(event, "what"));
        if (number(event, "bytes") > 0)
                fprintf(out, " %s", size(texts, event, "bytes"));
        if (*word(event, "reason") != '-')
                fprintf(out, " (%s)", word(event, "reason"));
        if (number(event, "id") > 0)
                fprintf(out, " id %" PRIu64, number(event, "id"));
        if (number(event, "times") > 1)
                fprintf(out, ", %" PRIu64 " times", number(event, "times"));
        fputc('\n', out);
}

void ctl_show_guest(const json_t *status, const json_t *events, FILE *out) {
        Texts texts = {0};
        const json_t *event;
        size_t i;

        fprintf(out, "this guest: %s, needs %s\n",
                strcmp(word(status, "session"), "open") == 0      ? "in session with its host"
                : strcmp(word(status, "session"), "no-port") == 0 ? "without a port to a host"
                                                                  : "waiting for its host",
                size(&texts, status, "need_bytes"));
        fprintf(out, "  size        %s of %s usable, %s available; balloon %s",
                size(&texts, status, "usable_bytes"), size(&texts, status, "total_bytes"),
                size(&texts, status, "available_bytes"), size(&texts, status, "balloon_bytes"));
        if (json_object_get(status, "balloon_target_bytes"))
                fprintf(out, " (target %s)", size(&texts, status, "balloon_target_bytes"));
        fprintf(out, "\n  demand      %s, floor %s\n", size(&texts, status, "demand_bytes"),
                size(&texts, status, "floor_bytes"));
        fprintf(out, "  pressure    %s (%s), stalled %s since boot, %" PRIu64 " OOM kills\n",
                word(status, "urgency"), word(status, "cause"), span(&texts, status, "psi_some_usec"),
                number(status, "oom_kills"));
        fprintf(out, "  blocks      %" PRIu64 " online, %" PRIu64 " offline\n",
                number(status, "blocks_online"), number(status, "blocks_offline"));
        show_asker(status, &texts, out);
        fprintf(out, "  agent       %s on kernel %s, bridge %s\n", word(status, "agent_version"),
                word(status, "kernel_release"), word(status, "bridge_version"));
        show_words(json_object_get(status, "capabilities"), "has", "nothing", out);
        show_words(json_object_get(status, "missing"), "lacks", "nothing", out);
        if (json_array_size(events) > 0)
                fputc('\n', out);
        json_array_foreach((json_t *) events, i, event) show_event(event, &texts, out);
}
