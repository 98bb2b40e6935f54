/* cmocka.h needs the four before it. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>
/* clang-format on */

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/options.h"

struct settings {
    char *server;
    char *data_dir;
    bool insecure;
    uint64_t max_nodes;
    uint64_t max_body;
    uint64_t ttl_ms;
    struct option_map field;
};

/* One program with one option of each kind, and what it printed. */
struct fixture {
    struct settings set;
    struct option table[8];
    struct options options;
    char *args[16];
    size_t n_args;
    char out[4096];
    char file[32];
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    f->set.server = mem_text("http://127.0.0.1:7070");
    f->set.max_body = 8 << 20;
    f->set.ttl_ms = 30000;
    struct option table[] = {
        {.name = "server",
         .kind = OPTION_TEXT,
         .target = &f->set.server,
         .value_name = "URL[,URL...]",
         .help = "the servers"},
        {.name = "data-dir",
         .kind = OPTION_TEXT,
         .target = &f->set.data_dir,
         .help = "where"},
        {.name = "insecure",
         .kind = OPTION_FLAG,
         .target = &f->set.insecure,
         .help = "no access control"},
        {.name = "max-nodes",
         .kind = OPTION_NUMBER,
         .target = &f->set.max_nodes,
         .least = 1,
         .most = 9,
         .help = "how many"},
        {.name = "max-body",
         .kind = OPTION_BYTES,
         .target = &f->set.max_body,
         .help = "largest request"},
        {.name = "ttl",
         .kind = OPTION_DURATION,
         .target = &f->set.ttl_ms,
         .least = 2000,
         .most = 86400000,
         .help = "how long a lease lives"},
        {.name = "field",
         .kind = OPTION_MAP,
         .target = &f->set.field,
         .help = "a field"},
        {.name = NULL},
    };
    memcpy(f->table, table, sizeof table);
    f->options = (struct options){.program = "rosterd",
                                  .usage = "rosterd [OPTION...]",
                                  .about = "A registry.",
                                  .table = f->table};
    (void)strcpy(f->file, "/tmp/test_options.XXXXXX");
    int fd = mkstemp(f->file);
    assert_true(fd >= 0);
    (void)close(fd);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    options_done(&f->options);
    (void)unlink(f->file);
    free(f);
    return 0;
}

static void write_file(struct fixture *f, const char *text)
{
    FILE *file = fopen(f->file, "w");
    assert_non_null(file);
    (void)fputs(text, file);
    assert_int_equal(fclose(file), 0);
}

/* Both streams go to f->out: what is printed is part of the contract. */
static enum options_outcome run(struct fixture *f, const char *const *words,
                                bool takes_args)
{
    char *argv[16] = {(char *)(uintptr_t) "rosterd"};
    int argc = 1;
    FILE *capture = tmpfile();

    assert_non_null(capture);
    while (words[argc - 1] != NULL) {
        argv[argc] = (char *)(uintptr_t)words[argc - 1];
        argc++;
    }
    (void)fflush(stdout);
    int old_out = dup(STDOUT_FILENO);
    int old_err = dup(STDERR_FILENO);
    assert_true(dup2(fileno(capture), STDOUT_FILENO) >= 0);
    assert_true(dup2(fileno(capture), STDERR_FILENO) >= 0);
    enum options_outcome outcome =
        options_read(&f->options, argc, argv, takes_args ? f->args : NULL,
                     takes_args ? &f->n_args : NULL);
    (void)fflush(stdout);
    (void)dup2(old_out, STDOUT_FILENO);
    (void)dup2(old_err, STDERR_FILENO);
    (void)close(old_out);
    (void)close(old_err);
    rewind(capture);
    f->out[fread(f->out, 1, sizeof f->out - 1, capture)] = '\0';
    (void)fclose(capture);
    return outcome;
}

#define RUN(f, ...) run((f), (const char *const[]){__VA_ARGS__, NULL}, false)

static void says(const struct fixture *f, const char *text)
{
    if (strstr(f->out, text) == NULL) {
        print_message("printed: %s", f->out);
        fail_msg("it does not say: %s", text);
    }
}

static void without_any_source_the_defaults_stand(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(run(f, (const char *const[]){NULL}, false), OPTIONS_RUN);
    assert_string_equal(f->set.server, "http://127.0.0.1:7070");
    assert_null(f->set.data_dir);
    assert_int_equal(f->set.ttl_ms, 30000);
    assert_string_equal(f->out, "");
}

