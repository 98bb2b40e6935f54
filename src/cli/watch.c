/* What changes, as it changes. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "cli/changed.h"
#include "cli/known.h"
#include "cli/outlet.h"
#include "cli/print.h"
#include "cli/rows.h"
#include "cli/show.h"
#include "cli/text.h"

enum { VALUE_MOST = 48 };

struct watcher {
    struct cli *cli;
    struct outlet outlet;
    struct known_types types;
    bool has_types;
    bool is_listing;   /* --initial: its end is yet to come */
    bool is_going;     /* a stream was there; or --since, which waits for one */
    bool is_cut;       /* there is none now */
    uint64_t n_told;   /* changes */
    uint64_t revision; /* to go on from; 0: not known */
};

/* ---- lines ---- */

static bool write_line(struct watcher *w, struct buf *line)
{
    buf_add_char(line, '\n');
    bool good = outlet_write(&w->outlet, buf_str(line));
    buf_done(line);
    return good;
}

static bool write_json(struct watcher *w, const char *json)
{
    struct buf line = {0};

    print_add_safe_json(&line, json);
    return write_line(w, &line);
}

/* With a handle of its own: the other one watches. */
static const char *key_of(const char *type, void *user)
{
    struct watcher *w = user;

    if (!w->has_types) {
        struct roster *roster = ask_connect(w->cli);
        struct roster_request request = {.method = "GET", .path = "/v1/types"};
        struct roster_response response = {0};
        roster_set_wake_fd(roster, w->outlet.wake);
        if (roster_send(roster, &request, &response) == ROSTER_OK) {
            json_t *types = json_loadb(response.body, response.body_size,
                                       JSON_ALLOW_NUL, NULL);
            known_types_set(&w->types, types);
            json_decref(types);
        }
        w->has_types = true; /* or as good as it gets */
        roster_response_done(&response);
        (void)roster_free(roster);
    }
    return known_key(&w->types, type);
}

/* The key of a type may be another one now. */
static void forget_types(struct watcher *w, const char *op)
{
    if (strcmp(op, "type-put") == 0) {
        known_types_done(&w->types);
        w->has_types = false;
    }
}

static void add_time_of_day(struct buf *out)
{
    time_t now = (time_t)(clock_wall_ms() / 1000);
    char text[16] = "";
    struct tm tm;

    if (localtime_r(&now, &tm) != NULL) {
        (void)strftime(text, sizeof text, "%H:%M:%S", &tm);
    }
    buf_add_text(out, text);
}

static bool write_text(struct watcher *w,
                       const struct roster_watch_event *event)
{
    json_t *json =
        json_loadb(event->json, event->json_size, JSON_ALLOW_NUL, NULL);
    size_t width = print_width();
    struct buf line = {0};

    forget_types(w, json_string_value(json_object_get(json, "op")));
    add_time_of_day(&line);
    buf_add_text(&line, "  ");
    changed_add(&line, json, width > 0 ? VALUE_MOST : 0, key_of, w);
    text_cut(&line, 0, width);
    json_decref(json);
    return write_line(w, &line);
}

/* ---- events ---- */

static bool on_change(struct watcher *w, const struct roster_watch_event *event)
{
    bool good =
        w->cli->json ? write_json(w, event->json) : write_text(w, event);

    w->n_told++;
    if (!w->is_listing) {
        w->revision = event->revision;
    }
    return good && (w->cli->count == 0 || w->n_told < w->cli->count);
}

static bool on_progress(struct watcher *w,
                        const struct roster_watch_event *event)
{
    bool ends_listing = w->is_listing;

    w->is_listing = false;
    w->revision = event->revision;
    return !ends_listing || !w->cli->json || write_json(w, event->json);
}

static bool on_reset(struct watcher *w, const struct roster_watch_event *event)
{
    w->is_listing = false;
    w->revision = event->revision;
    ask_say("changes are missing here: what there is now has to be read again "
            "(revision %" PRIu64 " or later)",
            event->revision);
    return !w->cli->json || write_json(w, event->json);
}

static bool on_again(struct watcher *w)
{
    if (!w->cli->json) {
        ask_say("the stream broke among what was there: from the start again");
        return true;
    }
    return write_json(w, "{\"revision\":0,\"op\":\"again\"}");
}

