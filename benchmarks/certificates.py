"""The certificate that TLS is measured with, made anew for each run.

Of RSA with 2048 bits, which is what most servers have and what a full handshake's time goes to.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from .build import FOLDER, BuildError


@dataclass(frozen=True)
class Certificates:
    """PEM files."""

    authorities: Path
    """What the client trusts."""
    identity: Path
    """The server's key and certificate."""


@cache
def make() -> Certificates:
    """Writes the files at the first call of a run. Raises BuildError without trustme."""
    try:
        import trustme
    except ImportError:
        raise BuildError('trustme makes the certificates: pip install -e ".[bench]"') from None
    kind = trustme.KeyType.RSA
    authority = trustme.CA(key_type=kind)
    server = authority.issue_cert("127.0.0.1", key_type=kind)
    FOLDER.mkdir(parents=True, exist_ok=True)
    made = Certificates(FOLDER / "authorities.pem", FOLDER / "identity.pem")
    authority.cert_pem.write_to_path(str(made.authorities))
    made.identity.touch(mode=0o600)
    server.private_key_and_cert_chain_pem.write_to_path(str(made.identity))
    return made
