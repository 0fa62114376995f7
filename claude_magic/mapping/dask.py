"""Map a Dask DataFrame lazily, one partition at a time, in Dask's workers; it is never collected.

The task graph holds the prompt, the values that it names, and the settings, but no key: a worker takes its key from its
own environment. Answers are stored in the worker's data folder, so that a second computation sends nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..client import Client, Settings
from ..content.parts import Limits
from ..content.safely import is_from_library
from ..content.secrets import Secrets, known_secrets, shown_columns
from ..errors import UsageError
from ..options import MapOptions, Options
from ..prompt.expressions import Expression, split
from ..request.build import Request
from ..tools.structured_output import Shape
from . import rows, store, table
from .job import Job, MapContext, SilentProgress, survey
from .prompts import RowRequests, Template, names_in

# The partitions of one process are mapped one after the other, to keep the limit on concurrent requests.
_ONE_AT_A_TIME = threading.Lock()


@dataclass(frozen=True)
class Spec:
    """The parameters of a map, as they are sent to the workers. `kept` says whether answers are stored."""

    name: str
    body: str
    values: Mapping[str, Any]
    built: Request
    options: Options
    settings: Settings
    concurrency: int
    kept: bool
    shape: Shape | None = None
    asks_nulls: bool = False
    system: str = ""


def is_partitioned(value: Any) -> bool:
    """Whether a value is a Dask DataFrame or Series."""
    return is_from_library(value, "dask") and hasattr(value, "map_partitions")


def values_of(namespace: Mapping[str, Any], *texts: str) -> dict[str, Any]:
    """The notebook's variables that a prompt and a system prompt name: the only ones that are sent to the workers."""
    expressions = [piece for text in texts for piece in split(text) if isinstance(piece, Expression)]
    names = {name for each in expressions for name in names_in(each.code)} - {*rows.NAMES}
    return {name: namespace[name] for name in sorted(names) if name in namespace}


def mapped(value: Any, spec: Spec) -> Any:
    """The lazy frame with the answers' columns. Nothing is sent before Dask computes it."""
    frame = value if hasattr(value, "columns") else value.to_frame(name="item" if value.name is None else value.name)
    empty = rows.rows_of(frame._meta)
    columns = table.empty_columns(empty.taken, spec.shape)
    return frame.map_partitions(ask_partition, spec, meta=empty.result(columns))


def bind(map_options: MapOptions, body: str, value: Any, shape: Shape | None, context: MapContext) -> None:
    """Bind the lazy result to its name: partitions are mapped when Dask computes them. Raises `UsageError`."""
    options = map_options.options
    if map_options.batch or map_options.background or options.budget is not None or context.budget is not None:
        what = "--batch" if map_options.batch else "--background" if map_options.background else "A budget"
        raise UsageError(
            f"{what} does not go together with a Dask frame, which is mapped when it is computed.",
            advice=f"{map_options.over}.compute() makes a pandas DataFrame of it.",
        )
    if options.image or options.file:
        raise UsageError(
            "--image and --file do not go together with a Dask frame, whose workers may not have the files.",
            advice=f"{map_options.over}.compute() makes a pandas DataFrame of it.",
        )
    if context.client.keeps_key:
        raise UsageError(
            "Dask's workers take their key from their own environment, not from this kernel.",
            advice="Set ANTHROPIC_API_KEY before Dask starts, and leave out ClaudeMagic.client and %claude_key.",
        )
    spec = Spec(
        name=map_options.over,
        body=body,
        values=values_of(context.scope, body, map_options.row_system),
        built=context.base(options),
        options=options,
        settings=context.settings,
        concurrency=map_options.concurrency,
        kept=context.keeps,
        shape=shape,
        asks_nulls=map_options.asks_nulls,
        system=map_options.row_system,
    )
    context.namespace[str(options.out)] = mapped(value, spec)
    again = "; computed again, it asks only what is missing" if spec.kept else ""
    context.tell(
        f"{options.out} is lazy: its {value.npartitions:,} partitions are asked when Dask computes them{again}. "
        "What that costs is in its cost column, and not in %claude_cost."
    )


def ask_partition(frame: Any, spec: Spec) -> Any:
    """Map one partition: its rows with the answers' columns. Runs in a worker."""
    data = rows.rows_of(frame)
    client = Client()
    shown = shown_columns(spec.options.allow_columns)
    secrets = Secrets(known_secrets(spec.values, client.secrets(), shown), spec.options.allow_secrets, shown)
    limits = Limits(spec.options.value_tokens, spec.options.cell_tokens)
    template = Template(spec.body, spec.values, secrets, limits, system=spec.system, asks_nulls=spec.asks_nulls)
    requests = RowRequests(template, data, spec.built, spec.options, spec.settings.provider)
    job = Job(
        name=spec.name,
        count=data.count,
        requests=requests,
        surveyed=survey(requests, lambda _count: None),
        client=client,
        settings=spec.settings,
        provider=client.provider(spec.settings),
        concurrency=spec.concurrency,
        budget=None,
        shape=spec.shape,
    )
    with _ONE_AT_A_TIME:
        kept = store.Results(store.file() if spec.kept else None)
        try:
            if missing := job.missing(kept):
                job.ask_now(missing, kept, SilentProgress())
        finally:
            kept.close()
    return data.result(table.columns(job, data.taken))
