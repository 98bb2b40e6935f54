/* The state of a file in the place of everything: the file is checked and kept
 * by the core first, then one command names it. Whatever goes wrong before the
 * command, nothing has changed. */
#include "registry/admin.h"
#include "registry/answer.h"
#include "registry/submit.h"

static int begin(struct op_state *s)
{
    atomic_bool *restoring = &s->registry->admin.restoring;
    struct admin *admin = arena_zero(s->op->arena, sizeof *admin);

    if (s->op->file == NULL) {
        return answer_problem(s, OP_BAD_REQUEST, STR(""),
                              "the body is empty: send the file that GET "
                              "/v1/admin/backup gave");
    }
    if (atomic_exchange(restoring, true)) {
        return answer_problem(s, OP_CONFLICT, STR(""),
                              "another restore is under way: wait for its end");
    }
    admin->holds = true;
    return admin_ask(s, admin, CORE_STATE_STAGE, s->op->file);
}

/* A revision that nobody has seen: no cursor, no If-Match of before ever fits
 * again. */
static uint64_t next_revision(struct op_state *s, uint64_t of_file)
{
    uint64_t now = snapshot_newest(s->registry);
    uint64_t above = now > of_file ? now : of_file;

    return (above / COMMAND_RESTORE_STEP + 1) * COMMAND_RESTORE_STEP;
}

int restore_run(struct op_state *s)
{
    struct admin *admin = s->memory;

    if (admin == NULL) {
        return begin(s);
    }
    if (admin->job.outcome != 0) {
        return admin_refused(s, admin);
    }
    const struct state_info *info = &admin->job.info;
    s->command = (struct command){
        .kind = COMMAND_RESTORE,
        .restore = {.file = str_of(info->file),
                    .size = info->size,
                    .revision = next_revision(s, info->revision)}};
    memcpy(s->command.restore.digest, info->state,
           sizeof s->command.restore.digest);
    return 0;
}

int restore_finish(struct op_state *s, struct machine_result *result)
{
    const struct core_state_job *job = &((struct admin *)s->memory)->job;
    struct buf out = {0};

    atomic_fetch_add(&s->registry->admin.restores, 1);
    buf_printf(&out,
               "{\"revision\":%llu,\"resources\":%llu,\"namespaces\":%llu,"
               "\"leases\":%llu}",
               (unsigned long long)result->revision,
               (unsigned long long)job->n_rows, (unsigned long long)job->n_ns,
               (unsigned long long)job->n_leases);
    (void)answer_ok(s, &out);
    return 0;
}

/* One that came through is kept by who needs it: to forget it changes nothing.
 */
void restore_end(struct op_state *s)
{
    struct admin *admin = s->memory;

    if (admin == NULL || !admin->holds) {
        return;
    }
    if (admin->job.outcome == 0) {
        core_state_unstage(s->registry->core, admin->job.info.file);
    }
    atomic_store(&s->registry->admin.restoring, false);
}
