/* A watch that has no socket: lines in, events out, wherever they break. */
#include "base/mem.h"
#include "client/follow.h"
/* cmocka.h needs the four before it. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
/* clang-format on */

#include <stdlib.h>
#include <string.h>

/* All that was told, as "change 5; progress 5; ". */
struct told {
    struct buf text;
    size_t most; /* events; then tell() ends it; 0: no end */
    size_t n;
};

static int tell(const struct roster_watch_event *event, void *user)
{
    static const char *const names[] = {"connected", "lost",  "again", "change",
                                        "progress",  "reset", "bye"};
    struct told *told = user;

    assert_int_equal(strlen(event->json), event->json_size);
    assert_string_equal(event->server, "http://a");
    if (event->kind != ROSTER_WATCH_CONNECTED) {
        buf_printf(&told->text, "%s %llu; ", names[event->kind],
                   (unsigned long long)event->revision);
    }
    return ++told->n == told->most ? -1 : 0;
}

struct watched {
    struct told told;
    struct roster_watch watch;
    struct follow follow;
};

static void start(struct watched *w, enum roster_watch_start from,
                  uint64_t since)
{
    *w = (struct watched){
        .watch = {.start = from, .since = since, .tell = tell}};
    w->watch.user = &w->told;
    follow_init(&w->follow, &w->watch);
    follow_begin(&w->follow, "http://a");
}

static void done(struct watched *w)
{
    follow_done(&w->follow);
    buf_done(&w->told.text);
}

static void take(struct watched *w, const char *text)
{
    assert_int_equal(follow_take(text, strlen(text), &w->follow), 0);
}

static void assert_ends(struct watched *w, const char *text,
                        enum follow_end end)
{
    assert_int_not_equal(follow_take(text, strlen(text), &w->follow), 0);
    assert_int_equal(w->follow.end, end);
}

static void assert_query(const struct watched *w, const char *expected)
{
    char *query = follow_query(&w->follow);

    assert_string_equal(query, expected);
    free(query);
}

#define PUT(revision)                                                          \
    "{\"revision\":" #revision ",\"op\":\"put\",\"ns\":\"a.roster\"}\n"
#define ROW(revision)                                                          \
    "{\"revision\":" #revision ",\"op\":\"put\",\"cause\":\"initial\"}\n"
#define PROGRESS(revision) "{\"op\":\"progress\",\"revision\":" #revision "}\n"
#define RESET(revision) "{\"op\":\"reset\",\"revision\":" #revision "}\n"
#define BYE(revision) "{\"op\":\"bye\",\"revision\":" #revision "}\n"

static void a_query_says_what_is_watched_and_from_where(void **state)
{
    struct watched w;

    (void)state;
    start(&w, ROSTER_FROM_NOW, 0);
    assert_query(&w, "");
    w.watch = (struct roster_watch){
        .ns = "a b", .type = "t", .k = "k", .v = "=", .mode = "prefix"};
    assert_query(&w, "ns=a%20b&type=t&k=k&v=%3D&mode=prefix");
    done(&w);
    start(&w, ROSTER_FROM_SINCE, 0);
    assert_query(&w, "since=0");
    done(&w);
    start(&w, ROSTER_FROM_INITIAL, 0);
    assert_query(&w, "initial=true");
    done(&w);
}

static void what_came_before_is_dropped(void **state)
{
    struct watched w;

    (void)state;
    start(&w, ROSTER_FROM_SINCE, 4);
    take(&w, PUT(4) PUT(5) PUT(6) PROGRESS(8));
    follow_begin(&w.follow, "http://a");
    take(&w, PUT(6) PUT(8) PROGRESS(7) PUT(9) PUT(9) PROGRESS(9));
    assert_string_equal(buf_text(&w.told.text),
                        "change 5; change 6; progress 8; change 9; progress "
                        "9; ");
    assert_query(&w, "since=9");
    done(&w);
}

static void from_now_goes_on_from_the_first_thing_told(void **state)
{
    struct watched w;

    (void)state;
    start(&w, ROSTER_FROM_NOW, 0);
    take(&w, PROGRESS(0));
    assert_query(&w, "since=0");
    done(&w);
    start(&w, ROSTER_FROM_NOW, 0);
    take(&w, PUT(3));
    assert_query(&w, "since=3");
    done(&w);
}

