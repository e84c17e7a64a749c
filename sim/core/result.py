"""What a run leaves: figures, tables, its configuration and where it came from."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sim.core.errors import ConfigError, LawBroken
from sim.core.records import Table

if TYPE_CHECKING:
    import pandas as pd

#: A metric's value; None where it is not defined (a percentile of nothing).
Value = float | int | str | None


class Draft:
    """A result in the making: systems and observers put figures, tables and files into it.

    Tables stream into `folder`; without one they stay in memory.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder
        self.summary: dict[str, Value] = {}
        self._open: dict[str, Table] = {}

    def table(self, name: str, columns: dict[str, str], on_group: Any = None) -> Table:
        """A new table of that name (see `Table`)."""
        if name in self._open:
            raise ConfigError(f"two tables are called {name!r}")
        table = self._open[name] = Table(name, columns, self.folder, on_group)
        return table

    def figure(self, name: str, value: Value) -> None:
        """Put one metric into the summary. Raises LawBroken on NaN, infinity or a second value."""
        if name in self.summary:
            raise LawBroken(f"metric {name!r} is given twice")
        if isinstance(value, float) and not math.isfinite(value):
            raise LawBroken(f"metric {name!r} is {value}: a result never holds that")
        self.summary[name] = value

    def figures(self, prefix: str, values: Mapping[str, Value]) -> None:
        """Put several metrics into the summary as `prefix.name`."""
        for name, value in values.items():
            self.figure(f"{prefix}.{name}", value)

    def close(self, config: Mapping[str, Any], provenance: Mapping[str, Any]) -> Result:
        """Close the tables and give the result."""
        tables = {name: table.close() for name, table in self._open.items()}
        summary = dict(sorted(self.summary.items()))
        result = Result(summary, dict(config), dict(provenance), tables, self.folder)
        if self.folder is not None:
            (self.folder / "summary.json").write_text(json.dumps(summary, indent=1) + "\n")
            (self.folder / "provenance.json").write_text(
                json.dumps(result.provenance, indent=1) + "\n"
            )
        return result


class Result:
    """Figures and tables of one run. `result["serving.ttft_s.p50"]` is a metric's value."""

    def __init__(
        self,
        summary: dict[str, Value],
        config: dict[str, Any],
        provenance: dict[str, Any],
        tables: dict[str, Any],
        folder: Path | None = None,
    ) -> None:
        self.summary = summary
        self.config = config
        self.provenance = provenance
        self.folder = folder
        self._tables = tables

    def __getitem__(self, metric: str) -> Value:
        try:
            return self.summary[metric]
        except KeyError:
            near = [name for name in self.summary if metric.split(".")[-1] in name]
            raise KeyError(f"no metric {metric!r}; near: {', '.join(near) or 'none'}") from None

    def number(self, metric: str) -> float:
        """A metric that must be a number. Raises TypeError when it is not defined."""
        value = self[metric]
        if value is None or isinstance(value, str):
            raise TypeError(f"{metric} is {value!r}, not a number")
        return float(value)

    @property
    def tables(self) -> list[str]:
        """Names of the tables."""
        return sorted(self._tables)

    def table(self, name: str) -> pd.DataFrame:
        """A table as a data frame."""
        if name not in self._tables:
            raise KeyError(f"no table {name!r}; there are: {', '.join(self.tables) or 'none'}")
        stored = self._tables[name]
        if stored is None:
            import pandas as pd

            assert self.folder is not None
            return pd.read_parquet(self.folder / f"{name}.parquet")
        frame: pd.DataFrame = stored.to_pandas()
        return frame

    @classmethod
    def read(cls, folder: str | Path) -> Result:
        """The result in a run's folder. Raises ConfigError when it holds none."""
        folder = Path(folder)
        summary = folder / "summary.json"
        if not summary.is_file():
            raise ConfigError(f"{folder}: holds no summary.json, so it is not a finished run")
        figures = _read_json(summary)
        provenance = _read_json(folder / "provenance.json")
        settings = folder / ".hydra" / "config.yaml"
        config = _read_yaml(settings) if settings.is_file() else {}
        tables = {path.stem: None for path in sorted(folder.glob("*.parquet"))}
        return cls(figures, config, provenance, dict(tables), folder)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error
    if not isinstance(found, dict):
        raise ConfigError(f"{path}: holds no object of names and values")
    return found


def _read_yaml(path: Path) -> dict[str, Any]:
    import yaml

    try:
        found = yaml.safe_load(path.read_text())
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: cannot be read: {str(error).splitlines()[0]}") from error
    if not isinstance(found, dict):
        raise ConfigError(f"{path}: holds no settings")
    return found
