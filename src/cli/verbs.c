#include "cli/rows.h"

enum { MANY = 1024 };

/* clang-format off */
const struct cli_verb cli_verbs[] = {
    {"tree", "", "all namespaces", "", 0, 0, spaces_tree, NULL},
    {"ls", "NS TYPE", "the resources of a list", "", 2, 2, rows_ls, NULL},
    {"get", "NS TYPE ID", "one resource", "", 3, 3, rows_get,
     "ID is an _id or a primary key."},
    {"add", "NS TYPE FIELD=VALUE...", "a new resource", "", 3, MANY, rows_add,
     NULL},
    {"set", "NS TYPE ID FIELD=VALUE...", "change fields (FIELD- removes)", "",
     4, MANY, rows_set, NULL},
    {"rm", "NS TYPE ID", "remove a resource", "", 3, 3, rows_rm, NULL},
    {"mv", "NS TYPE ID TO-NS | NS NEW-NS", "move a resource or a namespace",
     "", 2, 4, rows_mv,
     "A resource keeps its _id and its lease. NEW-NS is what the namespace is\n"
     "called afterwards, whole: mv web.shop.roster www.lab.roster renames and\n"
     "moves in one step, with everything in it. A name that is taken is an\n"
     "error; nothing is ever put into an existing namespace unasked."},
    {"cp", "NS TYPE ID TO-NS", "copy a resource", "", 4, 4, rows_cp,
     "The copy has an _id of its own and no lease."},
    {"search", "[TEXT]", "find resources everywhere",
     "ns type key value mode limit", 0, 7, search_run,
     "TEXT is looked for inside every value. --mode exact is the rule when\n"
     "--value is used, contains when TEXT is. ns=, type=, k=, v=, mode= and\n"
     "limit= may be written as words too."},
    {"watch", "[NS [TYPE]]", "changes, as they happen",
     "ns type key value where mode since initial count no-resume", 0, 2,
     watch_run,
     "A line for each change in NS and below it: when it came, its revision,\n"
     "what it is, where, its cause, and the fields that changed, with what they\n"
     "were. --json: as it was sent, a line each. A stream that breaks is taken\n"
     "up at the next server: no change is missing or comes twice. When some\n"
     "are missing nevertheless (--since is older than the history, or the\n"
     "registry was restored) that is told: as a line {\"op\":\"reset\"} with\n"
     "--json, and on stderr. With --initial --json a line {\"op\":\"progress\"}\n"
     "ends what was there; {\"op\":\"again\"}: it comes anew, from the start.\n"
     "--key and --value (or --where) choose resources that are so, or were so\n"
     "before the change. Ends, with status 0, on SIGINT, SIGTERM, --count, or\n"
     "when nobody reads what it prints."},
    {"mkns", "NS", "a new namespace", "leaf branch match comment", 1, 1,
     spaces_mkns, NULL},
    {"rmns", "NS", "remove a namespace", "recursive", 1, 1, spaces_rmns, NULL},
    {"types", "[list|show|define] [TYPE ...]",
     "definitions of types", "", 0, MANY, types_run,
     "roster types list\nroster types show TYPE\n"
     "roster types define TYPE key=FIELD required=A,B check.FIELD=KIND\n"
     "                         secret=A,B template=false\n"
     "roster types define TYPE FILE      (JSON, - for stdin)\n\n"
     "A definition replaces the one before, whole. key= alone: no key."},
    {"agents", "", "machines with an agent", "", 0, 0, nodes_agents, NULL},
    {"maintenance", "[list|begin|end] [TARGET...]",
     "spare machines and resources while they are worked on", "for reason", 0,
     MANY, maintenance_run,
     "roster maintenance list\n"
     "roster maintenance begin TARGET... [--for TIME] [--reason TEXT]\n"
     "roster maintenance end TARGET...\n\n"
     "TARGET is a machine with an agent, by its hostname, or a resource as\n"
     "NS/TYPE/ID. A machine in maintenance is not removed when it is silent.\n"
     "It ends by itself, after an hour unless --for is given. list shows\n"
     "machines."},
    {"breaker", "[list|release|extend] [NS] [TIME]",
     "removals that are held because very many are due", "", 0, 3, breaker_run,
     "roster breaker list\nroster breaker release [NS]\n"
     "roster breaker extend [NS] TIME\n\n"
     "While very many machines are silent at once none is removed, for some\n"
     "minutes: an outage of the network is likelier. release: they are gone,\n"
     "remove them. extend: wait longer. NS is a scope of the list; without, all\n"
     "that is held is released, and the whole registry extended."},
    {"login", "[USER]", "sign in, with a password", "password-file ttl", 0, 1,
     login_run,
     "Asks for the password, and keeps the token of the session in\n"
     "~/.config/roster/token, for this user of the machine alone. Commands\n"
     "show it from then on, to each server they ask."},
    {"logout", "", "end the session", "", 0, 0, logout_run, NULL},
    {"whoami", "", "who you are to the registry, and what you may", "", 0, 0,
     whoami_run, NULL},
    {"token", "[list|show|create|delete] [ID|NAME=VALUE...]",
     "what is shown to be let in", "", 0, MANY, token_run,
     "roster token list\nroster token show ID\nroster token delete ID...\n"
     "roster token create name=TEXT roles=ROLE[@NS],... [ttl=TIME] "
     "[user=NAME]\n"
     "                    [kind=join [hosts=REGEX] [reusable=true]]\n\n"
     "The text of a token is printed when it is made, and kept nowhere. One of\n"
     "your own needs user=YOU, and may no more than you. With kind=join it\n"
     "registers agents."},
    {"session", "[list|end] [ID...]", "who is signed in", "", 0, MANY,
     session_run, "roster session list\nroster session end ID..."},
    {"role", "[list|show|put|delete] [NAME] [NAME=VALUE...]",
     "names for what may be done", "", 0, MANY, role_run,
     "roster role list\nroster role show NAME\nroster role delete NAME...\n"
     "roster role put NAME rule=ALLOW:TYPES[:NS]... [comment=TEXT]\n\n"
     "ALLOW is any of read,create,update,delete,write,*. TYPES are types of\n"
     "resources, or * for each, or any of @ns,@agents,@types,@access,@cluster,\n"
     "@admin,@*. Without NS a rule holds everywhere. What put does not name\n"
     "stays as it is; rule= replaces all rules."},
    {"user", "[list|show|put|password|delete] [NAME] [NAME=VALUE...]",
     "who may sign in", "password-file", 0, MANY, user_run,
     "roster user list\nroster user show NAME\nroster user delete NAME...\n"
     "roster user put NAME [roles=ROLE[@NS],...] [comment=TEXT]\n"
     "                [source=local|ldap] [disabled=true|false]\n"
     "roster user password NAME\n\n"
     "What put does not name stays as it is. Another password ends the user's\n"
     "sessions. Who changes his own is asked for the one he has; in\n"
     "--password-file that is the first line, then."},
    {"group", "[list|show|put|add|remove|delete] [NAME] [USER|NAME=VALUE...]",
     "users that have roles together", "", 0, MANY, group_run,
     "roster group list\nroster group show NAME\nroster group delete NAME...\n"
     "roster group put NAME [roles=ROLE[@NS],...] [members=USER,...]\n"
     "                 [managers=USER,...] [comment=TEXT]\n"
     "roster group add NAME USER...\nroster group remove NAME USER...\n\n"
     "What put does not name stays as it is. Managers add and remove members."},
    {"quota", "[list|show|set|delete] [NS] [NAME=NUMBER...]",
     "how much a namespace may hold", "", 0, MANY, quota_run,
     "roster quota list\nroster quota show NS\nroster quota delete NS...\n"
     "roster quota set NS [resources.warn=N] [resources.refuse=N]\n"
     "                    [bytes.warn=N] [bytes.refuse=N]\n\n"
     "It counts the namespace and all below it. What would grow beyond refuse\n"
     "is answered with an error; warn is told to who watches. What set does not\n"
     "name stays as it is; none takes a limit away."},
    {"leader", "", "which node leads", "", 0, 0, nodes_leader, NULL},
    {"status", "", "how the cluster is", "", 0, 0, status_run,
     "Asks one server which nodes there are, then each node by itself, and each\n"
     "of --server that is none of them. Exit status 3 when none is ready."},
    {"cluster", "[list|remove|transfer] [NODE]", "the nodes, and changes of them",
     "yes", 0, 2, cluster_run,
     "roster cluster list\nroster cluster remove NODE\n"
     "roster cluster transfer [NODE]\n\n"
     "A node is added by starting it with --join. A removed one stays away until\n"
     "it is started with an empty directory; asks before, at a terminal.\n"
     "transfer hands leadership to NODE, or to the voter that has the most."},
    {"export", "[FILE]", "write everything as JSON lines",
     "ns type with-ids leased", 0, 1, export_run,
     "To stdout without FILE. Definitions of types first, then namespaces,\n"
     "then resources, in the form that import reads. Rows come without _id and\n"
     "_rev, unless --with-ids. Machines that an agent keeps registered are left\n"
     "out: imported, they would stay when the machine is gone; --leased writes\n"
     "them too. Secret fields come out as \"***\" and cannot be imported."},
    {"import", "[FILE]", "store what export wrote",
     "dry-run", 0, 1, import_run,
     "From stdin without FILE. One JSON object a line:\n"
     "  {\"op\":\"type-put\",\"type\":\"device\",\"definition\":{...}}\n"
     "  {\"op\":\"ns-put\",\"ns\":\"v.pci.roster\",\"kind\":\"leaf\",\"match\":null,"
     "\"comment\":\"\"}\n"
     "  {\"op\":\"put\",\"ns\":\"v.pci.roster\",\"type\":\"device\","
     "\"resource\":{...}}\n\n"
     "A namespace that is missing above an ns-put is made as a branch. A row\n"
     "with a primary key replaces the row of that key. A row without is added\n"
     "unless an equal row is there that no earlier line stands for. So a\n"
     "second run changes nothing, and continues one that was interrupted.\n"
     "Order is kept within each list. _id and _rev in rows are ignored. A\n"
     "secret field that is \"***\" is left as it is in a row that exists, and\n"
     "left out of a new one, with a warning."},
    {"backup", "FILE | verify FILE", "the whole state into a file", "", 1, 2,
     backup_run,
     "FILE appears under its name only when it is whole, on the disk and\n"
     "verified. - writes to stdout. backup verify is verify."},
    {"verify", "FILE", "check a backup, without a server", "", 1, 1,
     backup_verify,
     "Every byte: header, sums, each record. Exit status 1 when it is\n"
     "damaged."},
    {"restore", "FILE", "replace everything by a backup", "yes", 1, 1,
     restore_run,
     "Verifies the file, shows what is replaced by what, asks when it is\n"
     "given at a terminal, sends. The revision moves forward, beyond every\n"
     "one that was seen."},
    {"snapshot", "", "take a Raft snapshot now", "", 0, 0, admin_snapshot,
     NULL},
    {"snapshots", "", "those that are kept", "", 0, 0, admin_snapshots, NULL},
    {"digest", "", "a sum over the whole state", "", 0, 0, admin_digest,
     "Nodes at the same index answer the same digest."},
    {"audit", "verify|head [DIR]", "who did what: is all of it there", "head",
     1, 2, audit_run,
     "roster audit verify DIR [--head SEQ:HASH]\nroster audit head\n\n"
     "verify needs no server: it reads the files that a node wrote to its\n"
     "--audit directory, and finds each line that was changed, removed or put\n"
     "elsewhere. Exit status 1 when there is one. That lines are missing at the\n"
     "end, or that all was made anew, is found with --head only: a head that\n"
     "was noted before, somewhere else. head prints that of the server."},
    {"recover", "", "go on alone after the other nodes are lost",
     "data-dir yes", 0, 0, recover_run,
     "Without a server, on the directory of a rosterd that is stopped: it\n"
     "becomes the sole member of its cluster. Its revision moves forward as\n"
     "after a restore. Asks before, at a terminal."},
    {"certs", "DIR", "certificates for a first cluster", "node client days", 1,
     1, certs_run,
     "Makes DIR/ca.pem with its key when it is not there, and for each --node\n"
     "and --client a certificate DIR/NAME.pem with its key DIR/NAME-key.pem;\n"
     "what is there already stays. Whoever has ca-key.pem can let in anybody:\n"
     "keep it elsewhere than on the nodes.\n"
     "roster certs certs --node n1=10.0.0.1,n1.example.net --client ann"},
    {"completion", "bash|zsh|fish", "a script that completes commands", "", 1,
     1, complete_script,
     "bash: source <(roster completion bash)\n"
     "zsh:  source <(roster completion zsh)\n"
     "fish: roster completion fish | source"},
    {"help", "[COMMAND]", "what a command does", "", 0, 1, help_run, NULL},
    {"__complete", "", NULL, "", 1, MANY, complete_words, NULL},
    {NULL, NULL, NULL, NULL, 0, 0, NULL, NULL},
};
/* clang-format on */
