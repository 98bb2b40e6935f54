#include "agent/facts.h"
#include "agent/read.h"

struct sign {
    const char *text;
    const char *name;
};

static const char *match(struct str text, const struct sign *signs, size_t n)
{
    for (size_t i = 0; text.n > 0 && i < n; i++) {
        if (memmem(text.p, text.n, signs[i].text, strlen(signs[i].text)) !=
            NULL) {
            return signs[i].name;
        }
    }
    return NULL;
}

/* Who manages the control group of process 1. Under cgroup 2 with a namespace
 * of its own the path is "/" and tells nothing; the files below do then. */
static const char *from_cgroup(const char *root)
{
    static const struct sign signs[] = {{"/kubepods", "kubernetes"},
                                        {"/docker", "docker"},
                                        {"libpod", "podman"},
                                        {"/lxc", "lxc"},
                                        {"/machine.slice", "systemd-nspawn"}};
    struct buf text = {0};
    const char *name = NULL;

    if (read_small(root, "/proc/1/cgroup", &text) == 0) {
        name = match(buf_str(&text), signs, sizeof signs / sizeof signs[0]);
    }
    buf_done(&text);
    return name;
}

/* systemd in a container writes down what started it. */
static bool add_manager(const char *root, struct buf *ret_text)
{
    struct buf text = {0};

    if (read_small(root, "/run/systemd/container", &text) == 0) {
        buf_add_str(ret_text, read_trim(buf_str(&text)));
    }
    buf_done(&text);
    return ret_text->n > 0;
}

static const char *container(const char *root)
{
    const char *name = from_cgroup(root);

    if (name != NULL) {
        return name;
    }
    if (read_exists(root, "/.dockerenv")) {
        return "docker";
    }
    if (read_exists(root, "/run/.containerenv")) {
        return "podman";
    }
    return NULL;
}

/* Cloud makers sell bare machines under the same firmware names as virtual
 * ones; the hypervisor flag tells them apart. ARM has no such flag: there the
 * firmware's word is all there is. */
static bool may_be_virtual(const char *root, bool *ret_flag)
{
    struct buf info = {0};
    bool x86 = false;

    *ret_flag = false;
    if (read_small(root, "/proc/cpuinfo", &info) == 0) {
        struct str flags = read_value(buf_str(&info), "flags");
        x86 = flags.n > 0;
        *ret_flag = x86 && memmem(flags.p, flags.n, " hypervisor", 11) != NULL;
    }
    buf_done(&info);
    return *ret_flag || !x86;
}

static const char *from_firmware(const char *root)
{
    static const char *const files[] = {
        "/sys/class/dmi/id/product_name", "/sys/class/dmi/id/sys_vendor",
        "/sys/class/dmi/id/board_vendor", "/sys/class/dmi/id/bios_vendor"};
    static const struct sign signs[] = {{"KVM", "kvm"},
                                        {"QEMU", "kvm"},
                                        {"OpenStack", "kvm"},
                                        {"Amazon EC2", "kvm"},
                                        {"Google Compute Engine", "kvm"},
                                        {"DigitalOcean", "kvm"},
                                        {"Alibaba Cloud ECS", "kvm"},
                                        {"VMware", "vmware"},
                                        {"VMW", "vmware"},
                                        {"VirtualBox", "virtualbox"},
                                        {"innotek GmbH", "virtualbox"},
                                        {"Virtual Machine", "hyperv"},
                                        {"Xen", "xen"},
                                        {"Parallels", "parallels"},
                                        {"BHYVE", "bhyve"}};
    const char *name = NULL;

    for (size_t i = 0; name == NULL && i < sizeof files / sizeof files[0];
         i++) {
        struct buf text = {0};
        if (read_small(root, files[i], &text) == 0) {
            name = match(buf_str(&text), signs, sizeof signs / sizeof signs[0]);
        }
        buf_done(&text);
    }
    return name;
}

static const char *machine(const char *root)
{
    struct buf type = {0};
    bool flag = false;

    bool xen = read_small(root, "/sys/hypervisor/type", &type) == 0 &&
               str_is(read_trim(buf_str(&type)), "xen");
    buf_done(&type);
    if (xen) {
        return "xen";
    }
    if (!may_be_virtual(root, &flag)) {
        return "none";
    }
    const char *name = from_firmware(root);
    if (name != NULL) {
        return name;
    }
    return flag ? "vm" : "none";
}

void fact_virtualization(const char *root, struct buf *ret_text)
{
    if (add_manager(root, ret_text)) {
        return;
    }
    const char *name = container(root);
    buf_add_text(ret_text, name != NULL ? name : machine(root));
}