static void initial_rows_come_anew_until_they_were_complete(void **state)
{
    struct watched w;

    (void)state;
    start(&w, ROSTER_FROM_INITIAL, 0);
    take(&w, ROW(9) ROW(2));
    follow_begin(&w.follow, "http://a");
    assert_query(&w, "initial=true");
    take(&w, ROW(9) ROW(2) ROW(2) PROGRESS(9));
    assert_query(&w, "since=9");
    follow_begin(&w.follow, "http://a");
    take(&w, PUT(9) PUT(10));
    assert_string_equal(buf_text(&w.told.text),
                        "change 9; change 2; again 0; change 9; change 2; "
                        "change 2; progress 9; change 10; ");
    done(&w);
}

static void nothing_told_is_not_told_again(void **state)
{
    struct watched w;

    (void)state;
    start(&w, ROSTER_FROM_INITIAL, 0);
    take(&w, "{\"revision\":1");
    follow_begin(&w.follow, "http://a");
    take(&w, PROGRESS(7));
    assert_string_equal(buf_text(&w.told.text), "progress 7; ");
    done(&w);
}

static void a_reset_may_lead_back_and_ends_initial_rows(void **state)
{
    struct watched w;

    (void)state;
    start(&w, ROSTER_FROM_SINCE, 100);
    take(&w, RESET(7) PUT(7) PUT(8));
    assert_string_equal(buf_text(&w.told.text), "reset 7; change 8; ");
    done(&w);
    start(&w, ROSTER_FROM_INITIAL, 0);
    take(&w, ROW(3) RESET(7));
    assert_query(&w, "since=7");
    done(&w);
}

static void only_what_is_new_counts_as_moved(void **state)
{
    struct watched w;

    (void)state;
    start(&w, ROSTER_FROM_SINCE, 5);
    take(&w, PUT(5) PROGRESS(5) PROGRESS(4));
    assert_false(w.follow.moved);
    take(&w, PROGRESS(6));
    assert_true(w.follow.moved);
    done(&w);
    start(&w, ROSTER_FROM_INITIAL, 0);
    take(&w, ROW(1));
    assert_false(w.follow.moved);
    take(&w, PROGRESS(1));
    assert_true(w.follow.moved);
    done(&w);
}

static void a_bye_is_told_and_ends_the_stream(void **state)
{
    struct watched w;

    (void)state;
    start(&w, ROSTER_FROM_SINCE, 5);
    assert_ends(&w, PUT(6) BYE(6) PUT(7), FOLLOW_BYE);
    assert_string_equal(buf_text(&w.told.text), "change 6; bye 6; ");
    assert_query(&w, "since=6");
    done(&w);
}

static void who_is_told_can_end_it(void **state)
{
    struct watched w;

    (void)state;
    start(&w, ROSTER_FROM_SINCE, 0);
    w.told.most = 3; /* connected, and two changes */
    assert_ends(&w, PUT(1) PUT(2) PUT(3), FOLLOW_STOPPED);
    assert_string_equal(buf_text(&w.told.text), "change 1; change 2; ");
    done(&w);
}

static void what_is_no_event_is_garbage(void **state)
{
    static const char *const wrong[] = {
        "<html>",
        "[",
        " {}\n",
        "{}\n",
        "{\"op\":\"put\"}\n",
        "{\"revision\":1}\n",
        "{\"revision\":-1,\"op\":\"put\"}\n",
        "{\"revision\":1.5,\"op\":\"put\"}\n",
        "{\"revision\":\"1\",\"op\":\"put\"}\n",
        "{\"revision\":1,\"op\":7}\n",
        "{\"revision\":1,\"op\":\"put\"\n",
        "{\"revision\":1,\"op\":\"put\"}x\n",
        "{\"revision\":99999999999999999999,\"op\":\"put\"}\n",
        "{\"revision\":1,\"op\":\"p\xff\"}\n",
        "{\"revision\":1,\"op\":\"put\"}\r\n:\n",
    };

    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct watched w;
        start(&w, ROSTER_FROM_SINCE, 0);
        assert_ends(&w, wrong[i], FOLLOW_GARBAGE);
        done(&w);
    }
}

static void blank_lines_and_unknown_ops_are_no_fault(void **state)
{
    struct watched w;

    (void)state;
    start(&w, ROSTER_FROM_SINCE, 0);
    take(&w, "\n\n{\"revision\":3,\"op\":\"odd\",\"x\":\"\\u0000\"}\n\n");
    assert_string_equal(buf_text(&w.told.text), "change 3; ");
    done(&w);
}

