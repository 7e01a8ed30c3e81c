#include "net/spawn.h"

#ifdef PLATFORM_SPAWNS
#include <signal.h>
#include <spawn.h>
#include <string.h>

extern char **environ;

const char spawn_doc[] = PyDoc_STR(
    "_spawn(program, args, env, path, cwd, fds, close_fds, restore_signals,\n"
    "       start_new_session, process_group, /)\n--\n\n"
    "Start a program; return its pid, or None where it could not be done.\n"
    "All of it as for subprocess.Popen(), names and arguments as bytes.\n"
    "`env` is a dict, or None for the process's own. A program without a\n"
    "slash is looked for in the PATH of the dict, or else in `path`.\n"
    "`fds` become the standard streams: numbers above 2, or -1.");

typedef struct SpawnRequest {
    const char *program;
    const char *path;
    const char *cwd; /* NULL: the parent's */
    char **argv;
    char **envp;
    char *candidate; /* room for each that the search tries */
    PyObject *env;   /* what envp points to, a list; NULL: `environ` */
    int fds[3];
    int close_fds;
    int restore_signals;
    int start_new_session;
    int process_group;
} SpawnRequest;

static void
request_clear(SpawnRequest *request)
{
    PyMem_Free(request->argv);
    PyMem_Free(request->envp);
    PyMem_Free(request->candidate);
    Py_CLEAR(request->env);
}

/* ---- what is given, as C wants it ---- */

/* The addresses of the bytes in a list, and a NULL. NULL with an exception set: a
 * ValueError for one that has a NUL. */
