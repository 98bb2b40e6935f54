/* Who finds nobody writing is the writer: he takes all that is queued and
 * writes it with one call, outside the lock. The others wait for him, or, when
 * theirs came too late for his, one of them is the next. `writing` guards the
 * files and the head of the chain. */
#include "audit/audit.h"

#include <fcntl.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "audit/inside.h"
#include "audit/line.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/metric.h"

enum {
    POSTS_MOST = 4096,
    KEEP_MS = 1000, /* syncs, and tries again what failed, so often */
};

struct item {
    struct item *next;
    struct buf text;
    bool owned; /* nobody waits for it: it is from the heap */
    bool done;
    int r;
};

/* ---- a batch ---- */

static void add_gap(struct audit *audit, struct chain_head *head)
{
    char detail[80];
    struct buf text = {0};

    (void)snprintf(detail, sizeof detail,
                   "%llu lines could not be written before this one",
                   (unsigned long long)audit->lost);
    audit_line_add(&text,
                   &(struct audit_line){.op = STR(CHAIN_GAP),
                                        .outcome = STR("failed"),
                                        .detail = str_of(detail)},
                   str_of(audit->node), clock_wall_ms());
    audit_chain_add(head, buf_str(&text), &audit->batch);
    buf_done(&text);
}

static void complain(struct audit *audit, int r)
{
    uint64_t now = clock_mono_ms();

    if (audit->logged_ms != 0 && now - audit->logged_ms < KEEP_MS) {
        return;
    }
    audit->logged_ms = now;
    log_error(LOG_AUDIT, "lines of the audit could not be written",
              LOG_TXT("why", err_text(r)),
              LOG_U64("lost", atomic_load(&audit->n_failed)));
}

/* Writing is ours. */
static int write_batch(struct audit *audit, const struct item *items, size_t n)
{
    struct chain_head head = audit->head;

    buf_clear(&audit->batch);
    if (audit->lost > 0) {
        add_gap(audit, &head);
    }
    for (const struct item *item = items; item != NULL; item = item->next) {
        audit_chain_add(&head, buf_str(&item->text), &audit->batch);
    }
    if (head.seq == audit->head.seq) {
        return 0;
    }
    int r = audit_files_append(&audit->files, audit->head.seq + 1,
                               buf_str(&audit->batch));
    if (r != 0) {
        audit->lost += n;
        atomic_fetch_add(&audit->n_failed, n);
        complain(audit, r);
        return r;
    }
    atomic_fetch_add(&audit->n_written, head.seq - audit->head.seq);
    audit->head = head;
    audit->lost = 0;
    return 0;
}

static size_t count(const struct item *items)
{
    size_t n = 0;

    for (; items != NULL; items = items->next) {
        n++;
    }
    return n;
}

static void end_items(struct audit *audit, struct item *items, int r)
{
    while (items != NULL) {
        struct item *next = items->next;
        if (items->owned) {
            audit->posts--;
            buf_done(&items->text);
            (void)mem_free(items);
        } else {
            items->r = r;
            items->done = true;
        }
        items = next;
    }
}

/* Under the lock, while nobody writes; let go in between. */
static void write_queued(struct audit *audit)
{
    struct item *items = audit->first;

    audit->first = audit->last = NULL;
    audit->writing = true;
    (void)pthread_mutex_unlock(&audit->lock);
    int r = write_batch(audit, items, count(items));
    atomic_store(&audit->ready, r == 0 && audit_files_reserve(&audit->files));
    (void)pthread_mutex_lock(&audit->lock);
    audit->writing = false;
    end_items(audit, items, r);
    (void)pthread_cond_broadcast(&audit->written);
}

static void push(struct audit *audit, struct item *item)
{
    if (audit->last == NULL) {
        audit->first = item;
    } else {
        audit->last->next = item;
    }
    audit->last = item;
}

int audit_write(struct audit *audit, const struct audit_line *line)
{
    struct item item = {.next = NULL};

    if (audit == NULL) {
        return 0;
    }
    audit_line_add(&item.text, line, str_of(audit->node), clock_wall_ms());
    (void)pthread_mutex_lock(&audit->lock);
    push(audit, &item);
    while (!item.done) {
        if (audit->writing) {
            (void)pthread_cond_wait(&audit->written, &audit->lock);
        } else {
            write_queued(audit);
        }
    }
    (void)pthread_mutex_unlock(&audit->lock);
    buf_done(&item.text);
    return item.r;
}

void audit_post(struct audit *audit, const struct audit_line *line)
{
    if (audit == NULL) {
        return;
    }
    struct item *item = mem_zero(sizeof *item);
    item->owned = true;
    audit_line_add(&item->text, line, str_of(audit->node), clock_wall_ms());
    (void)pthread_mutex_lock(&audit->lock);
    bool takes = audit->posts < POSTS_MOST;
    if (takes) {
        audit->posts++;
        push(audit, item);
        (void)pthread_cond_signal(&audit->wanted);
    } else {
        atomic_fetch_add(&audit->n_failed, 1);
    }
    (void)pthread_mutex_unlock(&audit->lock);
    if (!takes) {
        buf_done(&item->text);
        (void)mem_free(item);
    }
}

bool audit_ready(struct audit *audit)
{
    return audit == NULL || atomic_load(&audit->ready);
}

/* ---- the keeper: what waits for nobody, and what has to be on the disk ----
 */

static void wait_writer(struct audit *audit)
{
    while (audit->writing) {
        (void)pthread_cond_wait(&audit->written, &audit->lock);
    }
}

