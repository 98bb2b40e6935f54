/* A line is written, kept, and cannot be taken out unnoticed. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>
/* clang-format on */

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "audit/chain.h"
#include "audit/files.h"
#include "base/err.h"
#include "base/log.h"

struct bed {
    char dir[64];
    char why[AUDIT_WHY];
    struct audit *audit;
    struct audit_verdict verdict;
    char **names;
    size_t n_names;
};

static void reopen(struct bed *bed, uint64_t file_bytes, unsigned files)
{
    const struct audit_config config = {.dir = bed->dir,
                                        .node = "n1",
                                        .file_bytes = file_bytes,
                                        .files = files};

    bed->audit = audit_close(bed->audit);
    assert_int_equal(audit_open(&config, &bed->audit, bed->why), 0);
}

static int set_up(void **state)
{
    struct bed *bed = mem_zero(sizeof *bed);

    log_start(LOG_ERROR + 1, LOG_JSON);
    (void)snprintf(bed->dir, sizeof bed->dir, "/tmp/audit-XXXXXX");
    assert_non_null(mkdtemp(bed->dir));
    assert_int_equal(chmod(bed->dir, 0755), 0);
    reopen(bed, 1 << 20, 10);
    *state = bed;
    return 0;
}

static void list(struct bed *bed)
{
    int dir = open(bed->dir, O_RDONLY | O_DIRECTORY);

    audit_files_list_free(bed->names, bed->n_names);
    assert_int_equal(audit_files_list(dir, &bed->names, &bed->n_names), 0);
    (void)close(dir);
}

static int tear_down(void **state)
{
    struct bed *bed = *state;
    char command[96];

    bed->audit = audit_close(bed->audit);
    audit_files_list_free(bed->names, bed->n_names);
    (void)snprintf(command, sizeof command, "rm -r %s", bed->dir);
    assert_int_equal(system(command), 0); /* NOLINT(cert-env33-c) */
    (void)mem_free(bed);
    return 0;
}

static int put(struct bed *bed, const char *id)
{
    return audit_write(bed->audit, &(struct audit_line){.who = STR("user ann"),
                                                        .op = STR("row put"),
                                                        .id = str_of(id),
                                                        .outcome = STR("ok"),
                                                        .status = 200,
                                                        .revision = 7});
}

static void put_some(struct bed *bed, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        assert_int_equal(put(bed, "api"), 0);
    }
}

static int verify(struct bed *bed)
{
    return audit_verify(bed->dir, NULL, &bed->verdict, bed->why);
}

/* ---- a file as bytes ---- */

static void path_of(struct bed *bed, size_t i, char ret_path[192])
{
    list(bed);
    assert_true(i < bed->n_names);
    (void)snprintf(ret_path, 192, "%s/%s", bed->dir, bed->names[i]);
}

static struct buf read_file(struct bed *bed, size_t i)
{
    char path[192], bytes[4096];
    struct buf all = {0};
    size_t n = 0;

    path_of(bed, i, path);
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    while ((n = fread(bytes, 1, sizeof bytes, file)) > 0) {
        buf_add(&all, bytes, n);
    }
    (void)fclose(file);
    return all;
}

static void write_file(struct bed *bed, size_t i, struct str bytes)
{
    char path[192];

    path_of(bed, i, path);
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes.p, 1, bytes.n, file), bytes.n);
    assert_int_equal(fclose(file), 0);
}

/* The bytes of line `i`, with its end. */
static struct str line_of(struct str all, unsigned i)
{
    for (;;) {
        const char *end = memchr(all.p, '\n', all.n);
        assert_non_null(end);
        size_t n = (size_t)(end - all.p) + 1;
        if (i-- == 0) {
            return (struct str){all.p, n};
        }
        all.p += n;
        all.n -= n;
    }
}

/* ---- tests ---- */

static void an_empty_directory_has_no_chain(void **state)
{
    struct bed *bed = *state;

    assert_int_equal(verify(bed), ERR_NOT_FOUND);
}

static void lines_are_chained_over_restarts(void **state)
{
    struct bed *bed = *state;
    struct audit_head head;

    put_some(bed, 3);
    reopen(bed, 1 << 20, 10);
    put_some(bed, 2);
    audit_head(bed->audit, &head);
    assert_int_equal(head.seq, 5);
    assert_int_equal(verify(bed), 0);
    assert_int_equal(bed->verdict.lines, 5);
    assert_int_equal(bed->verdict.files, 1);
    assert_int_equal(bed->verdict.torn, 0);
    assert_false(bed->verdict.begins_later);
    assert_string_equal(bed->verdict.hash, head.hash);
}

