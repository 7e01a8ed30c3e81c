/* The floor of the echo workloads: an echo server in C on libuv, with nothing of Python in it.
 * It reads into one shared buffer and answers with uv_try_write; only what the socket did
 * not take is copied and queued.
 *
 * It talks as a Python worker does (benchmarks/worker.py): one line of JSON with its port on
 * stdout, and it ends when its stdin is closed.
 *
 *     echo [core to run on] */
#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "../common/process.h"

enum {
    SCRATCH_BYTES = 256 * 1024,
    BACKLOG = 1024
};

/* What was read last; free again when on_read returns. */
static char scratch[SCRATCH_BYTES];

typedef struct {
    uv_write_t request;
    char bytes[]; /* the copy that is being written */
} Pending;

static void
check(int status, const char *what)
{
    if (status < 0) {
        errx(1, "%s: %s", what, uv_strerror(status));
    }
}

static void
on_close(uv_handle_t *handle)
{
    free(handle);
}

static void
on_write(uv_write_t *request, int status)
{
    (void)status; /* a broken connection is reported to on_read as well */
    free(request);
}

static void
on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buffer)
{
    (void)handle;
    (void)suggested;
    *buffer = uv_buf_init(scratch, SCRATCH_BYTES);
}

/* Queues what the socket did not take. */
static void
write_later(uv_stream_t *stream, const char *bytes, size_t length)
{
    Pending *pending = malloc(sizeof(Pending) + length);
    check(pending == NULL ? UV_ENOMEM : 0, "memory");
    memcpy(pending->bytes, bytes, length);
    uv_buf_t buffer = uv_buf_init(pending->bytes, (unsigned)length);
    check(uv_write(&pending->request, stream, &buffer, 1, on_write), "write");
}

static void
on_read(uv_stream_t *stream, ssize_t count, const uv_buf_t *received)
{
    if (count < 0) {
        uv_close((uv_handle_t *)stream, on_close);
        return;
    }
    uv_buf_t buffer = uv_buf_init(received->base, (unsigned)count);
    int written = uv_try_write(stream, &buffer, 1);
    if (written < 0) {
        written =
            0; /* UV_EAGAIN; a real error comes back from uv_write or the next read */
    }
    if (written < count) {
        write_later(stream, received->base + written,
                    (size_t)(count - written));
    }
}

static void
on_connection(uv_stream_t *listener, int status)
{
    check(status, "listen");
    uv_tcp_t *connection = malloc(sizeof(*connection));
    check(connection == NULL ? UV_ENOMEM : 0, "memory");
    check(uv_tcp_init(listener->loop, connection), "socket");
    check(uv_accept(listener, (uv_stream_t *)connection), "accept");
    check(uv_tcp_nodelay(connection, 1), "TCP_NODELAY");
    check(uv_read_start((uv_stream_t *)connection, on_alloc, on_read), "read");
}

static void
on_stdin(uv_stream_t *stream, ssize_t count, const uv_buf_t *received)
{
    (void)received;
    if (count < 0) {
        uv_stop(stream->loop);
    }
}

static void
print_port(const uv_tcp_t *listener)
{
    struct sockaddr_in address;
    int length = sizeof(address);
    check(uv_tcp_getsockname(listener, (struct sockaddr *)&address, &length),
          "getsockname");
    printf("{\"port\": %d}\n", ntohs(address.sin_port));
    fflush(stdout);
}

int
main(int argc, char **argv)
{
    process_prepare();
    if (argc > 1 && *argv[1] != '\0') {
        process_pin(argv[1]);
    }
    uv_loop_t *loop = uv_default_loop();
    uv_tcp_t listener;
    uv_pipe_t input;
    struct sockaddr_in address;
    check(uv_ip4_addr("127.0.0.1", 0, &address), "address");
    check(uv_tcp_init(loop, &listener), "socket");
    check(uv_tcp_bind(&listener, (const struct sockaddr *)&address, 0),
          "bind");
    check(uv_listen((uv_stream_t *)&listener, BACKLOG, on_connection),
          "listen");
    check(uv_pipe_init(loop, &input, 0), "stdin");
    check(uv_pipe_open(&input, 0), "stdin");
    check(uv_read_start((uv_stream_t *)&input, on_alloc, on_stdin), "stdin");
    print_port(&listener);
    uv_run(loop, UV_RUN_DEFAULT);
    return 0;
}
