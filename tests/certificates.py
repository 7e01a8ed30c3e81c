"""Certificates for the tests of TLS: made by trustme, anew for each run.

trustme stands on cryptography, which has no wheel for free-threaded CPython 3.13. There they
are the ones that the interpreter's own tests use: for localhost, of one authority.
"""

import functools
import sysconfig

try:
    from trustme import CA
except ImportError:
    if not sysconfig.get_config_var("Py_GIL_DISABLED"):
        raise

    class _Certificate:
        def __init__(self, path):
            self.configure_cert = functools.partial(_load_chain, path)

    def _load_chain(path, context):
        context.load_cert_chain(path)

    class CA:
        """The authority of test.certdata, as far as the tests use trustme.CA."""

        def __init__(self):
            from test import certdata  # the interpreter's tests

            (self._folder,) = certdata.__path__

        def issue_cert(self, *_names):
            return _Certificate(f"{self._folder}/keycert3.pem")

        def configure_trust(self, context):
            context.load_verify_locations(f"{self._folder}/pycacert.pem")


__all__ = ["CA"]
