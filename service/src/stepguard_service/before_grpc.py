"""What has to be set before grpcio is imported. Import this module first.

gRPC's core reads these variables once, when it is loaded; a value that somebody has set stays.

- `GRPC_EXPERIMENTS`: without its event-engine listener the loop that waits for events also reads the sockets, instead
  of a thread of gRPC's own that has to hand everything over: a third less a call (docs/performance.md).
- `GRPC_VERBOSITY`: its own lines on standard error are about what peers do, and not in the form of ours; only errors
  are worth that.
"""

import os

os.environ.setdefault("GRPC_EXPERIMENTS", "-event_engine_listener")
os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
