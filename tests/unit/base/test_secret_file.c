/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
/* clang-format on */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/secret_file.h"

static char folder[32];
static char file[64];

static int make_folder(void **state)
{
    (void)state;
    (void)snprintf(folder, sizeof folder, "/tmp/roster-secret-XXXXXX");
    (void)snprintf(file, sizeof file, "%s/token",
                   mkdtemp(folder) == NULL ? "" : folder);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    (void)unlink(file);
    return rmdir(folder); /* nothing else is left in it */
}

static void lay(const char *text, mode_t mode)
{
    FILE *f = fopen(file, "we");

    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(chmod(file, mode), 0);
}

static void assert_reads(size_t most, int answer, const char *line, bool open)
{
    CLEANUP(buf_done) struct buf got = {0};
    bool is_open = !open;

    assert_int_equal(secret_file_read(file, most, &got, &is_open), answer);
    assert_string_equal(buf_text(&got), line);
    assert_int_equal(is_open, open);
    assert_true(got.secret);
}

static void the_first_line_is_read_without_its_end(void **state)
{
    (void)state;
    lay("abc\nsecond\n", 0600);
    assert_reads(8, 0, "abc", false);
    lay("abc\r\n", 0600);
    assert_reads(3, 0, "abc", false);
    lay("abc", 0600);
    assert_reads(3, 0, "abc", false);
    lay("", 0600);
    assert_reads(3, 0, "", false);
}

static void a_line_that_is_too_long_is_not_cut(void **state)
{
    (void)state;
    lay("abcd\n", 0600);
    assert_reads(3, ERR_TOO_LARGE, "", false);
}

static void it_is_said_when_others_can_read_it(void **state)
{
    (void)state;
    lay("abc\n", 0640);
    assert_reads(3, 0, "abc", true);
    lay("abc\n", 0604);
    assert_reads(3, 0, "abc", true);
}

static void a_pipe_nobody_writes_into_holds_up_nobody(void **state)
{
    (void)state;
    (void)unlink(file);
    assert_int_equal(mkfifo(file, 0600), 0);
    assert_reads(3, 0, "", false);
}

static void what_is_not_there_is_an_answer(void **state)
{
    CLEANUP(buf_done) struct buf line = {0};
    bool is_open = false;

    (void)state;
    (void)unlink(file);
    assert_int_equal(secret_file_read(file, 3, &line, &is_open), ERR_NOT_FOUND);
    assert_int_equal(errno, ENOENT);
}

static void what_was_written_is_its_owners_alone(void **state)
{
    struct stat about;

    (void)state;
    assert_int_equal(secret_file_write(file, STR("abc"), SECRET_FILE_NEW), 0);
    assert_int_equal(stat(file, &about), 0);
    assert_int_equal(about.st_mode & 0777, 0600);
    assert_reads(3, 0, "abc", false);
}

static void a_new_one_takes_no_others_place(void **state)
{
    (void)state;
    lay("old\n", 0600);
    assert_int_equal(secret_file_write(file, STR("new"), SECRET_FILE_NEW),
                     ERR_IO);
    assert_int_equal(errno, EEXIST);
    assert_reads(3, 0, "old", false);
    assert_int_equal(secret_file_write(file, STR("new"), SECRET_FILE_REPLACE),
                     0);
    assert_reads(3, 0, "new", false);
}

static void a_folder_that_is_not_there_is_a_fault(void **state)
{
    CLEANUP(buf_done) struct buf path = {0};

    (void)state;
    buf_printf(&path, "%s/none/token", folder);
    assert_int_equal(
        secret_file_write(buf_text(&path), STR("abc"), SECRET_FILE_NEW),
        ERR_IO);
    assert_int_equal(errno, ENOENT);
}

#define TEST(name)                                                             \
    cmocka_unit_test_setup_teardown(name, make_folder, remove_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_first_line_is_read_without_its_end),
        TEST(a_line_that_is_too_long_is_not_cut),
        TEST(it_is_said_when_others_can_read_it),
        TEST(a_pipe_nobody_writes_into_holds_up_nobody),
        TEST(what_is_not_there_is_an_answer),
        TEST(what_was_written_is_its_owners_alone),
        TEST(a_new_one_takes_no_others_place),
        TEST(a_folder_that_is_not_there_is_a_fault),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
