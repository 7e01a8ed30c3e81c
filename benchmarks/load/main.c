/* The load generator's command line, and its report: one line of JSON on stdout.
 *
 *     load --host 127.0.0.1 --port 8000 --connections 10 --size 1024 --seconds 1
 *
 * client.c does the work; benchmarks/sampling.py calls this and reads the report. */
#include <arpa/inet.h>
#include <getopt.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"

static const char USAGE[] =
    "usage: load --port N [options]\n"
    "  --host ADDRESS      IPv4 address of the server (127.0.0.1)\n"
    "  --connections N     open connections, a message in flight on each (1)\n"
    "  --size BYTES        of a message (1024)\n"
    "  --seconds S         how long to count (1)\n"
    "  --warmup S          how long to run before counting (0.2)\n"
    "  --mode echo|line    any bytes, or lines that end with a newline "
    "(echo)\n"
    "  --pid PID           the server, whose CPU time is to be reported\n"
    "  --cpu N             run on this core only\n";

enum {
    HOST,
    PORT,
    CONNECTIONS,
    SIZE,
    SECONDS,
    WARMUP,
    MODE,
    PID,
    CPU
};

static const struct option OPTIONS[] = {
    {"host", required_argument, NULL, HOST},
    {"port", required_argument, NULL, PORT},
    {"connections", required_argument, NULL, CONNECTIONS},
    {"size", required_argument, NULL, SIZE},
    {"seconds", required_argument, NULL, SECONDS},
    {"warmup", required_argument, NULL, WARMUP},
    {"mode", required_argument, NULL, MODE},
    {"pid", required_argument, NULL, PID},
    {"cpu", required_argument, NULL, CPU},
    {NULL, 0, NULL, 0},
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
pin(size_t cpu)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    if (sched_setaffinity(0, sizeof(set), &set) != 0) {
        usage("this core cannot be used");
    }
}

static void
apply(ClientPlan *plan, int option, const char *value)
{
    switch (option) {
    case HOST:
        if (inet_pton(AF_INET, value, &plan->address.sin_addr) != 1) {
            usage("the host is not an IPv4 address");
        }
        break;
    case PORT:
        plan->address.sin_port = htons((uint16_t)number(value, 1, 65535));
        break;
    case CONNECTIONS:
        plan->connections = (unsigned)number(value, 1, 100000);
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
    case MODE:
        plan->lines = strcmp(value, "line") == 0;
        if (!plan->lines && strcmp(value, "echo") != 0) {
            usage("the mode is neither echo nor line");
        }
        break;
    case PID:
        plan->server = (pid_t)number(value, 1, 1e9);
        break;
    case CPU:
        pin((size_t)number(value, 0, CPU_SETSIZE - 1));
        break;
    default:
        usage("no such option");
    }
}

static ClientPlan
parse(int argc, char **argv)
{
    ClientPlan plan = {
        .connections = 1, .size = 1024, .warmup = 0.2, .seconds = 1};
    plan.address.sin_family = AF_INET;
    plan.address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int option;
    while ((option = getopt_long(argc, argv, "", OPTIONS, NULL)) != -1) {
        apply(&plan, option, optarg);
    }
    if (optind != argc || plan.address.sin_port == 0) {
        usage("a port is needed, and nothing but options");
    }
    return plan;
}

static void
report(const ClientResult *result)
{
    const Histogram *latency = &result->latency;
    printf("{\"messages\": %llu, \"start\": %.9f, \"end\": %.9f, ",
           (unsigned long long)result->messages, result->start, result->end);
    printf("\"server_cpu\": %.9f, \"load_cpu\": %.9f, ", result->server_cpu,
           result->load_cpu);
    printf("\"p50_us\": %.2f, \"p90_us\": %.2f, \"p99_us\": %.2f, "
           "\"p999_us\": %.2f, ",
           (double)histogram_percentile(latency, 0.5) / 1e3,
           (double)histogram_percentile(latency, 0.9) / 1e3,
           (double)histogram_percentile(latency, 0.99) / 1e3,
           (double)histogram_percentile(latency, 0.999) / 1e3);
    printf("\"max_us\": %.2f}\n", (double)latency->max / 1e3);
}

int
main(int argc, char **argv)
{
    ClientPlan plan = parse(argc, argv);
    static ClientResult result; /* its histogram is large for a stack */
    if (client_run(&plan, &result) != 0) {
        return 1;
    }
    report(&result);
    return 0;
}