static void a_line_has_a_bound(void **state)
{
    struct watched w;
    char *long_text = mem_zero(FOLLOW_LINE_MOST + 1);

    (void)state;
    memset(long_text, 'x', FOLLOW_LINE_MOST);
    start(&w, ROSTER_FROM_SINCE, 0);
    take(&w, "{");
    assert_ends(&w, long_text, FOLLOW_TOO_LONG);
    assert_true(w.follow.line.n <= FOLLOW_LINE_MOST);
    done(&w);
    (void)mem_free(long_text);
}

/* ---- a server with 20 changes; every stream breaks, anywhere ---- */

enum { CHANGES = 20 };

/* What it sends for the query of the watch, as its text. */
static void serve_stream(const struct watched *w, struct buf *out)
{
    char *query = follow_query(&w->follow);
    uint64_t since = CHANGES;

    if (strcmp(query, "initial=true") == 0) {
        buf_add_text(out, ROW(3) ROW(1) ROW(2) PROGRESS(5));
        since = 5;
    } else if (strncmp(query, "since=", 6) == 0) {
        since = strtoull(query + 6, NULL, 10);
    }
    for (uint64_t i = since + 1; i <= CHANGES; i++) {
        buf_printf(out, "{\"revision\":%llu,\"op\":\"put\"}\n",
                   (unsigned long long)i);
    }
    buf_printf(out, "{\"op\":\"progress\",\"revision\":%d}\n", CHANGES);
    free(query);
}

/* Streams of `piece` bytes, each cut after `most` of them, to the end. */
static void follow_to_the_end(struct watched *w, size_t first_cut, size_t piece)
{
    struct buf text = {0};

    for (size_t cut = first_cut;; cut = (size_t)-1) {
        follow_begin(&w->follow, "http://a");
        buf_clear(&text);
        serve_stream(w, &text);
        size_t n = text.n < cut ? text.n : cut;
        for (size_t at = 0; at < n; at += piece) {
            size_t part = n - at < piece ? n - at : piece;
            assert_int_equal(follow_take(text.p + at, part, &w->follow), 0);
        }
        if (n == text.n) {
            buf_done(&text);
            return;
        }
    }
}

/* The text without the progress that may come once more. */
static char *changes_of(const struct watched *w)
{
    struct buf text = {0};
    struct str all = buf_str(&w->told.text);
    const char *from = all.p;
    const char *again = memmem(all.p, all.n, "again 0; ", 9);

    from = again == NULL ? from : again + 9;
    for (const char *at = from; at < all.p + all.n;) {
        const char *end = strchr(at, ';') + 2;
        if (*at == 'c') {
            buf_add(&text, at, (size_t)(end - at));
        }
        at = end;
    }
    return buf_text(&text);
}

static void cut_everywhere(enum roster_watch_start from, uint64_t since)
{
    struct watched whole, broken;

    start(&whole, from, since);
    follow_to_the_end(&whole, (size_t)-1, 7);
    char *expected = changes_of(&whole);
    for (size_t cut = 0; cut < 1200; cut++) {
        start(&broken, from, since);
        follow_to_the_end(&broken, cut, cut % 13 + 1);
        char *told = changes_of(&broken);
        assert_string_equal(told, expected);
        free(told);
        done(&broken);
    }
    free(expected);
    done(&whole);
}

static void a_stream_cut_at_any_byte_leaves_no_gap_and_no_repeat(void **state)
{
    (void)state;
    cut_everywhere(ROSTER_FROM_SINCE, 0);
    cut_everywhere(ROSTER_FROM_SINCE, 7);
    cut_everywhere(ROSTER_FROM_INITIAL, 0);
    cut_everywhere(ROSTER_FROM_NOW, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_query_says_what_is_watched_and_from_where),
        cmocka_unit_test(what_came_before_is_dropped),
        cmocka_unit_test(from_now_goes_on_from_the_first_thing_told),
        cmocka_unit_test(initial_rows_come_anew_until_they_were_complete),
        cmocka_unit_test(nothing_told_is_not_told_again),
        cmocka_unit_test(a_reset_may_lead_back_and_ends_initial_rows),
        cmocka_unit_test(only_what_is_new_counts_as_moved),
        cmocka_unit_test(a_bye_is_told_and_ends_the_stream),
        cmocka_unit_test(who_is_told_can_end_it),
        cmocka_unit_test(what_is_no_event_is_garbage),
        cmocka_unit_test(blank_lines_and_unknown_ops_are_no_fault),
        cmocka_unit_test(a_line_has_a_bound),
        cmocka_unit_test(a_stream_cut_at_any_byte_leaves_no_gap_and_no_repeat),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
