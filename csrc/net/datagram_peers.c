/* The addresses that a datagram transport has to do with. Asked by
 * net/datagram_read.c who has sent a packet and by net/datagram_send.c where
 * one goes. */
#include "net/datagram_peers.h"

#include <stddef.h>
#include <string.h>

#define PEERS_MAX 512
#define PEERS_GROWTH 8
#define PEERS_PLACES 4 /* where one may be: who has met others is known, too */

/* ---- who has sent ---- */

static bool
is_internet(const SocketAddress *address)
{
    return (address->address.any.sa_family == AF_INET
            && address->length == sizeof(struct sockaddr_in))
           || (address->address.any.sa_family == AF_INET6
               && address->length == sizeof(struct sockaddr_in6));
}

/* Peers behind one address differ in the port. */
static size_t
slot_of(const DatagramPeers *peers, const SocketAddress *address)
{
    uint32_t host, port;
    if (address->address.any.sa_family == AF_INET) {
        host = address->address.v4.sin_addr.s_addr;
        port = address->address.v4.sin_port;
    }
    else {
        const struct sockaddr_in6 *v6 = &address->address.v6;
        memcpy(&host, &v6->sin6_addr.s6_addr[12], sizeof(host));
        port = v6->sin6_port;
    }
    uint32_t hash = (host ^ (port << 16 | port)) * 0x9E3779B1u;
    return (hash >> 16) & (peers->size - 1);
}

static void
table_drop(DatagramPeers *peers)
{
    KnownPeer *table = peers->table;
    for (size_t i = 0; i < peers->size; i++) {
        Py_XDECREF(table[i].name); /* no finalizer runs */
    }
    PyMem_Free(table);
    peers->table = NULL;
    peers->last = NULL;
    peers->size = 0;
}

/* Starts anew with a larger table, which fills soon: somebody has met others in
 * all his places. -1 with MemoryError. */
static int
table_grow(DatagramPeers *peers)
{
    size_t size = peers->size ? peers->size * PEERS_GROWTH : 1;
    KnownPeer *table = PyMem_Calloc(size, sizeof(*table));
    if (table == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    table_drop(peers);
    peers->table = table;
    peers->size = size;
    return 0;
}

static bool
is_peer(const KnownPeer *peer, const SocketAddress *address)
{
    return peer->name != NULL && peer->length == address->length
           && memcmp(&peer->address, &address->address, peer->length) == 0;
}

/* Whether somebody of this address is known. `peer` is his entry; else one that
 * is free, or, where none is, the first of his places, to be forgotten or to
 * make the table grow. */
static bool
peer_find(const DatagramPeers *peers, const SocketAddress *address,
          KnownPeer **peer)
{
    size_t slot = slot_of(peers, address);
    KnownPeer *place = &peers->table[slot];
    for (size_t i = 0; i < PEERS_PLACES && i < peers->size; i++) {
        *peer = &peers->table[slot ^ i];
        if (is_peer(*peer, address)) {
            return true;
        }
        if (place->name != NULL && (*peer)->name == NULL) {
            place = *peer;
        }
    }
    *peer = place;
    return false;
}

static PyObject *
peer_remember(DatagramPeers *peers, KnownPeer *peer,
              const SocketAddress *address)
{
    PyObject *name = sockaddr_to_python(address);
    if (name == NULL) {
        return NULL;
    }
    if (peer->name != NULL && peers->size < PEERS_MAX) {
        if (table_grow(peers) < 0) {
            Py_DECREF(name);
            return NULL;
        }
        peer_find(peers, address, &peer);
    }
    memcpy(&peer->address, &address->address, address->length);
    peer->length = address->length;
    Py_XSETREF(peer->name, Py_NewRef(name));
    peers->last = peer;
    return name;
}

PyObject *
peers_name(DatagramPeers *peers, const SocketAddress *address)
{
    if (!is_internet(address)) {
        return sockaddr_to_python(address);
    }
    if (peers->table == NULL && table_grow(peers) < 0) {
        return NULL;
    }
    KnownPeer *peer;
    if (peer_find(peers, address, &peer)) {
        peers->last = peer;
        return Py_NewRef(peer->name);
    }
    return peer_remember(peers, peer, address);
}

/* ---- where it goes ---- */

/* Only what cannot change may be known by the object it is. */
static bool
never_changes(PyObject *name)
{
    if (!PyTuple_CheckExact(name)) {
        return false;
    }
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(name); i++) {
        PyObject *item = PyTuple_GET_ITEM(name, i);
        if (!PyUnicode_CheckExact(item) && !PyLong_CheckExact(item)) {
            return false;
        }
    }
    return true;
}

bool
peers_address(DatagramPeers *peers, int family, PyObject *name,
              SocketAddress *address)
{
    const KnownPeer *peer = &peers->target;
    if (peers->last != NULL && peers->last->name == name) {
        peer = peers->last;
    }
    else if (peer->name != name) {
        if (!sockaddr_from_python(family, name, address)) {
            return false;
        }
        if (is_internet(address) && never_changes(name)) {
            memcpy(&peers->target.address, &address->address, address->length);
            peers->target.length = address->length;
            Py_XSETREF(peers->target.name, Py_NewRef(name));
        }
        return true;
    }
    memcpy(&address->address, &peer->address, peer->length);
    address->length = peer->length;
    return true;
}

void
peers_clear(DatagramPeers *peers)
{
    table_drop(peers);
    Py_CLEAR(peers->target.name);
}
