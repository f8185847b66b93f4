/* resolve OPERATION…: one resolver call for each argument; one line, `CALL -> ANSWER`, for each.
 *
 *   getaddrinfo NODE SERVICE [WORD=VALUE…]   NODE and SERVICE may be NULL; no words: NULL hints.
 *       family= socktype= protocol= (names without AF_, SOCK_, IPPROTO_) flags=A,B (without AI_)
 *   getaddrinfo_a NODE…                      family AF_INET, all at once, waiting
 *   getaddrinfo_a flags=A,B NODE…            the same with flags (without AI_)
 *   gethostbyname NAME                       gethostbyname2 NAME FAMILY
 *   gethostbyname_r NAME SIZE                gethostbyname2_r NAME FAMILY SIZE
 *   gethostbyaddr ADDRESS                    gethostbyaddr_r ADDRESS SIZE
 *   (the calls with _r: SIZE OFFSET for a buffer that begins OFFSET bytes after an aligned address)
 *   getnameinfo ADDRESS PORT HOSTSIZE SERVICESIZE [FLAG,FLAG]    without NI_
 *   res_query|res_search|res_nquery|res_nsearch|res_send|res_nsend NAME TYPE SIZE
 *   res_send|res_nsend NAME TYPE SIZE OPCODE    a message of another kind; 16: a query of two questions
 *   res_querydomain|res_nquerydomain NAME DOMAIN TYPE SIZE */
#include "probe.h"

#include <arpa/nameser.h>
#include <locale.h>
#include <netdb.h>
#include <resolv.h>
#include <stdint.h>
#include <time.h>

#include "musl_resolver.h"

/* A program that was linked before glibc 2.34 imports this spelling. */
#if defined __x86_64__ && defined __GLIBC__
extern int old_res_query(const char *, int, int, unsigned char *, int);
__asm__(".symver old_res_query, __res_query@GLIBC_2.2.5");
#else
#define old_res_query res_query
#endif

static char *word(char **rest)
{
    return strtok_r(NULL, " ", rest);
}

static char *string(char **rest)
{
    char *text = word(rest);
    return text && strcmp(text, "NULL") == 0 ? NULL : text;
}

static int number(char **rest)
{
    char *text = word(rest);
    return text ? atoi(text) : 0;
}

struct named {
    const char *name;
    int value;
};
#define N(prefix, name) {#name, prefix##name}
static const struct named FAMILIES[] = {N(AF_, UNSPEC), N(AF_, INET), N(AF_, INET6), N(AF_, UNIX), {"BAD", 77}, {0}};
static const struct named TYPES[] = {N(SOCK_, STREAM), N(SOCK_, DGRAM), N(SOCK_, RAW), N(SOCK_, SEQPACKET), {"BAD", 77}, {0}};
static const struct named PROTOCOLS[] = {N(IPPROTO_, TCP), N(IPPROTO_, UDP), N(IPPROTO_, SCTP), N(IPPROTO_, ICMP), {0}};
static const struct named AI_FLAGS[] = {N(AI_, NUMERICHOST), N(AI_, NUMERICSERV), N(AI_, PASSIVE), N(AI_, CANONNAME),
                                        N(AI_, V4MAPPED), N(AI_, ALL), N(AI_, IDN), N(AI_, CANONIDN), N(AI_, ADDRCONFIG), {"BAD", 0x8000}, {0}};
static const struct named NI_FLAGS[] = {N(NI_, NUMERICHOST), N(NI_, NUMERICSERV), N(NI_, NAMEREQD), N(NI_, DGRAM),
                                        N(NI_, NOFQDN), {0}};
static const struct named EAI_CODES[] = {N(EAI_, BADFLAGS), N(EAI_, NONAME), N(EAI_, AGAIN), N(EAI_, FAIL), N(EAI_, FAMILY),
                                         N(EAI_, SOCKTYPE), N(EAI_, SERVICE), N(EAI_, MEMORY), N(EAI_, SYSTEM),
                                         N(EAI_, OVERFLOW), N(EAI_, NODATA), N(EAI_, ADDRFAMILY), N(EAI_, IDN_ENCODE), {"0", 0}, {0}};
