/* SPDX-License-Identifier: Apache-2.0 */

/* VMs, their decisions, the configuration and this guest. A figure that is absent shows as "-". */

#include "host-bridge/ctl/ctl-show.h"

#include <inttypes.h>
#include <string.h>

#include "host-bridge/ctl/ctl-text.h"

static const char *max_text(CtlTexts *texts, const json_t *vm) {
        return ctl_flag(vm, "controlled") ? ctl_size(texts, vm, "max_bytes") : "observed";
}

void ctl_show_list(const json_t *bridge, const json_t *vms, FILE *out) {
        CtlTexts texts = {0};
        const json_t *vm;
        size_t i;

        fprintf(out, "%-20s %-11s %8s %8s %8s %8s %8s  %-8s %-11s %s\n", "VM", "STATE", "SIZE", "AVAIL",
                "DEMAND", "MIN", "MAX", "URGENCY", "CAUSE", "HEARD");
        json_array_foreach((json_t *) vms, i, vm) {
                fprintf(out, "%-20s %-11s %8s %8s %8s %8s %8s  %-8s %-11s %s%s\n", ctl_word(vm, "name"),
                        ctl_word(vm, "state"), ctl_size(&texts, vm, "size_bytes"),
                        ctl_size(&texts, vm, "available_bytes"), ctl_size(&texts, vm, "demand_bytes"),
                        ctl_size(&texts, vm, "min_bytes"), max_text(&texts, vm), ctl_word(vm, "urgency"),
                        ctl_word(vm, "cause"), ctl_span(&texts, vm, "report_age_usec"),
                        ctl_flag(vm, "resizing") ? "  resizing" : "");
        }
        if (json_object_get(bridge, "budget_bytes"))
                fprintf(out, "\n%zu VMs, %s of %s budget committed\n", json_array_size(vms),
                        ctl_size(&texts, bridge, "committed_bytes"),
                        ctl_size(&texts, bridge, "budget_bytes"));
        else
                fprintf(out, "\n%zu VMs, %s committed, no budget set\n", json_array_size(vms),
                        ctl_size(&texts, bridge, "committed_bytes"));
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

static void show_guest(const json_t *vm, CtlTexts *texts, FILE *out) {
        fprintf(out, "  guest       %s available of %s usable, needs %s (%s), floor %s; heard %s ago\n",
                ctl_size(texts, vm, "available_bytes"), ctl_size(texts, vm, "usable_bytes"),
                ctl_size(texts, vm, "demand_bytes"), ctl_size(texts, vm, "need_bytes"),
                ctl_size(texts, vm, "floor_bytes"), ctl_span(texts, vm, "report_age_usec"));
        fprintf(out, "  pressure    %s (%s), stalled %s since boot, %" PRIu64 " OOM kills",
                ctl_word(vm, "urgency"), ctl_word(vm, "cause"), ctl_span(texts, vm, "psi_some_usec"),
                ctl_number(vm, "oom_kills"));
        if (ctl_number(vm, "time_to_exhaustion_usec") > 0)
                fprintf(out, ", exhausted in %s", ctl_span(texts, vm, "time_to_exhaustion_usec"));
        fprintf(out, "\n  blocks      %" PRIu64 " online, %" PRIu64 " offline\n",
                ctl_number(vm, "blocks_online"), ctl_number(vm, "blocks_offline"));
}

/* What the others and its own word mean for it. */
static void show_among(const json_t *vm, CtlTexts *texts, FILE *out) {
        const char *doubt = ctl_word(vm, "doubt");

        fprintf(out, "  among       class %s, share %s%s\n", ctl_word(vm, "class"),
                ctl_number(vm, "fair_bytes") > 0 ? ctl_size(texts, vm, "fair_bytes") : "not limited",
                ctl_flag(vm, "waiting") ? "; others are asked to give for it" : "");
        if (strcmp(doubt, "none") != 0 && strcmp(doubt, "-") != 0)
                fprintf(out, "  quarantine  %s: nothing is taken from it, and it grows up to its share\n",
                        strcmp(doubt, "frames") == 0     ? "its frames contradict themselves"
                        : strcmp(doubt, "size") == 0     ? "it claims more than its hypervisor gave it"
                        : strcmp(doubt, "pressure") == 0 ? "it claims to stall for longer than time passes"
                                                         : "its counters run backwards");
}

/* Both ways: dropped here, and not taken there. */
static void show_frames(const json_t *vm, FILE *out) {
        fprintf(out,
                "  frames      %" PRIu64 " taken; dropped: %" PRIu64 " garbled, %" PRIu64
                " overlong, %" PRIu64 " malformed, %" PRIu64 " void, %" PRIu64 " replayed\n",
                ctl_number(vm, "frames_ok"), ctl_number(vm, "frames_garbled"),
                ctl_number(vm, "frames_overlong"), ctl_number(vm, "frames_malformed"),
                ctl_number(vm, "frames_void"), ctl_number(vm, "frames_replayed"));
        if (ctl_number(vm, "agent_frames_dropped") > 0)
                fprintf(out,
                        "  not taken   %" PRIu64 " of the bridge's frames by the agent, %" PRIu64
                        " of them of no session\n",
                        ctl_number(vm, "agent_frames_dropped"), ctl_number(vm, "agent_frames_void"));
}

void ctl_show_status(const json_t *vm, FILE *out) {
        CtlTexts texts = {0};

        fprintf(out, "%s: %s%s\n", ctl_word(vm, "name"), ctl_word(vm, "state"),
                ctl_flag(vm, "resizing") ? ", resizing" : "");
        fprintf(out, "  size        %s (boot %s, DIMMs %s, virtio-mem %s of %s, balloon %s)\n",
                ctl_size(&texts, vm, "size_bytes"), ctl_size(&texts, vm, "boot_bytes"),
                ctl_size(&texts, vm, "dimm_bytes"), ctl_size(&texts, vm, "virtio_mem_bytes"),
                ctl_size(&texts, vm, "virtio_mem_max_bytes"), ctl_size(&texts, vm, "balloon_bytes"));
        fprintf(out, "  policy      min %s, max %s\n", ctl_size(&texts, vm, "min_bytes"),
                max_text(&texts, vm));
        show_among(vm, &texts, out);
        if (ctl_number(vm, "harm_stalled_usec") > 0 || ctl_number(vm, "harm_kills") > 0)
                fprintf(out,
                        "  harm        waited %s for memory that was there; %" PRIu64
                        " OOM kills under our balloon\n",
                        ctl_span(&texts, vm, "harm_stalled_usec"), ctl_number(vm, "harm_kills"));
        if (ctl_flag(vm, "held"))
                fprintf(out, "  held        by an operator%s%s\n",
                        json_object_get(vm, "held_usec") ? ", for " : "",
                        json_object_get(vm, "held_usec") ? ctl_span(&texts, vm, "held_usec")
                                                         : " until it is resumed");
        if (strcmp(ctl_word(vm, "leased_by"), "-") != 0 && ctl_word(vm, "leased_by")[0] != '\0')
                fprintf(out, "  leased      resized by %s: only observed here\n", ctl_word(vm, "leased_by"));
        if (ctl_number(vm, "n_yields") > 0)
                fprintf(out,
                        "  rival       somebody else changed its memory %" PRIu64 " times; left alone %s%s\n",
                        ctl_number(vm, "n_yields"),
                        json_object_get(vm, "yields_usec") ? "for " : "until resumed",
                        json_object_get(vm, "yields_usec") ? ctl_span(&texts, vm, "yields_usec") : "");
        if (ctl_number(vm, "n_shadowed") > 0)
                fprintf(out,
                        "  shadow      %" PRIu64
                        " times something would have been done; last: to a size of %s\n",
                        ctl_number(vm, "n_shadowed"), ctl_size(&texts, vm, "shadow_bytes"));
        if (ctl_flag(vm, "agent_connected")) {
                show_guest(vm, &texts, out);
                fprintf(out, "  agent       %s on kernel %s\n", ctl_word(vm, "agent_version"),
                        ctl_word(vm, "kernel_release"));
                show_words(json_object_get(vm, "capabilities"), "has", "nothing", out);
                show_words(json_object_get(vm, "missing"), "lacks", "nothing", out);
        } else {
                fprintf(out, "  agent       not heard: is memtide-agent running in the guest?\n");
        }
        if (json_array_size(json_object_get(vm, "lacks")) > 0)
                show_words(json_object_get(vm, "lacks"), "in the way", "nothing", out);
        show_frames(vm, out);
}

void ctl_show_lacks(const json_t *lacks, FILE *out) {
        const char *vm = "";
        const json_t *lack;
        size_t i;

        json_array_foreach((json_t *) lacks, i, lack) {
                if (strcmp(vm, ctl_word(lack, "vm")) != 0)
                        fprintf(out, "%s%s:\n", i > 0 ? "\n" : "", ctl_word(lack, "vm"));
                vm = ctl_word(lack, "vm");
                fprintf(out, "  %-8s %s: %s\n           fix: %s\n", ctl_word(lack, "severity"),
                        ctl_word(lack, "code"), ctl_word(lack, "text"), ctl_word(lack, "fix"));
        }
}

static const char *rule_text(const char *rule) {
        static const struct {
                const char *rule, *text;
        } texts[] = {
                {"grow-alarm", "urgency is high or critical: granted at once from the free budget"},
                {"grow-demand", "demand is above the size: granted from the free budget"},
                {"shrink-idle", "calm for long enough, and more than the demand"},
                {"grow-donor", "urgent, and granted out of what other VMs have given for it"},
                {"shrink-scarcity", "calm, has more than it needs, and the host's pool is below its target"},
                {"shrink-donor", "calm, can spare it, and another VM waits for memory"},
                {"deny-pool", "what is free is kept for more urgent asks, or for VMs that have less"},
                {"deny-share", "not all VMs can have what they ask for, and it has its part"},
                {"deny-rate", "it has grown too fast lately"},
                {"deny-quarantine", "its figures cannot be true, and it has its fair share"},
                {"deny-host-pressure", "the host, or the VM's cgroup on it, stalls on memory"},
                {"deny-plug",
                 "only a DIMM is left to grow by, and its guest can not take in one of that size now"},
                {"deny-max", "the VM is at its Max="},
                {"deny-budget", "the host budget is used up"},
                {"deny-observed", "the VM has no Max=, or Mode=observed: it is observed, not resized"},
                {"deny-ceiling", "the VM's own devices reach no further"},
                {"operator", "an operator asked for a size"},
                {"deny-min", "the VM is at its Min="},
                {"deny-floor", "the VM's own devices give no more"},
                {"deny-silent", "the guest has not been heard lately, and silence holds the size"},
        };

        for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
                if (strcmp(texts[i].rule, rule) == 0)
                        return texts[i].text;
        return "";
}

static void show_outcome(const json_t *decision, CtlTexts *texts, FILE *out) {
        fprintf(out,
                "  action      %s %s asked of the hypervisor in %" PRIu64
                " steps, %s after the alarm, accepted after %s\n",
                ctl_word(decision, "actuator"), ctl_size(texts, decision, "requested_bytes"),
                ctl_number(decision, "n_steps"), ctl_between(texts, decision, "alarm_usec", "request_usec"),
                ctl_between(texts, decision, "request_usec", "accepted_usec"));
        fprintf(out,
                "  guest       confirms %s: the first of it %s after the request, closed after %s; stalled "
                "%s meanwhile\n",
                ctl_size(texts, decision, "confirmed_bytes"),
                ctl_between(texts, decision, "request_usec", "first_confirm_usec"),
                ctl_between(texts, decision, "request_usec", "closed_usec"),
                ctl_span(texts, decision, "guest_stall_usec"));
        if (ctl_number(decision, "late_bytes") > 0)
                fprintf(out, "  late        %s of it after it was closed, the last of it %s after\n",
                        ctl_size(texts, decision, "late_bytes"),
                        ctl_between(texts, decision, "closed_usec", "late_usec"));
}

/* "done, late": a word of its own would hide what it came to. */
static const char *result_suffix(const json_t *decision) {
        return ctl_number(decision, "late_bytes") > 0 ? ", late" : "";
}

void ctl_show_decision(const json_t *decision, FILE *out) {
        CtlTexts texts = {0};

        fprintf(out, "%s: %s %s: %s%s%s%s   (%s, id %" PRIu64 ")\n", ctl_word(decision, "vm"),
                ctl_word(decision, "kind"), ctl_size(&texts, decision, "wanted_bytes"),
                ctl_word(decision, "result"), result_suffix(decision),
                strcmp(ctl_word(decision, "result"), "refused") == 0 ? ", " : "",
                strcmp(ctl_word(decision, "result"), "refused") == 0 ? ctl_word(decision, "refusal") : "",
                ctl_when(&texts, decision), ctl_number(decision, "id"));
        fprintf(out, "  why         %s (%s): %s available of %s, demand %s", ctl_word(decision, "cause"),
                ctl_word(decision, "urgency"), ctl_size(&texts, decision, "available_bytes"),
                ctl_size(&texts, decision, "usable_bytes"), ctl_size(&texts, decision, "demand_bytes"));
        if (ctl_number(decision, "time_to_exhaustion_usec") > 0)
                fprintf(out, ", falling %s/s, exhausted in %s",
                        ctl_size(&texts, decision, "fall_bytes_per_sec"),
                        ctl_span(&texts, decision, "time_to_exhaustion_usec"));
        if (ctl_number(decision, "target_bytes") > 0)
                fprintf(out, "\n  asked       for %s", ctl_size(&texts, decision, "target_bytes"));
        fprintf(out, "\n  rule        %s: %s\n", ctl_word(decision, "rule"),
                rule_text(ctl_word(decision, "rule")));
        fprintf(out, "  limits      size %s, min %s, max %s; host budget %s, %s committed; report %s old\n",
                ctl_size(&texts, decision, "size_bytes"), ctl_size(&texts, decision, "min_bytes"),
                ctl_size(&texts, decision, "max_bytes"), ctl_size(&texts, decision, "budget_bytes"),
                ctl_size(&texts, decision, "budget_used_bytes"),
                ctl_span(&texts, decision, "report_age_usec"));
        if (strcmp(ctl_word(decision, "result"), "shadow") == 0)
                fprintf(out, "  action      none: the VM is in the shadow (Mode=shadow), this would have "
                             "been done\n");
        else if (strcmp(ctl_word(decision, "kind"), "deny") != 0)
                show_outcome(decision, &texts, out);
}

static void show_step(const json_t *step, CtlTexts *texts, FILE *out) {
        bool balloon = strcmp(ctl_word(step, "actuator"), "balloon") == 0;

        fprintf(out, "  step        %s%s%s: %s from %s to %s\n", ctl_word(step, "actuator"),
                balloon ? "" : " ", balloon ? "" : ctl_word(step, "device"), balloon ? "holds" : "asked for",
                ctl_size(texts, step, "from_bytes"), ctl_size(texts, step, "to_bytes"));
}

void ctl_show_resize(const json_t *decision, FILE *out) {
        const json_t *steps = json_object_get(decision, "steps"), *step;
        CtlTexts texts = {0};
        size_t i;

        if (!steps) {
                ctl_show_decision(decision, out);
                return;
        }
        fprintf(out, "%s: would %s %s (%s)", ctl_word(decision, "vm"), ctl_word(decision, "kind"),
                ctl_size(&texts, decision, "wanted_bytes"), rule_text(ctl_word(decision, "rule")));
        fprintf(out, "; %s now, %s asked for, min %s, max %s\n", ctl_size(&texts, decision, "size_bytes"),
                ctl_size(&texts, decision, "target_bytes"), ctl_size(&texts, decision, "min_bytes"),
                ctl_size(&texts, decision, "max_bytes"));
        json_array_foreach((json_t *) steps, i, step) show_step(step, &texts, out);
        if (strcmp(ctl_word(decision, "kind"), "deny") != 0)
                fprintf(out, "  leads to    %s%s%s\n", ctl_size(&texts, decision, "planned_bytes"),
                        ctl_flag(decision, "more") ? ", and goes on" : "",
                        strcmp(ctl_word(decision, "kind"), "shrink") == 0
                                ? ", if the guest gives what it is asked for"
                                : "");
}

void ctl_show_history(const json_t *decisions, FILE *out) {
        const json_t *decision;
        size_t i;

        fprintf(out, "%-19s %-6s %-13s %8s %8s  %-8s %-10s %8s %8s\n", "WHEN", "KIND", "RULE", "WANTED",
                "CONFIRM", "RESULT", "ACTUATOR", "FIRST", "CLOSED");
        json_array_foreach((json_t *) decisions, i, decision) {
                CtlTexts texts = {0};

                fprintf(out, "%-19s %-6s %-13s %8s %8s  %-8s %-10s %8s %8s\n", ctl_when(&texts, decision),
                        ctl_word(decision, "kind"), ctl_word(decision, "rule"),
                        ctl_size(&texts, decision, "wanted_bytes"),
                        ctl_size(&texts, decision, "confirmed_bytes"), ctl_word(decision, "result"),
                        ctl_word(decision, "actuator"),
                        ctl_between(&texts, decision, "request_usec", "first_confirm_usec"),
                        ctl_between(&texts, decision, "request_usec", "closed_usec"));
        }
}

void ctl_show_config(const json_t *keys, FILE *out) {
        const char *section = "";
        const json_t *key;
        size_t i;

        json_array_foreach((json_t *) keys, i, key) {
                if (strcmp(section, ctl_word(key, "section")) != 0)
                        fprintf(out, "%s[%s]\n", i > 0 ? "\n" : "", ctl_word(key, "section"));
                section = ctl_word(key, "section");
                if (json_object_get(key, "line"))
                        fprintf(out, "# %s:%" PRIu64 "\n", ctl_word(key, "file"), ctl_number(key, "line"));
                else
                        fprintf(out, "# default\n");
                fprintf(out, "%s=%s\n", ctl_word(key, "key"),
                        json_string_value(json_object_get(key, "value")));
        }
}

static void show_asker(const json_t *status, CtlTexts *texts, FILE *out) {
        const char *by = ctl_word(status, "asked_by");

        if (strcmp(by, "nobody") == 0) {
                fprintf(out, "  last change nobody has asked for one\n");
                return;
        }
        fprintf(out, "  last change %s %s: asked by the %s (%s), id %" PRIu64 "\n",
                strcmp(by, "guest") == 0 ? "grow by" : "shrink by", ctl_size(texts, status, "asked_bytes"),
                by, ctl_word(status, "asked_why"), ctl_number(status, "asked_id"));
}

/* What the host said and this guest did not do; nothing in a quiet life. */
static void show_refusals(const json_t *status, FILE *out) {
        static const char prefix[] = "refused_";
        const char *separator = "  refused     commands of the host: ", *name;
        const json_t *value;

        json_object_foreach((json_t *) status, name, value) {
                if (strncmp(name, prefix, strlen(prefix)) != 0 || json_integer_value(value) == 0)
                        continue;
                fprintf(out, "%s%" JSON_INTEGER_FORMAT " %s", separator, json_integer_value(value),
                        name + strlen(prefix));
                separator = ", ";
        }
        if (ctl_number(status, "frames_void") > 0) {
                fprintf(out, "%s%" PRIu64 " of no session", separator, ctl_number(status, "frames_void"));
                separator = ", ";
        }
        if (separator[0] == ',')
                fputc('\n', out);
}

static void show_event(const json_t *event, CtlTexts *texts, FILE *out) {
        fprintf(out, "  %s  %-15s", ctl_when(texts, event), ctl_word(event, "what"));
        if (ctl_number(event, "bytes") > 0)
                fprintf(out, " %s", ctl_size(texts, event, "bytes"));
        if (*ctl_word(event, "reason") != '-')
                fprintf(out, " (%s)", ctl_word(event, "reason"));
        if (ctl_number(event, "id") > 0)
                fprintf(out, " id %" PRIu64, ctl_number(event, "id"));
        if (ctl_number(event, "times") > 1)
                fprintf(out, ", %" PRIu64 " times", ctl_number(event, "times"));
        fputc('\n', out);
}

void ctl_show_guest(const json_t *status, const json_t *events, FILE *out) {
        CtlTexts texts = {0};
        const json_t *event;
        size_t i;

        fprintf(out, "this guest: %s, needs %s\n",
                strcmp(ctl_word(status, "session"), "open") == 0      ? "in session with its host"
                : strcmp(ctl_word(status, "session"), "no-port") == 0 ? "without a port to a host"
                                                                      : "waiting for its host",
                ctl_size(&texts, status, "need_bytes"));
        fprintf(out, "  size        %s of %s usable, %s available; balloon %s",
                ctl_size(&texts, status, "usable_bytes"), ctl_size(&texts, status, "total_bytes"),
                ctl_size(&texts, status, "available_bytes"), ctl_size(&texts, status, "balloon_bytes"));
        if (json_object_get(status, "balloon_target_bytes"))
                fprintf(out, " (target %s)", ctl_size(&texts, status, "balloon_target_bytes"));
        fprintf(out, "\n  demand      %s, floor %s\n", ctl_size(&texts, status, "demand_bytes"),
                ctl_size(&texts, status, "floor_bytes"));
        fprintf(out, "  pressure    %s (%s), stalled %s since boot, %" PRIu64 " OOM kills\n",
                ctl_word(status, "urgency"), ctl_word(status, "cause"),
                ctl_span(&texts, status, "psi_some_usec"), ctl_number(status, "oom_kills"));
        fprintf(out, "  blocks      %" PRIu64 " online, %" PRIu64 " offline\n",
                ctl_number(status, "blocks_online"), ctl_number(status, "blocks_offline"));
        show_asker(status, &texts, out);
        show_refusals(status, out);
        fprintf(out, "  agent       %s on kernel %s, bridge %s\n", ctl_word(status, "agent_version"),
                ctl_word(status, "kernel_release"), ctl_word(status, "bridge_version"));
        show_words(json_object_get(status, "capabilities"), "has", "nothing", out);
        show_words(json_object_get(status, "missing"), "lacks", "nothing", out);
        if (json_array_size(events) > 0)
                fputc('\n', out);
        json_array_foreach((json_t *) events, i, event) show_event(event, &texts, out);
}
