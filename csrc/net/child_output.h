/* The output of a child process on its way to the StreamReader of asyncio's
 * SubprocessStreamProtocol, without a Python call: what four methods do for each
 * chunk, ReadSubprocessPipeProto.data_received() first, for unmodified objects of
 * exactly asyncio's classes. All others get their methods called. */
#ifndef PYAIO_NET_CHILD_OUTPUT_H
#define PYAIO_NET_CHILD_OUTPUT_H

#include "net/pipe.h"

/* Of the bytes in the engine's buffer: 1 when they will be in the reader in the next
 * turn, as in asyncio; 0 when the protocol's data_received() is to be called with
 * them, -1 on error. */
int child_output_take(PipeObject *pipe, const char *bytes, Py_ssize_t size);

/* Notes the code of asyncio's methods. -1 with an exception set. */
int child_output_setup(ModuleState *state);

#endif