static const struct named H_ERRORS[] = {N(, HOST_NOT_FOUND), N(, TRY_AGAIN), N(, NO_RECOVERY), N(, NO_DATA),
                                        N(, NETDB_INTERNAL), {"0", 0}, {0}};
static const struct named QUERY_TYPES[] = {N(ns_t_, a), N(ns_t_, aaaa), N(ns_t_, ptr), N(ns_t_, mx), N(ns_t_, txt),
                                           N(ns_t_, any), N(ns_t_, cname), {"svcb", 64}, {"https", 65}, {0}};

static int value_of(const struct named *list, const char *names)
{
    int value = 0;
    char copy[256], *rest;
    snprintf(copy, sizeof copy, "%s", names);
    for (char *name = strtok_r(copy, ",", &rest); name; name = strtok_r(NULL, ",", &rest)) {
        const struct named *entry = list;
        while (entry->name && strcmp(entry->name, name) != 0)
            entry++;
        if (!entry->name)
            give_up(name);
        value |= entry->value;
    }
    return value;
}

static const char *name_of(const struct named *list, int value)
{
    for (; list->name; list++)
        if (list->value == value)
            return list->name;
    return "?";
}

static void print_address(int family, const void *bytes)
{
    char text[INET6_ADDRSTRLEN];
    printf("%s", inet_ntop(family, bytes, text, sizeof text) ? text : "?");
}

static void print_list(int code, struct addrinfo *list)
{
    printf("%s", name_of(EAI_CODES, code));
    if (code)
        return;
    for (struct addrinfo *each = list; each; each = each->ai_next) {
        const struct sockaddr_in *v4 = (void *)each->ai_addr;
        const struct sockaddr_in6 *v6 = (void *)each->ai_addr;
        printf(" [%s %s %d len %u flags %x ", name_of(FAMILIES, each->ai_family), name_of(TYPES, each->ai_socktype),
               each->ai_protocol, each->ai_addrlen, each->ai_flags);
        print_address(each->ai_family, each->ai_family == AF_INET ? (void *)&v4->sin_addr : (void *)&v6->sin6_addr);
        printf(" %d %s]", ntohs(v4->sin_port), each->ai_canonname ? each->ai_canonname : "-");
    }
    freeaddrinfo(list);
}

static void call_getaddrinfo(char **rest)
{
    char *node = string(rest), *service = string(rest), *hint;
    struct addrinfo hints = {0}, *list = NULL;
    int any = 0;
    while ((hint = word(rest))) {
        char *value = strchr(hint, '=') + 1;
        any = 1;
        if (hint[0] == 'f' && hint[1] == 'a')
            hints.ai_family = value_of(FAMILIES, value);
        else if (hint[0] == 's')
            hints.ai_socktype = value_of(TYPES, value);
        else if (hint[0] == 'p')
            hints.ai_protocol = value_of(PROTOCOLS, value);
        else
            hints.ai_flags = value_of(AI_FLAGS, value);
    }
    int code = getaddrinfo(node, service, any ? &hints : NULL, &list);
    print_list(code, list);
}

static void call_getaddrinfo_a(char **rest)
{
    struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM};
    struct gaicb requests[8] = {0}, *list[8];
    const char *names[8];
    int count = 0;
    for (char *node; count < 8 && (node = word(rest)); count++) {
        if (count == 0 && strncmp(node, "flags=", 6) == 0) {
            hints.ai_flags = value_of(AI_FLAGS, node + 6);
            node = word(rest);
        }
        names[count] = node;
        requests[count] = (struct gaicb){.ar_name = node, .ar_request = &hints};
        list[count] = &requests[count];
    }
    printf("%s", name_of(EAI_CODES, getaddrinfo_a(GAI_WAIT, list, count, NULL)));
    for (int i = 0; i < count; i++) {
        printf("%s", requests[i].ar_name == names[i] ? " " : " RENAMED ");
        print_list(gai_error(list[i]), requests[i].ar_result);
    }
}

