/* The addresses that a datagram transport has to do with, as the kernel and as
 * Python write them: most packets come from, and go to, somebody known. Only
 * IPv4 and IPv6; what Unix sockets are called is made anew each time. */
#ifndef PYAIO_NET_DATAGRAM_PEERS_H
#define PYAIO_NET_DATAGRAM_PEERS_H

#include "base/sockaddr.h"

typedef struct KnownPeer {
    PyObject *name; /* owned tuple of a str and ints, or NULL: nobody yet */
    socklen_t length;
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } address;
} KnownPeer;

typedef struct DatagramPeers {
    KnownPeer *table; /* those who have sent, by hash; NULL until needed */
    size_t size;      /* entries in it, a power of two */
    const KnownPeer *last; /* in the table: who has sent last, or NULL */
    KnownPeer target;      /* where something was sent last, if none of them */
} DatagramPeers;

/* What recvfrom() calls the sender. New reference, NULL on failure. */
PyObject *peers_name(DatagramPeers *peers, const SocketAddress *address);

/* Where sendto() with that name has to go, on a socket of that family. False,
 * with no exception set, for a name that sockaddr_from_python() leaves alone. */
bool peers_address(DatagramPeers *peers, int family, PyObject *name,
                   SocketAddress *address);

void peers_clear(DatagramPeers *peers);

#endif
