"""What Ray Serve knows of the replicas of a deployment."""

from typing import Any

from ray import serve


async def broadcast(handle: Any, method: str, *, seconds: float) -> list[Any]:
    """Results of a method of every replica that answers in time."""
    try:
        results = await handle.broadcast(method).results_async(
            timeout_s=seconds, return_exceptions=True
        )
    except TimeoutError:
        return []
    return [result for result in results if not isinstance(result, BaseException)]


def count_replicas(handle: Any) -> int:
    """Number of replicas of a deployment that take calls."""
    application = serve.status().applications.get(handle.app_name)
    deployment = application and application.deployments.get(handle.deployment_name)
    return deployment.replica_states.get("RUNNING", 0) if deployment else 0


def replica_id() -> str:
    """Ray's id of the replica that this process is."""
    return str(serve.get_replica_context().replica_id.unique_id)
