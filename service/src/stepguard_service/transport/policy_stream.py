"""Push mode: a subscription to the active operator, in a thread of its own.

Each attempt dials one address. An operator that answers `standby`, fails or says nothing is left for the next address;
after a whole round in vain comes a pause with jitter. What was applied stays in force whatever happens here.
"""

import logging
import threading
import uuid
from collections.abc import Iterator
from random import SystemRandom
from typing import Final

import grpc
from stepguard.policy.v1 import policy_pb2 as pb

from stepguard_service.transport.in_force import Enforcement, InForce
from stepguard_service.transport.operator_channel import Endpoint, OperatorAccess
from stepguard_service.transport.state_dir import StateDir

METHOD: Final = "/stepguard.policy.v1.PolicyDistribution/Subscribe"
REPORT_SECONDS: Final = 10.0
"""Between two reports, at most; the operator calls a replica silent after three times as long."""
FIRST_PUSH_SECONDS: Final = 10.0
"""From dialling to the operator's first word."""
SHORTEST_PAUSE_SECONDS: Final = 0.2
LONGEST_PAUSE_SECONDS: Final = 5.0

_log = logging.getLogger(__name__)
_random = SystemRandom()


class PolicyStream:
    """Keeps what the active operator publishes in force. `start` and `stop` are called once each."""

    def __init__(
        self,
        access: OperatorAccess,
        enforcement: Enforcement,
        *,
        node_name: str,
        state: StateDir | None = None,
    ) -> None:
        self.connected = False
        """Whether the stream of an active operator is open."""
        self._access = access
        self._in_force = InForce(enforcement, state)
        self._node_name = node_name
        self._boot_id = uuid.uuid4().hex
        self._changed = threading.Condition()
        self._changes = 0
        self._stopping = threading.Event()
        self._call: grpc.Call | None = None
        self._complaints: set[str] = set()
        self._thread = threading.Thread(target=self._run, name="policy-stream", daemon=True)

    def start(self) -> None:
        """Put the saved snapshot in force, where there is one, then subscribe; both in the stream's thread."""
        self._thread.start()

    def stop(self) -> None:
        """End the subscription and wait for the thread."""
        self._stopping.set()
        if (call := self._call) is not None:
            call.cancel()
        self.report_soon()
        self._thread.join()

    def report_soon(self) -> None:
        """Something that `describe` tells has changed."""
        with self._changed:
            self._changes += 1
            self._changed.notify_all()

    def report(self) -> pb.Report:
        """What the operator is told."""
        report = self._in_force.report()
        report.replica, report.boot_id = self._node_name, self._boot_id
        return report

    def _run(self) -> None:
        self._in_force.restore()
        first = failures = 0
        while not self._stopping.is_set():
            served = self._guarded_round(first)
            first, failures = (first, failures + 1) if served is None else (served + 1, 0)
            self._stopping.wait(_pause(failures))

    def _guarded_round(self, first: int) -> int | None:
        try:
            return self._round(first)
        except Exception:  # noqa: BLE001  (without this thread no policy would ever change again)
            _log.exception("a fault of ours ended the subscription; trying again")
            return None

    def _round(self, first: int) -> int | None:
        """Try every address once, from that number on, until one has served us to its end; which, or None."""
        endpoints, problems = self._access.resolve()
        for address, problem in problems.items():
            self._complain(address, problem)
        for number in range(first, first + len(endpoints)):
            if self._stopping.is_set() or self._session(endpoints[number % len(endpoints)]):
                return number % len(endpoints)
        return None

    def _session(self, endpoint: Endpoint) -> bool:
        """One subscription, to its end; whether that operator was the active one."""
        ended = threading.Event()
        served = False
        try:
            with self._access.open(endpoint) as channel:
                subscribe = channel.stream_stream(
                    METHOD, request_serializer=pb.Report.SerializeToString, response_deserializer=pb.Push.FromString
                )
                call = self._call = subscribe(self._reports(ended), metadata=self._access.metadata())
                for push in _first_in_time(call):
                    if self._stopping.is_set() or push.WhichOneof("kind") == "standby":
                        break
                    served = served or self._welcome(endpoint)
                    self._receive(push)
                call.cancel()
        except grpc.RpcError as error:
            self._complain(endpoint.target, _words(error))
        except (OSError, UnicodeDecodeError) as error:
            self._complain(endpoint.target, str(error))
        finally:
            ended.set()
            self._call = None
            self.report_soon()
            self.connected = False
        return served

    def _welcome(self, endpoint: Endpoint) -> bool:
        _log.info("subscribed to the operator at %s", endpoint.target)
        self._complaints.clear()
        self.connected = True
        return True

    def _complain(self, place: str, text: str) -> None:
        """Log the first trouble with each place since the last subscription, and no repetition."""
        if not self._stopping.is_set() and place not in self._complaints:
            _log.warning("no subscription to the operator at %s: %s", place, text)
            self._complaints.add(place)

    def _reports(self, ended: threading.Event) -> Iterator[pb.Report]:
        """The request side: a report at once, after each change, and every REPORT_SECONDS."""
        while not ended.is_set():
            seen = self._changes
            yield self.report()
            with self._changed:
                if self._changes == seen:
                    self._changed.wait(REPORT_SECONDS)

    def _receive(self, push: pb.Push) -> None:
        match push.WhichOneof("kind"):
            case "snapshot":
                self._in_force.take(push.snapshot)
            case "unchanged":
                self._in_force.adopt(push.unchanged.version)
            case _:
                _log.warning("the operator sent something that this version does not know")
        self.report_soon()


def _first_in_time(call: grpc.Call) -> Iterator[pb.Push]:
    """The pushes of a call that is cancelled where the first one does not come in time."""
    watchdog = threading.Timer(FIRST_PUSH_SECONDS, call.cancel)
    watchdog.start()
    try:
        for push in call:
            watchdog.cancel()
            yield push
    finally:
        watchdog.cancel()


def _words(error: grpc.RpcError) -> str:
    if not isinstance(error, grpc.Call):
        return str(error)
    if error.code() is grpc.StatusCode.CANCELLED:
        return f"the operator said nothing for {FIRST_PUSH_SECONDS:g} s"
    return f"{error.code().name.lower().replace('_', ' ')}: {error.details()}"


def _pause(failures: int) -> float:
    """Seconds before the next round: a little after a subscription that worked, longer after each round in vain."""
    longest: float = min(LONGEST_PAUSE_SECONDS, SHORTEST_PAUSE_SECONDS * 2 ** min(failures, 10))
    return _random.uniform(longest / 2, longest)
