/* pyaio._core: registers the types and a few functions, nothing else. */
#include "api/loop.h"
#include "api/sock_call.h"
#include "api/sock_method.h"
#include "base/compat.h"
#include "base/errors.h"
#include "base/snapshot.h"
#include "base/sockaddr.h"
#include "engine/backend.h"
#include "engine/gil.h"
#include "engine/handle.h"
#include "net/datagram.h"
#include "net/listener.h"
#include "net/openssl.h"
#include "net/pipe.h"
#include "net/poller.h"
#include "net/sock_io.h"
#include "net/spawn.h"
#include "net/stream.h"
#include "net/tls.h"
#include "tasks/future.h"
#include "tasks/stop_iteration.h"
#include "tasks/registry.h"
#include "tasks/task.h"

#include <uv.h>

static PyObject *
libuv_version(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
    return PyUnicode_FromString(uv_version_string());
}

static PyObject *
is_address_literal(PyObject *Py_UNUSED(module), PyObject *host)
{
    return PyBool_FromLong(sockaddr_is_literal(host));
}

static PyObject *
use_layout(PyObject *module, PyObject *layout)
{
    return registry_use_layout(PyModule_GetState(module), layout);
}

static PyObject *
type_version(PyObject *module, PyObject *type)
{
    if (!PyType_Check(type)) {
        PyErr_Format(PyExc_TypeError, "expected a type, got %.200s",
                     Py_TYPE(type)->tp_name);
        return NULL;
    }
    ModuleState *state = PyModule_GetState(module);
    /* A look-up gives a version to a type that has none. */
    Py_XDECREF(
        compat_type_lookup((PyTypeObject *)type, STATE_NAME(state, _loop)));
    return PyLong_FromUnsignedLong(compat_version((PyTypeObject *)type));
}

static PyObject *
after_fork(PyObject *module, PyObject *Py_UNUSED(ignored))
{
    return none_or_null(gil_after_fork(PyModule_GetState(module)));
}

PyDoc_STRVAR(after_fork_doc,
             "_after_fork()\n--\n\n"
             "In the child: the switch interval is the program's, though it was forked in\n"
             "the middle of a run.");
PyDoc_STRVAR(type_version_doc,
             "_type_version(type, /)\n--\n\n"
             "A number that changes with any attribute of the type or of its bases; 0 for\n"
             "none, where a type has changed too often.");
PyDoc_STRVAR(use_layout_doc,
             "_use_layout(layout, /)\n--\n\n"
             "Say where asyncio keeps what debuggers read (pyaio._layout). "
             "False where that is\nnot so: then its functions are called.");
PyDoc_STRVAR(use_openssl_doc,
             "_use_openssl(path, ssl_object, socket, again, /)\n--\n\n"
             "Say where OpenSSL is: the file of the module _ssl, ssl.SSLObject, and an\n"
             "_ssl._SSLSocket; and the exceptions that ask to try again. False where it is\n"
             "not proved.");
PyDoc_STRVAR(sock_method_doc,
             "_sock_method(function, /)\n--\n\n"
             "The native method for one of asyncio's sock_*(), a coroutine "
             "function, which is\ncalled for what is not usual.");
PyDoc_STRVAR(libuv_version_doc,
             "libuv_version()\n--\n\n"
             "The version of the libuv in use, such as '1.44.2'.");
PyDoc_STRVAR(is_address_literal_doc,
             "is_address_literal(host, /)\n--\n\n"
             "True for a str or bytes that is an IPv4 or IPv6 address and not a name.");

static PyMethodDef methods[] = {
    {"libuv_version", libuv_version, METH_NOARGS, libuv_version_doc},
    {"is_address_literal", is_address_literal, METH_O, is_address_literal_doc},
    {"_after_fork", after_fork, METH_NOARGS, after_fork_doc},
    {"_type_version", type_version, METH_O, type_version_doc},
    {"_use_layout", use_layout, METH_O, use_layout_doc},
    {"_use_openssl", openssl_use, METH_VARARGS, use_openssl_doc},
    {"_sock_method", sock_method_new, METH_O, sock_method_doc},
    SPAWN_METHODS{NULL, NULL, 0, NULL},
};

static int
module_exec(PyObject *module)
{
    ModuleState *state = PyModule_GetState(module);
    if (module_state_init(state) < 0 || snapshot_setup(state) < 0
        || handle_setup(module, state) < 0
        || await_iter_setup(module, state) < 0
        || future_setup(module, state) < 0 || task_setup(module, state) < 0
        || poller_setup(module, state) < 0 || stream_setup(module, state) < 0
        || tls_setup(module, state) < 0 || datagram_setup(module, state) < 0
        || pipe_setup(module, state) < 0 || listener_setup(module, state) < 0
        || sock_io_setup(state) < 0 || sock_call_setup(module, state) < 0
        || sock_method_setup(module, state) < 0
        || loop_setup(module, state) < 0) {
        return -1;
    }
    if (PyModule_AddStringConstant(module, "backend", backend_name) < 0) {
        return -1;
    }
    return PyModule_AddStringConstant(module, "__version__", PYAIO_VERSION);
}

static int
module_traverse(PyObject *module, visitproc visit, void *arg)
{
    return module_state_traverse(PyModule_GetState(module), visit, arg);
}

static int
module_clear(PyObject *module)
{
    ModuleState *state = PyModule_GetState(module);
    stop_iteration_drop_spare(state);
    module_state_clear(state);
    return 0;
}

static void
module_free(void *module)
{
    module_clear(module);
}

static PyModuleDef_Slot module_slots[] = {
    {Py_mod_exec, module_exec},
    PYAIO_SLOT_INTERPRETERS PYAIO_SLOT_GIL{0, NULL},
};

PyDoc_STRVAR(module_doc, "The native part of pyaio; import pyaio instead.");

struct PyModuleDef core_module = {
    PyModuleDef_HEAD_INIT,         .m_name = "pyaio._core",
    .m_doc = module_doc,           .m_size = sizeof(ModuleState),
    .m_methods = methods,          .m_slots = module_slots,
    .m_traverse = module_traverse, .m_clear = module_clear,
    .m_free = module_free,
};

PyMODINIT_FUNC
PyInit__core(void)
{
    return PyModuleDef_Init(&core_module);
}
