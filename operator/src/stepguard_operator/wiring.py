"""The one place where the operator is put together, and where what one part tells reaches the others."""

import logging
import socket
import time
import uuid
from typing import Final

from stepguard_policy.compile import CompileOptions, HostGrant

from stepguard_operator.admin import Admin
from stepguard_operator.api import Api
from stepguard_operator.catalog import Catalog
from stepguard_operator.connection import Cluster
from stepguard_operator.distribute import Distribution
from stepguard_operator.follow import ReadyPods
from stepguard_operator.kinds import Kind
from stepguard_operator.leadership import Leader, Leadership, SoleLeadership
from stepguard_operator.metrics import Metrics
from stepguard_operator.reconcile import Reconciler
from stepguard_operator.replicas import Replicas
from stepguard_operator.reporting import Reporter
from stepguard_operator.self_managed import SelfManaged
from stepguard_operator.settings import Settings, SubscriberAuth
from stepguard_operator.status_writer import StatusWriter
from stepguard_operator.store import Change, Key
from stepguard_operator.stream_server import StreamServer
from stepguard_operator.subscribers import Anybody, Certificates, Gate, Tokens
from stepguard_operator.watching import Watching

OLDEST_LIST: Final = 5
"""In times of `--resync`: who could not list for so long is not healthy."""

_log = logging.getLogger(__name__)


class Operator:
    """Every part, connected. Belongs to one loop; nothing runs yet."""

    def __init__(self, settings: Settings, cluster: Cluster, api: Api, metrics: Metrics) -> None:
        self._settings = settings
        self._began = time.monotonic()
        self._epoch: int | None = None
        self.grants: tuple[HostGrant, ...] | None = None
        """Set `grants`, then call `grants_changed`."""
        self.metrics = metrics
        namespace = settings.lease_namespace or cluster.namespace
        self.leader = self._leadership(api, namespace)
        self.replicas = Replicas(self._began)
        self.distribution = Distribution(_gate(settings, api), self.replicas, metrics, changed=self._fleet_changed)
        self.server = StreamServer(settings.listen, self.distribution.handler())
        self.catalog = Catalog(api, settings.namespace, metrics, touched=self._touched, listed=self._listed)
        self.watching = Watching(cluster, settings.namespace, self.catalog, metrics)
        self.writer = StatusWriter(api, metrics, allowed=self._certain, written=self.catalog.wrote)
        self.reconciler = Reconciler(
            self.catalog, self.leader, self.distribution, metrics, options=self._options, compiled=self._fleet_changed
        )
        self.reporter = Reporter(
            self.catalog, self.replicas, self.leader, self.writer, result=lambda: self.reconciler.result
        )
        self.ready_pods = ReadyPods(api, *settings.service, changed=self._pods_changed) if settings.service else None
        self.self_managed = (
            SelfManaged(api, namespace, self.leader, self.replicas, show=self.server.show)
            if settings.self_managed
            else None
        )
        self.admin = Admin(metrics.registry, health=self._unhealthy, readiness=self._unready)
        for switch, on in settings.unsafe_switches.items():
            metrics.unsafe.labels(switch).set(on)

    def leadership_changed(self) -> None:
        """We are active now, or not any more, or certain of it again."""
        epoch = self.leader.epoch
        self.metrics.active.set(epoch is not None)
        if epoch is None:
            self.distribution.stand_by()
            self.writer.clear()
        elif epoch != self._epoch:
            self.replicas.took_over(time.monotonic())
            self.reconciler.took_over()
            self.reporter.forget()
        elif self.leader.certain:
            self.reconciler.publish()
            self.reporter.touch_all()
        else:
            self.part()
        self._epoch = epoch
        if self.self_managed is not None:
            self.self_managed.look_soon()

    def part(self) -> None:
        """While we cannot renew the Lease somebody else may be active: replicas should look again."""
        if self.leader.epoch is not None and not self.leader.certain:
            self.distribution.end_streams("this operator cannot renew its Lease; another one may be active")

    def grants_changed(self) -> None:
        """The host grants are others now."""
        self.reconciler.touch()

    def _leadership(self, api: Api, namespace: str) -> Leader:
        if not self._settings.lease:
            return SoleLeadership()
        identity = f"{socket.gethostname()}_{uuid.uuid4()}"
        return Leadership(api, namespace, identity, changed=self.leadership_changed)

    def _certain(self) -> bool:
        return self.leader.certain

    def _options(self) -> CompileOptions:
        return CompileOptions(grants=self.grants, max_matches_per_namespace=self._settings.max_matches_per_namespace)

    def _touched(self, kind: Kind, key: Key | None, change: Change) -> None:
        if change.compiled:
            self.reconciler.touch()
        if key is None:
            self.reporter.touch_all()
        else:
            self.reporter.touch(kind, key)

    def _listed(self) -> None:
        self.reconciler.listed()

    def _fleet_changed(self) -> None:
        self.reporter.touch_all()

    def _pods_changed(self, pods: frozenset[str]) -> None:
        self.replicas.ready(pods, time.monotonic())
        self.reporter.touch_all()

    def _unhealthy(self) -> str:
        listed = self.catalog.listed_at if self.catalog.listed_at is not None else self._began
        age = time.monotonic() - listed
        if age > OLDEST_LIST * self._settings.resync:
            return f"policies were last listed {age:.0f} s ago"
        return ""

    def _unready(self) -> str:
        if self.catalog.listed_at is None:
            return "policies were not listed yet"
        if self.server.port is None:
            return "the policy stream is not open yet"
        return ""


def _gate(settings: Settings, api: Api) -> Gate:
    subscribers = settings.subscribers
    match subscribers.auth:
        case SubscriberAuth.TOKEN:
            return Tokens(api, subscribers.accounts, audience=subscribers.audience)
        case SubscriberAuth.MTLS:
            return Certificates(subscribers.sans)
        case SubscriberAuth.UNSAFE_NONE:
            _log.warning("anybody on this machine may subscribe: --subscriber-auth unsafe-none")
            return Anybody()
