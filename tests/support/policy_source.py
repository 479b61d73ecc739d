"""An operator that says what a test tells it to: the server side of the policy stream, without Kubernetes."""

import queue
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
from stepguard.policy.v1 import policy_pb2 as pb

from tests.support.certificates import KeyPair
from tests.support.processes import wait_until


def snapshot(content: str, sequence: int, *, epoch: int = 1) -> pb.PolicySnapshot:
    """A snapshot whose hash is the name of its content."""
    result = pb.PolicySnapshot(hash=content, min_schema_version=1)
    result.version.epoch, result.version.sequence = epoch, sequence
    return result


def standby() -> pb.Push:
    """The answer of an operator that does not hold the Lease."""
    return pb.Push(standby=pb.Standby())


def unchanged(sequence: int, *, epoch: int = 1) -> pb.Push:
    """The answer to a replica that has everything."""
    return pb.Push(unchanged=pb.Unchanged(version=pb.Version(epoch=epoch, sequence=sequence)))


class PolicySource:
    """Answers each subscription with `greeting` (nothing where None), then with what `push` is given."""

    def __init__(self, pair: KeyPair, greeting: pb.Push | None) -> None:
        self.greeting = greeting
        self.reports: list[pb.Report] = []
        self.metadata: list[dict[str, str]] = []
        self.subscriptions = 0
        self._pushes: list[queue.Queue[pb.Push | None]] = []
        self._server = grpc.server(ThreadPoolExecutor(8))
        handler = grpc.stream_stream_rpc_method_handler(
            self._subscribe, request_deserializer=pb.Report.FromString, response_serializer=pb.Push.SerializeToString
        )
        service = {"Subscribe": handler}
        self._server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler("stepguard.policy.v1.PolicyDistribution", service),)
        )
        credentials = grpc.ssl_server_credentials([(pair.key.read_bytes(), pair.cert.read_bytes())])
        self.port = self._server.add_secure_port("127.0.0.1:0", credentials)
        self._server.start()

    def push(self, message: pb.Push) -> None:
        """Send to everybody who is subscribed."""
        for pushes in list(self._pushes):
            pushes.put(message)

    def end_streams(self) -> None:
        """End every subscription that is open, without an error."""
        for pushes in list(self._pushes):
            pushes.put(None)

    def wait_for_report(self, what: str, **expected: str) -> pb.Report:
        """The first report in which in_force has this `hash`, or rejected this `rejected`."""

        def found() -> pb.Report | None:
            actual = [({"hash": it.in_force.hash, "rejected": it.rejected.hash}, it) for it in list(self.reports)]
            return next((it for has, it in actual if all(has[name] == expected[name] for name in expected)), None)

        report = wait_until(found, what)
        assert report is not None
        return report

    def stop(self) -> None:
        """End all streams and close the port."""
        self.end_streams()
        self._server.stop(0).wait()

    def _subscribe(self, requests: Iterator[pb.Report], context: grpc.ServicerContext) -> Iterator[pb.Push]:
        self.subscriptions += 1
        self.metadata.append({key: str(value) for key, value in context.invocation_metadata()})
        pushes: queue.Queue[pb.Push | None] = queue.Queue()
        self._pushes.append(pushes)
        threading.Thread(target=self._listen, args=(requests, pushes), daemon=True).start()
        if self.greeting is not None:
            yield self.greeting
        while (message := pushes.get()) is not None:
            yield message
        self._pushes.remove(pushes)

    def _listen(self, requests: Iterator[pb.Report], pushes: queue.Queue[pb.Push | None]) -> None:
        try:
            self.reports.extend(requests)
        except grpc.RpcError:
            pass
        except Exception:  # noqa: BLE001  (gRPC ends the iterator of a cancelled call with a bare Exception)
            pass
        pushes.put(None)
