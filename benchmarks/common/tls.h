/* The settings of TLS 1.3 for both ends: load/ is the client, floor/ the server. */
#ifndef COMMON_TLS_H
#define COMMON_TLS_H

#include <openssl/ssl.h>

/* A client that trusts the authorities in a PEM file and expects a certificate for
 * 127.0.0.1. New; ends the program when it cannot be made. */
SSL_CTX *tls_client(const char *authorities);

/* A server with the key and the certificates in a PEM file. New; ends the program when it
 * cannot be made. */
SSL_CTX *tls_server(const char *identity);

/* Says on stderr what OpenSSL has found wrong. */
void tls_complain(const char *what);

#endif
