#include "agent/item.h"

#include <stdlib.h>
#include <string.h>

#include "agent/pace.h"
#include "base/clock.h"
#include "base/log.h"

/* How old what we know of the placements may be when they are used. */
enum { PLACED_MS = 5000 };

void item_complain(struct inventory *item, const char *sentence, const char *ns,
                   struct str why)
{
    LOG_AT(item->told ? LOG_DEBUG : LOG_WARN, LOG_AGENT, sentence,
           LOG_TXT("inventory", item->what->name), LOG_TXT("ns", ns),
           LOG_STR("why", why));
    item->told = true;
}

static void wait_a_little(struct inventory *item, const struct session *session)
{
    item->failures += item->failures < 32 ? 1 : 0;
    item->request_at_ms =
        clock_mono_ms() +
        pace_retry_ms(item->failures, session->heartbeat_ms, chance_u64());
}

struct place *place_free(struct place *place)
{
    (void)mem_free(place->ns);
    (void)mem_free(place->etag);
    return mem_free(place);
}

/* ---- one place ---- */

static struct place *place_of(struct inventory *item, const char *ns)
{
    struct place *place = item->places;

    while (place != NULL && strcmp(place->ns, ns) != 0) {
        place = place->next;
    }
    if (place == NULL) {
        place = mem_zero(sizeof *place);
        place->ns = mem_text(ns);
        place->next = item->places;
        item->places = place;
    }
    return place;
}

static char *path_of(const struct inventory *item, const struct place *place,
                     const struct session *session)
{
    return roster_path("v1", "ns", place->ns, item->what->name,
                       session->hostname, NULL);
}

static enum session_outcome ask(const struct inventory *item,
                                const struct place *place,
                                struct session *session, const char *method,
                                const char *condition,
                                struct roster_response *ret_response)
{
    char *path = path_of(item, place, session);
    struct buf header = {0};

    buf_printf(&header, "%s: %s", condition,
               place->etag == NULL ? "*" : place->etag);
    const char *headers[] = {buf_text(&header), NULL};
    const struct roster_request request = {
        .method = method, .path = path, .headers = headers};
    enum session_outcome outcome = session_ask(session, &request, ret_response);
    free(path);
    buf_done(&header);
    return outcome;
}

static enum session_outcome check(const struct inventory *item,
                                  struct place *place, struct session *session)
{
    struct roster_response response = {0};
    enum session_outcome outcome =
        ask(item, place, session, "HEAD", "If-None-Match", &response);

    if (outcome == SESSION_DONE) {
        place->stored = response.status == 304;
        roster_response_done(&response);
    } else if (outcome == SESSION_UNKNOWN_HERE || outcome == SESSION_REFUSED) {
        place->stored = false;
        outcome = SESSION_DONE;
    }
    return outcome;
}

static enum session_outcome store(const struct inventory *item,
                                  struct place *place, struct session *session)
{
    struct roster_response response = {0};
    char *path = path_of(item, place, session);
    char *query = roster_query("lease", session->lease, NULL);
    const struct roster_request request = {.method = "PUT",
                                           .path = path,
                                           .query = query,
                                           .body = item->body,
                                           .body_size = strlen(item->body)};

    enum session_outcome outcome = session_ask(session, &request, &response);
    if (outcome == SESSION_DONE) {
        log_info(LOG_AGENT, "stored an inventory",
                 LOG_TXT("inventory", item->what->name),
                 LOG_TXT("ns", place->ns));
        (void)mem_free(place->etag);
        place->etag = mem_text(response.etag);
        memcpy(place->digest, item->digest, sizeof place->digest);
        place->stored = true;
        roster_response_done(&response);
    }
    free(path);
    free(query);
    return outcome;
}

/* The outcome says whether the place is done for this round. */
static void bring(struct inventory *item, struct place *place,
                  struct session *session)
{
    bool same = place->stored &&
                memcmp(place->digest, item->digest, sizeof item->digest) == 0;
    enum session_outcome outcome =
        same ? check(item, place, session) : store(item, place, session);

    switch (outcome) {
    case SESSION_DONE:
        if (place->stored) {
            place->round = item->round;
            item->failures = 0;
            item->told = false;
        }
        break;
    case SESSION_UNKNOWN_HERE:
        /* The namespace or the lease has gone, which the next look at the
         * placements or the next heartbeat tells. */
        place->round = item->round;
        break;
    case SESSION_REFUSED:
        item_complain(item, "an inventory is refused", place->ns,
                      str_of(roster_error(session->roster)->detail));
        place->round = item->round;
        break;
    case SESSION_UNREACHABLE:
        item_complain(item, "no server takes an inventory; trying again",
                      place->ns, str_of(roster_error(session->roster)->detail));
        wait_a_little(item, session);
        break;
    case SESSION_INTERRUPTED:
        break;
    }
}

/* ---- all places ---- */

/* The machine was moved away: what is left of us there goes, unless somebody
 * has made it his. True when it is done. */
static bool leave(const struct inventory *item, struct place *place,
                  struct session *session)
{
    struct roster_response response = {0};

    if (!place->stored) {
        return true;
    }
    enum session_outcome outcome =
        ask(item, place, session, "DELETE", "If-Match", &response);
    if (outcome == SESSION_DONE) {
        roster_response_done(&response);
    }
    return outcome != SESSION_UNREACHABLE && outcome != SESSION_INTERRUPTED;
}

/* One request for a place where the machine is not any more. False when there
 * is no such place. */
static bool leave_one(struct inventory *item, struct session *session)
{
    struct place **at = &item->places;

    while (*at != NULL &&
           json_object_get(session->placements, (*at)->ns) != NULL) {
        at = &(*at)->next;
    }
    if (*at == NULL) {
        return false;
    }
    if (leave(item, *at, session)) {
        struct place *next = (*at)->next;
        (void)place_free(*at);
        *at = next;
    } else {
        wait_a_little(item, session);
    }
    return true;
}

void item_request(struct inventory *item, struct session *session)
{
    const char *ns = NULL;
    json_t *id = NULL;

    if (clock_mono_ms() - session->placed_at_ms > PLACED_MS) {
        if (session_look(session) != SESSION_DONE) {
            wait_a_little(item, session);
        }
        return;
    }
    json_object_foreach(session->placements, ns, id)
    {
        struct place *place = place_of(item, ns);
        if (place->round != item->round) {
            bring(item, place, session);
            return;
        }
    }
    if (!leave_one(item, session)) {
        free(item->body);
        item->body = NULL;
    }
}