static char **
addresses_of(PyObject *list)
{
    Py_ssize_t size = PyList_GET_SIZE(list);
    char **addresses = PyMem_New(char *, size + 1);
    if (addresses == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    for (Py_ssize_t i = 0; i < size; i++) {
        if (PyBytes_AsStringAndSize(PyList_GET_ITEM(list, i), &addresses[i],
                                    NULL)
            < 0) {
            PyMem_Free(addresses);
            return NULL;
        }
    }
    addresses[size] = NULL;
    return addresses;
}

/* Those of the process as they are now. The C library keeps the strings of a variable
 * that changes, but not the array, so another thread may do that meanwhile. */
static char **
own_environment(void)
{
    size_t size = 0;
    while (environ != NULL && environ[size] != NULL) {
        size++;
    }
    char **copy = PyMem_New(char *, size + 1);
    if (copy == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    for (size_t i = 0; i < size; i++) {
        copy[i] = environ[i];
    }
    copy[size] = NULL;
    return copy;
}

/* New reference; NULL with an exception set. */
static PyObject *
encoded(PyObject *text)
{
    if (PyUnicode_Check(text)) {
        return PyUnicode_EncodeFSDefault(text);
    }
    if (!PyBytes_CheckExact(text)) {
        PyErr_SetString(PyExc_TypeError, "expected str or bytes");
        return NULL;
    }
    return Py_NewRef(text);
}

/* b"NAME=value". NULL with an exception set: a ValueError for a name with "=". */
static PyObject *
variable_new(PyObject *name, PyObject *value)
{
    PyObject *variable = encoded(name);
    if (variable == NULL) {
        return NULL;
    }
    if (memchr(PyBytes_AS_STRING(variable), '=', PyBytes_GET_SIZE(variable))) {
        PyErr_SetString(PyExc_ValueError, "illegal environment variable name");
        Py_DECREF(variable);
        return NULL;
    }
    PyBytes_ConcatAndDel(&variable, PyBytes_FromStringAndSize("=", 1));
    if (variable != NULL) {
        PyBytes_ConcatAndDel(&variable, encoded(value));
    }
    return variable;
}

/* A list of them. NULL with an exception set. Another thread may change the dict. */
static PyObject *
variables_of(PyObject *shared)
{
    PyObject *dict = PyDict_Copy(shared);
    PyObject *variables = dict ? PyList_New(0) : NULL;
    PyObject *name, *value;
    Py_ssize_t position = 0;
    while (variables != NULL && PyDict_Next(dict, &position, &name, &value)) {
        PyObject *variable = variable_new(name, value);
        if (variable == NULL || PyList_Append(variables, variable) < 0) {
            Py_CLEAR(variables);
        }
        Py_XDECREF(variable);
    }
    Py_XDECREF(dict);
    return variables;
}

/* The program is looked for in the PATH that it will have itself. -1 with an exception
 * set: a ValueError for two of them. */
static int
take_path(SpawnRequest *request)
{
    int found = 0;
    for (char **variable = request->envp; *variable != NULL; variable++) {
        if (strncmp(*variable, "PATH=", 5) == 0) {
            request->path = *variable + 5;
            found++;
        }
    }
    if (found > 1) {
        PyErr_SetString(PyExc_ValueError, "PATH is there twice");
        return -1;
    }
    return 0;
}

/* -1 with an exception set. */
static int
take_environment(SpawnRequest *request, PyObject *env)
{
    if (env == Py_None) {
        request->envp = own_environment();
        return request->envp == NULL ? -1 : 0;
    }
    if (!PyDict_CheckExact(env)) {
        PyErr_SetString(PyExc_TypeError, "env has to be a dict or None");
        return -1;
    }
    request->env = variables_of(env);
    request->envp = request->env ? addresses_of(request->env) : NULL;
    return request->envp == NULL ? -1 : take_path(request);
}

/* -1 with an exception set. What is parsed has no code of its own that could run. */
static int
request_parse(SpawnRequest *request, PyObject *args)
{
    PyObject *argv, *env, *cwd;
    int *fds = request->fds;
    if (!PyArg_ParseTuple(
            args, "yO!OyO(iii)pppi:_spawn", &request->program, &PyList_Type,
            &argv, &env, &request->path, &cwd, &fds[0], &fds[1], &fds[2],
            &request->close_fds, &request->restore_signals,
            &request->start_new_session, &request->process_group)) {
        return -1;
    }
    if (cwd != Py_None
        && PyBytes_AsStringAndSize(cwd, (char **)&request->cwd, NULL) < 0) {
        return -1;
    }
    request->argv = addresses_of(argv);
    if (request->argv == NULL || take_environment(request, env) < 0) {
        return -1;
    }
    size_t room = strlen(request->path) + strlen(request->program) + 2;
    request->candidate = PyMem_Malloc(room);
    if (request->candidate == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    return 0;
}

/* ---- the search: as os.get_exec_path() and os.path.join() ---- */

static void
join(char *joined, const char *folder, size_t length, const char *name)
{
    memcpy(joined, folder, length);
    if (length > 0 && folder[length - 1] != '/') {
        joined[length++] = '/';
    }
    strcpy(joined + length, name);
}

/* The file to execute: the first that may be. NULL when none is found, or it cannot be
 * told, since the child looks from another folder. */
static const char *
find_program(const SpawnRequest *request)
{
    if (strchr(request->program, '/') != NULL) {
        return request->program;
    }
    for (const char *folder = request->path; folder != NULL;) {
        const char *end = strchrnul(folder, ':');
        join(request->candidate, folder, end - folder, request->program);
        if (request->candidate[0] != '/' && request->cwd != NULL) {
            return NULL;
        }
        if (faccessat(AT_FDCWD, request->candidate, X_OK, AT_EACCESS) == 0) {
            return request->candidate;
        }
        folder = *end == ':' ? end + 1 : NULL;
    }
    return NULL;
}

/* ---- the child ---- */

/* What it does before it becomes the program, in the order of Popen's. 0 or an errno. */
static int
add_actions(posix_spawn_file_actions_t *actions, const SpawnRequest *request)
{
    int error = 0;
    for (int to = 0; to < 3 && error == 0; to++) {
        int from = request->fds[to];
        if (from == -1) {
            continue;
        }
        if (from < 3) {
            return EINVAL; /* the one before may have taken its place */
        }
        error = posix_spawn_file_actions_adddup2(actions, from, to);
    }
    if (error == 0 && request->cwd != NULL) {
        error = posix_spawn_file_actions_addchdir_np(actions, request->cwd);
    }
    if (error == 0 && request->close_fds) {
        error = posix_spawn_file_actions_addclosefrom_np(actions, 3);
    }
    return error;
}

/* 0 or an errno. */
static int
set_attributes(posix_spawnattr_t *attributes, const SpawnRequest *request)
{
    short flags = POSIX_SPAWN_SETSIGDEF;
    sigset_t defaults;
    sigemptyset(&defaults);
    platform_add_internal_signals(&defaults);
    if (request->restore_signals) { /* those that Python ignores */
        sigaddset(&defaults, SIGPIPE);
        sigaddset(&defaults, SIGXFSZ);
    }
    int error = posix_spawnattr_setsigdefault(attributes, &defaults);
    if (request->start_new_session) {
        flags |= POSIX_SPAWN_SETSID;
    }
    if (error == 0 && request->process_group >= 0) {
        flags |= POSIX_SPAWN_SETPGROUP;
        error = posix_spawnattr_setpgroup(attributes, request->process_group);
    }
    return error != 0 ? error : posix_spawnattr_setflags(attributes, flags);
}

/* Needs no GIL. 0 or an errno, that of exec() in the child among them. */
static int
start(const SpawnRequest *request, pid_t *pid)
{
    const char *program = find_program(request);
    if (program == NULL) {
        return ENOENT;
    }
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    int error = posix_spawn_file_actions_init(&actions);
    if (error != 0) {
        return error;
    }
    error = posix_spawnattr_init(&attributes);
    if (error == 0) {
        error = add_actions(&actions, request);
        error = error != 0 ? error : set_attributes(&attributes, request);
        if (error == 0) {
            error = posix_spawn(pid, program, &actions, &attributes,
                                request->argv, request->envp);
        }
        posix_spawnattr_destroy(&attributes);
    }
    posix_spawn_file_actions_destroy(&actions);
    return error;
}

/* NULL with an exception set only where memory is short: others are Popen's to raise. */
static PyObject *
none_unless_fatal(void)
{
    if (PyErr_ExceptionMatches(PyExc_TypeError)
        || PyErr_ExceptionMatches(PyExc_ValueError)
        || PyErr_ExceptionMatches(PyExc_OverflowError)) {
        PyErr_Clear();
        Py_RETURN_NONE;
    }
    return NULL;
}

PyObject *
spawn(PyObject *Py_UNUSED(module), PyObject *args)
{
    SpawnRequest request = {0};
    PyObject *result;
    if (request_parse(&request, args) < 0) {
        result = none_unless_fatal();
    }
    else {
        pid_t pid = 0;
        int error;
        Py_BEGIN_ALLOW_THREADS
        error = start(&request, &pid);
        Py_END_ALLOW_THREADS
        result = error == 0 ? PyLong_FromPid(pid) : Py_NewRef(Py_None);
    }
    request_clear(&request);
    return result;
}

#endif
