"""What has to be set before grpcio is imported. Import this module first.

gRPC's core reads `GRPC_EXPERIMENTS` once, when it is loaded. Without its event-engine listener the loop that waits for
events also reads the sockets, instead of a thread of gRPC's own that has to hand everything over: a third less a call
(docs/performance.md). A value that somebody has set stays.
"""

import os

os.environ.setdefault("GRPC_EXPERIMENTS", "-event_engine_listener")
