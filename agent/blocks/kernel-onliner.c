/* SPDX-License-Identifier: Apache-2.0 */

/*
 * auto_online_blocks is global and outlives the agent, so what is left in it is the guest's fate: the agent writes a safe
 * word when it ends, and the unit does by `memtide-agent release` when the agent was killed. A note in /run/memtide says that
 * an agent of this boot has set it, so that neither takes an administrator's word for an agent's, nor the other way round.
 */

#include "agent/blocks/kernel-onliner.h"

#include <assert.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>

#include "agent/blocks/block.h"
#include "agent/blocks/run-folder.h"
#include "common/log.h"
#include "common/macro.h"

#define AUTO_ONLINE_PATH BLOCK_FOLDER "/auto_online_blocks"
#define PARAMETERS       "sys/module/memory_hotplug/parameters/"
#define NOTE_NAME        "auto-online"
#define NOTE_PATH        RUN_FOLDER "/" NOTE_NAME
#define COMMAND_LINE_MAX 8192U

static bool read_word(const RootDir *root, AutoOnline *ret) {
        char text[32];

        if (rootdir_read_line(root, AUTO_ONLINE_PATH, text, sizeof(text)) < 0)
                return false;
        *ret = AUTO_ONLINE_MAX;
        for (int word = 0; word < AUTO_ONLINE_MAX; word++)
                if (strcmp(text, auto_online_to_string((AutoOnline) word)) == 0)
                        *ret = (AutoOnline) word;
        return true;
}

/* -- the note -------------------------------------------------------------------------------------- */

static bool note_exists(const RootDir *root) {
        char boot_id[BOOT_ID_SIZE], text[BOOT_ID_SIZE];

        return run_folder_boot_id(root, boot_id) >= 0 &&
               rootdir_read_line(root, NOTE_PATH, text, sizeof(text)) >= 0 && strcmp(text, boot_id) == 0;
}

static int note_write(const RootDir *root) {
        _cleanup_close_ int fd = -EBADF;
        char boot_id[BOOT_ID_SIZE];
        int r;

        r = run_folder_boot_id(root, boot_id);
        if (r >= 0)
                r = run_folder_make(root);
        if (r < 0)
                return r;
        fd = rootdir_open(root, NOTE_PATH, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW);
        if (fd < 0)
                return fd;
        return dprintf(fd, "%s\n", boot_id) < 0 ? -errno : 0;
}

/* -- facts ----------------------------------------------------------------------------------------- */

/* Is there a word on the kernel's command line that begins so? "-" and "_" are the same to the kernel. */
static bool command_line_has(const char *line, const char *begin) {
        for (const char *word = line; *word; word++) {
                size_t i = 0;

                if (word > line && word[-1] != ' ')
                        continue;
                while (begin[i] && (word[i] == begin[i] || (word[i] == '-' && begin[i] == '_')))
                        i++;
                if (!begin[i])
                        return true;
        }
        return false;
}

OnliningFacts kernel_onliner_facts(const RootDir *root) {
        char line[COMMAND_LINE_MAX], policy[32];
        OnliningFacts facts = {};
        ssize_t r;

        assert(root);

        facts.has_auto_online = read_word(root, &facts.now);
        facts.ours = note_exists(root);
        r = rootdir_read_line(root, PARAMETERS "online_policy", policy, sizeof(policy));
        if (r >= 0 && strcmp(policy, "contig-zones") != 0 && strcmp(policy, "auto-movable") != 0)
                r = -EBADMSG;
        if (r < 0 && r != -ENOENT)
                log_unusable(PARAMETERS "online_policy", (int) r, "the kernel's ratio of zones");
        facts.has_policy = r >= 0;
        facts.is_auto_movable = facts.has_policy && strcmp(policy, "auto-movable") == 0;
        r = rootdir_read_line(root, "proc/cmdline", line, sizeof(line));
        if (r < 0)
                log_unusable("proc/cmdline", (int) r, "what it sets");
        else {
                facts.by_command_line = command_line_has(line, "memhp_default_state=");
                facts.policy_by_command_line = command_line_has(line, "memory_hotplug.online_policy=") ||
                                               command_line_has(line, "memory_hotplug.auto_movable_ratio=");
        }
        return facts;
}

/* -- life ------------------------------------------------------------------------------------------ */

static int write_word(const RootDir *root, AutoOnline word) {
        return rootdir_write(root, AUTO_ONLINE_PATH, auto_online_to_string(word));
}

/* The ratio first: the policy would use it at once. */
static int write_policy(const RootDir *root, uint64_t ratio_percent) {
        char text[sizeof("18446744073709551615")];
        int r;

        (void) snprintf(text, sizeof(text), "%" PRIu64, ratio_percent);
        r = rootdir_write(root, PARAMETERS "auto_movable_ratio", text);
        return r < 0 ? r : rootdir_write(root, PARAMETERS "online_policy", "auto-movable");
}

int kernel_onliner_begin(KernelOnliner *onliner, const RootDir *root, const OnliningPlan *plan,
                         uint64_t ratio_percent) {
        int r;

        assert(onliner);
        assert(root);
        assert(plan);

        *onliner = (KernelOnliner){.plan = *plan};
        if (!plan->take_over)
                return 0;

        /* The note before the deed: whoever dies between them leaves a guest that is safe. */
        r = note_write(root);
        if (r < 0)
                (void) log_debug_errno(r, "Cannot write /" NOTE_PATH ": %m");
        r = plan->set_policy ? write_policy(root, ratio_percent) : 0;
        if (r >= 0)
                r = write_word(root, plan->word);
        if (r < 0)
                return r;
        onliner->root = root;
        return 0;
}

void kernel_onliner_want_kernel_zone(KernelOnliner *onliner, bool wanted) {
        int r;

        assert(onliner);

        if (!onliner->root || !onliner->plan.waves || wanted == onliner->wave)
                return;
        onliner->wave = wanted;
        r = write_word(onliner->root, wanted ? AUTO_ONLINE_KERNEL : onliner->plan.word);
        if (r < 0)
                (void) log_debug_errno(r, "Cannot write /" AUTO_ONLINE_PATH ": %m");
}

void kernel_onliner_end(KernelOnliner *onliner) {
        int r;

        assert(onliner);

        if (!onliner->root)
                return;
        r = write_word(onliner->root, AUTO_ONLINE_SAFE);
        if (r < 0)
                (void) log_warning_errno(r, "Cannot leave /" AUTO_ONLINE_PATH " at \"%s\": %m",
                                         auto_online_to_string(AUTO_ONLINE_SAFE));
        onliner->root = NULL;
}

int kernel_onliner_release(const RootDir *root) {
        assert(root);
        return note_exists(root) ? write_word(root, AUTO_ONLINE_SAFE) : 0;
}
