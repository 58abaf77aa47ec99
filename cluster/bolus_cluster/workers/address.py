"""Workers of a Dask scheduler that somebody else keeps: found by its address, spoken to under encryption."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from typing import TYPE_CHECKING

from bolus.errors import BolusError, Code
from bolus_cluster.workers.settings import SETTINGS

if TYPE_CHECKING:
    from distributed import Client

PATIENCE = 30
"""Seconds to wait for the scheduler, and then for a first worker."""


@contextmanager
def connected(address: str) -> Iterator[Client]:
    """A client of the scheduler at `address`; the certificates are those of the user's Dask configuration.

    Neither the scheduler nor its workers are ended with it. Raises BolusError: E_PATH for an address that is
    none, is not encrypted, or where nothing answers; E_WORKER_DIED where it has no worker.
    """
    _check(address)
    import dask
    from distributed import Client

    with dask.config.set(dict(SETTINGS)):
        try:
            _knock(address)  # a client that finds nobody leaves a loop behind, which ends when it likes
            client = Client(address, timeout=PATIENCE, set_as_default=False)
        except (OSError, TypeError, ValueError) as error:
            seen = f"no scheduler that answers ({' '.join(str(error).split())})"
            raise BolusError(Code.PATH, address, seen, "a running Dask scheduler", TLS) from error
        with client:
            try:
                client.wait_for_workers(1, timeout=PATIENCE)
            except TimeoutError as error:
                seen = f"no worker in {PATIENCE} s"
                mend = "Start workers (dask worker ADDRESS --nthreads 1), then try again."
                raise BolusError(Code.WORKER_DIED, address, seen, "a worker", mend) from error
            yield client


TLS = (
    "Start it and its workers with certificates, and name them in ~/.config/dask/distributed.yaml "
    "(distributed.comm.tls.ca-file, .client.cert, .client.key), or set DASK_DISTRIBUTED__COMM__TLS__CA_FILE ..."
)


def _check(address: str) -> None:
    protocol, separator, place = address.partition("://")
    if not separator or not place.rpartition(":")[2].isdecimal():
        mend = "Write it like tls://node17:8786."
        raise BolusError(Code.PATH, address, "no address", "slurm, pbs, sge, lsf, local or tls://...", mend)
    if protocol == "tls" or (protocol == "tcp" and _is_loopback(place)):
        return
    seen = f"{protocol}://, which anyone in that network may speak to, and so run code as you"
    raise BolusError(Code.PATH, address, seen, "tls:// (tcp:// only to this machine itself)", TLS)


def _knock(address: str) -> None:
    host, _, port = address.partition("://")[2].rpartition(":")
    with socket.create_connection((host.strip("[]"), int(port)), timeout=PATIENCE):
        pass


def _is_loopback(place: str) -> bool:
    host = place.rsplit(":", 1)[0].strip("[]")
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
