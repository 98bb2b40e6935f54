/* A field per address: "tcp 0.0.0.0:22" = "uid=0 process=sshd". Numbers of
 * processes change with each start and are left out, and so are UDP ports of
 * the range that clients are given their ports from. */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "agent/collect.h"
#include "agent/lines.h"
#include "agent/read.h"
#include "base/err.h"

enum {
    LISTENERS_MAX = 10000,
    STATE_LISTEN = 0x0a,
    STATE_UNCONNECTED = 0x07,
    SEEN_MAX = 8, /* processes named for one socket */
    COMM_MAX = 32,
};

struct place {
    struct listener socket;
    unsigned n_seen;
    char seen[SEEN_MAX][COMM_MAX]; /* sorted */
};

struct sockets {
    struct place *places;
    size_t n;
    enum transport transport; /* of the file that is being read */
    unsigned first_client_port;
    unsigned last_client_port;
    bool hidden; /* some process did not show its files */
};

static bool is_six(enum transport transport)
{
    return transport == TRANSPORT_TCP6 || transport == TRANSPORT_UDP6;
}

static bool is_udp(enum transport transport)
{
    return transport == TRANSPORT_UDP || transport == TRANSPORT_UDP6;
}

/* ---- /proc/net ---- */

static int hex(struct str text, uint64_t *ret_number)
{
    uint64_t number = 0;

    if (text.n == 0 || text.n > 8) {
        return ERR_INVALID;
    }
    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i];
        unsigned digit = c >= '0' && c <= '9'   ? (unsigned)(c - '0')
                         : c >= 'A' && c <= 'F' ? (unsigned)(c - 'A' + 10)
                         : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a' + 10)
                                                : 16;
        if (digit == 16) {
            return ERR_INVALID;
        }
        number = number << 4 | digit;
    }
    *ret_number = number;
    return 0;
}

/* ADDRESS:PORT; the address in words of 32 bits, each printed as a number of
 * this machine though it holds bytes in network order. */
static int parse_address(struct str text, bool six, uint8_t address[16],
                         unsigned *ret_port)
{
    size_t digits = six ? 32 : 8;
    uint64_t number = 0;

    if (text.n != digits + 5 || text.p[digits] != ':') {
        return ERR_INVALID;
    }
    for (size_t i = 0; i < digits; i += 8) {
        if (hex((struct str){text.p + i, 8}, &number) != 0) {
            return ERR_INVALID;
        }
        uint32_t word = (uint32_t)number;
        memcpy(address + i / 2, &word, sizeof word);
    }
    if (hex((struct str){text.p + digits + 1, 4}, &number) != 0) {
        return ERR_INVALID;
    }
    *ret_port = (unsigned)number;
    return 0;
}

/* sl, local, remote, state, queues, timer, retransmits, uid, timeout, inode */
int listener_parse(enum transport transport, struct str line,
                   struct listener *ret_listener)
{
    struct listener socket = {.transport = transport};
    uint8_t remote[16];
    unsigned remote_port = 0;
    uint64_t state = 0;
    uint64_t uid = 0;

    line_skip(&line, 1);
    if (parse_address(line_word(&line), is_six(transport), socket.address,
                      &socket.port) != 0 ||
        parse_address(line_word(&line), is_six(transport), remote,
                      &remote_port) != 0 ||
        hex(line_word(&line), &state) != 0) {
        return ERR_INVALID;
    }
    line_skip(&line, 3);
    if (str_number(line_word(&line), UINT32_MAX, &uid) != 0) {
        return ERR_INVALID;
    }
    line_skip(&line, 1);
    if (str_number(line_word(&line), UINT64_MAX, &socket.inode) != 0 ||
        remote_port != 0 || socket.port == 0 ||
        state != (is_udp(transport) ? STATE_UNCONNECTED : STATE_LISTEN)) {
        return ERR_INVALID;
    }
    socket.uid = (unsigned)uid;
    *ret_listener = socket;
    return 0;
}

static void on_line(void *user, struct str line)
{
    struct sockets *all = user;
    struct listener socket;

    if (all->n == LISTENERS_MAX ||
        listener_parse(all->transport, line, &socket) != 0) {
        return;
    }
    bool client = is_udp(all->transport) &&
                  socket.port >= all->first_client_port &&
                  socket.port <= all->last_client_port;
    if (!client) {
        all->places[all->n++] = (struct place){.socket = socket};
    }
}

static void read_client_ports(const char *root, struct sockets *all)
{
    struct buf text = {0};
    uint64_t first = 32768;
    uint64_t last = 60999;

    if (read_small(root, "/proc/sys/net/ipv4/ip_local_port_range", &text) ==
        0) {
        struct str trimmed = read_trim(buf_str(&text));
        const char *tab =
            trimmed.n > 0 ? memchr(trimmed.p, '\t', trimmed.n) : NULL;
        size_t n = tab == NULL ? trimmed.n : (size_t)(tab - trimmed.p);
        struct str rest = {trimmed.p + n, trimmed.n - n};
        (void)!str_number((struct str){trimmed.p, n}, UINT16_MAX, &first);
        (void)!str_number(read_trim(rest), UINT16_MAX, &last);
    }
    all->first_client_port = (unsigned)first;
    all->last_client_port = (unsigned)last;
    buf_done(&text);
}

/* ---- /proc/PID/fd ---- */

static int compare_inodes(const void *a, const void *b)
{
    const struct place *left = a;
    const struct place *right = b;
    uint64_t l = left->socket.inode;
    uint64_t r = right->socket.inode;

    return l < r ? -1 : l > r ? 1 : 0;
}