/* Not under the lock: a sync takes as long as the disk likes. The copy of the
 * descriptor outlives a change of files, whose maker syncs the old one. */
static void sync_file(struct audit *audit)
{
    wait_writer(audit);
    int fd =
        audit->files.fd < 0 ? -1 : fcntl(audit->files.fd, F_DUPFD_CLOEXEC, 0);
    (void)pthread_mutex_unlock(&audit->lock);
    if (fd >= 0) {
        if (fdatasync(fd) != 0) {
            atomic_fetch_add(&audit->n_sync_failed, 1);
            log_error(LOG_AUDIT, "the audit could not be synced");
        }
        (void)close(fd);
    }
    (void)pthread_mutex_lock(&audit->lock);
}

static void wait_wanted(struct audit *audit, uint64_t until_ms)
{
    struct timespec until = {.tv_sec = (time_t)(until_ms / 1000),
                             .tv_nsec = (long)(until_ms % 1000) * 1000000};

    (void)pthread_cond_timedwait(&audit->wanted, &audit->lock, &until);
}

static void *keep(void *user)
{
    struct audit *audit = user;
    uint64_t due_ms = clock_mono_ms() + KEEP_MS;
    uint64_t synced = 0;

    (void)pthread_mutex_lock(&audit->lock);
    while (!audit->stopping || audit->first != NULL) {
        if (audit->posts > 0 && !audit->writing) {
            write_queued(audit);
        }
        uint64_t now = clock_mono_ms();
        if (now < due_ms) {
            if (!audit->stopping) {
                wait_wanted(audit, due_ms);
            }
            continue;
        }
        due_ms = now + KEEP_MS;
        wait_writer(audit);
        if (!atomic_load(&audit->ready)) {
            write_queued(audit);
        }
        uint64_t seq = audit->head.seq;
        if (seq != synced) {
            sync_file(audit);
            synced = seq;
        }
    }
    (void)pthread_mutex_unlock(&audit->lock);
    return NULL;
}

/* ---- open and close ---- */

static int start_keeper(struct audit *audit)
{
    pthread_condattr_t monotonic;

    (void)pthread_condattr_init(&monotonic);
    (void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&audit->wanted, &monotonic);
    (void)pthread_condattr_destroy(&monotonic);
    (void)pthread_cond_init(&audit->written, NULL);
    (void)pthread_mutex_init(&audit->lock, NULL);
    audit->keeps = pthread_create(&audit->keeper, NULL, keep, audit) == 0;
    return audit->keeps ? 0 : err_raise(ERR_SYSTEM);
}

int audit_open(const struct audit_config *config, struct audit **ret_audit,
               char why[AUDIT_WHY])
{
    struct audit *audit = mem_zero(sizeof *audit);

    why[0] = '\0';
    audit->node = mem_text(config->node);
    int r = audit_files_open(&audit->files, config->dir, config->file_bytes,
                             config->files, why);
    if (r == 0) {
        r = audit_resume(audit);
    }
    if (r == 0) {
        atomic_store(&audit->ready, audit_files_reserve(&audit->files));
        r = start_keeper(audit);
    }
    if (r != 0) {
        (void)audit_close(audit);
        return r;
    }
    *ret_audit = audit;
    return 0;
}

static void stop_keeper(struct audit *audit)
{
    (void)pthread_mutex_lock(&audit->lock);
    audit->stopping = true;
    (void)pthread_cond_signal(&audit->wanted);
    (void)pthread_mutex_unlock(&audit->lock);
    (void)pthread_join(audit->keeper, NULL);
    (void)pthread_mutex_destroy(&audit->lock);
    (void)pthread_cond_destroy(&audit->written);
    (void)pthread_cond_destroy(&audit->wanted);
}

struct audit *audit_close(struct audit *audit)
{
    if (audit == NULL) {
        return NULL;
    }
    if (audit->keeps) {
        stop_keeper(audit);
    }
    audit_files_close(&audit->files);
    buf_done(&audit->batch);
    (void)mem_free(audit->node);
    return mem_free(audit);
}

/* ---- what is told of it ---- */

const char *audit_node(const struct audit *audit)
{
    return audit->node;
}

void audit_head(struct audit *audit, struct audit_head *ret_head)
{
    *ret_head = (struct audit_head){
        .written = atomic_load(&audit->n_written),
        .failed = atomic_load(&audit->n_failed),
        .unsynced_failed = atomic_load(&audit->n_sync_failed),
        .ready = atomic_load(&audit->ready),
    };
    (void)pthread_mutex_lock(&audit->lock);
    wait_writer(audit);
    ret_head->seq = audit->head.seq;
    memcpy(ret_head->hash, audit->head.hash, AUDIT_HASH);
    (void)snprintf(ret_head->file, sizeof ret_head->file, "%s",
                   audit->files.name);
    ret_head->files = audit->files.n;
    (void)pthread_mutex_unlock(&audit->lock);
}

void audit_metrics(struct audit *audit, struct buf *out)
{
    struct audit_head head;

    if (audit == NULL) {
        return;
    }
    audit_head(audit, &head);
    metric_counter(out, "roster_audit_lines_total",
                   "Lines of the audit written by this process.", head.written);
    metric_counter(out, "roster_audit_failed_total",
                   "Lines of the audit that could not be written.",
                   head.failed);
    metric_counter(out, "roster_audit_sync_failed_total",
                   "Times the audit could not be synced.",
                   head.unsynced_failed);
    metric_gauge(out, "roster_audit_seq", "Number of the audit's last line.",
                 head.seq);
    metric_gauge(out, "roster_audit_ready",
                 "1 while there is room for the audit's next line.",
                 head.ready);
}
