/* The load generator's command line, and its report: one line of JSON on stdout.
 *
 *     load --port 8000 --connections 10 --size 1024 --seconds 1
 *
 * client.c does the work; benchmarks/loads.py calls this and reads the report. */
#include <arpa/inet.h>
#include <getopt.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "../common/process.h"
#include "client.h"
#include "mode.h"

static const char USAGE[] =
    "usage: load --port N | --path FILE [options]\n"
    "  --port N            the server's, at 127.0.0.1\n"
    "  --path FILE         the server's Unix socket\n"
    "  --mode MODE         echo (the default): a message, its echo, the next\n"
    "                      line: the same, messages end with a newline\n"
    "                      websocket: the same in WebSocket's frames\n"
    "                      accept: connect, one echo, close\n"
    "                      burst: datagrams one way, one of 32 comes back\n"
    "                      bulk: the server repeats 8 messages without end\n"
    "  --udp               datagrams\n"
    "  --tls FILE          TLS 1.3; the authorities to trust, PEM\n"
    "  --resume            resume TLS sessions\n"
    "  --connections N     open connections (1)\n"
    "  --active N          of them with a message in flight (all)\n"
    "  --size BYTES        of a message (1024)\n"
    "  --seconds S         how long to count (1)\n"
    "  --warmup S          how long to run before counting (0.2)\n"
    "  --pid PID           the server, whose CPU time and memory are "
    "reported\n"
    "  --cpu N             run on this core only\n";

enum {
    PORT,
    PATH,
    MODE,
    UDP,
    TLS,
    RESUME,
    CONNECTIONS,
    ACTIVE,
    SIZE,
    SECONDS,
    WARMUP,
    PID,
    CPU,
};

static const struct option OPTIONS[] = {
    {"port", required_argument, NULL, PORT},
    {"path", required_argument, NULL, PATH},
    {"mode", required_argument, NULL, MODE},
    {"udp", no_argument, NULL, UDP},
    {"tls", required_argument, NULL, TLS},
    {"resume", no_argument, NULL, RESUME},
    {"connections", required_argument, NULL, CONNECTIONS},
    {"active", required_argument, NULL, ACTIVE},
    {"size", required_argument, NULL, SIZE},
    {"seconds", required_argument, NULL, SECONDS},
    {"warmup", required_argument, NULL, WARMUP},
    {"pid", required_argument, NULL, PID},
    {"cpu", required_argument, NULL, CPU},
    {NULL, 0, NULL, 0},
};

static const Mode *const MODES[] = {
    &MODE_ECHO, &MODE_WEBSOCKET, &MODE_ACCEPT, &MODE_BURST, &MODE_BULK,
};

static void
usage(const char *why)
{
    fprintf(stderr, "load: %s\n%s", why, USAGE);
    exit(2);
}

static double
number(const char *text, double low, double high)
{
    char *end = NULL;
    double value = strtod(text, &end);
    if (end == text || *end != '\0' || !(value >= low && value <= high)) {
        usage("a number is out of range");
    }
    return value;
}

static void
set_port(Plan *plan, const char *value)
{
    struct sockaddr_in *address = (struct sockaddr_in *)&plan->address;
    address->sin_family = AF_INET;
    address->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address->sin_port = htons((uint16_t)number(value, 1, 65535));
    plan->address_length = sizeof(*address);
}

static void
set_path(Plan *plan, const char *value)
{
    struct sockaddr_un *address = (struct sockaddr_un *)&plan->address;
    if (strlen(value) >= sizeof(address->sun_path)) {
        usage("the path is too long for a socket");
    }
    address->sun_family = AF_UNIX;
    strcpy(address->sun_path, value);
    plan->address_length = sizeof(*address);
}

static void
set_mode(Plan *plan, const char *value)
{
    plan->lines = strcmp(value, "line") == 0;
    const char *name = plan->lines ? "echo" : value;
    for (size_t i = 0; i < sizeof(MODES) / sizeof(MODES[0]); i++) {
        if (strcmp(MODES[i]->name, name) == 0) {
            plan->mode = MODES[i];
            return;
        }
    }
    usage("there is no such mode");
}

static void
apply(Plan *plan, int option, const char *value)
{
    switch (option) {
    case PORT:
        set_port(plan, value);
        break;
    case PATH:
        set_path(plan, value);
        break;
    case MODE:
        set_mode(plan, value);
        break;
    case UDP:
        plan->datagrams = true;
        break;
    case TLS:
        plan->authorities = value;
        break;
    case RESUME:
        plan->resume = true;
        break;
    case CONNECTIONS:
        plan->connections = (unsigned)number(value, 1, 100000);
        break;
    case ACTIVE:
        plan->active = (unsigned)number(value, 1, 100000);
        break;
    case SIZE:
        plan->size = (size_t)number(value, 1, 64 * 1024 * 1024);
        break;
    case SECONDS:
        plan->seconds = number(value, 0.001, 3600);
        break;
    case WARMUP:
        plan->warmup = number(value, 0, 3600);
        break;
    case PID:
        plan->server = (pid_t)number(value, 1, 1e9);
        break;
    case CPU:
        process_pin(value);
        break;
    default:
        usage("no such option");
    }
}

static Plan
parse(int argc, char **argv)
{
    Plan plan = {
        .mode = &MODE_ECHO,
        .connections = 1,
        .size = 1024,
        .warmup = 0.2,
        .seconds = 1,
    };
    int option;
    while ((option = getopt_long(argc, argv, "", OPTIONS, NULL)) != -1) {
        apply(&plan, option, optarg);
    }
    if (optind != argc || plan.address_length == 0) {
        usage("a port or path is needed, and nothing but options");
    }
    if (plan.active == 0 || plan.active > plan.connections) {
        plan.active = plan.connections;
    }
    return plan;
}

static double
percentile_us(const Histogram *latency, double share)
{
    return (double)histogram_percentile(latency, share) / 1e3;
}

static void
report(const Result *result)
{
    const Histogram *latency = &result->latency;
    printf("{\"messages\": %llu, \"start\": %.9f, \"end\": %.9f, ",
           (unsigned long long)result->messages, result->start, result->end);
    printf("\"server_cpu\": %.9f, \"load_cpu\": %.9f", result->server_cpu,
           result->load_cpu);
    if (latency->total > 0) {
        printf(", \"p50_us\": %.2f, \"p90_us\": %.2f, \"p99_us\": %.2f, ",
               percentile_us(latency, 0.5), percentile_us(latency, 0.9),
               percentile_us(latency, 0.99));
        printf("\"p999_us\": %.2f, \"max_us\": %.2f",
               percentile_us(latency, 0.999), (double)latency->max / 1e3);
    }
    if (result->memory >= 0) {
        printf(", \"memory\": %.1f", result->memory);
    }
    printf("}\n");
}

int
main(int argc, char **argv)
{
    process_prepare();
    Plan plan = parse(argc, argv);
    static Result result; /* its histogram is large for a stack */
    if (client_run(&plan, &result) != 0) {
        return 1;
    }
    report(&result);
    return 0;
}