/* One line for an outage, and one for its end. */
static void on_link(struct watcher *w, const struct roster_watch_event *event)
{
    bool lost = event->kind == ROSTER_WATCH_LOST;

    if (lost != w->is_cut && w->is_going && !w->cli->quiet &&
        !w->cli->no_resume) {
        if (lost) {
            ask_say("%s: %s; trying to go on", event->server, event->why);
        } else {
            ask_say("going on at %s", event->server);
        }
    }
    w->is_cut = lost;
    w->is_going = w->is_going || !lost;
}

static int on_event(const struct roster_watch_event *event, void *user)
{
    struct watcher *w = user;
    bool good = true;

    switch (event->kind) {
    case ROSTER_WATCH_CONNECTED:
    case ROSTER_WATCH_LOST:
        on_link(w, event);
        break;
    case ROSTER_WATCH_AGAIN:
        good = on_again(w);
        break;
    case ROSTER_WATCH_CHANGE:
        good = on_change(w, event);
        break;
    case ROSTER_WATCH_PROGRESS:
        good = on_progress(w, event);
        break;
    case ROSTER_WATCH_RESET:
        good = on_reset(w, event);
        break;
    case ROSTER_WATCH_BYE:
        break;
    }
    return good ? 0 : -1;
}

/* ---- the command ---- */

/* What stands behind the verb, or in an option of that name. */
static bool take(const char **value, const char *arg, const char *name)
{
    if (arg != NULL && *value != NULL) {
        ask_say("the %s is given twice: as argument and as option", name);
        return false;
    }
    *value = arg != NULL ? arg : *value;
    return true;
}

static bool read_where(const struct cli *cli, struct roster_watch *watch,
                       char **ret_field)
{
    const char *equals = cli->where == NULL ? NULL : strchr(cli->where, '=');

    if (cli->where == NULL) {
        return true;
    }
    if (equals == NULL || equals == cli->where || cli->key != NULL ||
        cli->value != NULL) {
        ask_say("--where is FIELD=VALUE, in place of --key and --value");
        return false;
    }
    *ret_field = strndup(cli->where, (size_t)(equals - cli->where));
    watch->k = *ret_field;
    watch->v = equals + 1;
    return true;
}

static bool read_start(const struct cli *cli, struct roster_watch *watch)
{
    if (cli->since == NULL) {
        watch->start = cli->initial ? ROSTER_FROM_INITIAL : ROSTER_FROM_NOW;
        return true;
    }
    if (cli->initial ||
        str_number(str_of(cli->since), INT64_MAX, &watch->since) != 0) {
        ask_say("--since is a revision, and goes without --initial");
        return false;
    }
    watch->start = ROSTER_FROM_SINCE;
    /* Who knows a revision has met the registry: it is there, or comes back. */
    roster_set_patience(cli->roster, cli->timeout_ms);
    return true;
}

static enum cli_exit ended(struct watcher *w, enum roster_result result)
{
    if (w->outlet.fault != 0 && w->outlet.fault != EPIPE) {
        ask_say("cannot write the changes: %s", strerror(w->outlet.fault));
        return CLI_REFUSED;
    }
    if (result == ROSTER_STOPPED || result == ROSTER_INTERRUPTED) {
        return CLI_OK;
    }
    if (result != ROSTER_CUT) {
        return ask_complain(w->cli, result);
    }
    ask_say("%s", roster_error(w->cli->roster)->detail);
    if (w->revision > 0) {
        ask_say("--since %" PRIu64 " goes on from here", w->revision);
    }
    return CLI_UNREACHABLE;
}

enum cli_exit watch_run(struct cli *cli)
{
    struct watcher w = {
        .cli = cli, .is_listing = cli->initial, .is_going = cli->since != NULL};
    struct roster_watch watch = {.ns = cli->ns,
                                 .type = cli->type,
                                 .k = cli->key,
                                 .v = cli->value,
                                 .mode = cli->mode,
                                 .no_resume = cli->no_resume,
                                 .tell = on_event,
                                 .user = &w};
    char *field = NULL;
    enum cli_exit status = CLI_USAGE;

    if (take(&watch.ns, cli->n_args > 0 ? cli->args[0] : NULL, "namespace") &&
        take(&watch.type, cli->n_args > 1 ? cli->args[1] : NULL, "type") &&
        read_where(cli, &watch, &field) && read_start(cli, &watch)) {
        outlet_open(&w.outlet);
        roster_set_wake_fd(cli->roster, w.outlet.wake);
        status = ended(&w, roster_watch(cli->roster, &watch));
        roster_set_wake_fd(cli->roster, 0);
        outlet_close(&w.outlet);
    }
    known_types_done(&w.types);
    free(field);
    return status;
}