static void a_flag_takes_its_value_in_both_forms(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(RUN(f, "--data-dir", "/var/lib/roster", "--ttl=10s",
                         "--max-body=64MiB", "--max-nodes", "9", "--insecure",
                         "--field", "rack=r7", "--field=note=a=b"),
                     OPTIONS_RUN);
    assert_string_equal(f->set.data_dir, "/var/lib/roster");
    assert_int_equal(f->set.ttl_ms, 10000);
    assert_int_equal(f->set.max_body, 64 << 20);
    assert_int_equal(f->set.max_nodes, 9);
    assert_true(f->set.insecure);
    assert_int_equal(f->set.field.n, 2);
    assert_string_equal(f->set.field.items[1].name, "note");
    assert_string_equal(f->set.field.items[1].value, "a=b");
}

static void flags_win_over_environment_and_that_over_file(void **state)
{
    struct fixture *f = *state;

    write_file(f, "# all three\n"
                  "server = http://file:1\n"
                  "ttl = 5s  # a blank and # start a comment\n"
                  "data-dir = \"/a # b\"\n"
                  "field.rack = f1\n"
                  "field.row = 7#8\n\n");
    (void)setenv("ROSTER_SERVER", "http://env:1", 1);
    (void)setenv("ROSTER_TTL", "6s", 1);
    (void)setenv("ROSTER_FIELD", "rack=e1\nroom=e2", 1);
    assert_int_equal(
        RUN(f, "--config", f->file, "--ttl", "7s", "--field", "room=c3"),
        OPTIONS_RUN);
    (void)unsetenv("ROSTER_SERVER");
    (void)unsetenv("ROSTER_TTL");
    (void)unsetenv("ROSTER_FIELD");
    assert_string_equal(f->set.server, "http://env:1");
    assert_int_equal(f->set.ttl_ms, 7000);
    assert_string_equal(f->set.data_dir, "/a # b");
    assert_int_equal(f->set.field.n, 3);
    assert_string_equal(f->set.field.items[0].value, "e1");
    assert_string_equal(f->set.field.items[1].value, "7#8");
    assert_string_equal(f->set.field.items[2].value, "c3");
}

static void the_file_may_be_named_by_the_environment(void **state)
{
    struct fixture *f = *state;

    write_file(f, "insecure = yes\n");
    (void)setenv("ROSTER_CONFIG", f->file, 1);
    assert_int_equal(run(f, (const char *const[]){NULL}, false), OPTIONS_RUN);
    (void)unsetenv("ROSTER_CONFIG");
    assert_true(f->set.insecure);
}

static void an_unknown_name_is_told_with_its_place_and_the_nearest(void **state)
{
    struct fixture *f = *state;
    char at[128];

    assert_int_equal(RUN(f, "--datadir", "x"), OPTIONS_EXIT_USAGE);
    says(f, "rosterd: unknown option --datadir: did you mean --data-dir?");
    assert_int_equal(RUN(f, "--zebra"), OPTIONS_EXIT_USAGE);
    says(f, "unknown option --zebra; --help lists them");
    assert_int_equal(RUN(f, "-v"), OPTIONS_EXIT_USAGE);

    write_file(f, "\n\nmax_body = 1\n");
    assert_int_equal(RUN(f, "--config", f->file), OPTIONS_EXIT_USAGE);
    (void)snprintf(at, sizeof at,
                   "%s:3: unknown setting 'max_body': did you "
                   "mean 'max-body'?",
                   f->file);
    says(f, at);

    (void)setenv("ROSTER_TLL", "1s", 1);
    assert_int_equal(run(f, (const char *const[]){NULL}, false),
                     OPTIONS_EXIT_USAGE);
    (void)unsetenv("ROSTER_TLL");
    says(f, "unknown environment variable ROSTER_TLL: did you mean "
            "ROSTER_TTL?");
}

static void variables_of_others_are_left_alone(void **state)
{
    static const char *const others[][2] = {
        {"ROSTER_HOSTNAME", "web-1"},
        {"ROSTER_JSON", "true"},
        {"ROSTER_SERVICE_HOST", "10.0.0.1"},
        {"ROSTER_PORT", "tcp://10.0.0.1:7070"},
        {"ROSTER_PORT_7070_TCP_ADDR", "10.0.0.1"},
        {"ROSTER_TTL", ""},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        (void)setenv(others[i][0], others[i][1], 1);
    }
    assert_int_equal(run(f, (const char *const[]){NULL}, false), OPTIONS_RUN);
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        (void)unsetenv(others[i][0]);
    }
    assert_int_equal(f->set.ttl_ms, 30000);
}