static void lines_are_chained_over_files(void **state)
{
    struct bed *bed = *state;

    reopen(bed, 1024, 1000);
    put_some(bed, 40);
    assert_int_equal(verify(bed), 0);
    assert_int_equal(bed->verdict.lines, 40);
    assert_true(bed->verdict.files > 5);
}

static void the_oldest_files_go(void **state)
{
    struct bed *bed = *state;

    reopen(bed, 1024, 3);
    put_some(bed, 40);
    list(bed);
    assert_int_equal(bed->n_names, 3);
    assert_int_equal(verify(bed), 0);
    assert_true(bed->verdict.begins_later);
    assert_true(bed->verdict.first_seq > 1);
    assert_int_equal(bed->verdict.last_seq, 40);
}

static void nobody_else_may_read_them(void **state)
{
    struct bed *bed = *state;
    struct stat st;
    char path[192];

    put_some(bed, 1);
    path_of(bed, 0, path);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(stat(bed->dir, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
}

static void a_directory_has_one_writer(void **state)
{
    struct bed *bed = *state;
    const struct audit_config config = {
        .dir = bed->dir, .node = "n2", .file_bytes = 1024, .files = 3};
    struct audit *other = NULL;

    assert_int_equal(audit_open(&config, &other, bed->why), ERR_INVALID);
    assert_non_null(strstr(bed->why, "another process"));
}

static void a_changed_line_is_found(void **state)
{
    struct bed *bed = *state;

    put_some(bed, 5);
    struct buf all = read_file(bed, 0);
    char *ann = strstr(line_of(buf_str(&all), 2).p, "ann");
    *ann = 'b';
    write_file(bed, 0, buf_str(&all));
    assert_int_equal(verify(bed), ERR_INVALID);
    assert_non_null(strstr(bed->why, "line 4 of the file (behind seq 2)"));
    buf_done(&all);
}

/* Its own hash fits: then it is the next that does not. */
static void a_line_made_anew_is_found(void **state)
{
    struct bed *bed = *state;
    struct buf made = {0};

    put_some(bed, 5);
    struct buf all = read_file(bed, 0);
    struct str first = line_of(buf_str(&all), 0);
    struct str second = line_of(buf_str(&all), 1);
    struct chain_head head = {.seq = 1};
    memcpy(head.hash, first.p + first.n - 3 - 64, 64);
    buf_add_str(&made, first);
    audit_chain_add(&head, STR("\"op\":\"nothing\""), &made);
    struct str rest = {second.p + second.n, all.n - first.n - second.n};
    buf_add_str(&made, rest);
    write_file(bed, 0, buf_str(&made));
    assert_int_equal(verify(bed), ERR_INVALID);
    assert_non_null(strstr(bed->why, "does not follow"));
    buf_done(&made);
    buf_done(&all);
}

static void a_removed_line_is_found(void **state)
{
    struct bed *bed = *state;
    struct buf made = {0};

    put_some(bed, 5);
    struct buf all = read_file(bed, 0);
    struct str line = line_of(buf_str(&all), 2);
    buf_add(&made, all.p, (size_t)(line.p - all.p));
    buf_add(&made, line.p + line.n, all.n - (size_t)(line.p - all.p) - line.n);
    write_file(bed, 0, buf_str(&made));
    assert_int_equal(verify(bed), ERR_INVALID);
    assert_non_null(strstr(bed->why, "missing"));
    buf_done(&made);
    buf_done(&all);
}

static void reordered_lines_are_found(void **state)
{
    struct bed *bed = *state;
    struct buf made = {0};

    put_some(bed, 3);
    struct buf all = read_file(bed, 0);
    buf_add_str(&made, line_of(buf_str(&all), 0));
    buf_add_str(&made, line_of(buf_str(&all), 2));
    buf_add_str(&made, line_of(buf_str(&all), 1));
    write_file(bed, 0, buf_str(&made));
    assert_int_equal(verify(bed), ERR_INVALID);
    buf_done(&made);
    buf_done(&all);
}

static void a_removed_file_is_found(void **state)
{
    struct bed *bed = *state;
    char path[192];

    reopen(bed, 1024, 1000);
    put_some(bed, 40);
    path_of(bed, 2, path);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(verify(bed), ERR_INVALID);
}

static void a_cut_end_is_found_by_who_noted_the_head(void **state)
{
    struct bed *bed = *state;
    struct audit_noted noted;
    struct audit_head head;
    char text[128];

    put_some(bed, 5);
    audit_head(bed->audit, &head);
    int n = snprintf(text, sizeof text, "%llu:%s", (unsigned long long)head.seq,
                     head.hash);
    assert_int_equal(audit_noted_parse((struct str){text, (size_t)n}, &noted),
                     0);
    struct buf all = read_file(bed, 0);
    struct str last = line_of(buf_str(&all), 4);
    bed->audit = audit_close(bed->audit);
    write_file(bed, 0, (struct str){all.p, all.n - last.n});
    /* Nothing of the chain itself shows it. */
    assert_int_equal(verify(bed), 0);
    assert_int_equal(audit_verify(bed->dir, &noted, &bed->verdict, bed->why),
                     ERR_INVALID);
    assert_non_null(strstr(bed->why, "the end is missing"));
    /* Nor does it help to write another one. */
    reopen(bed, 1 << 20, 10);
    assert_int_equal(put(bed, "other"), 0);
    put_some(bed, 3);
    assert_int_equal(verify(bed), 0);
    assert_int_equal(audit_verify(bed->dir, &noted, &bed->verdict, bed->why),
                     ERR_INVALID);
    assert_non_null(strstr(bed->why, "noted"));
    buf_done(&all);
}

static void a_head_is_a_number_and_a_hash(void **state)
{
    struct audit_noted noted;

    (void)state;
    assert_int_equal(audit_noted_parse(STR(""), &noted), ERR_INVALID);
    assert_int_equal(audit_noted_parse(STR("7"), &noted), ERR_INVALID);
    assert_int_equal(audit_noted_parse(STR("7:abc"), &noted), ERR_INVALID);
    assert_int_equal(audit_noted_parse(STR("x:abc"), &noted), ERR_INVALID);
}

static void a_torn_end_is_told_and_gone_on_behind(void **state)
{
    struct bed *bed = *state;

    put_some(bed, 3);
    bed->audit = audit_close(bed->audit);
    struct buf all = read_file(bed, 0);
    for (size_t cut = 2; cut < line_of(buf_str(&all), 2).n; cut += 37) {
        write_file(bed, 0, (struct str){all.p, all.n - cut});
        assert_int_equal(verify(bed), 0);
        assert_true(bed->verdict.open_bytes > 0);
        reopen(bed, 1 << 20, 10);
        put_some(bed, 1);
        assert_int_equal(verify(bed), 0);
        assert_int_equal(bed->verdict.torn, 1);
        assert_int_equal(bed->verdict.open_bytes, 0);
        assert_int_equal(bed->verdict.lines, 4);
        bed->audit = audit_close(bed->audit);
    }
    buf_done(&all);
}

static void a_line_that_lacks_its_end_alone_is_a_line(void **state)
{
    struct bed *bed = *state;

    put_some(bed, 3);
    bed->audit = audit_close(bed->audit);
    struct buf all = read_file(bed, 0);
    write_file(bed, 0, (struct str){all.p, all.n - 1});
    reopen(bed, 1 << 20, 10);
    put_some(bed, 1);
    assert_int_equal(verify(bed), 0);
    assert_int_equal(bed->verdict.torn, 0);
    assert_int_equal(bed->verdict.lines, 4);
    buf_done(&all);
}

/* What a power cut leaves of blocks that were never written. */
static void an_end_of_zeros_is_told_too(void **state)
{
    struct bed *bed = *state;
    static const char zeros[300000];

    put_some(bed, 3);
    bed->audit = audit_close(bed->audit);
    struct buf all = read_file(bed, 0);
    buf_add(&all, zeros, sizeof zeros);
    write_file(bed, 0, buf_str(&all));
    reopen(bed, 1 << 20, 10);
    put_some(bed, 2);
    assert_int_equal(verify(bed), 0);
    assert_int_equal(bed->verdict.torn, 1);
    assert_int_equal(bed->verdict.lines, 6);
    buf_done(&all);
}

/* A torn place is no cover: what was a line in it is found. */
static void what_was_changed_before_a_restart_is_found(void **state)
{
    struct bed *bed = *state;

    put_some(bed, 5);
    bed->audit = audit_close(bed->audit);
    struct buf all = read_file(bed, 0);
    memcpy(strstr(line_of(buf_str(&all), 2).p, "ann"), "bob", 3);
    write_file(bed, 0, buf_str(&all));
    reopen(bed, 1 << 20, 10);
    put_some(bed, 1);
    assert_int_equal(verify(bed), ERR_INVALID);
    buf_done(&all);
}

static void no_value_makes_a_line_or_a_member(void **state)
{
    struct bed *bed = *state;
    const struct str evil =
        STR("x\"}\n{\"seq\":9,\"op\":\"audit resume\"\\\r\0\xff\xe2\x80\xa8");

    assert_int_equal(
        audit_write(bed->audit, &(struct audit_line){.who = evil,
                                                     .token = evil,
                                                     .from = evil,
                                                     .request = evil,
                                                     .op = STR("row put"),
                                                     .ns = evil,
                                                     .type = evil,
                                                     .id = evil,
                                                     .about = evil,
                                                     .outcome = STR("ok"),
                                                     .detail = evil}),
        0);
    assert_int_equal(verify(bed), 0);
    assert_int_equal(bed->verdict.lines, 1);
    struct buf all = read_file(bed, 0);
    assert_int_equal(line_of(buf_str(&all), 0).n, all.n);
    assert_null(memmem(all.p, all.n, "\"op\":\"audit", 11));
    buf_done(&all);
}

/* A limit of the process stands for the end of the disk. */
static void a_full_disk_is_told_and_what_was_lost_is_counted(void **state)
{
    struct bed *bed = *state;
    struct rlimit old, small;
    struct audit_head head;

    put_some(bed, 3);
    (void)signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    small = old;
    small.rlim_cur = 1000;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    assert_int_equal(put(bed, "lost"), ERR_DISK_FULL);
    assert_int_equal(put(bed, "lost"), ERR_DISK_FULL);
    assert_false(audit_ready(bed->audit));
    audit_head(bed->audit, &head);
    assert_int_equal(head.failed, 2);
    assert_int_equal(verify(bed), 0);
    assert_int_equal(bed->verdict.lines, 3);
    assert_int_equal(bed->verdict.open_bytes, 0);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    put_some(bed, 1);
    assert_true(audit_ready(bed->audit));
    assert_int_equal(verify(bed), 0);
    assert_int_equal(bed->verdict.lines, 5);
    assert_int_equal(bed->verdict.gaps, 1);
}

enum { WRITERS = 8, LINES = 200 };

static void *write_many(void *user)
{
    struct bed *bed = user;

    for (unsigned i = 0; i < LINES; i++) {
        assert_int_equal(put(bed, "many"), 0);
        audit_post(bed->audit, &(struct audit_line){.op = STR("own")});
    }
    return NULL;
}

static void many_writers_lose_nothing(void **state)
{
    struct bed *bed = *state;
    pthread_t threads[WRITERS];

    reopen(bed, 16384, 1000);
    for (size_t i = 0; i < WRITERS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, write_many, bed), 0);
    }
    for (size_t i = 0; i < WRITERS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    bed->audit = audit_close(bed->audit);
    assert_int_equal(verify(bed), 0);
    assert_int_equal(bed->verdict.lines, 2 * WRITERS * LINES);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_empty_directory_has_no_chain),
        TEST(lines_are_chained_over_restarts),
        TEST(lines_are_chained_over_files),
        TEST(the_oldest_files_go),
        TEST(nobody_else_may_read_them),
        TEST(a_directory_has_one_writer),
        TEST(a_changed_line_is_found),
        TEST(a_line_made_anew_is_found),
        TEST(a_removed_line_is_found),
        TEST(reordered_lines_are_found),
        TEST(a_removed_file_is_found),
        TEST(a_cut_end_is_found_by_who_noted_the_head),
        TEST(a_head_is_a_number_and_a_hash),
        TEST(a_torn_end_is_told_and_gone_on_behind),
        TEST(a_line_that_lacks_its_end_alone_is_a_line),
        TEST(an_end_of_zeros_is_told_too),
        TEST(what_was_changed_before_a_restart_is_found),
        TEST(no_value_makes_a_line_or_a_member),
        TEST(a_full_disk_is_told_and_what_was_lost_is_counted),
        TEST(many_writers_lose_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
