/* What the files share that bring a state from one node to another. Private.
 *
 *   serve.c    the side that has state files: a thread for each connection
 *   fetch.c    the side that wants one: a thread that gets it, checks it and
 *              lays it out beside the store, so that nothing can fail later
 *   install.c  libraft's offers: held back until the file is here
 *   adopt.c    then it becomes the state
 *   missing.c  a RESTORE whose file is not here */
#ifndef RAFT_INSTALL_H
#define RAFT_INSTALL_H

#include "raft/inside.h"
#include "raft/transfer.h"

enum {
    SERVE_MOST = 4, /* transfers at once */
    SERVE_KNOWN = 8,
    /* One that broke may go on for so long: its file keeps its name. */
    SERVE_RESUME_MS = 60 * 1000,
    SERVE_EXTRA = 2, /* files kept for that, beside those of descriptors */
    /* Who has got the file lays it out, and then wants the log behind it. */
    SERVE_AFTER_MS = 5 * 1000,
    SERVE_AFTER_BYTES_MS = 16 * 1024, /* and a ms more for each of these */

    FETCH_TRIES = 6, /* without one byte more */
    FETCH_PAUSE_MS = 200,
    FETCH_PAUSE_MOST_MS = 3000,
    FETCH_DIAL_MS = 3000,
    /* After fetches that came to nothing, from one to the next. */
    FETCH_AGAIN_MS = 1000,
    FETCH_AGAIN_MOST_MS = 16 * 1000,
    FETCH_NICENESS = 15, /* of threads that move the whole state */
};

/* ---- fetch.c ---- */

struct fetch {
    /* What is wanted, set before it starts: */
    char file[TRANSFER_NAME];         /* "": the newest state file */
    uint64_t index;                   /* ""; of this entry or later */
    uint64_t size;                    /* of the image; 0: whatever it is */
    uint8_t image[32];                /* its sum; all zero: whatever it is */
    uint8_t state[32];                /* its digest; all zero: whatever it is */
    bool staged;                      /* for a RESTORE: without its history */
    bool missing;                     /* on behalf of one, else of an offer */
    uint64_t from[CORE_MEMBERS_MOST]; /* raft ids, whom to ask first */
    size_t n_from;

    /* What became of it, once it is over: 0: info.file lies in state/, synced,
     * and its image, checked, in store.new/. NOT_FOUND: nobody has it. INVALID:
     * it is no good. FULL. NOT_READY: who has it does not answer, or cancelled.
     * Or a fault. With another answer than 0 `why` tells. */
    int r;
    struct state_info info;
    char why[STATE_WHY];
    uint64_t took_ms;

    /* Its own: */
    struct core *core;
    pthread_t thread;
    pthread_mutex_t lock; /* of fd */
    int fd;
    size_t at; /* in `from` */
    _Atomic bool cancelled, over;
};

/* Starts it; takes what mem_alloc gave. The core is woken when it is over. */
void fetch_start(struct core *core, struct fetch *fetch);
bool fetch_is_over(const struct fetch *fetch);
/* How long to wait after so many more that came to nothing. */
uint64_t fetch_pause(unsigned n_before);
/* Breaks it off: it will be over, soon. */
void fetch_cancel(struct fetch *fetch);
/* Also breaks it off; waits for its thread. Always NULL; takes NULL. What it
 * has of the file stays for another one. */
struct fetch *fetch_end(struct fetch *fetch);

/* ---- serve.c ---- */

struct serving {
    struct core *core;
    pthread_t thread;
    int fd;
    bool used, over;
    char file[TRANSFER_NAME]; /* "": none yet */
};

struct served {
    char file[TRANSFER_NAME];
    uint64_t ended_ms, bytes;
};

struct serve {
    pthread_mutex_t lock;
    struct serving serving[SERVE_MOST];
    struct served served[SERVE_KNOWN]; /* a ring */
    size_t n_served;
    bool stopped;
};

void serve_init(struct core *core);
/* Breaks off what is under way. */
void serve_done(struct core *core);

/* ---- all of it ---- */

struct installs {
    /* How other nodes are reached, and who they are: of the room peer and of
     * members.c, which tests do without. Answers (why): NOT_READY; NOT_FOUND
     * (there is no such node for us). */
    int (*dial)(struct core *core, uint64_t raft_id, int *ret_fd,
                char why[CORE_WHY]);
    size_t (*others)(const struct core *core, uint64_t ret[CORE_MEMBERS_MOST]);

    struct serve serve;

    /* install.c: an offer of libraft that is held back, and its file. */
    bool held;
    struct raft_message message; /* with an address of its own */
    char address[CORE_ADDRESS * 3];
    struct state_info offer;
    bool ready; /* the file is here */
    uint64_t not_before_ms;
    unsigned n_failed; /* in a row */
    struct fetch *fetch;

    /* missing.c: the file of a RESTORE. */
    struct fetch *missing;
    char missing_file[TRANSFER_NAME];
    bool seek_newer; /* the next try: a state beyond it will do */
    uint64_t missing_not_before_ms;
    unsigned n_missed; /* in a row */
    uint64_t looked_ms;
};

/* The others, `first` (0: none) in front. */
size_t installs_others(const struct core *core, uint64_t first,
                       uint64_t ret[CORE_MEMBERS_MOST]) MUST_USE;

/* ---- missing.c ---- */

/* The file of a RESTORE at `index` that is being applied; called until it is
 * there. 0: it is staged; or, with ret_newer->file, that state file is here,
 * ready, and of this index or later. Answers: NOT_READY; NOT_FOUND (there is
 * nobody to be asked). */
int missing_get(struct core *core, uint64_t index,
                const struct command_restore *restore,
                struct state_info *ret_newer) MUST_USE;
/* Whether that one is being fetched, or waits for the next try. */
bool missing_is_sought(const struct core *core, struct str file);
void missing_turn(struct core *core, uint64_t now_ms);

#endif
