/* See tls.h. */
#include "tls.h"

#include <err.h>
#include <openssl/err.h>
#include <stdlib.h>

enum {
    READ_AHEAD_BYTES = 64 * 1024
};

void
tls_complain(const char *what)
{
    unsigned long code = ERR_get_error();
    warnx("%s: %s", what,
          code != 0 ? ERR_error_string(code, NULL) : "the peer has gone");
    ERR_clear_error();
}

static void
require(int good, const char *what)
{
    if (!good) {
        tls_complain(what);
        exit(1);
    }
}

static SSL_CTX *
new_context(const SSL_METHOD *method)
{
    SSL_CTX *context = SSL_CTX_new(method);
    require(context != NULL, "TLS");
    require(SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION), "TLS 1.3");
    /* A peer that hangs up is the end of its bytes, as without TLS. */
    SSL_CTX_set_options(context, SSL_OP_IGNORE_UNEXPECTED_EOF);
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE
                                  | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    /* One system call for several records, or for a record's head and body. */
    SSL_CTX_set_read_ahead(context, 1);
    SSL_CTX_set_default_read_buffer_len(context, READ_AHEAD_BYTES);
    return context;
}

SSL_CTX *
tls_client(const char *authorities)
{
    SSL_CTX *context = new_context(TLS_client_method());
    require(SSL_CTX_load_verify_locations(context, authorities, NULL),
            authorities);
    require(X509_VERIFY_PARAM_set1_ip_asc(SSL_CTX_get0_param(context),
                                          "127.0.0.1"),
            "the server's address");
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
    return context;
}

SSL_CTX *
tls_server(const char *identity)
{
    SSL_CTX *context = new_context(TLS_server_method());
    require(SSL_CTX_use_certificate_chain_file(context, identity), identity);
    require(SSL_CTX_use_PrivateKey_file(context, identity, SSL_FILETYPE_PEM),
            identity);
    return context;
}
