"""A scheduler that somebody else keeps: only under encryption off this machine, and never ended with the run."""

from __future__ import annotations

import pytest
from distributed import LocalCluster

from bolus.errors import BolusError
from bolus_cluster.workers import address as addresses
from bolus_cluster.workers.address import connected


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("tcp://10.1.2.3:8786", "tls://"),
        ("tcp://node17:8786", "tls://"),
        ("ws://localhost:8786", "tls://"),
        ("tcp://127.0.0.1.example.org:8786", "tls://"),
        ("slrum", "slurm"),
        ("tls://", "tls://node17:8786"),
    ],
)
def test_an_address_that_would_be_open_to_all_is_refused(address: str, told: str) -> None:
    with pytest.raises(BolusError, match="E_PATH") as refused, connected(address):
        pass
    assert told in str(refused.value)


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:1", "tcp://localhost:1", "tls://127.0.0.1:1"])
def test_where_nothing_answers_it_says_so(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setattr(addresses, "PATIENCE", 1)
    with pytest.raises(BolusError, match=r"E_PATH .*no scheduler"), connected(address):
        pass


def test_a_scheduler_without_workers_is_told_and_one_with_them_is_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(addresses, "PATIENCE", 5)
    with LocalCluster(
        n_workers=0, host="127.0.0.1", dashboard_address="127.0.0.1:0", worker_dashboard_address="127.0.0.1:0"
    ) as cluster:
        nobody = connected(cluster.scheduler_address)
        with pytest.raises(BolusError, match="E_WORKER_DIED"), nobody:
            pass
        cluster.scale(1)
        for _ in range(2):  # the first client takes nothing down with it
            with connected(cluster.scheduler_address) as client:
                assert client.submit(sum, [1, 2]).result() == 3
