"""The tracker that writes to MLflow.

Source: https://mlflow.org/docs/latest/ml/tracking.
"""

import contextlib
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import yaml

from medssl.errors import ConfigError
from medssl.tracking import DatasetRecord

__all__ = ["Mlflow"]

SQLITE = "sqlite:///"
PARENT = "mlflow.parentRunId"
PARAM_CHARS = 6000  # what the store takes
PARAMS_A_BATCH = 100


class Mlflow:
    """Writes to an MLflow tracking store, through the client that keeps no global state.

    Args:
        uri: The store, as MLflow takes it. Of a SQLite file, artifacts lie beside it in
            `mlartifacts`; a server keeps them where it is told to.
        experiment: The experiment's name; made if it is not there.
        parent: The run under which runs are opened, if any. Among its children the one of the
            name asked for is gone on with if it did not finish: after a crash a run is not split.
        title: The name of the runs, in place of what the stage calls them.
    """

    def __init__(
        self,
        *,
        uri: str = "sqlite:///mlflow.db",
        experiment: str = "medssl",
        parent: str | None = None,
        title: str | None = None,
    ) -> None:
        from mlflow import MlflowClient  # a config is checked without loading MLflow

        if uri.startswith("file:") or "://" not in uri:
            msg = (
                f"uri must name a database or a server, such as sqlite:///mlflow.db, got {uri!r}; "
                "an old ./mlruns folder is moved over by `mlflow migrate-filestore`"
            )
            raise ConfigError(msg)
        self.uri, self.parent, self.title = uri, parent, title
        _make_store(uri)
        self.client = MlflowClient(tracking_uri=uri)
        found = self.client.get_experiment_by_name(experiment)
        self.experiment_id = (
            found.experiment_id
            if found
            else self.client.create_experiment(experiment, artifact_location=_artifacts(uri))
        )

    @contextmanager
    def run(self, name: str, *, config: str, resume: str | None = None) -> Iterator["_Run"]:
        """Open a run, or go on with one, and keep its resolved configuration with it."""
        name = self.title or name
        unfinished = resume if resume and self._knows(resume) else self._unfinished_child(name)
        if unfinished:
            self.client.update_run(unfinished, status="RUNNING")
        run_id = unfinished or self._create(name)
        status = "FAILED"
        try:
            self.client.log_text(run_id, config, "config.yaml")
            self._params(run_id, config)
            yield _Run(self.client, run_id, self._opened_by(run_id))
            status = "FINISHED"
        finally:
            self.client.set_terminated(run_id, status)

    def _opened_by(self, run_id: str) -> str:
        page = f"/#/experiments/{self.experiment_id}/runs/{run_id}"
        if not self.uri.startswith(SQLITE):
            return f"open {self.uri}{page}"
        return (
            f"mlflow ui --backend-store-uri {self.uri} --port 5000  # http://127.0.0.1:5000{page}"
        )

    def _create(self, name: str) -> str:
        tags = {PARENT: self.parent} if self.parent else {}
        created = self.client.create_run(self.experiment_id, run_name=name, tags=tags)
        return str(created.info.run_id)

    def _knows(self, run_id: str) -> bool:
        from mlflow.exceptions import MlflowException

        try:
            return bool(self.client.get_run(run_id).info.lifecycle_stage == "active")
        except MlflowException:  # the store is another one, or the run was deleted
            return False

    def _unfinished_child(self, name: str) -> str | None:
        if not self.parent:
            return None
        children = self.client.search_runs(
            [self.experiment_id], f"tags.`{PARENT}` = '{self.parent}'", max_results=50_000
        )
        same = (child.info for child in children if child.info.run_name == name)
        return next((str(info.run_id) for info in same if info.status != "FINISHED"), None)

    def _params(self, run_id: str, config: str) -> None:
        """Record the configuration's leaves once; what a resumed run changed becomes a tag."""
        from mlflow.entities import Param

        leaves = {key: str(value)[:PARAM_CHARS] for key, value in _leaves(yaml.safe_load(config))}
        known = self.client.get_run(run_id).data.params
        fresh = [Param(key, value) for key, value in leaves.items() if key not in known]
        for start in range(0, len(fresh), PARAMS_A_BATCH):
            self.client.log_batch(run_id, params=fresh[start : start + PARAMS_A_BATCH])
        if drifted := [key for key, value in leaves.items() if known.get(key, value) != value]:
            self.client.set_tag(run_id, "config.drifted", ", ".join(drifted))


class _Run:
    def __init__(self, client: Any, run_id: str, opened_by: str) -> None:
        self.client, self.run_id, self.opened_by = client, run_id, opened_by

    def metrics(self, step: int, values: dict[str, float]) -> None:
        """Record numbers of one step in one call."""
        from mlflow.entities import Metric

        now_ms = int(time.time() * 1000)
        rows = [Metric(key, value, now_ms, step) for key, value in values.items()]
        self.client.log_batch(self.run_id, metrics=rows)

    def dataset(self, record: DatasetRecord) -> None:
        """Record an input of the run."""
        from mlflow.entities import Dataset, DatasetInput, InputTag

        dataset = Dataset(
            name=record.name,
            digest=record.digest[:36],  # the store's column is that wide
            source_type="manifest",
            source=json.dumps({"digest": record.digest}),
            profile=json.dumps(dict(record.profile)),
        )
        tags = [InputTag("mlflow.data.context", record.context)]
        self.client.log_inputs(self.run_id, datasets=[DatasetInput(dataset, tags)])

    def artifact(self, path: Path, *, folder: str | None = None) -> None:
        """Keep a file or a folder; a folder's own name becomes part of where it lies."""
        self.client.log_artifact(self.run_id, str(path), folder)


def _make_store(uri: str) -> None:
    """Make a SQLite store that is not there yet, whole or not at all.

    MLflow lays out its tables one by one: a store whose making was cut short can never be opened.
    """
    if not uri.startswith(SQLITE):
        return
    from mlflow import MlflowClient

    database = Path(uri.removeprefix(SQLITE)).absolute()
    if database.exists():
        return
    database.parent.mkdir(parents=True, exist_ok=True)
    temporary = database.with_name(f".{database.name}.{uuid4().hex}.part")
    MlflowClient(tracking_uri=f"{SQLITE}{temporary}").search_experiments()
    with contextlib.suppress(FileExistsError):  # another process was faster: its store holds
        os.link(temporary, database)
    temporary.unlink()


def _artifacts(uri: str) -> str | None:
    """Return where artifacts of a SQLite store lie: beside it."""
    if not uri.startswith(SQLITE):
        return None
    database = Path(uri.removeprefix(SQLITE)).absolute()
    return (database.parent / "mlartifacts").as_uri()


def _leaves(tree: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """Yield what a configuration says, by dotted keys."""
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield from _leaves(value, f"{place}.{key}" if place else str(key))
    elif tree is not None or place:
        yield place, tree