static void print_entry(const struct hostent *entry, int error)
{
    if (!entry) {
        printf("NULL %s", name_of(H_ERRORS, error));
        return;
    }
    printf("%s %s %d", entry->h_name, name_of(FAMILIES, entry->h_addrtype), entry->h_length);
    for (char **alias = entry->h_aliases; *alias; alias++)
        printf(" alias %s", *alias);
    for (char **address = entry->h_addr_list; *address; address++) {
        printf(" ");
        print_address(entry->h_addrtype, *address);
    }
}

/* The call with `_r`: its code, and that it stayed within the buffer. */
static void print_entry_r(int code, const struct hostent *result, int error, const char *buffer, int size)
{
    printf("%s ", errno_name(code));
    print_entry(result, error);
    if (result && ((uintptr_t)result->h_aliases | (uintptr_t)result->h_addr_list) % sizeof(char *))
        printf(" MISALIGNED");
    printf("%s", buffer[size] == '#' ? "" : " OVERRUN");
}

static int address_bytes(const char *text, unsigned char *bytes, int *length)
{
    int family = strchr(text, ':') ? AF_INET6 : AF_INET;
    *length = family == AF_INET ? 4 : 16;
    if (inet_pton(family, text, bytes) != 1)
        give_up(text);
    return family;
}

static void call_hostent(const char *call, char **rest)
{
    static char whole[4096] __attribute__((aligned(16)));
    struct hostent entry, *result = (void *)1;
    int error = 0, length, code;
    unsigned char bytes[16];
    char *name = word(rest);
    int with_family = strstr(call, "name2") != NULL, is_address = strstr(call, "addr") != NULL;
    int family = with_family ? value_of(FAMILIES, word(rest)) : AF_INET;
    if (is_address)
        family = address_bytes(name, bytes, &length);
    if (call[strlen(call) - 1] != 'r' || call[strlen(call) - 2] != '_') {
        struct hostent *found = is_address    ? gethostbyaddr(bytes, (socklen_t)length, family)
                                : with_family ? gethostbyname2(name, family)
                                              : gethostbyname(name);
        print_entry(found, h_errno);
        return;
    }
    int size = number(rest);
    char *buffer = whole + number(rest);
    memset(whole, '#', sizeof whole);
    if (is_address)
        code = gethostbyaddr_r(bytes, (socklen_t)length, family, &entry, buffer, (size_t)size, &result, &error);
    else if (with_family)
        code = gethostbyname2_r(name, family, &entry, buffer, (size_t)size, &result, &error);
    else
        code = gethostbyname_r(name, &entry, buffer, (size_t)size, &result, &error);
    print_entry_r(code, result, error, buffer, size);
}

static void call_getnameinfo(char **rest)
{
    char host[400], service[400];
    char *address = word(rest), *port = word(rest);
    struct address to = address_of(address, port);
    int host_size = number(rest), service_size = number(rest);
    char *flags = word(rest);
    memset(host, '#', sizeof host);
    memset(service, '#', sizeof service);
    int code = getnameinfo(&to.any, to.length, host_size ? host : NULL, (socklen_t)host_size, service_size ? service : NULL,
                           (socklen_t)service_size, flags ? value_of(NI_FLAGS, flags) : 0);
    printf("%s", name_of(EAI_CODES, code));
    if (code == 0)
        printf(" %s %s", host_size ? host : "-", service_size ? service : "-");
    if (host[host_size] != '#' || service[service_size] != '#')
        printf(" OVERRUN");
}