static void a_value_that_does_not_fit_is_refused(void **state)
{
    static const struct {
        const char *flag;
        const char *complaint;
    } bad[] = {
        {"--ttl=soon", "--ttl: 'soon' is not a duration such as"},
        {"--ttl=1s", "--ttl must be between 2s and 24h"},
        {"--max-nodes=0", "--max-nodes must be between 1 and 9"},
        {"--max-nodes=10", "--max-nodes must be between 1 and 9"},
        {"--max-nodes=-1", "is not a whole number"},
        {"--max-body=1Q", "is not a size such as"},
        {"--max-body=99999999999T", "is not a size such as"},
        {"--insecure=perhaps", "is not true or false"},
        {"--field=rack", "is not NAME=VALUE"},
        {"--field==x", "is not NAME=VALUE"},
        {"--data-dir", "--data-dir needs a value"},
        {"extra", "takes no argument 'extra'"},
        {"--config=/nowhere/x", "cannot open the settings file /nowhere/x"},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(RUN(f, bad[i].flag), OPTIONS_EXIT_USAGE);
        says(f, bad[i].complaint);
    }
    write_file(f, "just words\n");
    assert_int_equal(RUN(f, "--config", f->file), OPTIONS_EXIT_USAGE);
    says(f, ":1: expected 'name = value'");
}

static void arguments_keep_their_order_among_flags(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(run(f,
                         (const char *const[]){"ls", "--ttl", "4s", "web", "-",
                                               "--", "--ttl", NULL},
                         true),
                     OPTIONS_RUN);
    assert_int_equal(f->n_args, 4);
    assert_string_equal(f->args[0], "ls");
    assert_string_equal(f->args[1], "web");
    assert_string_equal(f->args[2], "-");
    assert_string_equal(f->args[3], "--ttl");
    assert_int_equal(f->set.ttl_ms, 4000);
}

static void help_and_version_work_whatever_else_is_wrong(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(RUN(f, "--config", "/nowhere", "--version"),
                     OPTIONS_EXIT_OK);
    assert_string_equal(f->out, "rosterd " ROSTER_VERSION "\n");
    assert_int_equal(RUN(f, "--config", "/nowhere", "--help"), OPTIONS_EXIT_OK);
    says(f, "Usage: rosterd [OPTION...]\n");
    says(f, "--server URL[,URL...]");
    says(f, "(default 30s)");
    says(f, "(default 8MiB)");
    says(f, "--config FILE");
}

/* mdoc: escapes, ranges and defaults of one option of each kind. */
static void the_manual_has_each_option_with_range_and_default(void **state)
{
    struct fixture *f = *state;

    f->table[1].help = "'a\\b' with --ttl";
    assert_int_equal(RUN(f, "--manual"), OPTIONS_EXIT_OK);
    says(f, ".Bl -tag -width Ds\n.It Fl -server Ar URL[,URL...]\nthe servers.\n"
            "The default is\n.Li http://127.0.0.1:7070 .\n");
    says(f, ".It Fl -data-dir Ar VALUE\n\\&'a\\eb' with \\-\\-ttl.\n.It");
    says(f, ".It Fl -insecure\nno access control.\n.It");
    says(f, ".It Fl -max-nodes Ar VALUE\nhow many.\nFrom 1 to 9.\n");
    says(f, "From 2s to 24h.\nThe default is\n.Li 30s .\n");
    says(f, ".It Fl -field Ar NAME=VALUE\na field.\n.It Fl -config Ar FILE\n");
    says(f, ".It Fl -version\nprint the version and exit.\n.El\n");
    assert_null(strstr(f->out, "Fl -manual"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(without_any_source_the_defaults_stand),
        TEST(a_flag_takes_its_value_in_both_forms),
        TEST(flags_win_over_environment_and_that_over_file),
        TEST(the_file_may_be_named_by_the_environment),
        TEST(an_unknown_name_is_told_with_its_place_and_the_nearest),
        TEST(variables_of_others_are_left_alone),
        TEST(a_value_that_does_not_fit_is_refused),
        TEST(arguments_keep_their_order_among_flags),
        TEST(help_and_version_work_whatever_else_is_wrong),
        TEST(the_manual_has_each_option_with_range_and_default),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
