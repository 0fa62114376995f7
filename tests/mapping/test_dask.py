"""A map over a Dask frame is lazy: each partition is asked where it is computed."""

from __future__ import annotations

import pickle

import dask.dataframe
import pandas as pd
import pytest

from claude_magic import offline
from claude_magic.errors import UsageError
from claude_magic.mapping.dask import values_of
from support.offline_requests import prompt_of
from support.shell import OfflineShell as Notebook


@pytest.mark.slow
def test_a_dask_frame_stays_lazy_and_each_partition_is_asked_where_it_is_computed(
    notebook: Notebook, standin: offline.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    standin.script = lambda body: [{"type": "text", "text": f"re: {prompt_of(body)}"}]
    monkeypatch.setenv("ANTHROPIC_BASE_URL", standin.url)
    monkeypatch.setenv("ANTHROPIC_API_KEY", "a-secret-key")
    notebook.configuration.provider = "anthropic"
    try:
        frame = pd.DataFrame({"t": [f"row {at}" for at in range(12)]}, index=range(100, 112))
        notebook.shell.user_ns.update(df=dask.dataframe.from_pandas(frame, npartitions=3), shout=str.upper)
        lazy = notebook.map("df", "Say {{shout(row.t)}}")
        assert standin.requests == [] and isinstance(lazy, type(notebook.shell.user_ns["df"]))
        computed = lazy.compute(scheduler="threads")
        assert list(computed.index) == list(range(100, 112))
        assert list(computed["reply"]) == [f"re: Say ROW {at}" for at in range(12)]
        assert dict(computed.dtypes) == dict(lazy.dtypes)
        assert len(standin.requests) == 12
        graph = pickle.dumps(dict(lazy.__dask_graph__()))
        assert b"Say {{shout(row.t)}}" in graph and b"a-secret-key" not in graph
        assert lazy["cost"].sum().compute(scheduler="threads") > 0
        assert len(standin.requests) == 12, "what was answered is not asked again"
        with pytest.raises(UsageError, match="does not go together with a Dask frame"):
            notebook.map("df --budget 1", "Say {{row.t}}")
        assert list(notebook.map("df.t", "Say {{item}}").columns[:2]) == ["t", "reply"]
    finally:
        notebook.configuration.provider = "offline"


def test_a_dask_frame_fills_the_system_prompt_in_its_workers_and_takes_no_files(notebook: Notebook) -> None:
    names = {"tone": "kindly", "rest": 1, "row": 2}
    assert values_of(names, "Say {{row.t}}", "Answer {{tone}} in {{row.language}}") == {"tone": "kindly"}
    notebook.shell.user_ns["lazy"] = dask.dataframe.from_pandas(pd.DataFrame({"t": ["a"]}), npartitions=1)
    with pytest.raises(UsageError, match="do not go together with a Dask frame"):
        notebook.map("lazy --image one.png", "Say {{row.t}}")