static void see(struct place *place, const char *comm)
{
    unsigned at = 0;

    while (at < place->n_seen && strcmp(place->seen[at], comm) < 0) {
        at++;
    }
    if ((at < place->n_seen && strcmp(place->seen[at], comm) == 0) ||
        place->n_seen == SEEN_MAX) {
        return;
    }
    memmove(place->seen[at + 1], place->seen[at],
            (size_t)(place->n_seen - at) * COMM_MAX);
    (void)snprintf(place->seen[at], COMM_MAX, "%s", comm);
    place->n_seen++;
}

/* "socket:[4711]" */
static struct place *place_of(const struct sockets *all, const char *target)
{
    struct place wanted = {0};
    struct str text = str_of(target);

    if (text.n < 10 || memcmp(text.p, "socket:[", 8) != 0 ||
        str_number((struct str){text.p + 8, text.n - 9}, UINT64_MAX,
                   &wanted.socket.inode) != 0) {
        return NULL;
    }
    return bsearch(&wanted, all->places, all->n, sizeof wanted, compare_inodes);
}

/* Several sockets have one inode only when there is none (0: the kernel's). */
static void look_at_process(const char *root, const char *pid,
                            struct sockets *all)
{
    struct buf path = {0};
    struct buf comm = {0};
    char target[64];

    buf_printf(&path, "/proc/%s/comm", pid);
    if (read_small(root, buf_text(&path), &comm) != 0) {
        buf_clear(&comm);
    }
    while (comm.n > 0 && comm.p[comm.n - 1] == '\n') {
        comm.n--;
    }
    buf_clear(&path);
    buf_printf(&path, "%s/proc/%s/fd", root, pid);
    DIR *files = opendir(buf_text(&path));
    if (files == NULL) {
        /* Gone since is no secret. */
        all->hidden |= errno == EACCES || errno == EPERM;
    }
    for (struct dirent *e = files == NULL ? NULL : readdir(files); e != NULL;
         e = readdir(files)) {
        ssize_t n =
            readlinkat(dirfd(files), e->d_name, target, sizeof target - 1);
        target[n > 0 ? n : 0] = '\0';
        struct place *place = place_of(all, target);
        if (place != NULL && place->socket.inode != 0) {
            see(place, buf_text(&comm));
        }
    }
    if (files != NULL) {
        (void)closedir(files);
    }
    buf_done(&path);
    buf_done(&comm);
}

static void look_at_processes(const char *root, struct sockets *all)
{
    struct buf path = {0};

    buf_printf(&path, "%s/proc", root);
    DIR *processes = opendir(buf_text(&path));
    buf_done(&path);
    if (processes == NULL) {
        all->hidden = true;
        return;
    }
    for (struct dirent *e = readdir(processes); e != NULL;
         e = readdir(processes)) {
        if (e->d_name[0] >= '1' && e->d_name[0] <= '9') {
            look_at_process(root, e->d_name, all);
        }
    }
    (void)closedir(processes);
}

/* ---- the sheet ---- */

static void add_name(const struct listener *socket, struct buf *out)
{
    static const char *const names[] = {[TRANSPORT_TCP] = "tcp",
                                        [TRANSPORT_UDP] = "udp",
                                        [TRANSPORT_TCP6] = "tcp",
                                        [TRANSPORT_UDP6] = "udp"};
    bool six = is_six(socket->transport);
    char text[INET6_ADDRSTRLEN];

    (void)inet_ntop(six ? AF_INET6 : AF_INET, socket->address, text,
                    sizeof text);
    buf_printf(out, six ? "%s [%s]:%u" : "%s %s:%u", names[socket->transport],
               text, socket->port);
}

static void add_place(const struct place *place, struct sheet *sheet)
{
    struct buf name = {0};
    struct buf text = {0};

    add_name(&place->socket, &name);
    buf_printf(&text, "uid=%u", place->socket.uid);
    for (unsigned i = 0; i < place->n_seen; i++) {
        buf_printf(&text, "%s%s", i == 0 ? " process=" : ",", place->seen[i]);
    }
    /* Well-known ports are cut last. */
    sheet_add(sheet, place->socket.port, buf_str(&name), buf_str(&text));
    buf_done(&name);
    buf_done(&text);
}

static void add_all(const struct sockets *all, struct sheet *sheet)
{
    size_t unnamed = 0;

    for (size_t i = 0; i < all->n; i++) {
        add_place(&all->places[i], sheet);
        unnamed += all->places[i].n_seen == 0 ? 1 : 0;
    }
    if (unnamed > 0 && all->hidden) {
        sheet_note(sheet, "hidden",
                   "the processes of some sockets: seeing them takes root, or "
                   "CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH");
    }
}

int collect_sockets(const char *root, struct sheet *sheet)
{
    static const char *const files[] = {[TRANSPORT_TCP] = "/proc/net/tcp",
                                        [TRANSPORT_UDP] = "/proc/net/udp",
                                        [TRANSPORT_TCP6] = "/proc/net/tcp6",
                                        [TRANSPORT_UDP6] = "/proc/net/udp6"};
    struct sockets all = {0};
    size_t n_read = 0;

    all.places = mem_alloc(LISTENERS_MAX * sizeof *all.places);
    read_client_ports(root, &all);
    for (int i = TRANSPORT_TCP; i <= TRANSPORT_UDP6; i++) {
        all.transport = (enum transport)i;
        n_read += lines_of_file(root, files[i], on_line, &all) == 0 ? 1 : 0;
    }
    qsort(all.places, all.n, sizeof *all.places, compare_inodes);
    look_at_processes(root, &all);
    add_all(&all, sheet);
    (void)mem_free(all.places);
    if (n_read == 0) {
        sheet_note(sheet, "unavailable", "there is no /proc/net");
        return ERR_NOT_FOUND;
    }
    return 0;
}