static void print_message(int length, const unsigned char *message, int size, int error, int state_error)
{
    ns_msg parsed;
    ns_rr record;
    if (length < 0) {
        printf("-1 %s %s", name_of(H_ERRORS, error), name_of(H_ERRORS, state_error));
        return;
    }
    if (ns_initparse(message, length < size ? length : size, &parsed) != 0) {
        printf("%d malformed", length);
        return;
    }
    printf("%d qr %d tc %d rcode %d answers %d", length, ns_msg_getflag(parsed, ns_f_qr),
           ns_msg_getflag(parsed, ns_f_tc), ns_msg_getflag(parsed, ns_f_rcode), ns_msg_count(parsed, ns_s_an));
    if (ns_msg_count(parsed, ns_s_qd) != 1)
        printf(" WITHOUT ITS QUESTION");
    for (int i = 0; i < ns_msg_count(parsed, ns_s_an); i++) {
        if (ns_parserr(&parsed, ns_s_an, i, &record) != 0) {
            printf(" malformed");
            return;
        }
        char text[1024] = "?";
        if (ns_rr_type(record) == ns_t_a)
            inet_ntop(AF_INET, ns_rr_rdata(record), text, sizeof text);
        else if (ns_rr_type(record) == ns_t_aaaa)
            inet_ntop(AF_INET6, ns_rr_rdata(record), text, sizeof text);
        else if (ns_rr_type(record) == ns_t_ptr)
            dn_expand(message, message + length, ns_rr_rdata(record), text, sizeof text);
        printf(" [%s %u class %d %s %s]", ns_rr_name(record), ns_rr_ttl(record), ns_rr_class(record),
               name_of(QUERY_TYPES, ns_rr_type(record)), text);
    }
}

static struct __res_state state;
static int ready;

static void call_query(const char *call, char **rest)
{
    static unsigned char answer[8192], message[1024];
    if (!ready++ && (res_init() != 0 || res_ninit(&state) != 0))
        give_up("res_init");
    char *name = word(rest), *domain = strstr(call, "domain") ? string(rest) : NULL;
    int type = value_of(QUERY_TYPES, word(rest)), size = number(rest), length;
    h_errno = 0;
    state.res_h_errno = _res.res_h_errno = 0;
    if (strstr(call, "send")) {
        int asked = res_mkquery(ns_o_query, name, ns_c_in, type, NULL, 0, NULL, message, sizeof message);
        int opcode = number(rest);
        if (opcode == 16) { /* the same question once more */
            memcpy(message + asked, message + 12, (size_t)asked - 12);
            asked += asked - 12;
            message[5] = 2;
        } else {
            message[2] |= (unsigned char)(opcode << 3);
        }
        length = strcmp(call, "res_send") == 0 ? res_send(message, asked, answer, size)
                                               : res_nsend(&state, message, asked, answer, size);
        if (length > 1 && memcmp(message, answer, 2) != 0)
            printf("WRONG ID ");
    } else if (strcmp(call, "res_query") == 0)
        length = res_query(name, ns_c_in, type, answer, size);
    else if (strcmp(call, "__res_query") == 0)
        length = old_res_query(name, ns_c_in, type, answer, size);
    else if (strcmp(call, "res_search") == 0)
        length = res_search(name, ns_c_in, type, answer, size);
    else if (strcmp(call, "res_querydomain") == 0)
        length = res_querydomain(name, domain, ns_c_in, type, answer, size);
    else if (strcmp(call, "res_nquery") == 0)
        length = res_nquery(&state, name, ns_c_in, type, answer, size);
    else if (strcmp(call, "res_nsearch") == 0)
        length = res_nsearch(&state, name, ns_c_in, type, answer, size);
    else if (strcmp(call, "res_nquerydomain") == 0)
        length = res_nquerydomain(&state, name, domain, ns_c_in, type, answer, size);
    else
        give_up(call);
    print_message(length, answer, size, h_errno, strncmp(call, "res_n", 5) == 0 ? state.res_h_errno : _res.res_h_errno);
}

int main(int count, char **words)
{
    alarm(120);
    setlocale(LC_CTYPE, "");
    for (int i = 1; i < count; i++) {
        char line[512], *rest;
        snprintf(line, sizeof line, "%s", words[i]);
        char *call = strtok_r(line, " ", &rest);
        printf("%s -> ", words[i]);
        if (strcmp(call, "getaddrinfo") == 0)
            call_getaddrinfo(&rest);
        else if (strcmp(call, "getaddrinfo_a") == 0)
            call_getaddrinfo_a(&rest);
        else if (strncmp(call, "gethost", 7) == 0)
            call_hostent(call, &rest);
        else if (strcmp(call, "getnameinfo") == 0)
            call_getnameinfo(&rest);
        else
            call_query(call, &rest);
        printf("\n");
        fflush(stdout);
    }
    if (ready)
        res_nclose(&state);
    return 0;
}
