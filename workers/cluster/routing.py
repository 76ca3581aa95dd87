"""Which replica of a model gets a request: the one that has the image's features. Runs in the cluster, beside the gateway."""

from __future__ import annotations

import time
from collections import OrderedDict
from typing import Any

from ray.serve.request_router import (
    MultiplexMixin,
    PendingRequest,
    ReplicaID,
    ReplicaResult,
    RequestRouter,
    RunningReplica,
)

from ..line import PATIENCE_S
from ..placing import REMEMBERED


class HomeFirst(MultiplexMixin, RequestRouter):  # type: ignore[misc]  # Ray is not typed here
    """Routes by the request's multiplexed id, which is a key of the image; the deployment is the model's.

    A request waits `PATIENCE_S` for a replica that has looked at its image, then takes any; one whose image nobody
    has goes to the replica with the fewest images. Where a request was sent is remembered here at once, and what
    replicas hold is told by Serve a little later, so that a server that has just come finds images at home, too.
    """

    def initialize_state(self, **kwargs: Any) -> None:
        """Serve calls this once."""
        self._sent: OrderedDict[str, ReplicaID] = OrderedDict()

    async def choose_replicas(
        self, candidate_replicas: list[RunningReplica], pending_request: PendingRequest | None = None
    ) -> list[list[RunningReplica]]:
        """Replicas to try, the best first; those of one rank are alike."""
        if pending_request is None:
            return [candidate_replicas]
        pending_request.routing_context.should_backoff = True  # between rounds, when all are busy
        key = pending_request.metadata.multiplexed_model_id
        homes = self._multiplexed_model_id_to_replica_ids.get(key, set()) | {self._sent.get(key)}
        at_home = [one for one in candidate_replicas if one.replica_id in homes]
        if at_home and time.time() - pending_request.created_at < PATIENCE_S:
            return [at_home]
        _, *others = self.rank_replicas_via_multiplex(candidate_replicas, key)
        away = [[one for one in rank if one not in at_home] for rank in others]
        return [rank for rank in (at_home, *away) if rank]

    def on_request_routed(self, pending_request: PendingRequest, replica_id: ReplicaID, result: ReplicaResult) -> None:
        """Remember where an image is at home now."""
        key = pending_request.metadata.multiplexed_model_id
        if key:
            self._sent[key] = replica_id
            self._sent.move_to_end(key)
        while len(self._sent) > REMEMBERED:
            self._sent.popitem(last=False)
